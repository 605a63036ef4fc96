"""Reading simulated devices in tests as a person with the maker's manual would: an address and a type."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from busbar.devices.transport import DeviceRefusedError, Table
from busbar.sim.devices.base import SimDevice


class Registers:
    """One unit of a device, one table."""

    def __init__(self, device: SimDevice, unit: int = 1, table: Table = "holding") -> None:
        self.device = device
        self.unit = unit
        self.table: Table = table

    def get(self, address: int, layout: str) -> Any:
        """The value at `address`; `layout` as in `struct`, big endian ("H", "i", "f", "4s")."""
        image = self.device.read(self.table, self.unit, address, (struct.calcsize(">" + layout) + 1) // 2)
        return struct.unpack(">" + layout, image)[0]

    def row(self, address: int, layout: str, count: int) -> list[Any]:
        width = struct.calcsize(">" + layout) // 2
        return [self.get(address + index * width, layout) for index in range(count)]

    def put(self, address: int, *values: int, fc: int | None = None) -> None:
        self.device.write(self.table, self.unit, address, values, fc or (6 if len(values) == 1 else 16))

    def put_float(self, address: int, value: float) -> None:
        self.put(address, *struct.unpack(">2H", struct.pack(">f", value)))

    def refusal_of_read(self, address: int, count: int) -> int:
        with pytest.raises(DeviceRefusedError) as refused:
            self.device.read(self.table, self.unit, address, count)
        return refused.value.code

    def refusal_of_write(self, address: int, *values: int, fc: int | None = None) -> int:
        with pytest.raises(DeviceRefusedError) as refused:
            self.put(address, *values, fc=fc)
        return refused.value.code


def run_until(device: SimDevice, end_s: float, step_s: float = 0.5) -> None:
    """Step a device up to `end_s` of its own time (its first step is 0)."""
    if device.now_s == 0.0:
        device.step(0.0)
    while device.now_s < end_s - 1e-9:
        device.step(min(end_s, device.now_s + step_s))
