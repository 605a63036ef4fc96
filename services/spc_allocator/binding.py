"""What binds a setpoint (SPC-17), and so what "causal" means (docs/decisions/0009).

**The next step** of a connector that is on is 1 A (DC: the device's step) more than it was told; of a raise that has to
wait, that raise; of one that is off, being switched on. A bound **binds** when the next step would break it while
everybody else keeps what he has: those that are on stay on and have what they were allotted, those that are off stay
off, and whoever may still draw what he has not let go may do so. Hence

- relaxing all bounds that bind, each as far as the next step needs, moves the setpoint;
- leaving out one of them it does not move, whatever else is relaxed: neither does a bound that does not bind move it,
  nor one of two that bind at once.

What can bind:

| of a connector that is | bound |
|---|---|
| on | its own bounds that are less than a step above what it was told (`bounds.Bound`, one row of the table each) |
| | rows in which the step has no place beside what *will be* (what all are allotted, or draw anyway) |
| | rows in which a raise has no place beside what *may be now* (`booking`), inputs too old to raise anything |
| | rows by which the guard has cut it |
| off | rows in which its minimum has no place beside the minima of those that are on |
| | a fallback, setpoint by hand, advice or maximum below its minimum; want of surplus |
| | the start budget, inputs too old to start anything |

Two bounds within one step of each other bind at once, because setpoints are whole steps. Room counts as there for as
long as the rule asks. One that is switched on is told so as soon as the others have let go. Free, lost and broken
connectors have no next step. Rows are fuses, power limits, limits of imbalance and, for how much only, surplus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from spc_allocator.admission import budget_spent
from spc_allocator.bounds import MAY_PAUSE, Bound
from spc_allocator.cycle import Cycle
from spc_allocator.ledger import Room
from spc_allocator.rounding import LEAST_A
from spc_allocator.rows import EPS, Bools, Floats, Ints, slots_of, some

_STALE, _GUARD = int(Bound.STALE), int(Bound.GUARD)
_NO_PAIRS: Final = np.zeros(0, dtype=np.int64)


@dataclass(slots=True)
class Need:
    """What the next steps take of an account of the rows."""

    left_a: Floats
    """By row."""
    more_a: Floats
    """By slot; 0 where it does not ask."""

    def lack_a(self, room: Room, slot: int, row: int) -> float:
        """How much one step lacks in one row; below 0: what is to spare, or it does not ask."""
        takes_a = float(room.load[room.net.rows.channel[row], slot] * self.more_a[slot])
        return takes_a - float(self.left_a[row]) if takes_a > 0.0 else -np.inf


@dataclass(slots=True)
class NextStep:
    """By slot what the next step is, and what it would break."""

    target_a: Floats
    own: Bools
    """Bound x n."""
    pairs: Ints
    """Slot and row as slot x (number of rows) + row, ascending: by slot, then from the grid connection down."""
    needs: list[Need]
    budget: Bools

    def rows(self, slot: int, count: int) -> tuple[int, ...]:
        """Of one connector, in a site of `count` rows."""
        low, high = self.pairs.searchsorted((slot * count, slot * count + count))
        return tuple((self.pairs[low:high] - slot * count).tolist())


def next_step(cycle: Cycle) -> NextStep:
    """Of each connector with a vehicle."""
    told_a = cycle.wanted_a
    on, minimum_a = cycle.present & cycle.state.on, cycle.net.devices.minimum_a
    target_a = told_a + cycle.net.devices.step_a
    for slot in cycle.waits:
        target_a[slot] = cycle.allotted_a[slot]
    raises = on & (target_a > cycle.before_a + EPS)
    own: Bools = cycle.bounds.table < target_a - EPS
    own &= on & (minimum_a < target_a - EPS)
    own[_STALE] = raises & ~cycle.bounds.may_raise
    stubborn_a, held_a = cycle.booked.stubborn_a, np.where(cycle.present, cycle.booked.held_a, 0.0)
    needs = [_need(cycle.shared_room, cycle.allotted_a, target_a, stubborn_a, on)]
    if some(raises):
        needs.append(_need(cycle.room, told_a, target_a, held_a, raises, least_a=LEAST_A))
    step = NextStep(target_a, own, _NO_PAIRS, needs, np.zeros_like(on))
    off = cycle.present & ~cycle.state.on
    if some(off):
        _switched_on(cycle, step, off)
    found, count = _lacking(cycle.room, needs), cycle.net.rows.count
    step.pairs = np.unique(np.concatenate(found)) if found else _NO_PAIRS
    fits = np.ones_like(on)
    fits[step.pairs // count] = False
    for slot, spent in cycle.admitted.budget.items():
        step.budget[slot] |= spent and fits[slot]
    if cycle.cut_by:
        cuts = [
            slot * count + row
            for slot in slots_of(own[_GUARD])
            for row, value_a in cycle.cut_by[slot].items()
            if value_a < target_a[slot] - EPS
        ]
        step.pairs = np.union1d(step.pairs, np.array(cuts, dtype=np.int64))
    return step


def left_a(cycle: Cycle) -> Floats:
    """Of each row, beside what will be."""
    return cycle.shared_room.room_a - cycle.room.sums(np.maximum(cycle.allotted_a, cycle.booked.stubborn_a))


def _need(
    room: Room, had_a: Floats, target_a: Floats, anyway_a: Floats, asks: Bools, *, least_a: float = 0.0
) -> Need:  # fmt: skip
    """The account in which everybody counts with what he has, and at least with `anyway_a`."""
    base_a = np.maximum(had_a, anyway_a)
    more_a = np.maximum(np.maximum(target_a, anyway_a) - base_a, least_a)
    return Need(room.room_a - room.sums(base_a), np.where(asks, more_a, 0.0))


def _switched_on(cycle: Cycle, step: NextStep, off: Bools) -> None:
    """The next step of those that are off, beside the minima of those that are on. Who was on until this cycle only
    had to stay on: without budget and inputs, and within a reserve that yields."""
    room, bnd, devices = cycle.room, cycle.bounds, cycle.net.devices
    stubborn_a, minimum_a = cycle.booked.stubborn_a, devices.minimum_a
    step.target_a[off] = minimum_a[off]
    low_a = np.maximum(minimum_a, stubborn_a)
    used_a = room.sums(np.where(cycle.state.on, low_a, stubborn_a))
    was_on = np.zeros_like(off)
    was_on[cycle.admitted.paused] = True
    by_hand = bnd.steered.by_hand if bnd.steered is not None else cycle.state.kept.fixed.none
    free = off & ~devices.must_run
    starts = free & ~was_on
    for left, asks in ((room.start_a - used_a, starts), (room.keep_a - used_a, free & was_on)):
        if some(asks):
            step.needs.append(Need(left, np.where(asks, low_a - stubborn_a, 0.0)))
    for bound in MAY_PAUSE:
        step.own[bound] |= free & (cycle.net.devices.whole(bnd.table[bound] + EPS) < minimum_a - EPS)
    step.own[_STALE] |= starts & ~bnd.may_raise & (cycle.before_a < minimum_a - EPS)
    asking = (starts & ~by_hand).nonzero()[0]
    step.budget[asking] = budget_spent(cycle.state, asking, cycle.now_ms)


def _lacking(room: Room, needs: list[Need]) -> list[Ints]:
    """Pairs of slot and row in which any of the accounts has no place for its step. Looks only where a row is that
    full."""
    rows, found = room.net.rows, list[Ints]()
    for need in needs:
        takes = room.load * need.more_a
        near = takes.max(axis=1, initial=0.0)[rows.channel] > need.left_a + EPS
        if not some(near):
            continue
        entry = near[rows.entry_row].nonzero()[0]
        row, slot = rows.entry_row[entry], rows.entry_slot[entry]
        taken = takes[rows.channel[row], slot]
        lacks = (taken > need.left_a[row] + EPS) & (taken > 0.0)
        found.append(slot[lacks] * rows.count + row[lacks])
    return found
