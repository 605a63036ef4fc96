"""Fuses and breakers: how long each kind carries how much, and what is left of it after an overload.

Every curve is the *fast* edge of the standard's tolerance band: no device of the kind is promised to open earlier. So a
current that stays inside these curves trips nothing in the field; one that crosses them may. Between the points the
curves are straight in log(time) over log(current); below the first point they go on with their first slope down to
the rating; above the last point I²t is constant. Sources:

- gG: IEC 60269-1, conventional non-fusing current 1.25 x for 1 h; gates Imin(10 s) and Imin(0.1 s) of the smallest
  rating in use here (16 A: 33 A and 85 A); larger ratings are slower.
- mcb_b, mcb_c, mcb_d: IEC 60898-1, table of time-current operating characteristics: 1.13 x no trip in 1 h, 2.55 x not
  within 1 s, 3 / 5 / 10 x not within 0.1 s (types B / C / D), above it instantaneous.
- adjustable: IEC 60947-2, 1.05 x no trip (taken for 1 h, the smaller of its two times); above it thermal-magnetic
  releases as makers publish them: fast edge, magnetic release at 5 x less 20 %.
- electronic: IEC 60947-2, 1.05 x no trip; long-time release 6 x in 4 s by I²t less 20 %, short-time at 4.5 x.

`ratio` is RMS current over rated current. Pure: no clock, no state but `FuseThermal`'s own.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final, Literal

FuseKind = Literal["gG", "mcb_b", "mcb_c", "mcb_d", "adjustable", "electronic"]

_POINTS: Final[Mapping[FuseKind, tuple[tuple[float, float], ...]]] = {
    # (current / rating, seconds)
    "gG": ((1.25, 3600.0), (2.06, 10.0), (5.3, 0.1)),
    "mcb_b": ((1.13, 3600.0), (2.55, 1.0), (2.999, 0.1), (3.0, 0.01)),
    "mcb_c": ((1.13, 3600.0), (2.55, 1.0), (4.999, 0.1), (5.0, 0.01)),
    "mcb_d": ((1.13, 3600.0), (2.55, 1.0), (9.999, 0.1), (10.0, 0.01)),
    "adjustable": ((1.05, 3600.0), (1.5, 60.0), (2.0, 15.0), (3.999, 2.0), (4.0, 0.01)),
    "electronic": ((1.05, 3600.0), (1.2, 80.0), (4.499, 5.7), (4.5, 0.05)),
}

SINGLE_POLE: Final[frozenset[FuseKind]] = frozenset({"gG"})
"""Kinds of which each phase opens alone; breakers open all poles together."""

COOLING_S: Final = 300.0
"""Time constant with which a loaded but not overloaded fuse forgets; slower than thermal memories usually are."""

_FORGOTTEN: Final = 1e-6


class _Curve:
    """One kind's points as logarithms, ready to interpolate."""

    def __init__(self, points: tuple[tuple[float, float], ...]) -> None:
        self.ratios = [ratio for ratio, _ in points]
        self._log_r = [math.log(ratio) for ratio, _ in points]
        self._log_t = [math.log(seconds) for _, seconds in points]
        self._slopes = [
            (self._log_t[i + 1] - self._log_t[i]) / (self._log_r[i + 1] - self._log_r[i])
            for i in range(len(points) - 1)
        ]
        self._slopes.append(-2.0)

    def time_s(self, ratio: float) -> float:
        i = max(0, bisect_right(self.ratios, ratio) - 1)
        return math.exp(self._log_t[i] + self._slopes[i] * (math.log(ratio) - self._log_r[i]))


_CURVES: Final[Mapping[FuseKind, _Curve]] = {kind: _Curve(points) for kind, points in _POINTS.items()}


def clearing_time_s(kind: FuseKind, ratio: float) -> float:
    """Seconds after which a fuse of `kind` may open at a constant `ratio` of its rating; infinite up to the rating."""
    return _CURVES[kind].time_s(ratio) if ratio > 1.0 else math.inf


def largest_ratio(kind: FuseKind, duration_s: float) -> float:
    """Largest overload that is carried for `duration_s` without opening; at least 1. Inverse of `clearing_time_s`."""
    low, high = 1.0, 100.0
    if clearing_time_s(kind, high) > duration_s:
        return high
    for _ in range(60):
        middle = (low + high) / 2.0
        if clearing_time_s(kind, middle) > duration_s:
            low = middle
        else:
            high = middle
    return low


class FuseThermal:
    """What one pole remembers: the part of its curve that overloads have used up, 1 where it opens."""

    __slots__ = ("_curve", "used", "worst")

    def __init__(self, kind: FuseKind) -> None:
        self._curve = _CURVES[kind]
        self.used = 0.0
        self.worst = 0.0
        """Largest `used` so far."""

    def carry(self, ratio: float, duration_s: float) -> bool:
        """`duration_s` at a constant `ratio`; True where the curve is crossed and the pole opens."""
        if ratio > 1.0:
            self.used += duration_s / self._curve.time_s(ratio)
            self.worst = max(self.worst, self.used)
            return self.used >= 1.0
        if self.used:
            left = self.used * math.exp(-duration_s / COOLING_S)
            self.used = left if left > _FORGOTTEN else 0.0
        return False

    def reset(self) -> None:
        """A new fuse link, or the breaker switched on again after it cooled."""
        self.used = 0.0
