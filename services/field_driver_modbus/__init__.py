"""Drives real devices over Modbus: polls, decodes, obeys setpoints behind the fence, verifies what it wrote."""
