"""Device packages: data that describes a device; the codec that reads it; the transports that reach it."""
