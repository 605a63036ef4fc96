"""Why a setpoint is what it is, as codes (SPC-17): every bound that binds (`binding`), first the one to tell a person.

The order: what people and failures say, then what the device and the vehicle allow, then rows from the grid connection
down, and the ramp last, for it passes by itself. Fuses come with the conductor in the collector's own frame, power
limits with who set them, what is off with its rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import numpy as np

from busbar.events import Binding, Reason, ReasonCode
from busbar.units import NOMINAL_VOLTAGE_V, Phase
from spc_allocator.binding import NextStep, next_step
from spc_allocator.bounds import Bound
from spc_allocator.cycle import Cycle
from spc_allocator.dc import in_watts
from spc_allocator.flexible.quarter import QUARTER_PEAK
from spc_allocator.inputs import FREE, LOST, RESERVED
from spc_allocator.kept import Told
from spc_allocator.limits import TARGET_OF
from spc_allocator.rows import EPS, IMBALANCE, POWER, SURPLUS, Floats, Ints, Network, slots_of

Key = tuple[ReasonCode, float | None, str | None, str | None, str | None]
"""One binding in plain values: code, value, collector, phase, source."""
_ONCE: Final = -1
"""No reason is made from this."""

_BEFORE_ROWS: Final = {
    Bound.FALLBACK: ReasonCode.FALLBACK,
    Bound.STALE: ReasonCode.STALE,
    Bound.MANUAL: ReasonCode.MANUAL,
    Bound.ADVICE: ReasonCode.ADVICE,
    Bound.SURPLUS: ReasonCode.SURPLUS,
    Bound.DEVICE: ReasonCode.DEVICE,
    Bound.CABLE: ReasonCode.CABLE,
    Bound.VEHICLE: ReasonCode.VEHICLE,
    Bound.CAP: ReasonCode.CAP,
}
_AFTER_ROWS: Final = {Bound.RAMP: ReasonCode.RAMP}
"""With those before, every rule of the table in the order in which it is told; the guard's are told as its rows."""
_WEIGHTS: Final = 1 << np.arange(len(Bound))
_NOTHING_YET: Final = [Reason(code=ReasonCode.OUT_OF_SERVICE)]


def reasons(cycle: Cycle, setpoint_a: Floats) -> list[Reason]:
    """One for each slot; the one of the last cycle where nothing that it is made from has changed."""
    step = next_step(cycle)
    ranks, own = pause_ranks(cycle), _WEIGHTS @ step.own
    last, now = cycle.state.kept.told, _made_from(cycle, step, own, ranks, setpoint_a)
    changed = now.differs(last, cycle.net.rows.count)
    once = _only_here(cycle)
    for slot in once:
        changed[slot] = True
    made = list(last.reasons) if last is not None else _NOTHING_YET * cycle.net.count
    explain, kinds = _Explain(cycle, step), cycle.obs.kind
    for slot in slots_of(changed):
        told_a = float(setpoint_a[slot])
        if not cycle.present[slot]:
            made[slot] = _of_no_vehicle(cycle, slot, int(kinds[slot]), told_a)
            continue
        rank = None if cycle.state.on[slot] else int(ranks[slot])
        rows, bits = step.rows(slot, cycle.net.rows.count), int(own[slot])
        keys = tuple(explain.on(slot, bits, told_a, rows) if rank is None else explain.off(slot, bits, rows))
        if not keys:
            once.append(slot)
        made[slot] = _reason(keys or (explain.by_turn(slot, told_a),), rank)
    for slot, code in _interludes(cycle):
        made[slot] = _reason(((code, 0.0, None, None, None),))
        changed[slot] = True
        once.append(slot)
    for slot in cycle.net.dc.slots.tolist() if cycle.net.dc is not None else ():
        if changed[slot]:
            made[slot] = in_watts(made[slot])
    now.code[once] = _ONCE
    now.reasons = made
    cycle.state.kept.told = now
    return list(made)


def _made_from(cycle: Cycle, step: NextStep, own: Ints, ranks: Ints, setpoint_a: Floats) -> Told:
    """What reasons are made from: numbers below 2^11, 2^3, a bit each, and the rank, packed into one."""
    code = own + (cycle.obs.kind << 11) + (ranks << 18)
    for place, mask in enumerate((cycle.present, cycle.state.on, cycle.bounds.starting, step.budget), start=14):
        code += mask.astype(np.int64) << place
    return Told(cycle.limits.limit_a, cycle.limits.source, code, setpoint_a, step.pairs, [])


