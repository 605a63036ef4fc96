"""Quantities and their arithmetic: the one place that adds, rounds and clamps.

Signs: consumption positive, production and injection negative. Currents are RMS amperes, powers active watts (P) or
reactive var (Q), per phase. One unit per quantity; the unit stands in the name (`current_a`, `power_w`, `energy_wh`).
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final, NamedTuple

NOMINAL_VOLTAGE_V: Final = 230.0
"""Line to neutral; used wherever no fresh measured voltage exists (requirements.md, Signs)."""

MIN_CURRENT_A: Final = 6.0
"""Smallest AC charging current of IEC 61851-1; fixed (SC-3, SPC-3)."""

THREE_PHASE_V: Final = 3 * NOMINAL_VOLTAGE_V
"""Watts of a balanced load of three phases for one ampere on each, at 230 V: 690 W. In this measure a DC charge point,
which is set in W, stands beside those that are set in A; what really flows at another voltage is worked out from it."""

DC_START_W: Final = 5000.0
"""What a DC charge point may draw until its vehicle charges; its least power where nothing else is known (SPC-11)."""


class Phase(IntEnum):
    """A line conductor; the value is its index in every per-phase vector."""

    L1 = 0
    L2 = 1
    L3 = 2


class PhaseVector(NamedTuple):
    """One number per phase (L1, L2, L3), in the unit that the name of the variable carries. JSON: `[l1, l2, l3]`."""

    l1: float = 0.0
    l2: float = 0.0
    l3: float = 0.0

    def plus(self, other: PhaseVector) -> PhaseVector:
        return PhaseVector(self.l1 + other.l1, self.l2 + other.l2, self.l3 + other.l3)

    def minus(self, other: PhaseVector) -> PhaseVector:
        return PhaseVector(self.l1 - other.l1, self.l2 - other.l2, self.l3 - other.l3)

    def scaled(self, factor: float) -> PhaseVector:
        return PhaseVector(self.l1 * factor, self.l2 * factor, self.l3 * factor)

    @property
    def total(self) -> float:
        return self.l1 + self.l2 + self.l3

    @property
    def largest(self) -> float:
        return max(self.l1, self.l2, self.l3)


ZERO: Final = PhaseVector()


def uniform(value: float) -> PhaseVector:
    """The same value on every phase."""
    return PhaseVector(value, value, value)


def clamp(value: float, low: float, high: float) -> float:
    """`value` moved into `[low, high]`; `low` wins where the bounds cross."""
    return max(low, min(value, high))


def floor_to_step(value: float, step: float) -> float:
    """Largest multiple of `step` at or below `value`, robust against binary dust (15.999999999 A is 16 A)."""
    return math.floor(value / step + 1e-6) * step


def apparent_current_a(power_w: float, reactive_power_var: float, voltage_v: float = NOMINAL_VOLTAGE_V) -> float:
    """RMS current in A of one phase from its active and reactive power; never negative."""
    return math.hypot(power_w, reactive_power_var) / voltage_v
