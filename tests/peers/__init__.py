"""Third-party clients that judge our simulated devices, each in an environment of its own (see `install.py`)."""
