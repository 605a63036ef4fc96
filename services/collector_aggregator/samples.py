"""What one measurement says about powers per phase, in the grid connection's frame. Pure.

Rules (algorithms.md, Quantities): what is summed is active and reactive power per phase. Where a device gives less, it
is derived, on the safe side:

- P per phase: as measured; else the total, split like voltage x current; else voltage x current, unsigned, as
  consumption.
- Q per phase: as measured; else what is left of the apparent power per phase, scaled to the total with its sign where
  the total is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from busbar.events import Measurement
from busbar.units import NOMINAL_VOLTAGE_V, Phase, PhaseVector

Numbers = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Electrical:
    """One instant of one entity, root frame; what it is not wired to is 0."""

    power_w: PhaseVector
    reactive_var: PhaseVector
    current_a: PhaseVector
    voltage_v: PhaseVector


class Reader:
    """Reads the measurements of one entity; its names and phases are worked out once."""

    def __init__(self, root_phases: Sequence[Phase]) -> None:
        names = ("l1", "l2", "l3")[: len(root_phases)]
        self._currents = tuple(f"current_{name}_a" for name in names)
        self._voltages = tuple(f"voltage_{name}_v" for name in names)
        self._powers = tuple(f"power_{name}_w" for name in names)
        self._reactive = tuple(f"reactive_power_{name}_var" for name in names)
        own_of = {int(root): own for own, root in enumerate(root_phases)}
        self._own_of = tuple(own_of.get(root, -1) for root in range(3))

    def read(self, event: Measurement) -> Electrical | None:
        """Powers and currents, or None where neither powers nor currents are usable."""
        currents = _numbers(event, self._currents)
        volts = [v or NOMINAL_VOLTAGE_V for v in _numbers(event, self._voltages)]
        powers = _known(_numbers(event, self._powers)) or _split(event.number("power_w"), currents, volts)
        if powers is None:
            return None
        reactive = _known(_numbers(event, self._reactive)) or _reactive(
            event.number("reactive_power_var"), powers, currents, volts
        )
        amps = [
            abs(i) if i is not None else math.hypot(p, q) / u
            for i, p, q, u in zip(currents, powers, reactive, volts, strict=True)
        ]
        return Electrical(self._root(powers), self._root(reactive), self._root(amps), self._root(volts))

    def _root(self, values: Sequence[float]) -> PhaseVector:
        a, b, c = self._own_of
        return PhaseVector(values[a] if a >= 0 else 0.0, values[b] if b >= 0 else 0.0, values[c] if c >= 0 else 0.0)


def _numbers(event: Measurement, names: Sequence[str]) -> list[float | None]:
    points, quality = event.points, event.quality
    found: list[float | None] = []
    for name in names:
        value = points.get(name)
        found.append(None if isinstance(value, str) or name in quality else value)
    return found


def _known(values: list[float | None]) -> list[float] | None:
    """The values where all are known."""
    found = [value for value in values if value is not None]
    return found if len(found) == len(values) else None


def _split(total: float | None, currents: Numbers, volts: Sequence[float]) -> list[float] | None:
    """Total power over the phases in the proportion of voltage x current; unsigned where there is no total."""
    count = len(volts)
    known = _known(list(currents))
    if known is None:
        return None if total is None else [total / count] * count
    apparent = [u * abs(i) for u, i in zip(volts, known, strict=True)]
    whole = sum(apparent)
    if total is None:
        return apparent
    if whole <= 0.0:
        return [total / count] * count
    return [total * part / whole for part in apparent]


def _reactive(total: float | None, powers: Sequence[float], currents: Numbers, volts: Sequence[float]) -> list[float]:
    left = [
        math.sqrt(max(0.0, (u * i) ** 2 - p * p)) if i is not None else 0.0
        for u, i, p in zip(volts, currents, powers, strict=True)
    ]
    if total is None:
        return left
    whole = sum(left)
    return [total * q / whole for q in left] if whole > abs(total) else [math.copysign(q, total) for q in left]
