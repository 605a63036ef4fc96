"""Eastron SDM630: input registers as f32, energies in kWh. Facts: mbmd, OpenEMS and EVerest agree; power + = import.

Two ranges, 0..79 and 342..369, as the sources read them. What the meter cannot know here (demand, harmonics) lies
outside both; registers that the maker leaves unused read 0.
"""

from __future__ import annotations

import math
import struct
from typing import ClassVar, Final

from busbar.sim.devices.base import Segment, SimDevice
from busbar.sim.devices.electronics import PhaseCounters, apparent_va, power_factor
from busbar.sim.plant import MeterPort

_MAIN: Final = struct.Struct(">40f")
_ENERGY: Final = struct.Struct(">14f")
_UNUSED: Final = 0.0


class Sdm630(SimDevice):
    """A three-phase meter behind a transparent gateway."""

    function_codes: ClassVar[frozenset[int]] = frozenset({3, 4, 16})

    def __init__(self, device_id: str, port: MeterPort, unit: int = 1) -> None:
        super().__init__(device_id)
        self.port = port
        self._active = PhaseCounters(port.energy_import_wh, port.energy_export_wh)
        self._reactive = PhaseCounters()
        self.lay_out("input", unit, [Segment(0, 80, self._main), Segment(342, 28, self._energies)])

    def run(self, now_s: float, dt_s: float) -> None:
        self._active.add(self.port.power_w, dt_s)
        self._reactive.add(self.port.reactive_var, dt_s)

    def _main(self) -> bytes:
        """U, I, P, S, Q, PF and angle of each phase, then means, sums, frequency and energies."""
        port = self.port
        voltage, current, power, reactive = port.voltage_v, port.current_a, port.power_w, port.reactive_var
        s1, s2, s3 = apparent_va(voltage, current)
        apparent, active, reactive_sum = s1 + s2 + s3, sum(power), sum(reactive)
        currents = sum(current)
        return _MAIN.pack(
            *voltage,
            *current,
            *power,
            s1,
            s2,
            s3,
            *reactive,
            power_factor(power[0], s1),
            power_factor(power[1], s2),
            power_factor(power[2], s3),
            _angle(power[0], reactive[0]),
            _angle(power[1], reactive[1]),
            _angle(power[2], reactive[2]),
            sum(voltage) / 3.0,
            _UNUSED,
            currents / 3.0,
            currents,
            _UNUSED,
            active,
            _UNUSED,
            apparent,
            _UNUSED,
            reactive_sum,
            power_factor(active, apparent),
            _UNUSED,
            _angle(active, reactive_sum),
            _UNUSED,
            port.frequency_hz,
            port.energy_import_wh / 1000.0,
            port.energy_export_wh / 1000.0,
            sum(self._reactive.import_wh) / 1000.0,
            sum(self._reactive.export_wh) / 1000.0,
        )

    def _energies(self) -> bytes:
        """342: total active and reactive; 346: import L1-3; 352: export L1-3; 358: both L1-3; 364: reactive import."""
        active, reactive = self._active, self._reactive
        both = [bought + sold for bought, sold in zip(active.import_wh, active.export_wh, strict=True)]
        watt_hours = [
            self.port.energy_import_wh + self.port.energy_export_wh,
            sum(reactive.import_wh) + sum(reactive.export_wh),
            *active.import_wh,
            *active.export_wh,
            *both,
            *reactive.import_wh,
        ]
        return _ENERGY.pack(*[energy / 1000.0 for energy in watt_hours])


def _angle(power_w: float, reactive_var: float) -> float:
    return math.degrees(math.atan2(reactive_var, power_w))
