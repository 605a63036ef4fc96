"""The bus: one interface, two carriers. Only `nats.py` imports nats; `memory.py` runs in virtual time."""

from busbar.bus.api import Bus, BusError, NotConnectedError, Received, Subscription

__all__ = ["Bus", "BusError", "NotConnectedError", "Received", "Subscription"]
