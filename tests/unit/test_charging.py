"""Both vocabularies of session status, and what follows from a status (FC-3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.domain.charging import BY_LETTER, OUT_OF_SERVICE, PLUGGED, Status, status_of


@pytest.mark.parametrize(
    ("number", "name",                  "plugged", "free"),
    [
        (0,    "Available",             False,     True),
        (1,    "Preparing-TagId-Ready", False,     False),
        (2,    "Preparing-EV-Ready",    True,      False),
        (3,    "Charging",              True,      False),
        (4,    "SuspendedEV",           True,      False),
        (5,    "SuspendedEVSE",         True,      False),
        (6,    "Finishing",             True,      False),
        (7,    "Reserved",              False,     False),
        (8,    "Unavailable",           False,     False),
        (9,    "UnavailableFwUpdate",   False,     False),
        (10,   "Faulted",               False,     False),
        (11,   "UnavailableConnObj",    False,     False),
    ],
)  # fmt: skip
def test_the_twelve_numbers_are_the_canonical_states(number: int, name: str, plugged: bool, free: bool) -> None:
    status = status_of(number)
    assert status is not None
    assert (status.value, status.number, status.plugged, status.free) == (name, number, plugged, free)
    assert status_of(str(number)) is status


@pytest.mark.parametrize(
    ("letter", "number"),
    [
        ("A1", 0), ("A2", 0), ("A", 0), ("B1", 2), ("B2", 4), ("C1", 5), ("D1", 5), ("C2", 3), ("D2", 3), ("E", 10),
        ("F", 8), ("c2", 3), (" B1\x00", 2), ("F0", 8), ("E0", 10),
    ],
)  # fmt: skip
def test_the_letters_of_iec_61851_mean_one_of_them(letter: str, number: int) -> None:
    status = status_of(letter)
    assert status is not None
    assert status.number == number


@pytest.mark.parametrize("raw", ["", "B", "C", "D", "G", "A3", "-1", "12", "99", "Charging", "3.0", "²", 12, -1, 65535])
def test_an_unknown_value_is_reported_and_never_guessed(raw: str | int) -> None:
    assert status_of(raw) is None


@given(st.one_of(st.text(max_size=6), st.integers()))
def test_any_raw_value_has_one_status_or_none(raw: str | int) -> None:
    assert status_of(raw) in (*Status, None)


def test_no_status_is_two_things_at_once() -> None:
    assert frozenset() == PLUGGED & OUT_OF_SERVICE
    assert [status for status in Status if status.free and (status.plugged or status.out_of_service)] == []


def test_a_letter_never_makes_an_unavailable_connector_free() -> None:
    assert [letter for letter, status in BY_LETTER.items() if status.free and not letter.startswith("A")] == []
