"""Values computed from other values by one of a closed list of operators; never an expression from a package."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from busbar.devices.package import Derived
from busbar.devices.values import NA, Points, Qualities, Value
from busbar.domain.kinds import vocabulary_name
from busbar.domain.quality import Quality

Operator = Callable[[Derived, Sequence[Value]], Value]


def _numbers(values: Sequence[Value]) -> list[float]:
    return [v for v in values if isinstance(v, float | int)]


def _sum(_rule: Derived, values: Sequence[Value]) -> Value:
    return sum(_numbers(values))


def _diff(_rule: Derived, values: Sequence[Value]) -> Value:
    first, *others = _numbers(values)
    return first - sum(others)


def _neg(_rule: Derived, values: Sequence[Value]) -> Value:
    return 0.0 - _numbers(values)[0]


def _mul(rule: Derived, values: Sequence[Value]) -> Value:
    return _numbers(values)[0] * rule.factor + rule.offset + 0.0


def _mask_shift(rule: Derived, values: Sequence[Value]) -> Value:
    mask = -1 if rule.mask is None else rule.mask
    return float((int(_numbers(values)[0]) & mask) >> rule.shift)


def _map(rule: Derived, values: Sequence[Value]) -> Value:
    return rule.map.get(_word(values[0]))


def _pair_map(rule: Derived, values: Sequence[Value]) -> Value:
    return rule.map.get(f"{_word(values[0])},{_word(values[1])}", values[0])


def _if_enabled(_rule: Derived, values: Sequence[Value]) -> Value:
    value, switch = _numbers(values)
    return value if switch == 1 else None


def _limit_of(rule: Derived, values: Sequence[Value]) -> Value:
    limit, whole, switch = _numbers(values)
    return rule.factor * limit * whole + 0.0 if switch == 1 else math.copysign(whole, rule.factor)


def _part_of(rule: Derived, values: Sequence[Value]) -> Value:
    share, whole, switch = _numbers(values)
    return rule.factor * share * whole + 0.0 if switch == 1 else None


def _word(value: Value) -> str:
    """A value as it stands in a map's key: whole numbers without a decimal point."""
    return f"{value:g}" if isinstance(value, float) else str(value)


OPERATORS: Final[dict[str, Operator]] = {
    "sum": _sum, "diff": _diff, "neg": _neg, "mul": _mul, "mask_shift": _mask_shift, "map": _map,
    "pair_map": _pair_map, "if_enabled": _if_enabled, "limit_of": _limit_of,
    "part_of": _part_of,
}  # fmt: skip
NUMERIC: Final = frozenset({"sum", "diff", "neg", "mul", "mask_shift", "if_enabled", "limit_of", "part_of"})
ARGUMENTS: Final = {
    "neg": 1, "mul": 1, "mask_shift": 1, "map": 1, "pair_map": 2, "if_enabled": 2, "limit_of": 3, "part_of": 3,
}  # fmt: skip
"""Exact number of arguments, where it is fixed."""


class Derivation:
    """One derived point of one instance."""

    __slots__ = ("_args", "_name", "_operator", "_rule")

    def __init__(self, name: str, rule: Derived, args: Sequence[str]) -> None:
        """`args` are vocabulary names."""
        self._name = vocabulary_name(name, rule.unit)
        self._rule = rule
        self._args = tuple(args)
        self._operator = OPERATORS.get(rule.op)

    @property
    def name(self) -> str:
        return self._name

    def apply(self, points: Points, quality: Qualities) -> None:
        """Compute from what is in `points`; a quality that is not good goes along."""
        if self._operator is None:
            self._first_available(points, quality)
            return
        judged = self._args[:1] if self._rule.op == "pair_map" else self._args
        bad = next((quality[a] for a in judged if a in quality), None)
        values = [points.get(a) for a in self._args]
        missing = len(_numbers(values)) < len(values) if self._rule.op in NUMERIC else values[0] is None
        if missing:
            self._put(points, quality, None, NA)
            return
        result = self._operator(self._rule, values)
        self._put(points, quality, result, NA if result is None else bad)

    def _first_available(self, points: Points, quality: Qualities) -> None:
        for arg in self._args:
            if points.get(arg) is not None:
                self._put(points, quality, points[arg], quality.get(arg))
                return
        self._put(points, quality, None, NA)

    def _put(self, points: Points, quality: Qualities, value: Value, bad: Quality | None) -> None:
        points[self._name] = value
        if bad is None:
            quality.pop(self._name, None)
        else:
            quality[self._name] = bad
