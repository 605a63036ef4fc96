"""Phoenix Contact CHARX SEC-3xxx: one controller, up to 12 charging points, all at unit 1, stride 1000.

Group registers 100..167, then for each point n the blocks n*1000+100 (24) and n*1000+232 (77). Between them are holes:
exception 2. Sources: as in `charx_point.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from busbar.devices.transport import DeviceRefusedError
from busbar.sim.devices.base import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Segment, SimDevice, constant
from busbar.sim.devices.charx_point import ChargingPoint, CharxSettings
from busbar.sim.devices.electronics import text
from busbar.sim.plant import EvsePort

UNIT: Final = 1
MAX_POINTS: Final = 12
_GROUP_START: Final = 100
_GROUP_CONTROLS: Final = range(164, 168)
_IDENTITY: Final = struct.Struct(">20s8sH 6s6s 4H4H 4H4H 4H4H HH")  # 100..146
_GROUP: Final = struct.Struct(">5H IiI 3i 4H")  # 147..167
_UNKNOWN_ROTATION: Final = -1
"""The controller is not told how its points are rotated, so it gives no sums per phase."""


class CharxController(SimDevice):
    """Registers of the group, and the way to each point."""

    def __init__(self, device_id: str, ports: Mapping[int, EvsePort], settings: CharxSettings | None = None) -> None:
        """`ports` by number of the charging point (1..12)."""
        super().__init__(device_id)
        if not ports or not all(1 <= number <= MAX_POINTS for number in ports):
            raise ValueError(f"{device_id}: a CHARX group has charging points 1 to {MAX_POINTS}, got {sorted(ports)}")
        self._settings = settings or CharxSettings()
        self.points = {number: ChargingPoint(number, ports[number], self._settings) for number in sorted(ports)}
        self._group_max_a = 0
        self._identity = self._identity_image()
        segments = [Segment(_GROUP_START, 68, self._group_image)]
        for number, point in self.points.items():
            segments.append(Segment(number * 1000 + 100, 24, constant(point.config)))
            segments.append(Segment(number * 1000 + 232, 77, point.live))
        self.lay_out("holding", UNIT, segments)

    # -- electronics

    def run(self, now_s: float, dt_s: float) -> None:
        for point in self.points.values():
            point.run(now_s, dt_s)

    def power_off(self) -> None:
        for point in self.points.values():
            point.port.offered_a = 0.0

    def boot(self, keep_settings: bool) -> None:
        for point in self.points.values():
            if not keep_settings:
                point.forget_settings()
            point.power_up(self.now_s)

    def faults_changed(self) -> None:
        for point in self.points.values():
            point.faults = self.faults

    # -- registers

    def write_holding(self, unit: int, address: int, values: Sequence[int], fc: int) -> None:
        number, offset = divmod(address, 1000)
        if number == 0:
            self._write_group(address, values)
        else:
            point = self.points.get(number)
            if point is None:
                raise DeviceRefusedError(ILLEGAL_ADDRESS)
            for index, value in enumerate(values):
                point.check_write(offset + index, value)
            for index, value in enumerate(values):
                point.write(offset + index, value)
        for point in self.points.values():
            if self._settings.watchdog_scope == "controller" or point.number == number:
                point.refresh(self.now_s)

    def _write_group(self, address: int, values: Sequence[int]) -> None:
        if address not in _GROUP_CONTROLS or address + len(values) - 1 not in _GROUP_CONTROLS:
            raise DeviceRefusedError(ILLEGAL_ADDRESS)
        if address == 164 and values[0] > 1:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        for register, value in enumerate(values, start=address):
            if register == 164:
                for point in self.points.values():
                    point.write(304, value)
            elif register in (165, 166) and value:
                self.restart()
            elif register == 167:
                self._group_max_a = value

    def _group_image(self) -> bytes:
        points = list(self.points.values())
        letters = [point.status[:1] for point in points]
        power_mw = round(sum(sum(point.port.power_w) for point in points) * 1000)
        reactive_mvar = round(sum(sum(point.port.reactive_var) for point in points) * 1000)
        return self._identity + _GROUP.pack(
            0,
            sum(letter in (b"E", b"F") for letter in letters),
            letters.count(b"A"),
            sum(letter in (b"B", b"C", b"D") for letter in letters),
            sum(point.status == b"C2" for point in points),
            power_mw,
            reactive_mvar,
            round((power_mw**2 + reactive_mvar**2) ** 0.5),
            _UNKNOWN_ROTATION,
            _UNKNOWN_ROTATION,
            _UNKNOWN_ROTATION,
            any(point.available for point in points),
            0,
            0,
            self._group_max_a,
        )

    def _identity_image(self) -> bytes:
        octets = (192, 168, 4, 1)
        mask = (255, 255, 255, 0)
        nothing = (0, 0, 0, 0)
        return _IDENTITY.pack(
            text("CHARX SEC-3150", 10),
            text(self._settings.firmware, 4),
            len(self.points),
            bytes.fromhex("A8741D000001"),
            bytes.fromhex("A8741D000002"),
            *octets,
            *nothing,
            *mask,
            *nothing,
            *nothing,
            *nothing,
            0,  # modem: not registered
            0,
        )
