"""What words about reasons share: several bounds side by side (SPC-17)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from busbar.events.setpoint import Binding, Reason, ReasonCode

_NOUNS: Final = {
    ReasonCode.ROW: "fuse {where}",
    ReasonCode.POWER_LIMIT: "the power limit of {where}{by}",
    ReasonCode.RAMP: "the ramp",
    ReasonCode.CAP: "what the vehicle draws",
    ReasonCode.DEVICE: "the connector's own maximum",
    ReasonCode.CABLE: "the cable",
    ReasonCode.VEHICLE: "the vehicle's own maximum",
    ReasonCode.MANUAL: "a value set by hand{by}",
    ReasonCode.ADVICE: "advice{by}",
    ReasonCode.POWER_TEST: "a power test{by}",
    ReasonCode.SURPLUS: "want of surplus",
    ReasonCode.IMBALANCE: "the limit of imbalance of {where}",
    ReasonCode.PAUSED: "the room below {where}{by}",
    ReasonCode.START_BUDGET: "the start budget",
    ReasonCode.FALLBACK: "a fallback{by}",
    ReasonCode.STALE: "a value that is too old",
    ReasonCode.STARTING: "the allocator's start",
}


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part) if words else ""


def together(reason: Reason) -> list[list[Binding]]:
    """All bindings, those of one fuse side by side."""
    groups: dict[object, list[Binding]] = {}
    for binding in (reason, *reason.also):
        groups.setdefault((binding.code, binding.collector, binding.source), []).append(binding)
    return list(groups.values())


def conductors(group: Sequence[Binding]) -> str:
    """`L1 and L2`; empty where no conductor is named."""
    return listed([binding.phase for binding in group if binding.phase])


def held_too(others: Sequence[Sequence[Binding]], name: Callable[[Binding], str]) -> str:
    """`; the ramp holds it too`: the groups after the first. `name`: what a person calls the collector."""
    if not others:
        return ""
    nouns = [_noun(group, name) for group in others]
    return f"; {listed(nouns)} {'hold' if len(nouns) > 1 else 'holds'} it too"


def _noun(group: Sequence[Binding], name: Callable[[Binding], str]) -> str:
    first = group[0]
    phases = conductors(group)
    where = f"{name(first)} on {phases}" if phases else name(first)
    by = f" ({first.source})" if first.source else ""
    return _NOUNS.get(first.code, first.code.value.replace("_", " ")).format(where=where, by=by)
