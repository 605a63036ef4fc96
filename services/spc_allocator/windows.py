"""Sliding maxima: a rise counts in the same cycle, a fall only when it has lasted (algorithms.md, UCL, Filter).

A ring of one-second buckets, each the maximum of its second. A window of 15 s keeps 16 buckets: a value counts for at
least 15 s and less than 16 s. Full is its normal state; the oldest second is overwritten.
"""

from __future__ import annotations

import numpy as np

from spc_allocator.rows import Bools, Floats, Ints

BUCKET_MS = 1000


class MaxWindow:
    """Maximum of each column over the last `seconds`; -inf where there was no value."""

    __slots__ = ("_ring", "_stamp")

    def __init__(self, seconds: int, width: int) -> None:
        self._ring: Floats = np.full((seconds + 1, width), -np.inf)
        self._stamp: Ints = np.full(seconds + 1, -1, dtype=np.int64)

    def copy(self) -> MaxWindow:
        twin = MaxWindow.__new__(MaxWindow)
        twin._ring = self._ring.copy()
        twin._stamp = self._stamp.copy()
        return twin

    def push(self, now_ms: int, values: Floats) -> None:
        bucket = now_ms // BUCKET_MS
        ring, stamp = self._ring, self._stamp
        at = bucket % len(stamp)
        if stamp[at] == bucket:
            np.maximum(ring[at], values, out=ring[at])
            return
        old = stamp <= bucket - len(stamp)
        old[at] = True
        ring[old] = -np.inf
        ring[at] = values
        stamp[at] = bucket

    def maximum(self) -> Floats:
        """As of the last push."""
        top: Floats = np.maximum.reduce(self._ring, axis=0)
        return top

    def forget(self, columns: Bools) -> None:
        self._ring[:, columns] = -np.inf

    def dump(self) -> dict[str, list[list[float | None]] | list[int]]:
        """JSON without infinities."""
        rows: list[list[float | None]] = [[v if np.isfinite(v) else None for v in row] for row in self._ring.tolist()]
        return {"ring": rows, "stamp": self._stamp.tolist()}

    def load(self, ring: list[list[float | None]], stamp: list[int]) -> bool:
        """Take over what `dump` gave; False where the shape is another."""
        values = np.array([[-np.inf if v is None else v for v in row] for row in ring], dtype=float)
        if values.shape != self._ring.shape or len(stamp) != len(self._stamp):
            return False
        self._ring, self._stamp = values, np.array(stamp, dtype=np.int64)
        return True

    def bytes(self) -> bytes:
        return self._ring.tobytes() + self._stamp.tobytes()
