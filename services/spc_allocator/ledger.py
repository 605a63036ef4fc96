"""The rows as an account: does an amount fit on every row of a connector's path, and take it. The one place that asks
this, for admission, left-over steps and raises alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spc_allocator.rows import EPS, Floats, Ints, Network


@dataclass(slots=True)
class Room:
    """The rows of one cycle: what one ampere of each connector takes (4 x n), and amperes there are by row."""

    net: Network
    load: Floats
    room_a: Floats
    keep_a: Floats
    """Room for what is on already: larger than `start_a` where a reserve yields."""
    start_a: Floats
    """Room for starts. `room_a`, which is shared, is as much, or what minima already take of a reserve that yields."""

    def to_share(self, surplus_a: Floats | None, claimed_a: Floats | None) -> Room:
        """The same for sharing, not for who is on: with room in the rows of surplus, and without what other kinds come
        first to. None: nobody is in that mode, nothing is claimed."""
        if surplus_a is None and claimed_a is None:
            return self
        room_a = self.room_a.copy() if claimed_a is None else self.room_a - claimed_a
        if surplus_a is not None:
            room_a[self.net.rows.surplus :] = surplus_a
        return Room(self.net, self.load, room_a, self.keep_a, self.start_a)

    def sums(self, current_a: Floats) -> Floats:
        """What a current per connector takes of each row."""
        return self.net.rows.sums(self.load * current_a)

    def ledger(self, left_a: Floats) -> Ledger:
        return Ledger(self.net, self.load, left_a)

    def blocking(self, left_a: Floats, slots: Ints, current_a: Floats) -> Ints:
        """`Ledger.blocking` of many slots at once, each as if it were the only one; all arrays of one length, but
        `left_a`, by row. What lacks room beside nobody lacks it beside others too: it need not be asked again."""
        rows = self.net.rows.path[slots]
        need_a = self.load[self.net.rows.path_channel[slots], slots[:, None]] * current_a[:, None]
        lack_a = need_a - np.append(left_a, np.inf)[rows]
        lack_a[need_a <= 0.0] = -np.inf
        worst = lack_a.argmax(axis=1)
        each = np.arange(len(slots))
        return np.where(lack_a[each, worst] > EPS, rows[each, worst], -1)


class Ledger:
    """What is left in each row while amounts are handed out one by one."""

    __slots__ = ("_left", "_load", "_loads", "_of_slot", "_room")

    def __init__(self, net: Network, load: Floats, room_a: Floats) -> None:
        self._of_slot = net.rows.of_slot
        self._load, self._room = load, room_a
        self._loads: list[list[float]] | None = None
        self._left: list[float] | None = None

    @property
    def left_a(self) -> list[float]:
        """By row. Made when it is first asked for, which in most cycles is never."""
        if self._left is None:
            self._left = self._room.tolist()
        return self._left

    @property
    def _by_channel(self) -> list[list[float]]:
        if self._loads is None:
            self._loads = self._load.tolist()
        return self._loads

    def fits(self, slot: int, current_a: float) -> bool:
        """Whether `current_a` more on each booked conductor keeps every row of the path."""
        return self.blocking(slot, current_a) < 0

    def blocking(self, slot: int, current_a: float) -> int:
        """The row that lacks most for `current_a` more; -1 where it fits."""
        worst, lack = -1, EPS
        load, left_a = self._by_channel, self.left_a
        for row, channel in self._of_slot[slot]:
            need = load[channel][slot] * current_a
            if need > 0.0 and need - left_a[row] > lack:
                worst, lack = row, need - left_a[row]
        return worst

    def take(self, slot: int, current_a: float) -> None:
        """Book it, whether it fits or not."""
        load, left_a = self._by_channel, self.left_a
        for row, channel in self._of_slot[slot]:
            left_a[row] -= load[channel][slot] * current_a