def _only_here(cycle: Cycle) -> list[int]:
    """Connectors whose reason is made from more than that: those some of whose bounds have a source of their own, and
    where a collector has several power limits, all."""
    bnd = cycle.bounds
    if cycle.limits.rivals_w:
        return list(range(cycle.net.count))
    once = set(bnd.fallback_source)
    if bnd.steered is not None:
        once |= bnd.steered.source.keys()
    if bnd.steered is not None or bnd.dark is not None:
        once.update(slots_of(~cycle.present))
    return list(once)


def _interludes(cycle: Cycle) -> Iterator[tuple[int, ReasonCode]]:
    """Connectors at 0 for a moment, whatever else binds them."""
    for slot in slots_of(cycle.released) if cycle.released is not None else ():
        yield slot, ReasonCode.WAKING
    for slot in slots_of(cycle.switching & cycle.present) if cycle.switching is not None else ():
        yield slot, ReasonCode.PHASE_SWITCH


def pause_ranks(cycle: Cycle) -> Ints:
    """By slot; 1 = the first to be paused; 0 where nobody is off, and for those that could not be on."""
    ranks = np.zeros(cycle.net.count, dtype=np.int64)
    if cycle.admitted.lacking or cycle.admitted.budget:
        able, order = cycle.present & cycle.bounds.able, np.array(cycle.admitted.order)[::-1]
        order = order[able[order]]
        ranks[order] = np.arange(1, len(order) + 1)
    return ranks


def own_phase(net: Network, collector: int, channel: int) -> str:
    """Name that the collector itself gives to a conductor of the grid connection."""
    return Phase(net.site.collectors[collector].root_phases.index(Phase(channel))).name


class _Explain:
    """Puts what binds into keys. `own`: the connector's own bounds, a bit each."""

    def __init__(self, cycle: Cycle, step: NextStep) -> None:
        self.cycle, self.step = cycle, step
        self._of_row: dict[int, Key] = {}

    def on(self, slot: int, own: int, told_a: float, rows: tuple[int, ...]) -> Iterator[Key]:
        yield from self._own(slot, own, _BEFORE_ROWS, told_a)
        for row in rows:
            yield from self._row(slot, row)
        yield from self._own(slot, own, _AFTER_ROWS, told_a)

    def off(self, slot: int, own: int, rows: tuple[int, ...]) -> Iterator[Key]:
        stale = own & 1 << Bound.STALE
        yield from self._own(slot, own - stale, _BEFORE_ROWS, 0.0)
        for row in rows:
            for key in self._row(slot, row):
                yield _pausing(key)
        yield from self._own(slot, stale, _BEFORE_ROWS, 0.0)
        if self.step.budget[slot]:
            yield (ReasonCode.START_BUDGET, None, None, None, None)

    def by_turn(self, slot: int, told_a: float) -> Key:
        """Nothing binds: it was paused in its turn, and he who took its place has made room again in the same cycle."""
        row = self.cycle.admitted.lacking.get(slot)
        if row is None:
            return (ReasonCode.RAMP, told_a, None, None, None)
        return _pausing(_row_key(self.cycle, row))

    def _own(self, slot: int, own: int, codes: dict[Bound, ReasonCode], told_a: float) -> Iterator[Key]:
        for bound, code in codes.items():
            if not own & 1 << bound:
                continue
            if bound is Bound.FALLBACK:
                for source, bound_a in self.cycle.bounds.fallback_source[slot].items():
                    if math.floor(bound_a + EPS) < self.step.target_a[slot]:
                        yield (code, told_a, None, None, source)
            elif bound in (Bound.MANUAL, Bound.ADVICE):
                by_test = bound is Bound.MANUAL and self._tested(slot)
                yield (ReasonCode.POWER_TEST if by_test else code, told_a, None, None, self._steered_by(slot))
            elif bound is Bound.STALE and self.cycle.bounds.starting[slot]:
                yield (ReasonCode.STARTING, told_a, None, None, None)
            else:
                yield (code, told_a, None, None, None)

    def _steered_by(self, slot: int) -> str | None:
        steered = self.cycle.bounds.steered
        return steered.source.get(slot) if steered is not None else None

    def _tested(self, slot: int) -> bool:
        steered = self.cycle.bounds.steered
        return steered is not None and slot in steered.tested

    def _row(self, slot: int, row: int) -> Iterator[Key]:
        """What that row is called; each of the power limits that would be broken."""
        cycle, net = self.cycle, self.cycle.net
        collector = int(net.rows.collector[row])
        rivals = cycle.limits.rivals_w.get(collector) if net.rows.channel[row] == POWER else None
        if rivals is not None:
            lack_w = NOMINAL_VOLTAGE_V * max(need.lack_a(cycle.room, slot, row) for need in self.step.needs)
            tightest_w, name = min(rivals.values()), net.site.collectors[collector].id
            for source, limit_w in rivals.items():
                if lack_w - (limit_w - tightest_w) > NOMINAL_VOLTAGE_V * EPS:
                    yield _power_key(name, source)
            return
        key = self._of_row.get(row)
        if key is None:
            key = self._of_row[row] = _row_key(cycle, row)
        yield key


