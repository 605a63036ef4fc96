"""What decoding works with: points, qualities, the memory of an entity, and the judgement of one number."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final

from busbar.devices.wire import Placed, ratio, raw_patterns
from busbar.domain.quality import Quality

Value = float | str | None
Points = dict[str, Value]
Qualities = dict[str, Quality]

LARGEST: Final = sys.float_info.max
NA, OUT_OF_RANGE, SUSPECT = Quality.NA, Quality.OUT_OF_RANGE, Quality.SUSPECT


@dataclass(slots=True)
class Last:
    """What a block gave last time."""

    raw: bytes
    values: Points
    bad: Qualities


@dataclass(slots=True)
class Memory:
    """What decoding keeps from poll to poll for one entity. `exponents`: SunSpec scale factors last read."""

    exponents: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    """Last value of points with `max_step` or a counter."""
    texts: dict[str, tuple[bytes, str | None, bool]] = field(default_factory=dict)
    last: dict[tuple[str, int, int, int, str], Last] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget: after a reconnect, so that steps are not measured across the gap."""
        self.exponents.clear()
        self.numbers.clear()
        self.texts.clear()
        self.last.clear()


@dataclass(frozen=True, slots=True)
class Number:
    """How one number is computed: value = raw * mul / div + offset, kept inside low..high."""

    name: str
    mul: float
    div: float
    offset: float
    low: float
    high: float
    na: frozenset[int | float | str]

    @classmethod
    def of(cls, placed: Placed) -> Number:
        point = placed.point
        mul, div = ratio(point.scale)
        low, high = point.valid or (-LARGEST, LARGEST)
        if placed.sign < 0:
            low, high = -high, -low
        sign = placed.sign
        return cls(placed.name, sign * mul, div, sign * point.offset, low, high, raw_patterns(point))

    def __call__(self, raw: float, out: Points, bad: Qualities) -> float | None:
        """Judge a raw value: the value where it is a good number."""
        if raw in self.na:
            out[self.name], bad[self.name] = None, NA
            return None
        return self.judge(raw * self.mul / self.div + self.offset + 0.0, out, bad)

    def judge(self, value: float, out: Points, bad: Qualities) -> float | None:
        out[self.name] = value
        if self.low <= value <= self.high:
            return value
        if -LARGEST <= value <= LARGEST:
            bad[self.name] = OUT_OF_RANGE
        else:
            out[self.name], bad[self.name] = None, NA
        return None
