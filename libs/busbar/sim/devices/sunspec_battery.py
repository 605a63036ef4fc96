"""A three-phase SunSpec storage: models 1, 701, 702, 704, 713 from 40000 on, integers with scale factors.

Facts: sunspec/models @7abdf89 and pysunspec2 1.3.7. Discharge is positive on the wire (in the port it is negative).
What it has not got reads as the not-implemented pattern of its type, and cannot be written.
- 704: WSet counts while WSetEna is 1; else it idles. It takes watts only (WSetMod 1) and cuts them to its rates.
- With WSetRvrtTms above 0 the setpoint goes to WSetRvrt and the switch to WSetEnaRvrt that long after WSetEna was last
  written 1 or the time itself was written. Writing WSet alone does not start the time anew: the strictest reading.
- Nothing of 704 survives a restart.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from busbar.devices.transport import DeviceRefusedError
from busbar.sim.devices.base import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Segment, SimDevice, constant
from busbar.sim.devices.electronics import Delayed, apparent_va, text
from busbar.sim.plant import BatteryPort

BASE: Final = 40000
COMMON: Final = BASE + 2
MEASURED: Final = COMMON + 68
CAPACITY: Final = MEASURED + 155
CONTROLS: Final = CAPACITY + 52
STORAGE: Final = CONTROLS + 67
END: Final = STORAGE + 9

NO_U16: Final = 0xFFFF
NO_I16: Final = 0x8000
OFF, RUNNING, FAULT, STANDBY = 0, 3, 6, 7

_SIGNED_701: Final = (10, 11, 12, 13, 14, *range(35, 47), *range(64, 70), *range(87, 93), *range(113, 123))
_LONGEST_S: Final = 86_400


@dataclass
class _Controls:
    """Model 704 as far as it goes here."""

    enabled: int = 0
    power: int = 0
    """On the wire: discharge positive."""
    fallback: int = 0
    fallback_enabled: int = 0
    revert_s: int = 0


class SunSpecBattery(SimDevice):
    """One battery system at one unit id."""

    def __init__(self, device_id: str, port: BatteryPort, unit: int = 1, reaction_s: float = 1.0) -> None:
        super().__init__(device_id)
        self.port = port
        self._controls = _Controls()
        self._accepted = _Controls()
        """What it obeys: the same, unless it ignores writes."""
        self._until_s: float | None = None
        """Device time at which it reverts."""
        self._wanted = Delayed(0.0, reaction_s)
        self._w_sf = 0
        while max(port.max_charge_w, port.max_discharge_w) * 1.2 > 32_000 * 10**self._w_sf:
            self._w_sf += 1
        self._wh_sf = 0
        while port.capacity_wh > 65_000 * 10**self._wh_sf:
            self._wh_sf += 1
        self.lay_out(
            "holding",
            unit,
            [
                Segment(BASE, 2, constant(b"SunS")),
                Segment(COMMON, 68, constant(self._common())),
                Segment(MEASURED, 155, self._measured_image),
                Segment(CAPACITY, 52, constant(self._capacity())),
                Segment(CONTROLS, 67, self._controls_image),
                Segment(STORAGE, 9, self._storage_image),
                Segment(END, 2, constant(b"\xff\xff\x00\x00")),
            ],
        )

    # -- electronics

    def run(self, now_s: float, dt_s: float) -> None:
        if self._until_s is not None and now_s >= self._until_s:
            self._until_s = None
            for controls in (self._controls, self._accepted):
                controls.power, controls.enabled = controls.fallback, controls.fallback_enabled
        accepted = self._accepted
        self._wanted.set(-float(accepted.power) if accepted.enabled else 0.0, now_s)
        self.port.setpoint_w = self._wanted.at(now_s)

    def power_off(self) -> None:
        self.port.setpoint_w = 0.0

    def boot(self, keep_settings: bool) -> None:
        self._controls, self._accepted, self._until_s = _Controls(), _Controls(), None
        self._wanted.force(0.0)

    # -- registers

    def write_holding(self, unit: int, address: int, values: Sequence[int], fc: int) -> None:
        """Whole points of 704 only; all of them or none."""
        points = list(_points(address - CONTROLS, values))
        for offset, value in points:
            self._check(offset, value)
        for offset, value in points:
            for controls in (self._controls,) if self.faults.ignore_writes else (self._controls, self._accepted):
                self._write(controls, offset, value)
            if offset == 31 or (offset == 22 and value):
                revert_s = self._controls.revert_s
                self._until_s = self.now_s + revert_s if revert_s and self._controls.enabled else None

    @staticmethod
    def _check(offset: int, value: int) -> None:
        allowed = {22: (0, 1), 23: (1, 1), 30: (0, 1), 31: (0, _LONGEST_S)}.get(offset, (-(2**31) + 1, 2**31 - 1))
        if not allowed[0] <= value <= allowed[1]:
            raise DeviceRefusedError(ILLEGAL_VALUE)

    def _write(self, controls: _Controls, offset: int, value: int) -> None:
        port = self.port
        match offset:
            case 22:
                controls.enabled = value
            case 24:
                controls.power = round(min(port.max_discharge_w, max(-port.max_charge_w, value)))
            case 26:
                controls.fallback = round(min(port.max_discharge_w, max(-port.max_charge_w, value)))
            case 30:
                controls.fallback_enabled = value
            case 31:
                controls.revert_s = value

    @property
    def state(self) -> int:
        """701 InvSt."""
        if self.faults.unknown_status:
            return int(self.faults.unknown_status)
        if self.port.tripped:
            return FAULT
        return RUNNING if abs(sum(self.port.power_w)) > 0.01 * self.port.max_charge_w else STANDBY

    def _measured_image(self) -> bytes:
        port, scale = self.port, 10.0**-self._w_sf
        words = dict.fromkeys(_SIGNED_701, NO_I16)
        apparent = apparent_va(port.voltage_v, port.current_a)
        words |= {0: 701, 1: 153, 2: 2, 3: 1, 4: self.state, 5: 1}
        words |= {6: 0, 7: 1 if port.tripped else 0, 8: 0, 9: 1}
        words |= {
            10: _s(-sum(port.power_w) * scale),
            11: _s(sum(apparent) * scale),
            12: 0,
            14: _s(10 * sum(port.current_a)),
        }
        words |= {17: 0, 18: round(port.frequency_hz * 100)}
        words |= _long(19, int(port.energy_export_wh)) | _long(23, int(port.energy_import_wh))
        for k, at in enumerate((41, 64, 87)):
            words[at] = _s(-port.power_w[k] * scale)
            words[at + 1], words[at + 2] = _s(apparent[k] * scale), 0
            words[at + 4] = _s(10 * port.current_a[k])
            words[at + 6] = round(10 * port.voltage_v[k])
        sf = _s(self._w_sf)
        words |= {113: _s(-1), 114: _s(-1), 115: _s(-2), 116: sf, 118: sf, 119: sf, 120: 0}
        return _image(155, words, zeros=range(123, 155))

    def _controls_image(self) -> bytes:
        c = self._controls
        left_s = 0 if self._until_s is None else max(0, round(self._until_s - self.now_s))
        words = {0: 704, 1: 65, 22: c.enabled, 23: 1, 30: c.fallback_enabled, 55: 0}
        words |= dict.fromkeys((28, 29, 42, 43, 53, 54, 56, 57, 58), NO_I16)
        words |= {38: NO_I16, 39: 0, 40: NO_I16, 41: 0}
        for at, value in ((24, c.power), (26, c.fallback), (31, c.revert_s), (33, left_s)):
            words[at], words[at + 1] = value >> 16 & 0xFFFF, value & 0xFFFF
        return _image(67, words)

    def _storage_image(self) -> bytes:
        port = self.port
        filled = port.stored_wh / port.capacity_wh
        scale = 10.0**-self._wh_sf
        words = {0: 713, 1: 7, 2: round(port.capacity_wh * scale), 3: round(port.stored_wh * scale)}
        words |= {4: round(1000 * filled), 5: 1000, 6: 2 if port.tripped else 0, 7: self._wh_sf, 8: _s(-1)}
        return _image(9, words)

    def _capacity(self) -> bytes:
        port = self.port
        take, give = (round(watts / 10**self._w_sf) for watts in (port.max_charge_w, port.max_discharge_w))
        words = {0: 702, 1: 50, 2: give, 10: take, 11: give, 26: give, 34: take, 35: give}
        words |= {23: 0, 24: 0b10, 25: 0, 44: 0, 45: self._w_sf} | dict.fromkeys(range(46, 52), NO_I16)
        return _image(52, words)

    def _common(self) -> bytes:
        head = struct.pack(">HH", 1, 66)
        names = text("Busbar", 16) + text("Simulated battery", 16) + bytes(16) + text("1.0", 8) + text(self.id, 16)
        return head + names + struct.pack(">HH", 1, 0x8000)


def _points(offset: int, values: Sequence[int]) -> list[tuple[int, int]]:
    """The words of a write as points of 704; refused where they are no whole writable points."""
    found: list[tuple[int, int]] = []
    left = list(values)
    while left:
        if offset in (22, 23, 30):
            found.append((offset, left.pop(0)))
            offset += 1
        elif offset in (24, 26, 31) and len(left) >= 2:
            raw = left.pop(0) << 16 | left.pop(0)
            found.append((offset, raw - 2**32 if raw & 0x8000_0000 else raw))
            offset += 2
        else:
            raise DeviceRefusedError(ILLEGAL_ADDRESS)
    return found


def _s(value: float) -> int:
    """A signed number as the word that carries it."""
    return round(value) & 0xFFFF


def _long(at: int, value: int) -> dict[int, int]:
    return {at + k: value >> (48 - 16 * k) & 0xFFFF for k in range(4)}


def _image(size: int, words: Mapping[int, int], zeros: Sequence[int] = ()) -> bytes:
    """Registers of a model; what is not given is not implemented."""
    plain = [NO_U16] * size
    for at in zeros:
        plain[at] = 0
    for at, word in words.items():
        plain[at] = word
    return struct.pack(f">{size}H", *plain)
