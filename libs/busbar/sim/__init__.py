"""The site twin: one physics of vehicles, wires, fuses, sun and load behind devices with true register maps.

It is judged by nothing but itself: physical currents here are the truth against which every safety claim is tested.
"""
