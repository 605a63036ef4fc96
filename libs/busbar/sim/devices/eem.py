"""Phoenix Contact EEM-EM3xx: input registers, every value twice: as f32 from 4096 and as integers from 0.

Facts: Gugulao/modbus-templates @0761dc0 (tested there on an EEM-EM377; one source only). Power + = import. The source
says that over Modbus TCP the unit id is fixed at 255; other devices of the family answer 1: this one answers both.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final

from busbar.sim.devices.base import Segment, SimDevice
from busbar.sim.devices.electronics import PhaseCounters, neutral_a
from busbar.sim.plant import MeterPort

UNITS: Final = (1, 255)
_FLOATS: Final = struct.Struct(">30f")  # 4096..4155
_FLOAT_ENERGIES: Final = struct.Struct(">8f")  # 4352..4367, Wh
_INTEGERS: Final = struct.Struct(">12I 4i 12q II")  # 0..83, milli
_INTEGER_ENERGIES: Final = struct.Struct(">8Q")  # 256..287, 0.1 Wh
_SEQUENCE_123: Final = 0.123
_HALF_SQRT3: Final = 3.0**0.5 / 2.0


class EemEm3xx(SimDevice):
    """A three-phase meter with its own Ethernet port."""

    function_codes: ClassVar[frozenset[int]] = frozenset({3, 4, 6, 16})

    def __init__(self, device_id: str, port: MeterPort) -> None:
        super().__init__(device_id)
        self.port = port
        self._counters = PhaseCounters(port.energy_import_wh, port.energy_export_wh)
        for unit in UNITS:
            self.lay_out(
                "input",
                unit,
                [
                    Segment(0, 84, self._integers),
                    Segment(256, 32, self._integer_energies),
                    Segment(4096, 60, self._floats),
                    Segment(4352, 16, self._float_energies),
                ],
            )

    def run(self, now_s: float, dt_s: float) -> None:
        self._counters.add(self.port.power_w, dt_s)

    def _values(self) -> tuple[float, ...]:
        """The order of both views: U L-N, U L-L (from equal angles) and their mean; I L1-3, N and mean; power factors;
        P, S (signed as P) and Q, each of L1-3 and the sum."""
        port = self.port
        u1, u2, u3 = port.voltage_v
        i1, i2, i3 = currents = port.current_a
        p1, p2, p3 = port.power_w
        q1, q2, q3 = port.reactive_var
        s1, s2, s3 = u1 * i1, u2 * i2, u3 * i3
        p, q, s = p1 + p2 + p3, q1 + q2 + q3, s1 + s2 + s3
        f1, f2, f3, f = _factor(p1, s1, q1), _factor(p2, s2, q2), _factor(p3, s3, q3), _factor(p, s, q)
        s1, s2, s3 = (s1 if p1 >= 0.0 else -s1), (s2 if p2 >= 0.0 else -s2), (s3 if p3 >= 0.0 else -s3)
        u12, u23, u31 = (u1 + u2) * _HALF_SQRT3, (u2 + u3) * _HALF_SQRT3, (u3 + u1) * _HALF_SQRT3
        voltages = (u1, u2, u3, u12, u23, u31, (u12 + u23 + u31) / 3)
        amperes = (i1, i2, i3, neutral_a(currents), (i1 + i2 + i3) / 3)
        return (*voltages, *amperes, f1, f2, f3, f, p1, p2, p3, p, s1, s2, s3, s1 + s2 + s3, q1, q2, q3, q)

    def _floats(self) -> bytes:
        return _FLOATS.pack(*self._values(), self.port.frequency_hz, _SEQUENCE_123)

    def _integers(self) -> bytes:
        milli = [round(value * 1000) for value in self._values()]
        return _INTEGERS.pack(*milli, round(self.port.frequency_hz * 1000), 0)

    def _energies_wh(self) -> list[float]:
        counters, port = self._counters, self.port
        return [*counters.import_wh, port.energy_import_wh, *counters.export_wh, port.energy_export_wh]

    def _float_energies(self) -> bytes:
        return _FLOAT_ENERGIES.pack(*self._energies_wh())

    def _integer_energies(self) -> bytes:
        return _INTEGER_ENERGIES.pack(*[int(energy * 10) for energy in self._energies_wh()])


def _factor(power_w: float, apparent: float, reactive_var: float) -> float:
    """Positive inductive, negative capacitive; 1 where nothing flows."""
    if apparent < 0.01:
        return 1.0
    factor = min(1.0, abs(power_w) / apparent)
    return -factor if reactive_var < 0.0 else factor
