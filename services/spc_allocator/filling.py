"""Step B: how much (SPC-2). Max-min fair filling by equal active power over all rows at once.

One level L (watts per weight) rises; every connector has x_i = clip(L r_i, low_i, high_i) amperes, where
r_i = weight / (volts summed over its phases), so that equal L means equal watts. When a row is tight, its moving
connectors freeze; the rest goes on. The feasible set has free disposal, so the result is the unique max-min fair one.

Vectorised: for every row that would be exceeded with all at their upper bound, find the level at which the row alone
is tight: the events "starts to move" and "has reached its bound" of its connectors, sorted by level, with running sums
of slope and current. A row is final when it is the lowest for each of its connectors (none will be stopped lower by
another row); freeze the connectors of all final rows; repeat with the rest: 1 to 8 rounds. In each round at least the
row with the lowest level is final, so it ends.

Several priorities are filled one after the other, highest first: the lower ones stand at their lower bounds meanwhile,
the higher ones at what they got (SPC-24, docs/decisions/0012).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spc_allocator.rows import EPS, Bools, Floats, Ints, Rows, some

_SAME = 1e-9
_TINY = 1e-300


@dataclass(slots=True)
class _Entries:
    """Pairs of row and connector, ordered by row, and how much of the connector's current counts in the row."""

    row: Ints
    slot: Ints
    share: Floats

    def only(self, keep: Bools) -> _Entries:
        return _Entries(self.row[keep], self.slot[keep], self.share[keep])


@dataclass(slots=True)
class Filled:
    current_a: Floats
    """What counts in the rows: between `low` and `high`."""
    level: Floats
    """At which each connector was stopped; inf where no row stopped it."""
    row: Ints
    """Which row stopped it; -1 none."""


def fill(rows: Rows, load: Floats, room_a: Floats, *, rate: Floats, low_a: Floats, high_a: Floats) -> Filled:
    """Share `room_a`. A row whose lower bounds alone exceed it stops its connectors at their lower bounds."""
    n = len(rate)
    filled = Filled(high_a.copy(), np.full(n, np.inf), np.full(n, -1, dtype=np.int64))
    tight = rows.sums(load * high_a) > room_a + EPS
    if not some(tight):
        return filled
    entries = _Entries(rows.entry_row, rows.entry_slot, load[rows.channel[rows.entry_row], rows.entry_slot])
    entries = entries.only(tight[entries.row] & (entries.share > 0.0))
    starts, stops = low_a / rate, high_a / rate
    moving = np.ones(n, dtype=bool)
    while some(moving[entries.slot]):
        at = _row_levels(entries, room_a, rate, starts, stops)
        if not some(at < np.inf):  # dust: exceeded, and yet at no level; rather too little than a round without an end
            at[entries.row] = 0.0
        final = _final_rows(entries, at, starts, stops)
        _freeze(filled, entries, at, final, moving)
        level = np.minimum(np.maximum(filled.level, starts), stops)
        filled.current_a = np.where(moving, high_a, level * rate)
        starts = np.where(moving, starts, level)
        stops = np.where(moving, stops, level)
        tight = (rows.sums(load * filled.current_a) > room_a + EPS) & ~final
        entries = entries.only(tight[entries.row])
    return filled


def fill_by_priority(
    rows: Rows, load: Floats, room_a: Floats, *, rate: Floats, low_a: Floats, high_a: Floats, priority: Ints,
    classes: tuple[int, ...],
) -> Filled:  # fmt: skip
    """`fill` of each class with what the higher ones leave. `classes`: the priorities that occur, highest first."""
    if len(classes) <= 1:
        return fill(rows, load, room_a, rate=rate, low_a=low_a, high_a=high_a)
    n = len(rate)
    filled = Filled(low_a.copy(), np.full(n, np.inf), np.full(n, -1, dtype=np.int64))
    for one in classes:
        mine = priority == one
        most_a = np.where(mine, high_a, filled.current_a)
        part = fill(rows, load, room_a, rate=rate, low_a=filled.current_a, high_a=most_a)
        for name in ("current_a", "level", "row"):
            getattr(filled, name)[mine] = getattr(part, name)[mine]
    return filled


def _row_levels(entries: _Entries, room_a: Floats, rate: Floats, starts: Floats, stops: Floats) -> Floats:
    """Level at which each row alone is tight; inf for rows not listed, 0 where the lower bounds are too much.

    Two events an entry, "moves from here on" and "has reached its bound", in order of row, then level: `slope` runs
    along them, and `used` is what the row carries at each event."""
    of, slots, n = entries.row, entries.slot, len(rate)
    bounds = np.concatenate((starts, stops))
    order = bounds.argsort(kind="stable")
    rank = np.empty(2 * n, dtype=np.int64)
    rank[order] = np.arange(2 * n)
    block, weight = of * (2 * n), entries.share * rate[slots]
    keys = np.concatenate((block + rank[slots], block + rank[slots + n]))
    sequence = keys.argsort(kind="stable")
    row = np.concatenate((of, of))[sequence]
    level = bounds[order[keys[sequence] - row * (2 * n)]]
    slope = np.add.accumulate(np.concatenate((weight, -weight))[sequence])
    used, head = np.zeros(len(row)), np.ones(len(row), dtype=bool)
    np.not_equal(row[1:], row[:-1], out=head[1:])
    np.multiply(slope[:-1], level[1:] - level[:-1], out=used[1:])
    used[head] = 0.0
    np.add.accumulate(used, out=used)
    until = room_a - np.bincount(of, weights=weight * starts[slots], minlength=len(room_a))
    until[row[head]] += used[head]
    at = np.full(len(room_a), np.inf)
    over = (used > until[row] + _SAME).nonzero()[0][::-1]
    crossed = np.full(len(room_a), -1, dtype=np.int64)
    crossed[row[over]] = over  # the first event above the room of each row is written last
    tight = (crossed >= 0).nonzero()[0]
    event = crossed[tight]
    back = (used[event] - until[tight]) / np.maximum(slope[event - 1], _TINY)
    at[tight] = np.where(head[event], 0.0, np.maximum(level[event] - back, 0.0))
    return at


def _final_rows(entries: _Entries, at: Floats, starts: Floats, stops: Floats) -> Bools:
    """Rows none of whose connectors is stopped lower by another row."""
    of, slots = entries.row, entries.slot
    lowest = np.full(len(starts), np.inf)
    np.minimum.at(lowest, slots, at[of])
    own = np.minimum(np.maximum(at, 0.0)[of], stops[slots])
    stopped = np.maximum(lowest[slots], starts[slots])
    final = np.isfinite(at)
    final[of[stopped < own * (1.0 - _SAME) - _SAME]] = False
    final[at.argmin()] = True  # so it is; said for the sake of binary dust: a round without a final row would not end
    return final


def _freeze(filled: Filled, entries: _Entries, at: Floats, final: Bools, moving: Bools) -> None:
    """Stop every moving connector of the final rows at the lowest of their levels."""
    mine = final[entries.row] & moving[entries.slot]
    row, slot = entries.row[mine], entries.slot[mine]
    highest_first = (-at[row]).argsort(kind="stable")
    row, slot = row[highest_first], slot[highest_first]
    filled.level[slot] = at[row]  # the lowest is written last
    filled.row[slot] = row
    moving[slot] = False
