"""The rows as an account: does an amount fit on every row of a connector's path, and take it. The one place that asks
this, for admission, left-over steps and raises alike."""

from __future__ import annotations

from dataclasses import dataclass

from spc_allocator.rows import EPS, Floats, Network


@dataclass(slots=True)
class Room:
    """The rows of one cycle: what one ampere of each connector takes (4 x n), and amperes there are by row."""

    net: Network
    load: Floats
    room_a: Floats
    keep_a: Floats
    """Room for what is on already: larger than `room_a` where a reserve yields."""

    def sums(self, current_a: Floats) -> Floats:
        """What a current per connector takes of each row."""
        return self.net.rows.sums(self.load * current_a)

    def ledger(self, left_a: Floats) -> Ledger:
        return Ledger(self.net, self.load, left_a)


class Ledger:
    """What is left in each row while amounts are handed out one by one."""

    __slots__ = ("_load", "_of_slot", "left_a")

    def __init__(self, net: Network, load: Floats, room_a: Floats) -> None:
        self._of_slot = net.rows.of_slot
        self._load: list[list[float]] = load.tolist()
        self.left_a: list[float] = room_a.tolist()

    def fits(self, slot: int, current_a: float) -> bool:
        """Whether `current_a` more on each booked conductor keeps every row of the path."""
        return self.blocking(slot, current_a) < 0

    def blocking(self, slot: int, current_a: float) -> int:
        """The row that lacks most for `current_a` more; -1 where it fits."""
        worst, lack = -1, EPS
        for row, channel in self._of_slot[slot]:
            need = self._load[channel][slot] * current_a
            if need > 0.0 and need - self.left_a[row] > lack:
                worst, lack = row, need - self.left_a[row]
        return worst

    def take(self, slot: int, current_a: float) -> None:
        """Book it, whether it fits or not."""
        for row, channel in self._of_slot[slot]:
            self.left_a[row] -= self._load[channel][slot] * current_a
