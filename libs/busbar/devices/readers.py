"""Readers for what is more than a number times a factor: texts, badges, statuses, bits, counters, steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from busbar.devices.texts import badge, clean_hex, clean_text
from busbar.devices.values import LARGEST, NA, SUSPECT, Memory, Number, Points, Qualities
from busbar.devices.wire import Placed, raw_patterns

Step = Callable[[Sequence[Any], Points, Qualities, Memory], None]
"""Takes a block's raw values, writes value and quality of one point."""


def published(placed: Placed) -> tuple[str, ...]:
    """Names that the point puts on the bus: a status comes with the raw text beside."""
    return (placed.name, f"{placed.name}_raw") if placed.point.map else (placed.name,)


def is_plain(placed: Placed) -> bool:
    """True for numbers that need nothing but a factor and a range."""
    p = placed.point
    special = p.is_text or p.type == "bool" or p.mask or p.shift or p.enum or p.map or p.bits or p.offset or p.max_step
    return not special and (p.counter is None or p.counter.may_reset)


def step_of(placed: Placed, i: int) -> Step:
    point = placed.point
    if point.is_text:
        return _status(placed, _text_of(placed, i)) if point.map else _text(placed, _text_of(placed, i))
    if point.map or point.enum:
        named = _named(placed, i)
        return _status(placed, named) if point.map else _text(placed, named)
    if point.bits:
        return _bit_names(placed, i)
    return _checked_number(placed, i)


TextOf = Callable[[Sequence[Any], Memory], tuple[str | None, bool]]


def _text_of(placed: Placed, i: int) -> TextOf:
    """Text of bytes, remembered: badges and names hardly ever change."""
    name, point, is_badge = placed.name, placed.point, placed.key == "rfid"
    absent = frozenset(str(v) for v in point.na)

    def read(values: Sequence[Any], memory: Memory) -> tuple[str | None, bool]:
        raw = values[i]
        known = memory.texts.get(name)
        if known is not None and known[0] == raw:
            return known[1], known[2]
        text, readable = (clean_hex(raw), True) if point.type[0] == "h" else clean_text(raw, point.encoding)
        if text in absent:
            text, readable = None, False
        if is_badge:
            text = badge(text)
        memory.texts[name] = raw, text, readable
        return text, readable

    return read


def _named(placed: Placed, i: int) -> TextOf:
    """Name of a number; a number without a name is its digits."""
    point, absent = placed.point, raw_patterns(placed.point)
    names = point.enum
    mask, shift = _mask(placed)

    def read(values: Sequence[Any], memory: Memory) -> tuple[str | None, bool]:
        raw = values[i]
        if raw in absent:
            return None, False
        digits = str((raw & mask) >> shift)
        return names.get(digits, digits), True

    return read


def _text(placed: Placed, text_of: TextOf) -> Step:
    name = placed.name

    def step(values: Sequence[Any], out: Points, bad: Qualities, memory: Memory) -> None:
        out[name], readable = text_of(values, memory)
        if not readable:
            bad[name] = NA

    return step


def _status(placed: Placed, text_of: TextOf) -> Step:
    """Canonical status and, beside it, the device's own word; a word that is not in the map is no status (FC-3)."""
    name, raw_name = published(placed)
    enum = placed.point.enum
    known = {raw.upper(): str(status) for raw, status in placed.point.map.items()}
    known |= {enum[raw].upper(): status for raw, status in tuple(known.items()) if raw in enum}

    def step(values: Sequence[Any], out: Points, bad: Qualities, memory: Memory) -> None:
        text, readable = text_of(values, memory)
        out[raw_name] = text
        out[name] = status = known.get(text.upper()) if text is not None else None
        if status is None:
            bad[name] = NA
        if not readable:
            bad[raw_name] = NA

    return step


def _bit_names(placed: Placed, i: int) -> Step:
    name, absent = placed.name, raw_patterns(placed.point)
    names = {int(bit): text for bit, text in placed.point.bits.items()}

    def step(values: Sequence[Any], out: Points, bad: Qualities, memory: Memory) -> None:
        raw = values[i]
        if raw in absent:
            out[name], bad[name] = None, NA
        elif raw == 0:
            out[name] = ""
        else:
            out[name] = ",".join(names.get(b, f"bit{b}") for b in range(raw.bit_length()) if raw >> b & 1)

    return step


def _mask(placed: Placed) -> tuple[int, int]:
    return placed.point.mask if placed.point.mask is not None else -1, placed.point.shift


def _checked_number(placed: Placed, i: int) -> Step:
    """A number with an offset, a mask, or a past to compare with."""
    number, point, name = Number.of(placed), placed.point, placed.name
    mask, shift = _mask(placed)
    masked, is_bool = mask != -1 or shift > 0, point.type == "bool"
    largest_step = point.max_step or LARGEST
    grows = point.counter is not None and not point.counter.may_reset and point.counter.wraps_at is None
    keeps = grows or point.max_step is not None

    def step(values: Sequence[Any], out: Points, bad: Qualities, memory: Memory) -> None:
        raw = values[i]
        if raw not in number.na:
            raw = (raw & mask) >> shift if masked else raw
            raw = 1 if is_bool and raw else raw
        value = number(raw, out, bad)
        if value is None or not keeps:
            return
        before = memory.numbers.get(name)
        memory.numbers[name] = value
        if before is not None and (abs(value - before) > largest_step or (grows and value < before)):
            bad[name] = SUSPECT

    return step
