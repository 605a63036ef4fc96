"""Which registers are read together (devices.md 2)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.devices.package import Point
from busbar.devices.planner import PlanningError, Span, Window, plan_spans, split_span
from busbar.devices.wire import Placed

TYPES = st.sampled_from(["u16", "i32", "f32", "u64", "str[5]"])


def placed(key: str, address: int, kind: str = "u16", **fields: Any) -> Placed:
    point = Point.model_validate({"address": address, "type": kind, "group": "fast", **fields})
    return Placed(key, key, point, point.table, 1, address, "big", 1)


def window(start: int, end: int, *, whole: bool = False) -> Window:
    return Window("holding", 1, start, end + 1, whole)


def spans(points: list[Placed], *windows: Window, gap: int = 0, limit: int = 125) -> tuple[Span, ...]:
    return plan_spans([p for p in points if not p.point.internal], {p.key: p for p in points}, windows, gap, limit)


def shape(planned: tuple[Span, ...] | list[Span]) -> list[tuple[int, int, list[str]]]:
    return [(s.start, s.count, [p.key for p in s.points]) for s in planned]


@st.composite
def maps(draw: st.DrawFn) -> tuple[list[Placed], list[Window]]:
    """Points one after the other with holes, cut into declared ranges at some of the holes."""
    points: list[Placed] = []
    windows: list[Window] = []
    at = start = draw(st.integers(0, 50))
    for i in range(draw(st.integers(1, 40))):
        hole = draw(st.integers(0, 12))
        if points and hole and draw(st.booleans()):
            windows.append(window(start, at - 1))
            start = at + hole
        at += hole
        points.append(placed(f"p{i:02}", at, draw(TYPES)))
        at = points[-1].end
    windows.append(window(start, at - 1))
    return points, windows


@given(maps(), st.integers(0, 10), st.integers(5, 125), st.randoms(use_true_random=False))
def test_every_point_is_read_once_and_no_block_breaks_a_rule(
    drawn: tuple[list[Placed], list[Window]], gap: int, limit: int, order: Any
) -> None:
    points, windows = drawn
    shuffled = list(points)
    order.shuffle(shuffled)
    planned = spans(shuffled, *windows, gap=gap, limit=limit)
    assert sorted(p.key for s in planned for p in s.points) == sorted(p.key for p in points)
    for span in planned:
        assert 1 <= span.count <= limit
        assert any(w.start <= span.start and span.end <= w.end for w in windows)
        assert all(span.start <= p.address and p.end <= span.end for p in span.points)
        read = sorted((p.address, p.end) for p in span.points)
        assert all(later - end <= gap for (_, end), (later, _) in pairwise(read))
        assert (read[0][0], max(end for _, end in read)) == (span.start, span.end)
    assert list(planned) == sorted(planned, key=lambda s: s.start)
    assert planned == spans(points, *windows, gap=gap, limit=limit)


@given(maps(), st.integers(5, 125))
def test_splitting_a_block_loses_no_point_and_reads_nothing_new(
    drawn: tuple[list[Placed], list[Window]], limit: int
) -> None:
    points, _ = drawn
    for span in spans(points, gap=10, limit=limit):
        parts = split_span(span)
        assert sorted(p.key for s in parts for p in s.points) == sorted(p.key for p in span.points)
        assert all(span.start <= s.start and s.end <= span.end for s in parts)
        assert len(parts) > 1 or len(span.points) == 1


@pytest.mark.parametrize(
    ("gap", "blocks"),
    [
        (0, [(10, 2, ["a", "b"]), (14, 2, ["c"]), (20, 1, ["d"])]),
        (2, [(10, 6, ["a", "b", "c"]), (20, 1, ["d"])]),
        (4, [(10, 11, ["a", "b", "c", "d"])]),
    ],
)
def test_a_gap_is_read_only_as_far_as_allowed(gap: int, blocks: list[Any]) -> None:
    points = [placed("a", 10), placed("b", 11), placed("c", 14, "u32"), placed("d", 20)]
    assert shape(spans(points, gap=gap)) == blocks


def test_126_registers_are_two_reads() -> None:
    points = [placed(f"p{i:03}", 300 + i) for i in range(126)]
    assert [(s.start, s.count) for s in spans(points)] == [(300, 125), (425, 1)]


def test_a_point_never_straddles_two_blocks() -> None:
    points = [placed("a", 0, "str[124]"), placed("b", 124, "u32")]
    assert shape(spans(points)) == [(0, 124, ["a"]), (124, 2, ["b"])]


def test_a_range_ends_a_block_even_without_a_gap() -> None:
    points = [placed("a", 10), placed("b", 11)]
    assert shape(spans(points, window(0, 10), window(11, 20))) == [(10, 1, ["a"]), (11, 1, ["b"])]


def test_a_whole_range_is_read_at_once_whatever_is_asked() -> None:
    points = [placed("a", 240), placed("b", 300)]
    assert shape(spans(points, window(232, 308, whole=True))) == [(232, 77, ["a", "b"])]


def test_a_point_and_its_scale_factor_come_in_one_reply_across_any_hole() -> None:
    points = [
        placed("w", 10, scale_point="sf"),
        placed("x", 12),
        placed("sf", 60, "sunssf", internal=True),
        placed("y", 61),
    ]
    assert shape(spans(points, window(0, 100))) == [(10, 52, ["w", "x", "sf", "y"])]


def test_a_scale_factor_too_far_away_is_refused_with_the_name() -> None:
    points = [placed("w", 10, scale_point="sf"), placed("sf", 140, "sunssf", internal=True)]
    with pytest.raises(PlanningError, match="w, sf: 131 registers"):
        spans(points)


def test_a_scale_factor_in_another_range_is_refused() -> None:
    points = [placed("w", 10, scale_point="sf"), placed("sf", 40, "sunssf", internal=True)]
    with pytest.raises(PlanningError, match="no declared range"):
        spans(points, window(0, 20), window(30, 50))


def test_a_point_outside_every_range_is_refused_with_the_name() -> None:
    with pytest.raises(PlanningError, match="b: holding 20"):
        spans([placed("a", 10), placed("b", 20)], window(0, 15))


def test_bits_of_one_register_share_it() -> None:
    points = [placed("a", 10, mask=1), placed("b", 10, mask=2, shift=1)]
    assert shape(spans(points)) == [(10, 1, ["a", "b"])]


def test_a_refused_block_is_split_at_its_holes_first_then_point_by_point() -> None:
    points = [placed("a", 10), placed("b", 11), placed("c", 14), placed("d", 15)]
    (block,) = spans(points, gap=5)
    halves = split_span(block)
    assert shape(halves) == [(10, 2, ["a", "b"]), (14, 2, ["c", "d"])]
    assert shape(split_span(halves[0])) == [(10, 1, ["a"]), (11, 1, ["b"])]
    alone = split_span(halves[0])[0]
    assert split_span(alone) == [alone]


def test_splitting_keeps_a_value_with_its_scale_factor() -> None:
    points = [placed("a", 10), placed("w", 11, scale_point="sf"), placed("sf", 12, "sunssf", internal=True)]
    (block,) = spans(points)
    assert shape(split_span(block)) == [(10, 1, ["a"]), (11, 2, ["w", "sf"])]
