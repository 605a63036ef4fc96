"""A three-phase SunSpec PV inverter: models 1, 103, 120, 121, 122, 123 from 40000 on, integers with scale factors.

Facts: sunspec/models @7abdf89 and pysunspec2 1.3.7. Production is positive on the wire (in the port it is negative).
What this inverter has not got reads as the not-implemented pattern of its type, and cannot be written.
- 123: WMaxLimPct counts when WMaxLim_Ena is 1. With WMaxLimPct_RvrtTms above 0 the limit reverts to none (Ena 0) that
  long after the last write to WMaxLimPct, WMaxLim_Ena or the time itself.
- WMaxLimPct is a share of WMax (121), which an installer may set below the nameplate (120 WRtg).
- VArWMaxPct, a share of WMax too, counts when VArPct_Ena and VArPct_Mod are 1; over-excited is positive. It reverts to
  its own choice (Ena 0) VArPct_RvrtTms after the last write to one of the four.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from busbar.devices.transport import DeviceRefusedError
from busbar.sim.devices.base import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Segment, SimDevice, constant
from busbar.sim.devices.electronics import Delayed, apparent_va, power_factor, text
from busbar.sim.plant import PvPort

BASE: Final = 40000
COMMON: Final = BASE + 2
INVERTER: Final = COMMON + 68
NAMEPLATE: Final = INVERTER + 52
SETTINGS: Final = NAMEPLATE + 28
STATUS: Final = SETTINGS + 32
CONTROLS: Final = STATUS + 46
END: Final = CONTROLS + 26

NO_U16: Final = 0xFFFF
NO_I16: Final = -0x8000
NO_U32: Final = 0xFFFFFFFF
OFF, SLEEPING, MPPT, THROTTLED = 1, 2, 4, 5

# 103: A A1-3 SF | V L-L (no) V1-3 SF | W SF Hz SF VA SF VAr SF PF SF | WH SF | DC (no) | Tmp SF | St StVnd | events
_INVERTER: Final = struct.Struct(">HH 4Hh 6Hh hhHhhhhhhh Ih HhHhhh 4hh HH II4I")
_NAMEPLATE: Final = struct.Struct(">HH H Hh Hh 4hh Hh 4hh Hh Hh Hh Hh h")
_SETTINGS: Final = struct.Struct(">HH HHh HHH 4h H 4h HHHHH 10h")
_STATUS: Final = struct.Struct(">HH HHH 6Q hh Hh II 8s I HHh")
_CONTROLS: Final = struct.Struct(">HH HHH HHHHH hHHHH 3hHHHHH hhh")

_PCT_SF: Final = -2
_FULL_PCT: Final = 10_000
_PF_SF: Final = -4
_HIGHEST: Final = {4: 1, 5: _FULL_PCT, 7: NO_U16 - 1, 9: 1, 14: 0, 15: _FULL_PCT, 19: NO_U16 - 1, 21: 1, 22: 1}
"""Of what can be written in 123, by offset; of a signed one the magnitude."""
_FIELDS: Final = {
    4: "connected", 5: "limit_pct", 7: "revert_s", 9: "enabled", 15: "var_pct", 19: "var_revert_s", 21: "var_mode",
    22: "var_enabled",
}  # fmt: skip
"""Where it is kept."""


class _Controls:
    """Model 123 as written; offsets as in the model."""

    def __init__(self) -> None:
        self.connected = 1
        self.limit_pct = _FULL_PCT
        self.revert_s = 0
        self.enabled = 0
        self.var_pct = 0
        self.var_revert_s = 0
        self.var_mode = 0
        self.var_enabled = 0


class SunSpecInverter(SimDevice):
    """One inverter at one unit id."""

    def __init__(self, device_id: str, port: PvPort, unit: int = 1, reaction_s: float = 1.0) -> None:
        super().__init__(device_id)
        self.port = port
        self._controls = _Controls()
        self._accepted = _Controls()
        self._set_s = 0.0
        self._var_set_s = 0.0
        self.limits_written = 0
        """How often somebody set a limit: a wrong driver writes without need."""
        self._limit = Delayed(1.0, reaction_s)
        self._w_sf = 0
        while port.rated_power_w * 1.2 > 32_000 * 10**self._w_sf:
            self._w_sf += 1
        self._a_sf = -2
        while port.rated_power_w / 230.0 * 1.3 > 650.0 * 10 ** (self._a_sf + 2):
            self._a_sf += 1
        self._w_max: int = round(port.rated_power_w / 10**self._w_sf)
        self.lay_out(
            "holding",
            unit,
            [
                Segment(BASE, 2, constant(b"SunS")),
                Segment(COMMON, 68, constant(self._common())),
                Segment(INVERTER, 52, self._inverter_image),
                Segment(NAMEPLATE, 28, constant(self._nameplate())),
                Segment(SETTINGS, 32, self._settings_image),
                Segment(STATUS, 46, self._status_image),
                Segment(CONTROLS, 26, self._controls_image),
                Segment(END, 2, constant(b"\xff\xff\x00\x00")),
            ],
        )

    # -- electronics

    def run(self, now_s: float, dt_s: float) -> None:
        controls = self._controls
        if controls.enabled and controls.revert_s and now_s - self._set_s >= controls.revert_s:
            controls.enabled = self._accepted.enabled = 0
        if controls.var_enabled and controls.var_revert_s and now_s - self._var_set_s >= controls.var_revert_s:
            controls.var_enabled = self._accepted.var_enabled = 0
        self._limit.set(self._wanted(), now_s)
        self.port.limit_fraction = self._limit.at(now_s)
        self.port.asked_var = self._asked_var()

    def _wanted(self) -> float:
        accepted = self._accepted
        if not accepted.connected:
            return 0.0
        ceiling = self._w_max * 10.0**self._w_sf / self.port.rated_power_w
        return min(1.0, ceiling * accepted.limit_pct / _FULL_PCT) if accepted.enabled else min(1.0, ceiling)

    def _asked_var(self) -> float | None:
        accepted = self._accepted
        if not (accepted.var_enabled and accepted.var_mode == 1):
            return None
        return -self._w_max * 10.0**self._w_sf * accepted.var_pct / _FULL_PCT + 0.0

    def power_off(self) -> None:
        self.port.limit_fraction = 0.0

    def boot(self, keep_settings: bool) -> None:
        """Immediate controls do not survive; what an inverter may do after power-up is everything."""
        self._controls = _Controls()
        self._accepted = _Controls()
        self._limit.force(self._wanted())

    # -- registers

    def write_holding(self, unit: int, address: int, values: Sequence[int], fc: int) -> None:
        if address == SETTINGS + 2 and len(values) == 1:
            self._write_w_max(values[0])
            return
        first = address - CONTROLS
        for offset, value in enumerate(values, start=first):
            self._check_control(offset, value)
        for offset, value in enumerate(values, start=first):
            self._write_control(offset, value)
        self._limit.set(self._wanted(), self.now_s)

    def _write_w_max(self, value: int) -> None:
        if not 0 < value * 10**self._w_sf <= self.port.rated_power_w:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        self._w_max = value

    @staticmethod
    def _check_control(offset: int, value: int) -> None:
        """A fixed power factor is not to be had: its enable can only be written 0."""
        highest = _HIGHEST.get(offset)
        value = abs(_signed(value)) if offset == 15 else value
        if highest is None:
            raise DeviceRefusedError(ILLEGAL_ADDRESS)
        if value > highest:
            raise DeviceRefusedError(ILLEGAL_VALUE)

    def _write_control(self, offset: int, value: int) -> None:
        for controls in (self._controls,) if self.faults.ignore_writes else (self._controls, self._accepted):
            if offset in _FIELDS:
                setattr(controls, _FIELDS[offset], _signed(value) if offset == 15 else value)
        if offset in (5, 7, 9):
            self._set_s = self.now_s
        if offset in (15, 19, 21, 22):
            self._var_set_s = self.now_s
        if offset == 5:
            self.limits_written += 1

    @property
    def state(self) -> int:
        """103 St."""
        if self.faults.unknown_status:
            return int(self.faults.unknown_status)
        if not self._accepted.connected:
            return OFF
        if sum(self.port.power_w) > -1.0:
            return SLEEPING
        return THROTTLED if self.port.limit_fraction < 1.0 else MPPT

    def _inverter_image(self) -> bytes:
        port, sf = self.port, self._w_sf
        scale = 10.0**-sf
        amps = [round(current * 10**-self._a_sf) for current in port.current_a]
        produced_w = -sum(port.power_w)
        apparent = sum(apparent_va(port.voltage_v, port.current_a))
        volts = [round(voltage * 10) for voltage in port.voltage_v]
        dc = (NO_U16, NO_I16, NO_U16, NO_I16, NO_I16, NO_I16)
        return _INVERTER.pack(
            *(103, 50),
            *(sum(amps), *amps, self._a_sf),
            *(NO_U16, NO_U16, NO_U16, *volts, -1),
            *(round(produced_w * scale), sf, 5000, -2),
            *(round(apparent * scale), sf, round(-sum(port.reactive_var) * scale), sf),
            *(round(power_factor(produced_w, apparent) * 1000), -1),
            *(int(port.energy_export_wh) % 2**32, 0),
            *dc,
            *(350, NO_I16, NO_I16, NO_I16, -1),
            *(self.state, NO_U16),
            *(0, 0, NO_U32, NO_U32, NO_U32, NO_U32),
        )

    def _settings_image(self) -> bytes:
        sf = self._w_sf
        return _SETTINGS.pack(
            *(121, 30, self._w_max, 230, 0, NO_U16, NO_U16, NO_U16),
            *(NO_I16,) * 4,
            NO_U16,
            *(NO_I16,) * 4,
            *(NO_U16, NO_U16, NO_U16, 50, NO_U16),
            *(sf, 0, 0, *(NO_I16,) * 6, 0),
        )

    def _status_image(self) -> bytes:
        energy_wh = int(self.port.energy_export_wh)
        operating = 0b111 if self._accepted.connected else 0b010
        limited = 1 if self._accepted.enabled else 0
        return _STATUS.pack(
            *(122, 44, operating, 0, 1, energy_wh, 0, 0, 0, 0, 0),
            *(NO_I16, NO_I16, round(self.port.available_w / 10**self._w_sf), self._w_sf),
            *(NO_U32, limited, b"", NO_U32, NO_U16, NO_U16, NO_I16),
        )

    def _controls_image(self) -> bytes:
        controls = self._controls
        return _CONTROLS.pack(
            *(123, 24, NO_U16, NO_U16, controls.connected),
            *(controls.limit_pct, NO_U16, controls.revert_s, NO_U16, controls.enabled),
            *(10**-_PF_SF, NO_U16, NO_U16, NO_U16, 0),
            *(controls.var_pct, NO_I16, NO_I16, NO_U16, controls.var_revert_s),
            *(NO_U16, controls.var_mode, controls.var_enabled),
            *(_PCT_SF, _PF_SF, _PCT_SF),
        )

    def _common(self) -> bytes:
        head = struct.pack(">HH", 1, 66)
        names = text("Busbar", 16) + text("Simulated PV", 16) + bytes(16) + text("1.0", 8) + text(self.id, 16)
        return head + names + struct.pack(">HH", 1, 0x8000)

    def _nameplate(self) -> bytes:
        rated, sf = round(self.port.rated_power_w / 10**self._w_sf), self._w_sf
        amps = round(self.port.rated_power_w / 3 / 230 * 10)
        return _NAMEPLATE.pack(
            *(120, 26, 4, rated, sf, rated, sf),
            *(0, NO_I16, NO_I16, 0, sf),
            *(amps, -1),
            *(1000, NO_I16, NO_I16, 1000, -3),
            *(NO_U16, NO_I16) * 4,
            NO_I16,
        )


def _signed(word: int) -> int:
    return word - 0x1_0000 if word & 0x8000 else word
