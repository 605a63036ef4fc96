"""Why a setpoint is what it is, as a code (SPC-17). Causal: relaxing the named bound by one step moves the setpoint.

A connector at its upper bound names the bound; one below it names the row that stopped it (a fuse with conductor in
the collector's own frame, or a power limit with who set it); one that is off names what keeps it off and its rank.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from busbar.events import Reason, ReasonCode
from busbar.units import Phase
from spc_allocator.bounds import Bound
from spc_allocator.cycle import Cycle
from spc_allocator.inputs import FREE, LOST, RESERVED
from spc_allocator.rounding import STEP_A
from spc_allocator.rows import EPS, IMBALANCE, POWER, SURPLUS, Floats, Network, slots_of

_CODE: Final = {
    Bound.FALLBACK: ReasonCode.FALLBACK,
    Bound.STALE: ReasonCode.STALE,
    Bound.MANUAL: ReasonCode.MANUAL,
    Bound.ADVICE: ReasonCode.ADVICE,
    Bound.SURPLUS: ReasonCode.SURPLUS,
    Bound.RAMP: ReasonCode.RAMP,
    Bound.CAP: ReasonCode.CAP,
    Bound.VEHICLE: ReasonCode.VEHICLE,
    Bound.CABLE: ReasonCode.CABLE,
    Bound.DEVICE: ReasonCode.DEVICE,
}


_OFF_WHEN_FREE: Final = (Bound.MANUAL, Bound.ADVICE, Bound.SURPLUS)


@lru_cache(maxsize=65536)
def reason(
    code: ReasonCode, value: float | None = None, *, collector: str | None = None, phase: str | None = None,
    source: str | None = None, rank: int | None = None, side: str | None = None,
) -> Reason:  # fmt: skip
    """Reasons are few and immutable: made once."""
    return Reason(code=code, value=value, collector=collector, phase=phase, source=source, rank=rank, side=side)


def reasons(cycle: Cycle, setpoint_a: Floats) -> list[Reason]:
    """One for each slot."""
    told, kinds = setpoint_a.tolist(), cycle.obs.kind.tolist()
    present, ranks = cycle.present.tolist(), pause_ranks(cycle)
    made = [
        _of_vehicle(cycle, slot, told[slot], ranks)
        if present[slot]
        else _of_no_vehicle(cycle, slot, kinds[slot], told[slot])
        for slot in range(len(told))
    ]
    for slot in slots_of(cycle.released) if cycle.released is not None else ():
        made[slot] = reason(ReasonCode.WAKING, 0.0)
    return made


def pause_ranks(cycle: Cycle) -> dict[int, int]:
    """1 = the first to be paused; empty where nobody is off."""
    if not (cycle.admitted.lacking or cycle.admitted.budget):
        return {}
    able = cycle.present & cycle.bounds.able
    return {slot: rank for rank, slot in enumerate((s for s in reversed(cycle.admitted.order) if able[s]), start=1)}


def _of_no_vehicle(cycle: Cycle, slot: int, kind: int, told_a: float) -> Reason:
    if kind == LOST:
        return reason(ReasonCode.UNREACHABLE, told_a)
    if kind in (FREE, RESERVED):
        if cycle.bounds.which[slot] in _OFF_WHEN_FREE and not cycle.bounds.able[slot]:
            return _at_bound(cycle, slot, Bound(int(cycle.bounds.which[slot])), 0.0)
        return reason(ReasonCode.NO_VEHICLE, told_a)
    return reason(ReasonCode.OUT_OF_SERVICE)


def _of_vehicle(cycle: Cycle, slot: int, told_a: float, ranks: dict[int, int]) -> Reason:
    if not cycle.bounds.able[slot]:
        return _at_bound(cycle, slot, Bound(int(cycle.bounds.which[slot])), 0.0)
    if slot in cycle.admitted.lacking:
        return _paused(cycle, cycle.admitted.lacking[slot], ranks[slot])
    if told_a == 0.0 and slot in cycle.admitted.budget:
        held = not cycle.bounds.may_raise[slot]
        return _at_bound(cycle, slot, Bound.STALE) if held else reason(ReasonCode.START_BUDGET, rank=ranks[slot])
    if slot in cycle.waits:
        row = cycle.waits[slot]
        return _at_bound(cycle, slot, Bound.STALE) if row < 0 else _row(cycle, row)
    if told_a >= cycle.bounds.high_a[slot] - EPS:
        return _at_bound(cycle, slot, Bound(int(cycle.bounds.which[slot])))
    row = cycle.left.blocking(slot, STEP_A)
    stopped_by = int(cycle.filled.row[slot])
    return _row(cycle, stopped_by if row < 0 or cycle.left.left_a[stopped_by] < STEP_A - EPS else row)


def _at_bound(cycle: Cycle, slot: int, which: Bound, value_a: float | None = None) -> Reason:
    if which is Bound.GUARD:
        return _row(cycle, cycle.cut_by[slot])
    code = ReasonCode.STARTING if which is Bound.STALE and cycle.bounds.starting[slot] else _CODE[which]
    source, steered = None, cycle.bounds.steered
    if which is Bound.FALLBACK:
        source = cycle.bounds.fallback_source.get(slot)
    elif steered is not None and which in (Bound.MANUAL, Bound.ADVICE):
        source = steered.source.get(slot)
    return reason(code, float(cycle.bounds.high_a[slot]) if value_a is None else value_a, source=source)


def _row(cycle: Cycle, row: int) -> Reason:
    """A fuse, its conductor in the collector's own frame, or a power limit with its source."""
    collector = int(cycle.net.rows.collector[row])
    name = cycle.net.site.collectors[collector].id
    channel = int(cycle.net.rows.channel[row])
    if channel == POWER:
        return reason(ReasonCode.POWER_LIMIT, collector=name, source=cycle.limits.source[collector], side="import")
    if channel >= IMBALANCE:
        phase = own_phase(cycle.net, collector, channel - IMBALANCE)
        return reason(ReasonCode.IMBALANCE, float(cycle.net.imbalance_a[collector]), collector=name, phase=phase)
    if channel == SURPLUS:
        return reason(ReasonCode.SURPLUS, collector=name, side="export")
    limit_a = float(cycle.limits.limit_a[channel, collector])
    return reason(
        ReasonCode.ROW, limit_a, collector=name, phase=own_phase(cycle.net, collector, channel), side="import"
    )


def _paused(cycle: Cycle, row: int, rank: int) -> Reason:
    because = _row(cycle, row)
    return reason(
        ReasonCode.PAUSED, collector=because.collector, phase=because.phase, source=because.source, rank=rank,
        side="import",
    )  # fmt: skip


def own_phase(net: Network, collector: int, channel: int) -> str:
    """Name that the collector itself gives to a conductor of the grid connection."""
    return Phase(net.site.collectors[collector].root_phases.index(Phase(channel))).name
