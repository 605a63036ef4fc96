from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.config import base
from busbar.domain.fuse import FuseKind, FuseThermal, clearing_time_s, largest_ratio

KINDS: tuple[FuseKind, ...] = get_args(FuseKind)
kinds = st.sampled_from(KINDS)
overloads = st.floats(1.0001, 30.0)


def test_the_site_file_and_the_curves_know_the_same_kinds_of_fuse() -> None:
    assert get_args(FuseKind) == get_args(base.FuseKind)


@pytest.mark.parametrize(
    ("kind",       "ratio", "at_least_s", "at_most_s"),
    [
        ("gG",         1.00,  math.inf,    math.inf),   # the rating is carried for ever
        ("gG",         1.25,  3600.0,      3600.0),     # IEC 60269-1: no fusing within 1 h
        ("gG",         1.60,  60.0,        3600.0),     # ... and fusing within 1 h
        ("gG",         2.06,  10.0,        10.0),       # gate Imin(10 s) of 16 A
        ("gG",         5.30,  0.1,         0.1),        # gate Imin(0.1 s)
        ("mcb_b",      1.13,  3600.0,      3600.0),     # IEC 60898-1: no tripping within 1 h
        ("mcb_c",      1.45,  60.0,        3600.0),     # ... tripping within 1 h
        ("mcb_d",      2.55,  1.0,         1.0),        # not within 1 s
        ("mcb_b",      2.99,  0.1,         1.0),
        ("mcb_b",      3.00,  0.0,         0.1),        # instantaneous from here: B 3 x
        ("mcb_c",      3.00,  0.1,         1.0),
        ("mcb_c",      5.00,  0.0,         0.1),        # C 5 x
        ("mcb_d",      9.99,  0.1,         1.0),
        ("mcb_d",      10.0,  0.0,         0.1),        # D 10 x
        ("adjustable", 1.05,  3600.0,      3600.0),     # IEC 60947-2
        ("electronic", 1.05,  3600.0,      3600.0),
    ],
)  # fmt: skip
def test_curves_pass_through_the_points_of_the_standards(
    kind: FuseKind, ratio: float, at_least_s: float, at_most_s: float
) -> None:
    time_s = clearing_time_s(kind, ratio)
    assert time_s == pytest.approx(at_least_s) or time_s > at_least_s
    assert time_s == pytest.approx(at_most_s) or time_s < at_most_s


@given(kinds, overloads, st.floats(1.0, 3.0))
def test_a_larger_current_never_takes_longer(kind: FuseKind, ratio: float, factor: float) -> None:
    assert clearing_time_s(kind, ratio * factor) <= clearing_time_s(kind, ratio) * (1 + 1e-12)


@given(kinds, st.floats(0.02, 3000.0))
def test_the_largest_ratio_is_carried_for_its_time_and_a_little_more_is_not(kind: FuseKind, duration_s: float) -> None:
    ratio = largest_ratio(kind, duration_s)
    assert clearing_time_s(kind, ratio * 0.9999) > duration_s * 0.99
    assert clearing_time_s(kind, ratio * 1.0001) <= duration_s * 1.01


@given(kinds, st.floats(1.01, 2.4))
def test_a_constant_overload_opens_the_fuse_at_its_curve(kind: FuseKind, ratio: float) -> None:
    fuse, step_s = FuseThermal(kind), clearing_time_s(kind, ratio) / 100.0
    opened_after = next(n for n in range(1, 200) if fuse.carry(ratio, step_s))
    assert opened_after in (100, 101)  # binary dust may cost one


@given(kinds, st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1e6)), max_size=20))
def test_currents_up_to_the_rating_never_open_a_fuse(kind: FuseKind, held: list[tuple[float, float]]) -> None:
    fuse = FuseThermal(kind)
    assert not any(fuse.carry(ratio, duration_s) for ratio, duration_s in held)
    assert fuse.used == 0.0


def test_two_halves_of_two_overloads_open_a_fuse_and_a_rest_between_them_does_not() -> None:
    first, second = clearing_time_s("gG", 1.4) * 0.6, clearing_time_s("gG", 1.9) * 0.6
    at_once, rested = FuseThermal("gG"), FuseThermal("gG")
    assert not at_once.carry(1.4, first)
    assert at_once.carry(1.9, second)
    rested.carry(1.4, first)
    rested.carry(0.8, 1200.0)
    assert not rested.carry(1.9, second)
    assert rested.worst == pytest.approx(0.6 * math.exp(-4.0) + 0.6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_twin_tolerates_stays_far_inside_every_curve(kind: FuseKind) -> None:
    # algorithms.md, What must never be false, 8: 10 s at a time, at most 1.3 x
    fuse = FuseThermal(kind)
    fuse.carry(1.3, 10.0)
    assert fuse.worst < 0.15
