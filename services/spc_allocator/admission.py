"""Step A: who is on (SPC-3).

If all minima fit, all are on. Otherwise go through the connectors in order of need and switch one on when its minimum
fits in every row of its path. The *highest* energy charged in the session x maximum power of the vehicle is paused
first; ties: never or longest ago paused first, then the latest connected; a vehicle that does not wake is paused last.

- The order is made on the 15-minute grid and then stands; a newcomer has charged nothing.
- In between: a pause at once when a limit forces it; nobody is swapped; a newcomer whose minimum fits is admitted at
  once; a paused one resumes when its minimum has fitted for 60 s.
- Start budget: at most 4 starts an hour and 5 minutes off after a pause. Pauses are never held back by it.
- What cannot be paused (`must_run`) is on, always.
- One that is run by hand starts as soon as it fits, without budget: a person wants it.

Nothing is started on a path whose inputs are too old to raise anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from spc_allocator.ledger import Ledger, Room
from spc_allocator.rows import EPS, Bools, Floats, Ints, Network, slots_of, some
from spc_allocator.state import AllocatorState
from spc_allocator.waking import ASLEEP

FITS_MS: Final = 60_000
OFF_MS: Final = 300_000
HOUR_MS: Final = 3_600_000


@dataclass(slots=True)
class Candidates:
    """Who could be on, and what of it counts in the rows."""

    able: Bools
    """A vehicle is there and no bound below its minimum forbids it."""
    may_raise: Bools
    low_a: Floats
    """What each counts for when on: its minimum, or what it draws whatever it is told."""
    off_a: Floats
    """What each counts for when off."""
    plugged_at_ms: Ints
    lost: Bools
    """Does not answer: booked elsewhere, switched neither off nor on; once back it goes on where it was (FB-5)."""
    by_hand: Bools
    """Started without budget, rest or waiting."""


@dataclass(slots=True)
class Admitted:
    """Who is on is in the state; here what explains it. `order`: greatest need first."""

    order: list[int]
    lacking: dict[int, int] = field(default_factory=dict)
    """Off because its minimum does not fit: slot -> the row that lacks most."""
    budget: dict[int, bool] = field(default_factory=dict)
    """Off although it fits: slot -> whether start budget, minimum off time or less than 60 s of room forbid it; else
    its inputs are too old."""
    paused: list[int] = field(default_factory=list)
    """Switched off in this cycle."""


def order_of_need(net: Network, state: AllocatorState, plugged_at_ms: Ints) -> list[int]:
    """All slots, last to be paused first: by priority, then by need."""
    hard = state.wake_tries >= ASLEEP
    kept, arrays = state.kept, (plugged_at_ms, state.paused_at_ms, state.need, hard)
    key = tuple([array.tobytes() for array in arrays])
    if key != kept.order_key:
        keys = (-plugged_at_ms, state.paused_at_ms, -state.need, hard, net.devices.priority)
        first_paused = np.lexsort(keys)
        kept.order, kept.order_key = first_paused[::-1].tolist(), key
    return kept.order


@dataclass(slots=True)
class Admission:
    """One round of step A. Switches connectors off and on in `state`."""

    room: Room
    state: AllocatorState
    who: Candidates
    now_ms: int
    grid: bool
    """A new quarter of an hour has begun."""
    result: Admitted = field(init=False)

    def run(self) -> Admitted:
        state, who, room = self.state, self.who, self.room
        self.result = Admitted(order_of_need(room.net, state, who.plugged_at_ms))
        state.own("on")
        leaving = state.on > who.able
        for slot in slots_of(leaving & ~who.lost) if some(leaving) else ():
            self._switch_off(slot)
        state.on |= who.able & room.net.devices.must_run  # before the others are asked whether they still fit
        used = self._used()
        if some(room.keep_a - used < -EPS) and some(state.on):
            self._pause_for_safety()
            used = self._used()
        if some(who.able > state.on):
            state.own("fits_since_ms")
            if self.grid and not self._all_fit():
                self._choose_anew()
            else:
                self._start_what_fits(room.room_a - used)
        if np.count_nonzero(state.fits_since_ms):
            state.fits_since_ms = np.where(state.on | ~who.able, 0, state.fits_since_ms)
        return self.result

    def _used(self) -> Floats:
        return self.room.sums(np.where(self.state.on, self.who.low_a, self.who.off_a))

    def _all_fit(self) -> bool:
        used = self.room.sums(np.where(self.who.able, self.who.low_a, self.who.off_a))
        return not some(used > self.room.room_a + EPS)

    def _pause_for_safety(self) -> None:
        """Keep, in order of need, what still fits."""
        left = self.room.ledger(self.room.keep_a - self.room.sums(self.who.off_a))
        for slot in self._must_run_first():
            if self.state.on[slot]:
                row = self._lacking(left, slot)
                if row < 0:
                    left.take(slot, self._more(slot))
                else:
                    self.result.lacking[slot] = row
                    self._switch_off(slot)

    def _choose_anew(self) -> None:
        """The whole choice, on the 15-minute grid. Who is on already stays within the reserve that yields."""
        room, off_a = self.room, self.room.sums(self.who.off_a)
        keep, start = room.ledger(room.keep_a - off_a), room.ledger(room.start_a - off_a)
        for slot in self._must_run_first():
            if not self.who.able[slot]:
                continue
            was_on = bool(self.state.on[slot])
            row = self._lacking(keep if was_on else start, slot)
            if row >= 0:
                self.result.lacking[slot] = row
                if was_on:
                    self._switch_off(slot)
            elif was_on or self._may_start(slot):
                keep.take(slot, self._more(slot))
                start.take(slot, self._more(slot))
                if not was_on:
                    self.state.on[slot] = True
            else:
                self.result.budget[slot] = self._spent(slot)

    def _start_what_fits(self, room_a: Floats) -> None:
        """Newcomers at once, paused ones after 60 s of room, each beside those that are on."""
        state, left, taken = self.state, self.room.ledger(room_a), False
        alone = self._lacking_alone(room_a, self.who.able & ~state.on)
        for slot in [slot for slot in self.result.order if slot in alone]:
            row = self._lacking(left, slot) if taken else alone[slot]
            if row >= 0:
                self.result.lacking.setdefault(slot, row)
                state.fits_since_ms[slot] = 0
                continue
            if state.fits_since_ms[slot] == 0:
                state.fits_since_ms[slot] = self.now_ms
            lasted = self.grid or not state.started[slot] or bool(self.who.by_hand[slot])
            lasted = lasted or self.now_ms - state.fits_since_ms[slot] >= FITS_MS
            if lasted and self._may_start(slot):
                left.take(slot, self._more(slot))
                taken = True
                self.state.on[slot] = True
            else:
                self.result.budget[slot] = not lasted or self._spent(slot)

    def _lacking_alone(self, room_a: Floats, waiting: Bools) -> dict[int, int]:
        """`_lacking` of each that waits, beside those that are on alone."""
        slots = waiting.nonzero()[0]
        rows = self.room.blocking(room_a, slots, (self.who.low_a - self.who.off_a)[slots])
        return dict(zip(slots.tolist(), rows.tolist(), strict=True))

    def _more(self, slot: int) -> float:
        return float(self.who.low_a[slot] - self.who.off_a[slot])

    def _lacking(self, left: Ledger, slot: int) -> int:
        """The row in which the minimum does not fit; -1 where it does, or where it cannot be helped."""
        return -1 if self.room.net.devices.must_run[slot] else left.blocking(slot, self._more(slot))

    def _must_run_first(self) -> list[int]:
        must, order = self.room.net.devices.must_run, self.result.order
        return [s for s in order if must[s]] + [s for s in order if not must[s]] if some(must) else order

    def _may_start(self, slot: int) -> bool:
        return bool(self.who.may_raise[slot]) and not self._spent(slot)

    def _spent(self, slot: int) -> bool:
        return not self.who.by_hand[slot] and bool(budget_spent(self.state, np.array([slot]), self.now_ms)[0])

    def _switch_off(self, slot: int) -> None:
        state = self.state
        state.on[slot] = False
        state.own("resumed_at_ms")[slot] = 0
        if 0 < state.wake_tries[slot] < ASLEEP:
            state.own("wake_tries")[slot] = 0
        if state.setpoint_a[slot] > self.room.net.devices.pause_a[slot]:  # else it was still waiting to be told
            state.own("paused_at_ms")[slot] = self.now_ms
        self.result.paused.append(slot)


def budget_spent(state: AllocatorState, slots: Ints, now_ms: int) -> Bools:
    """Of each: four starts in this hour, or less than 5 minutes off."""
    paused_at, oldest = state.paused_at_ms[slots], state.starts_ms[:, slots].min(axis=0)
    resting: Bools = (paused_at > 0) & (paused_at > now_ms - OFF_MS)
    resting |= (oldest > 0) & (oldest > now_ms - HOUR_MS)
    return resting


def note_starts(state: AllocatorState, begun: Bools, now_ms: int) -> None:
    """Connectors with a vehicle whose setpoint has left 0: counted in the budget; a resume is watched for waking."""
    if not some(begun):
        return
    starts_ms, resumed_at_ms, started = state.own("starts_ms"), state.own("resumed_at_ms"), state.own("started")
    for slot in slots_of(begun):
        starts = starts_ms[:, slot]
        starts[int(starts.argmin())] = now_ms
        if started[slot]:
            resumed_at_ms[slot] = now_ms
        started[slot] = True