def _row_key(cycle: Cycle, row: int) -> Key:
    """A fuse or limit of imbalance, its conductor in the collector's own frame; a power limit; surplus."""
    net = cycle.net
    collector, channel = int(net.rows.collector[row]), int(net.rows.channel[row])
    name = net.site.collectors[collector].id
    if channel == POWER:
        return _power_key(name, cycle.limits.source[collector])
    if channel == SURPLUS:
        return ReasonCode.SURPLUS, None, name, None, None
    if channel >= IMBALANCE:
        phase = own_phase(net, collector, channel - IMBALANCE)
        return ReasonCode.IMBALANCE, float(net.imbalance_a[collector]), name, phase, None
    limit_a = float(cycle.limits.limit_a[channel, collector])
    return ReasonCode.ROW, limit_a, name, own_phase(net, collector, channel), None


def _power_key(collector: str, source: str | None) -> Key:
    if source == QUARTER_PEAK:
        return ReasonCode.QUARTER_PEAK, None, collector, None, source
    if source is not None and source.startswith(TARGET_OF):
        return ReasonCode.TARGET, None, collector, None, source.removeprefix(TARGET_OF)
    return ReasonCode.POWER_LIMIT, None, collector, None, source


def _pausing(row: Key) -> Key:
    """Said of one that is off. The limit of imbalance of a conductor is not its fuse."""
    code, _, collector, phase, source = row
    return ReasonCode.PAUSED, None, collector, phase, code.value if code is ReasonCode.IMBALANCE else source


_ON_ROWS: Final = (
    ReasonCode.ROW, ReasonCode.POWER_LIMIT, ReasonCode.QUARTER_PEAK, ReasonCode.TARGET, ReasonCode.PAUSED,
)  # fmt: skip
_RANKED: Final = (ReasonCode.PAUSED, ReasonCode.STALE, ReasonCode.STARTING, ReasonCode.START_BUDGET)


@lru_cache(maxsize=65536)
def _reason(keys: tuple[Key, ...], rank: int | None = None) -> Reason:
    """Reasons are few and immutable: made once. `rank`: of a connector that is off, 0 where it has none."""
    code, value, collector, phase, source = keys[0]
    return Reason.trusted(
        code=code, collector=collector, phase=phase, side=_side(code, collector), source=source,
        rank=rank if rank and code in _RANKED else None, value=value, also=tuple(map(_binding, keys[1:])),
    )  # fmt: skip


@lru_cache(maxsize=65536)
def _binding(key: Key) -> Binding:
    code, value, collector, phase, source = key
    return Binding.trusted(
        code=code, collector=collector, phase=phase, side=_side(code, collector), source=source, rank=None, value=value,
    )  # fmt: skip


def _side(code: ReasonCode, collector: str | None) -> str | None:
    if code is ReasonCode.SURPLUS and collector is not None:
        return "export"
    return "import" if code in _ON_ROWS else None


def _of_no_vehicle(cycle: Cycle, slot: int, kind: int, told_a: float) -> Reason:
    steered = cycle.bounds.steered
    if kind == LOST:
        return _reason(((ReasonCode.UNREACHABLE, told_a, None, None, None),))
    if kind in (FREE, RESERVED) and steered is not None and steered.off[slot]:
        code = ReasonCode.MANUAL if steered.by_hand[slot] else ReasonCode.ADVICE
        return _reason(((code, 0.0, None, None, steered.source.get(slot)),))
    if kind in (FREE, RESERVED) and cycle.bounds.dark is not None and cycle.bounds.dark[slot]:
        return _reason(((ReasonCode.SURPLUS, 0.0, None, None, None),))
    if kind in (FREE, RESERVED):
        return _reason(((ReasonCode.NO_VEHICLE, told_a, None, None, None),))
    return _reason(((ReasonCode.OUT_OF_SERVICE, None, None, None, None),))
