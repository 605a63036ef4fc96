"""Sliding maxima: a rise counts in the same cycle, a fall only when it has lasted (algorithms.md, UCL, Filter).

One-second buckets, each the maximum of its second. A window of 15 s keeps 16 buckets: a value counts for at least 15 s
and less than 16 s. Full is its normal state; the oldest second is dropped.

A window never changes: `pushed` gives the next one, which shares the buckets with it, so that a copied state costs
nothing. The maximum of all buckets is one operation a push: the older buckets keep the maxima from themselves to the
youngest of the older ones, the younger ones their common maximum; when the older ones are used up, the younger ones
take their place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spc_allocator.rows import Bools, Floats, Ints

BUCKET_MS = 1000


def plain(value: Any) -> Any:
    """Numbers as JSON has them, so that `number` gives the same bits back: null is nan, infinities are words."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def number(value: Any) -> Any:
    """What `plain` wrote."""
    if isinstance(value, list):
        return [number(item) for item in value]
    if value is None:
        return math.nan
    return float(value) if isinstance(value, str) else value


def _cell(value: float) -> float | str | None:
    if math.isfinite(value):
        return value
    return None if value == -math.inf else str(value)


class MaxWindow:
    """Maximum of each column over the last `seconds`; -inf where there was no value."""

    __slots__ = ("_old", "_old_top", "_size", "_width", "_young", "_young_top", "top")

    def __init__(self, seconds: int, width: int) -> None:
        self._size, self._width = seconds + 1, width
        self._old: tuple[tuple[int, Floats], ...] = ()
        """(second, values), the oldest last, so that it goes first."""
        self._old_top: tuple[Floats, ...] = ()
        """Maximum of each and all that stand before it, which are younger."""
        self._young: tuple[tuple[int, Floats], ...] = ()
        """The oldest first."""
        self._young_top: Floats = np.full(width, -np.inf)
        self.top: Floats = self._young_top
        """Maximum as of the last push."""

    def pushed(self, now_ms: int, values: Floats) -> MaxWindow:
        """The window with `values` in it, which nobody changes any more."""
        bucket = now_ms // BUCKET_MS
        oldest, young = bucket - self._size, self._young
        twin: MaxWindow = MaxWindow.__new__(MaxWindow)
        twin._size, twin._width = self._size, self._width
        old, old_top, top = self._old, self._old_top, self._young_top
        if young and young[-1][0] == bucket:
            young = (*young[:-1], (bucket, np.maximum(young[-1][1], values)))
            top = np.maximum(top, values)
        else:
            while old and old[-1][0] <= oldest:
                old, old_top = old[:-1], old_top[:-1]
            if young and young[0][0] <= oldest:
                old, old_top = _turned([entry for entry in young if entry[0] > oldest])
                young, top = ((bucket, values),), values
            else:
                top = np.maximum(top, values) if young else values
                young = (*young, (bucket, values))
        twin._old, twin._old_top, twin._young, twin._young_top = old, old_top, young, top
        twin.top = np.maximum(old_top[-1], top) if old_top else top
        return twin

    def without(self, columns: Bools) -> MaxWindow:
        """The window with nothing in these columns."""
        return self._of([(at, np.where(columns, -np.inf, values)) for at, values in (*self._old[::-1], *self._young)])

    def _of(self, entries: list[tuple[int, Floats]]) -> MaxWindow:
        """The same window with other buckets, the oldest first."""
        twin = MaxWindow(self._size - 1, self._width)
        if entries:
            twin._old, twin._old_top = _turned(entries[:-1])
            twin._young, twin._young_top = (entries[-1],), entries[-1][1]
            twin.top = np.maximum(twin._old_top[-1], twin._young_top) if twin._old else twin._young_top
        return twin

    def _ring(self) -> tuple[Floats, Ints]:
        """Each bucket at its second modulo the number of buckets, and which second it is; -1: none."""
        ring, stamp = np.full((self._size, self._width), -np.inf), np.full(self._size, -1, dtype=np.int64)
        for at, values in (*self._old, *self._young):
            ring[at % self._size], stamp[at % self._size] = values, at
        return ring, stamp

    def dump(self) -> dict[str, Any]:
        """JSON: null is -inf, for most are; other numbers that JSON lacks are words."""
        ring, stamp = self._ring()
        return {"ring": [[_cell(v) for v in row] for row in ring.tolist()], "stamp": stamp.tolist()}

    def loaded(self, ring: list[list[float | str | None]], stamp: list[int]) -> MaxWindow:
        """The window that `dump` gave; this one where the shape is another."""
        values = np.array([[-np.inf if v is None else float(v) for v in row] for row in ring], dtype=float)
        if values.shape != (self._size, self._width) or len(stamp) != self._size:
            return self
        known = sorted((at, index) for index, at in enumerate(stamp) if at >= 0)
        return self._of([(at, values[index]) for at, index in known if at > known[-1][0] - self._size])

    def bytes(self) -> bytes:
        ring, stamp = self._ring()
        return ring.tobytes() + stamp.tobytes()


def _turned(entries: list[tuple[int, Floats]]) -> tuple[tuple[tuple[int, Floats], ...], tuple[Floats, ...]]:
    """Buckets, the oldest first, as older ones: the oldest last, each with the maximum of it and all younger."""
    tops: list[Floats] = []
    for _, values in reversed(entries):
        tops.append(np.maximum(tops[-1], values) if tops else values)
    return tuple(reversed(entries)), tuple(tops)
