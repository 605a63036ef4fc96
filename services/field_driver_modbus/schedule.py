"""When each poll of one connection is due. Pure.

Rule (devices.md 7): every poll has its own place on a fixed grid, `k * period + phase`. The phase of a device comes
from its id, the polls of one device stand evenly behind it, so that a site's polls are spread over the second and a run
is decided by nothing but the site file. Slots that were missed are skipped, never caught up. One request is in flight a
connection; who is due longest goes first, so instances and units that share it queue fairly.

Back-off: the first failures are retried on the grid; a device that is given up (`DEAD_AFTER` failures) is tried after
2 s, 4 s, 6 s ... at most `cap_s`. Each connection has a task and a schedule of its own: the dead delay nobody else.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Sequence
from typing import Final

DEAD_AFTER: Final = 3
"""Failed polls in a row until a device counts as unreachable (failure.md, Who acts)."""
BACKOFF_STEP_S: Final = 2.0
BACKOFF_CAP_S: Final = 300.0
CONTROL_BACKOFF_CAP_S: Final = 10.0
"""Cap for what protects a fuse: chargers and meters must be found again soon."""


def phase_of(device_id: str) -> float:
    """Fraction of a period in [0, 1) from the id alone: the same in every run and process."""
    return zlib.crc32(device_id.encode()) / 2**32


def backoff_s(failures: int, cap_s: float) -> float:
    """Pause before the next attempt after `failures` in a row; 0 as long as the grid itself is slow enough."""
    return 0.0 if failures < DEAD_AFTER else min(BACKOFF_STEP_S * (failures - DEAD_AFTER + 1), cap_s)


class Schedule:
    """Polls of one connection by number. `periods_s[i] is None`: once a connect (identity)."""

    def __init__(self, device_id: str, periods_s: Sequence[float | None]) -> None:
        start = phase_of(device_id)
        count = len(periods_s)
        self._period_s = tuple(periods_s)
        self._phase_s = tuple(
            0.0 if period is None else (start + number / count) % 1.0 * period
            for number, period in enumerate(periods_s)
        )
        self._rank = tuple(_rank(period) for period in periods_s)
        self._heap: list[tuple[float, float, int]] = []

    def restart(self, now_s: float, not_before_s: Sequence[float] | None = None) -> None:
        """After a connect everything is due at once: what is read once first, then the slow, then the fast polls.
        `not_before_s`, by poll, keeps the back-off of units that did not answer."""
        due_s = [now_s] * len(self._rank) if not_before_s is None else [max(now_s, t) for t in not_before_s]
        self._heap = [(due_s[number], rank, number) for number, rank in enumerate(self._rank)]
        heapq.heapify(self._heap)

    def peek(self) -> tuple[float, int] | None:
        """When the next poll is due, and which one; None when nothing is left to poll."""
        if not self._heap:
            return None
        due_s, _, number = self._heap[0]
        return due_s, number

    def done(self, number: int, now_s: float, not_before_s: float = 0.0) -> None:
        """The poll at the head was tried. Its next slot is the first one after now (and `not_before_s`)."""
        if self._heap[0][2] != number:
            raise ValueError(f"poll {number} is not the one that was due")
        if self._period_s[number] is None:
            heapq.heappop(self._heap)
            return
        due_s = self._slot_after(number, max(now_s, not_before_s))
        heapq.heapreplace(self._heap, (due_s, self._rank[number], number))

    def retry(self, number: int, at_s: float) -> None:
        """The poll at the head failed and is read once a connect: try it again at `at_s`."""
        if self._heap[0][2] != number:
            raise ValueError(f"poll {number} is not the one that was due")
        heapq.heapreplace(self._heap, (at_s, self._rank[number], number))

    def _slot_after(self, number: int, now_s: float) -> float:
        period_s, phase_s = self._period_s[number], self._phase_s[number]
        if period_s is None:
            return now_s
        slot_s = (math.floor((now_s - phase_s) / period_s) + 1) * period_s + phase_s
        return slot_s if slot_s > now_s else slot_s + period_s


def _rank(period_s: float | None) -> float:
    """Order of polls due at the same time: once a connect, then from slow to fast."""
    return -math.inf if period_s is None else -period_s
