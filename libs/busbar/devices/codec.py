"""A block of registers to values with quality: signs, scales and statuses are applied here and nowhere else.

Everything that can be is decided when the plan is compiled: one `struct.Struct` a block (one more only for points in
another byte order), a table of plain numbers, a table of numbers with a scale factor, and a short list of readers for
the rest (texts, statuses, bits, counters).

Not available is decided on the raw value, before scaling; NaN and infinity are never numbers; a scale factor that is
not available or outside -10..10 makes what depends on it not available. `valid` holds after scaling, in the sign of the
device.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from busbar.devices.readers import is_plain, published, step_of
from busbar.devices.values import NA, SUSPECT, Last, Memory, Number, Points, Qualities
from busbar.devices.wire import POWER, Placed, encode, struct_format, swap_bytes, view_of

__all__ = ["Memory", "Placed", "Reader", "encode"]


class Reader:
    """Decodes one block. Immutable; what changes from poll to poll is in `Memory`."""

    __slots__ = ("_bits", "_factors", "_key", "_names", "_plain", "_scaled", "_size", "_steps", "_views")

    def __init__(self, address: int, count: int, placed: Sequence[Placed], group: str = "") -> None:
        first = placed[0]
        self._key = (first.table, first.unit, address, count, group)
        self._bits = first.table in ("coil", "discrete")
        self._size = (count + 7) // 8 if self._bits else 2 * count
        self._views, index = _bit_view(address, placed) if self._bits else _views(address, count, placed)
        factors = {p.key: index[p.key] for p in placed if p.point.type == "sunssf"}
        self._factors = tuple(factors.items())
        plain, scaled, steps = [], [], []
        for p in placed:
            if p.point.internal:
                continue
            number = Number.of(p)
            row = (p.name, index[p.key], number.mul, number.div, number.low, number.high, number.na, number)
            if p.point.scale_point:
                scaled.append((*row, factors[p.point.scale_point]))
            elif is_plain(p):
                plain.append(row)
            else:
                steps.append(step_of(p, index[p.key]))
        self._plain, self._scaled, self._steps = tuple(plain), tuple(scaled), tuple(steps)
        self._names = frozenset(name for p in placed if not p.point.internal for name in published(p))

    def decode(self, data: bytes, points: Points, quality: Qualities, memory: Memory) -> None:
        """See `busbar.devices.plan.Block.decode`."""
        last = memory.last.get(self._key)
        if last is None or last.raw != data:
            if len(data) != self._size:
                raise ValueError(f"{len(data)} bytes where {self._size} were asked for")
            values, bad = self._read(data, memory)
            last = memory.last[self._key] = Last(b"" if SUSPECT in bad.values() else data, values, bad)
        points.update(last.values)
        if quality:
            names = self._names
            for name in [name for name in quality if name in names]:  # few are ever bad, so those are looked through
                del quality[name]
        if last.bad:
            quality.update(last.bad)

    def _read(self, data: bytes, memory: Memory) -> tuple[Points, Qualities]:
        values = self._unpack(data)
        out: Points = {}
        bad: Qualities = {}
        for name, i, mul, div, low, high, na, number in self._plain:
            raw = values[i]
            if raw not in na and low <= (value := raw * mul / div + 0.0) <= high:
                out[name] = value
            else:
                number(raw, out, bad)
        for key, i in self._factors:
            memory.exponents[key] = values[i]
        for name, i, mul, div, _low, _high, na, number, factor in self._scaled:
            raw, power = values[i], POWER.get(values[factor])
            if raw in na or power is None:
                out[name], bad[name] = None, NA
            else:
                number.judge(raw * mul * power[0] / (div * power[1]) + number.offset + 0.0, out, bad)
        for step in self._steps:
            step(values, out, bad, memory)
        return out, bad

    def _unpack(self, data: bytes) -> Sequence[Any]:
        if self._bits:
            return [data[i >> 3] >> (i & 7) & 1 for _, i in self._views]
        form, swapped = self._views[0]
        values: tuple[Any, ...] = form.unpack(swap_bytes(data) if swapped else data)
        for form, swapped in self._views[1:]:
            values += form.unpack(swap_bytes(data) if swapped else data)
        return values


def _bit_view(address: int, placed: Sequence[Placed]) -> tuple[tuple[Any, ...], dict[str, int]]:
    return (
        tuple(("bit", p.address - address) for p in placed),
        {p.key: i for i, p in enumerate(placed)},
    )


def _views(address: int, count: int, placed: Sequence[Placed]) -> tuple[tuple[Any, ...], dict[str, int]]:
    """One struct for each way of looking at the bytes (nearly always one), and where each point's value stands."""
    by_view: dict[tuple[str, bool], list[Placed]] = {}
    for p in sorted(placed, key=lambda p: p.address):
        by_view.setdefault(view_of(p.point, p.word_order), []).append(p)
    views, index, done = [], {}, 0
    for (endian, swapped), members in by_view.items():
        form, at, shared = endian, address, {}
        for p in members:
            spot = (p.address, p.point.type)
            if spot not in shared:
                form += "x" * (2 * (p.address - at)) + struct_format(p.point.type)
                at, shared[spot], done = p.end, done, done + 1
            index[p.key] = shared[spot]
        form += "x" * (2 * (address + count - at))
        views.append((struct.Struct(form), swapped))
    return tuple(views), index
