"""The clock header gives a true transit or none; trouble is said once a minute, not a thousand times a second."""

from __future__ import annotations

import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.bus.wire import Complaints, UndecodableError, clock_header, decode, encode, transit_s
from busbar.events import CollectorLimit
from busbar.subjects import LIMIT


@pytest.mark.parametrize(
    ("header", "now_s", "expected"),
    [
        ("boot-1:1000.000", 1.5,  0.5),
        ("boot-1:1000",     1.0,  0.0),
        ("boot-1:2000.000", 1.0,  0.0),   # clocks of one machine agree to the millisecond that was cut off
        ("boot-2:1000.000", 1.5,  None),  # another machine, or the same one before its restart
        ("boot-1:soon",     1.5,  None),
        ("boot-1:nan",      1.5,  None),
        ("boot-1:-inf",     1.5,  None),
        ("1000",            1.5,  None),
        ("",                1.5,  None),
        (None,              1.5,  None),
    ],
)  # fmt: skip
def test_transit_is_measured_on_a_common_clock_only(header: str | None, now_s: float, expected: float | None) -> None:
    assert transit_s(header, "boot-1", now_s) == expected


def test_a_machine_that_cannot_name_its_clock_measures_nothing() -> None:
    assert transit_s(clock_header("", 1.0), "", 2.0) is None


@given(st.floats(0, 1e9), st.floats(0, 1e5))
def test_what_one_side_writes_the_other_measures(sent_s: float, way_s: float) -> None:
    measured_s = transit_s(clock_header("b:with:colons", sent_s), "b:with:colons", sent_s + way_s)
    assert measured_s == pytest.approx(way_s, abs=1e-3)


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_no_header_whatever_gives_a_negative_or_endless_transit(header: str, now_s: float) -> None:
    for text in (header, f"b:{header}"):
        measured_s = transit_s(text, "b", now_s)
        assert measured_s is None or (measured_s >= 0.0 and math.isfinite(measured_s))


def test_a_limit_of_zero_survives_the_wire_as_zero_and_no_limit_as_none() -> None:
    limit = CollectorLimit(collector="g", source="page", import_limit_w=0.0, published_at_ms=1)
    again = decode(LIMIT, encode(limit))
    assert again == limit
    assert (again.import_limit_w, again.export_limit_w) == (0.0, None)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_but_undecodable(body: bytes) -> None:
    with pytest.raises(UndecodableError):
        decode(LIMIT, body)


def test_a_refused_body_says_where_it_is_wrong_in_one_line() -> None:
    with pytest.raises(UndecodableError, match=r"^collector: Field required$"):
        decode(LIMIT, b'{"source": "page", "published_at_ms": 1}')


def test_each_subject_complains_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    class Clock:
        now_s = 0.0
        boot_id = ""

        def mono_s(self) -> float:
            return self.now_s

        def utc_ms(self) -> int:
            return 0

    clock = Clock()
    complaints = Complaints(clock, logging.getLogger("t"))
    for second in range(121):
        clock.now_s = float(second)
        complaints.say("a", "broken")
        complaints.say("b", "broken")
    assert [record.getMessage() for record in caplog.records] == ["a: broken", "b: broken"] * 3
