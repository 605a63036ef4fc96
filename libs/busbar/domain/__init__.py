"""The site as engineers draw it: topology, charging states, quality, fuses. No I/O, no clock, no bus."""
