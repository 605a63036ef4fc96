"""One value on the wire: how the types of a package stand in registers, both ways. No names, no quality.

`Placed` is a point of one instance at its address; `encode` and the formats here are used by the codec of blocks
(reading) and by commands (writing), so the two cannot disagree.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from busbar.devices.package import Point
from busbar.devices.transport import Table

_FORMATS: Final = {
    "u16": "H", "i16": "h", "bool": "H", "sunssf": "h", "u32": "I", "i32": "i", "f32": "f", "acc32": "I",
    "u64": "Q", "i64": "q", "f64": "d", "acc64": "Q",
}  # fmt: skip
_INTEGER_BITS: Final = {
    "u16": (0, 16), "i16": (1, 16), "sunssf": (1, 16), "u32": (0, 32), "i32": (1, 32), "acc32": (0, 32),
    "u64": (0, 64), "i64": (1, 64), "acc64": (0, 64), "bool": (0, 1),
}  # fmt: skip
MAX_EXPONENT: Final = 10
_LARGEST_F32: Final = 3.4028234663852886e38
POWER: Final = {e: (10.0**e, 1.0) if e >= 0 else (1.0, 10.0**-e) for e in range(-MAX_EXPONENT, MAX_EXPONENT + 1)}
"""Power of ten as (multiplier, divisor): 23012 / 100 is exact where 23012 * 0.01 is not."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A point of one instance: where it is, how it is named on the bus, which way its sign turns."""

    key: str
    """Name in the package."""
    name: str
    """Vocabulary name."""
    point: Point
    table: Table
    unit: int
    address: int
    word_order: str
    sign: int

    @property
    def count(self) -> int:
        return 1 if self.table in ("coil", "discrete") else self.point.registers

    @property
    def end(self) -> int:
        """First address after it."""
        return self.address + self.count


def struct_format(kind: str) -> str:
    """`struct` character of a point type; texts are bytes."""
    return _FORMATS.get(kind) or f"{2 * int(kind[4:-1])}s"


def integer_range(kind: str) -> tuple[int, int] | None:
    """Smallest and largest raw value; None for floats and texts."""
    if kind not in _INTEGER_BITS:
        return None
    signed, bits = _INTEGER_BITS[kind]
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def view_of(point: Point, word_order: str) -> tuple[str, bool]:
    """How the bytes are looked at: (endianness for struct, bytes swapped inside each register first).

    ABCD '>', DCBA '<', CDAB '<' after swapping, BADC '>' after swapping. Texts have no word order.
    """
    little_bytes = point.byte_order == "little"
    if point.is_text or word_order == "big":
        return ">", little_bytes
    return "<", not little_bytes


def swap_bytes(data: bytes) -> bytes:
    """Exchange the two bytes of each register."""
    swapped = bytearray(data)
    swapped[0::2], swapped[1::2] = data[1::2], data[0::2]
    return bytes(swapped)


def ratio(scale: float) -> tuple[float, float]:
    """A scale as (multiplier, divisor) so that decimal fractions divide: 0.001 is (1, 1000)."""
    inverse = round(1 / scale) if scale < 1 else 0
    if inverse and math.isclose(1 / inverse, scale, rel_tol=1e-12):
        return 1.0, float(inverse)
    return scale, 1.0


def raw_patterns(point: Point) -> frozenset[int | float | str]:
    """The raw values that mean not available, as the type reads them: 0xFFFF of an i16 is -1."""
    limits = integer_range(point.type)
    if limits is None:
        return frozenset(point.na)
    low, high = limits
    return frozenset(v - (high - low + 1) if isinstance(v, int) and v > high and low < 0 else v for v in point.na)


def resolution(point: Point, exponent: int = 0) -> float:
    """Smallest difference that the registers can carry; 0 for floats."""
    if integer_range(point.type) is None:
        return 0.0
    multiplier, divisor = POWER[exponent]
    return point.scale * multiplier / divisor


def encode(point: Point, value: float | str, word_order: str, exponent: int = 0) -> list[int]:
    """Words of an engineering value, rounded to the nearest raw one. Raises ValueError where it does not fit the type,
    would read back as not available, or cannot be written at all (bit fields of shared registers).
    """
    if point.mask is not None or point.bits:
        raise ValueError("part of a register cannot be written without reading it first")
    if point.is_text:
        return _words(_text_bytes(point, value), point, "big")
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number that can be written")
    data = struct.pack(">" + struct_format(point.type), _raw(point, float(value), exponent))
    return _words(data, point, word_order)


def _raw(point: Point, value: float, exponent: int) -> int | float:
    multiplier, divisor = ratio(point.scale)
    power, root = POWER[exponent]
    raw = (point.sign * value - point.offset) * divisor * root / (multiplier * power)
    limits = integer_range(point.type)
    if limits is None:
        if point.type == "f32" and abs(raw) > _LARGEST_F32:
            raise ValueError(f"{value} does not fit {point.type}")
        return raw
    number = round(raw)
    if not limits[0] <= number <= limits[1]:
        raise ValueError(f"{value} does not fit {point.type}: {number} is outside {limits[0]}..{limits[1]}")
    if number in raw_patterns(point):
        raise ValueError(f"{value} would read back as not available")
    return number


def _text_bytes(point: Point, value: float | str) -> bytes:
    size = 2 * point.registers
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")  # noqa: TRY004 - one error type for everything that does not fit
    data = bytes.fromhex(value) if point.type.startswith("hex") else value.encode(point.encoding)
    if len(data) > size:
        raise ValueError(f"{value!r} needs {len(data)} bytes of {size}")
    return data.ljust(size, b"\0")


def _words(data: bytes, point: Point, word_order: str) -> list[int]:
    if point.byte_order == "little":
        data = swap_bytes(data)
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    return words if word_order == "big" else words[::-1]


def to_bytes(words: Sequence[int]) -> bytes:
    """Registers as on the wire."""
    return struct.pack(f">{len(words)}H", *words)
