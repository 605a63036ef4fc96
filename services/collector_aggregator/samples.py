"""What one measurement says about powers per phase, in the grid connection's frame. Pure.

Rules (algorithms.md, Quantities): what is summed is active and reactive power per phase. Where a device gives less, it
is derived:

- P per phase: as measured; else the total, split like voltage x current; else voltage x current, unsigned, as
  consumption.
- Q per phase: as measured; else what P leaves of the apparent power voltage x current, with the sign of the total (plus
  where there is none); without currents the total in equal parts.

A value counts only with good quality. A sample without usable powers or currents, or with one that is not finite, is
no sample: the age of the one before grows (FC-7).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import hypot, isfinite, sqrt
from typing import Any, Final, NamedTuple

from busbar.events import Measurement
from busbar.units import NOMINAL_VOLTAGE_V, Phase, PhaseVector

Three = tuple[float, float, float]
Six = tuple[float, float, float, float, float, float]
"""(P1, P2, P3, Q1, Q2, Q3) in W and var, root frame."""

NO_POWER: Final[Six] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)

_LOW_V: Final = 0.5 * NOMINAL_VOLTAGE_V
_HIGH_V: Final = 1.5 * NOMINAL_VOLTAGE_V
"""Outside, a voltage is a dead phase or garbage: 230 V is used to turn watts into amperes."""

_NAMES: Final = ("l1", "l2", "l3")


class Sample(NamedTuple):
    """One instant of one entity, root frame; 0 on conductors it is not wired to."""

    at_s: float
    """Monotonic."""
    powers: Six
    current_a: Three
    """RMS, never negative: as measured, else from powers and voltage."""
    voltage_v: Three


sample_of: Final[Callable[[tuple[float, Six, Three, Three]], Sample]] = partial(tuple.__new__, Sample)
phases_of: Final[Callable[[Three], PhaseVector]] = partial(tuple.__new__, PhaseVector)
"""`_make` of both without the Python call that it is: dozens are made each second. The types see to their length."""


class Reader:
    """Reads the measurements of one entity; its names and phases are worked out once."""

    __slots__ = ("_count", "_names", "_names_set", "_own_of", "_root_names", "_root_of", "_three")

    def __init__(self, root_phases: Sequence[Phase]) -> None:
        names = _NAMES[: len(root_phases)]
        self._count = len(names)
        self._names = _points(names)
        self._names_set = frozenset(self._names)
        own_of = {int(root): own for own, root in enumerate(root_phases)}
        self._own_of = tuple(own_of.get(root, -1) for root in range(3))
        self._root_of = tuple(int(root) for root in root_phases)
        self._three = -1 not in self._own_of
        self._root_names = _points([_NAMES[own] for own in self._own_of]) if self._three else self._names
        """In the root's order: what is asked for in that order need not be turned."""

    def read(self, event: Measurement, at_s: float) -> Sample | None:
        """None where nothing usable was measured."""
        if not event.reachable:
            return None
        quality = event.quality
        if self._three and (not quality or self._names_set.isdisjoint(quality)):
            got: list[Any] = list(map(event.points.get, self._root_names))
            if None not in got[:6]:
                try:
                    return self._with_currents(got, at_s)
                except TypeError:  # a text among the numbers
                    pass
        return self._sample([event.number(name) for name in self._names], at_s)

    def _with_currents(self, got: Sequence[Any], at_s: float) -> Sample | None:
        """The same as `_sample` for the commonest case, a dozen times a second: U and I of three phases are known, in
        the root's order. Written out, because loops over three values cost more than the arithmetic."""
        u1, u2, u3, i1, i2, i3, p1, p2, p3, q1, q2, q3, active, reactive = got
        u1 = u1 if _LOW_V < u1 < _HIGH_V else NOMINAL_VOLTAGE_V
        u2 = u2 if _LOW_V < u2 < _HIGH_V else NOMINAL_VOLTAGE_V
        u3 = u3 if _LOW_V < u3 < _HIGH_V else NOMINAL_VOLTAGE_V
        i1 = i1 if i1 > 0.0 else 0.0 - i1
        i2 = i2 if i2 > 0.0 else 0.0 - i2
        i3 = i3 if i3 > 0.0 else 0.0 - i3
        s1, s2, s3 = u1 * i1, u2 * i2, u3 * i3
        if p1 is None or p2 is None or p3 is None:
            a, b, c = self._root_of
            parts = (s1, s2, s3)
            whole = parts[a] + parts[b] + parts[c]  # in the device's own order: as `_sample`, to the last bit
            if active is None:
                p1, p2, p3 = s1, s2, s3
            elif whole > 0.0:
                p1, p2, p3 = active * s1 / whole, active * s2 / whole, active * s3 / whole
            else:
                p1 = p2 = p3 = active / 3
        if q1 is None or q2 is None or q3 is None:
            s1, s2, s3 = s1 * s1 - p1 * p1, s2 * s2 - p2 * p2, s3 * s3 - p3 * p3
            q1 = sqrt(s1) if s1 > 0.0 else 0.0
            q2 = sqrt(s2) if s2 > 0.0 else 0.0
            q3 = sqrt(s3) if s3 > 0.0 else 0.0
            if reactive is not None and reactive < 0.0:
                q1, q2, q3 = -q1, -q2, -q3
        if not isfinite(p1 + p2 + p3 + q1 + q2 + q3 + i1 + i2 + i3):
            return None
        return sample_of((at_s, (p1, p2, p3, q1, q2, q3), (i1, i2, i3), (u1, u2, u3)))

    def _sample(self, got: list[float | None], at_s: float) -> Sample | None:
        n = self._count
        volts = [v if v is not None and _LOW_V < v < _HIGH_V else NOMINAL_VOLTAGE_V for v in got[:n]]
        amps = _known(got[n : 2 * n])
        apparent = [u * abs(i) for u, i in zip(volts, amps, strict=True)] if amps is not None else None
        p = _known(got[2 * n : 3 * n])
        if p is None:
            p = _active(got[-2], apparent, n)
            if p is None:
                return None
        q = _known(got[3 * n : 4 * n])
        if q is None:
            q = _reactive(got[-1], p, apparent)
        if amps is not None:
            i = [abs(x) for x in amps]
        else:
            i = [hypot(x, y) / u for x, y, u in zip(p, q, volts, strict=True)]
        if not isfinite(sum(p) + sum(q) + sum(i)):
            return None
        return self._rooted(at_s, p, q, i, volts)

    def _rooted(self, at_s: float, p: list[float], q: list[float], i: list[float], u: list[float]) -> Sample:
        a, b, c = self._own_of
        if self._count < 3:
            p, q, i, u = [*p, 0.0], [*q, 0.0], [*i, 0.0], [*u, NOMINAL_VOLTAGE_V]  # index -1: not wired
        return sample_of((at_s, (p[a], p[b], p[c], q[a], q[b], q[c]), (i[a], i[b], i[c]), (u[a], u[b], u[c])))


def _points(names: Sequence[str]) -> tuple[str, ...]:
    return (
        *(f"voltage_{n}_v" for n in names),
        *(f"current_{n}_a" for n in names),
        *(f"power_{n}_w" for n in names),
        *(f"reactive_power_{n}_var" for n in names),
        "power_w",
        "reactive_power_var",
    )


def _known(values: Sequence[float | None]) -> list[float] | None:
    """The values where all are known."""
    return None if None in values else list(values)  # type: ignore[arg-type]  # no None inside


def _active(total: float | None, apparent: list[float] | None, count: int) -> list[float] | None:
    if apparent is None:
        return None if total is None else [total / count] * count
    if total is None:
        return apparent
    whole = sum(apparent)
    return [total * part / whole for part in apparent] if whole > 0.0 else [total / count] * count


def _reactive(total: float | None, active: list[float], apparent: list[float] | None) -> list[float]:
    if apparent is None:
        return [(total or 0.0) / len(active)] * len(active)
    left = [sqrt(max(0.0, s * s - p * p)) for s, p in zip(apparent, active, strict=True)]
    return left if total is None or total >= 0.0 else [-q for q in left]
