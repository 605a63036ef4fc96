"""Values on the wire (devices.md 1, 3, 4): the same types read and write, in every order of words and bytes."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.devices.codec import Memory, Reader
from busbar.devices.package import Point
from busbar.devices.wire import Placed, encode, integer_range, swap_bytes, to_bytes

INTEGERS = ("u16", "i16", "u32", "i32", "u64", "i64", "acc32", "acc64")
ORDERS = st.sampled_from(["big", "little"])


def point(kind: str, **fields: Any) -> Point:
    return Point.model_validate({"address": 10, "type": kind, "group": "fast", **fields})


def placed(p: Point, word_order: str = "big", key: str = "x") -> Placed:
    return Placed(key, key, p, p.table, 1, p.address, word_order, p.sign)


def read(p: Point, words: list[int], word_order: str = "big", key: str = "x") -> tuple[Any, Any]:
    points: dict[str, Any] = {}
    quality: dict[str, Any] = {}
    Reader(10, len(words), [placed(p, word_order, key)]).decode(to_bytes(words), points, quality, Memory())
    return points[key], quality.get(key)


@given(st.sampled_from(INTEGERS), ORDERS, ORDERS, st.data())
def test_every_whole_number_comes_back_as_it_was_written(kind: str, words: str, in_word: str, data: Any) -> None:
    low, high = integer_range(kind) or (0, 0)
    limit = 2**53
    value = data.draw(st.integers(max(low, -limit), min(high, limit)))
    p = point(kind, byte_order=in_word)
    assert read(p, encode(p, value, words), words) == (value, None)


@given(st.sampled_from(["f32", "f64"]), ORDERS, ORDERS, st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_float_comes_back_as_it_was_written(kind: str, words: str, in_word: str, value: float) -> None:
    p = point(kind, byte_order=in_word)
    assert read(p, encode(p, value, words), words) == (value, None)


@given(
    st.sampled_from(["i16", "i32", "i64"]),
    st.sampled_from([0.001, 0.01, 0.1, 1.0, 10.0]),
    st.sampled_from([1, -1]),
    st.integers(-30000, 30000),
)
def test_scaled_and_signed_values_are_exact_decimals(kind: str, scale: float, sign: int, raw: int) -> None:
    p = point(kind, scale=scale, sign=sign)
    value, quality = read(p, encode(p, sign * raw * scale, "big"))
    assert (value, quality) == (pytest.approx(sign * raw * scale, abs=1e-12), None)
    assert float(f"{value:.3f}") == value


@given(st.integers(1, 30), st.text(alphabet="ABCdef0189-", max_size=20), ORDERS)
def test_texts_have_no_word_order(registers: int, text: str, words: str) -> None:
    p = point(f"str[{registers}]")
    if len(text) > 2 * registers:
        with pytest.raises(ValueError, match="bytes"):
            encode(p, text, words)
    else:
        assert read(p, encode(p, text, words), words) == (text or None, None)


@pytest.mark.parametrize(
    ("words", "in_word", "wire"),
    [
        ("big", "big", "41200000"),
        ("little", "big", "00004120"),
        ("big", "little", "20410000"),
        ("little", "little", "00002041"),
    ],
)
def test_the_four_orders_of_ten_as_a_float(words: str, in_word: str, wire: str) -> None:
    p = point("f32", byte_order=in_word)
    assert to_bytes(encode(p, 10.0, words)).hex() == wire
    assert read(p, list(struct.unpack(">2H", bytes.fromhex(wire))), words) == (10.0, None)


@given(
    st.sampled_from([*INTEGERS, "sunssf"]),
    st.binary(min_size=8, max_size=8),
    st.sampled_from([0.001, 1.0, 1000.0]),
    st.sampled_from([1, -1]),
)
def test_not_available_never_leaks_as_a_number(kind: str, raw: bytes, scale: float, sign: int) -> None:
    p = point(kind)
    words = list(struct.unpack(f">{p.registers}H", raw[: 2 * p.registers]))
    as_read, _ = read(p, words)
    marked = p.model_copy(update={"na": [int(as_read)], "scale": scale, "sign": sign})
    if abs(as_read) < 2**53:
        assert read(marked, words) == (None, "na")


@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_never_numbers(kind: str, value: float) -> None:
    data = struct.pack(">f" if kind == "f32" else ">d", value)
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    for p in (point(kind), point(kind, scale=1000, sign=-1), point(kind, max_step=5)):
        assert read(p, words) == (None, "na")


def test_an_unsigned_pattern_of_a_signed_type_is_not_available() -> None:
    assert read(point("i16", na=[0xFFFF]), [0xFFFF]) == (None, "na")
    assert read(point("i32", na=[0x80000000]), [0x8000, 0]) == (None, "na")


@pytest.mark.parametrize(
    ("kind", "fields", "value"),
    [
        ("u16", {}, -1),
        ("u16", {}, 65536),
        ("u16", {"na": [65535]}, 65535),
        ("i16", {"scale": 0.1}, 3276.8),
        ("u16", {}, math.nan),
        ("f32", {}, math.inf),
        ("f32", {}, 1e39),
        ("u16", {}, "6"),
        ("str[2]", {}, 6.0),
        ("u16", {"mask": 15}, 3),
    ],
)
def test_what_does_not_fit_is_refused_instead_of_wrapped(kind: str, fields: dict[str, Any], value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encode(point(kind, **fields), value, "big")


@given(st.binary(min_size=2, max_size=40).filter(lambda b: len(b) % 2 == 0))
def test_swapping_bytes_twice_changes_nothing(data: bytes) -> None:
    assert swap_bytes(swap_bytes(data)) == data
    assert swap_bytes(data)[0] == data[1]


@pytest.mark.parametrize(
    ("kind", "words", "badge"),
    [
        ("str[10]", [0x3034, 0x3A61, 0x313A, 0x6232, 0x3A63, 0x3300], "04A1B2C3"),
        ("str[10]", [0x2020, 0x2020], None),
        ("str[10]", [0x3030, 0x3030, 0x3030, 0x3030], None),
        ("str[10]", [0x616E, 0x6E61, 0x2E78], "ANNA.X"),
        ("hex[10]", [0x04A1, 0xB2C3, 0, 0, 0, 0, 0, 0, 0, 0], "04A1B2C3"),
        ("hex[10]", [0x04A1, 0xB200, 0, 0, 0, 0, 0, 0, 0, 0], "04A1B200"),
        ("hex[10]", [0x04A1, 0xB2C3, 0xD4E5, 0x0000, 0, 0, 0, 0, 0, 0], "04A1B2C3D4E500"),
        ("hex[10]", [0] * 10, None),
    ],
)
def test_badges_are_upper_case_hex_without_separators(kind: str, words: list[int], badge: str | None) -> None:
    p = point(kind)
    assert read(p, [*words, *[0] * (p.registers - len(words))], key="rfid") == (badge, None)


def test_a_text_that_cannot_be_read_is_not_available() -> None:
    assert read(point("str[2]"), [0xFF41, 0x4242]) == (None, "na")
    assert read(point("str[2]"), [0x0741, 0x4242]) == (None, "na")
