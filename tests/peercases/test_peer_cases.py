"""Every case of the peers is answered, or said not to be one for us; answers and reasons are those of the ledger and of
its page."""

from __future__ import annotations

from collections import Counter

import pytest

from peercases.ledger import LEDGER, NOT_ASKED, PAGE, Verdict, answer, cases, judge, page
from peercases.questions import tolerance
from peercases.translate import Case

CASES = {case["id"]: case for case in cases()}


def test_every_case_is_in_the_ledger_once() -> None:
    assert Counter([*LEDGER, *NOT_ASKED]) == Counter(list(CASES))


@pytest.mark.parametrize("name", LEDGER)
def test_the_case_comes_out_as_the_ledger_says(name: str) -> None:
    theirs, ours = answer(name)
    assert judge(CASES[name], theirs, ours) is LEDGER[name].verdict, f"theirs {theirs}, ours {ours}"


def test_what_differs_says_why_and_what_is_not_asked_says_by_which_rule() -> None:
    assert [name for name, entry in LEDGER.items() if entry.verdict is not Verdict.EQUAL and not entry.why] == []
    assert [name for name, why in NOT_ASKED.items() if "(" not in why] == []


def test_the_page_says_what_the_ledger_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/peer-cases.md has drifted: make peer-cases"


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"),
    [
        ({"a": 16.0}, {"a": 16.0}, Verdict.EQUAL), ({"a": 15.4}, {"a": 15.0}, Verdict.WHOLE),
        ({"a": 15.4}, {"a": 14.0}, Verdict.DIFFERENT), ({"a": True}, {"a": 1.0}, Verdict.DIFFERENT),
        ({"a": 1.0}, {"b": 1.0}, Verdict.DIFFERENT), ({"a": None}, {"a": 0.0}, Verdict.DIFFERENT),
    ],
)  # fmt: skip
def test_verdicts(
    theirs: dict[str, float | bool | None], ours: dict[str, float | bool | None], verdict: Verdict
) -> None:
    case: Case = {"kind": "allocation", "expected": {}}
    assert judge(case, theirs, ours) is verdict


def test_a_row_is_full_to_a_millionth_of_an_ampere() -> None:
    case = {**CASES["AC-08"], "expected": {"ok_a": 50.0000009, "not_ok_a": 50.0000011}}
    theirs, ours = tolerance(case)
    assert ours == theirs
