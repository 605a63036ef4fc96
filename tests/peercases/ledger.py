"""The ledger of the peer cases: for each what came out against theirs, and why where our rule is another one.

`docs/peer-cases.md` is made from it: `python tests/peercases/ledger.py --write` (make peer-cases).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("libs", "services", "tests")]

from peercases.questions import Answer, Numbers, ask
from peercases.translate import Case

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "peer_allocation_cases.json"
PAGE = ROOT / "docs" / "peer-cases.md"
STEP_A, VOLTS = 1.0, 230.0


class Verdict(StrEnum):
    EQUAL = "equal"
    WHOLE = "equal, in whole amperes"
    DIFFERENT = "different"


@dataclass(frozen=True)
class Entry:
    verdict: Verdict
    why: str = ""


_WHOLE = Entry(Verdict.WHOLE, "setpoints are whole amperes: that is what every charger can be told (SPC-3, step C)")
_CREDIT = (
    "generation counts only as far as its sudden loss would leave at most 1.25 x the rating: an inverter trips in "
    "20 ms, a vehicle takes seconds (algorithms.md, Uncontrollable load)"
)
LEDGER: dict[str, Entry] = {
    "EV-01": Entry(Verdict.EQUAL),
    "EV-03": Entry(Verdict.EQUAL, "what they book for the idle one is our dynamic reserve (SPC-5)"),
    "EV-06": Entry(Verdict.EQUAL),
    "EV-08": Entry(Verdict.EQUAL),
    "EV-10": _WHOLE,
    "EV-11": Entry(Verdict.EQUAL),
    "EV-16": Entry(Verdict.EQUAL, "how they get there is another matter: 5 kW, then measured + 7 kW (SPC-11)"),
    "EV-18": Entry(Verdict.EQUAL, "before rounding; told are 30 A"),
    "EV-15": Entry(Verdict.EQUAL, "as a battery: vehicles do not feed in yet (SPC-13, SPC-22)"),
    "VC-02": Entry(Verdict.EQUAL),
    "VC-03": Entry(Verdict.EQUAL),
    "VC-05": Entry(Verdict.EQUAL),
    "VC-08": Entry(Verdict.EQUAL, "after 120 s down, 60 s up, and no sooner than the dwell (SPC-20)"),
    "VC-07": Entry(
        Verdict.WHOLE, f"{_WHOLE.why}; 0, which means no limit to them, is a real limit to us (SPC-7)"
    ),
    "VC-10": Entry(Verdict.EQUAL, "priorities of connectors, before rounding (SPC-24)"),
    "VC-12": Entry(Verdict.EQUAL, "a fallback ends with its cause, never with time (FB-2)"),
    "VC-13": Entry(
        Verdict.DIFFERENT,
        "a fallback ends with its cause: the jump that their 120 s avoid is avoided by the ramp of 1 A a minute "
        "(SPC-4, FB-5); a limit stands until released, whatever becomes of its source (SPC-7)",
    ),
    "OE-01": Entry(Verdict.DIFFERENT, _CREDIT),
    "OE-03": Entry(Verdict.DIFFERENT, _CREDIT),
    "OE-06": Entry(Verdict.EQUAL),
    "OE-08": Entry(Verdict.DIFFERENT, _CREDIT),
    "OE-09": _WHOLE,
    "OE-11": Entry(Verdict.WHOLE, f"{_WHOLE.why}; the way there is 1 A a minute, not 3 % a second (SPC-4)"),
    "OE-13": Entry(
        Verdict.DIFFERENT,
        "a car that is set by hand is not ramped, but shares like all others: by hand is an upper bound (SPC-2, SPC-9)",
    ),
    "OE-16": Entry(Verdict.EQUAL),
    "OE-04": Entry(Verdict.EQUAL),
    "OE-18": Entry(Verdict.EQUAL),
    "OE-19": Entry(Verdict.WHOLE, "setpoints in W are steps of 10 W, towards 0 (docs/decisions/0010)"),
    "OE-21": Entry(Verdict.WHOLE, "setpoints in W are steps of 10 W, towards 0 (docs/decisions/0010)"),
    "OE-23": Entry(
        Verdict.DIFFERENT,
        "they go 20 % a cycle both ways; ours is where that ends, at once: what is too much is curtailed in one cycle, "
        "a fuse does not wait (SPC-12)",
    ),
    "OE-24": Entry(Verdict.WHOLE, "the same way at once, where they go 20 % a cycle; the worst phase decides (SPC-12)"),
    "OE-26": Entry(Verdict.WHOLE, "no filter: the battery gives what lacks in the next cycle (SPC-13)"),
    "AC-02": Entry(Verdict.EQUAL, "they assert no more than that it is feasible; ours are 20 A each (SPC-2)"),
    "AC-03": Entry(
        Verdict.DIFFERENT,
        "minima that do not fit are no error: one goes on, the other is paused, and on the quarter of an hour the "
        "order is made anew (SPC-3)",
    ),
    "AC-05": Entry(
        Verdict.DIFFERENT,
        "a maximum below the minimum means 0: nothing is told above the one or below the other (SPC-3)"
    ),
    "AC-08": Entry(
        Verdict.DIFFERENT, "tolerance of every row is 1e-6 A, absolute: far below any step, far above rounding errors"
    ),
}  # fmt: skip
"""What came of each case that was put to us."""

NOT_ASKED: dict[str, str] = {
    "EV-05": "vehicles do not feed in: bidirectional charging is modelled, and controlled later (SPC-22)",
    "EV-13": "vehicles do not feed in: bidirectional charging is modelled, and controlled later (SPC-22)",
    "OE-14": "the case does not say which car is forced, and without that there is no answer (SPC-9)",
    "AC-07": "its network has no neutral, vehicles stand between two conductors (it_230): the site check refuses that",
}
"""Why the other cases cannot be put to us."""


def cases() -> list[Case]:
    found: list[Case] = json.loads(DATA.read_text(encoding="utf-8"))["cases"]
    return found


@cache
def answer(name: str) -> Answer:
    """Theirs and ours."""
    return ask(next(case for case in cases() if case["id"] == name))


def judge(case: Case, theirs: Numbers, ours: Numbers) -> Verdict:
    """Equal to 0.001 %, or within one whole ampere on every phase that is in use."""
    if theirs.keys() != ours.keys():
        return Verdict.DIFFERENT
    pairs = [(theirs[key], ours[key]) for key in theirs]
    if all(_same(a, b) for a, b in pairs):
        return Verdict.EQUAL
    words = json.dumps(case["expected"])
    watts = "_w" in words or "power" in words
    step = STEP_A * (3 * VOLTS if watts else 1.0)
    whole = all(_number(a) and _number(b) and abs(float(a or 0) - float(b or 0)) <= step for a, b in pairs)
    return Verdict.WHOLE if whole else Verdict.DIFFERENT


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(a: Any, b: Any) -> bool:
    return bool(abs(a - b) <= 1e-5 * max(1.0, abs(a))) if _number(a) and _number(b) else a is b


def row(case: Case) -> str:
    """One line of the table."""
    name = f"{case['id']} {case['description']}".replace("|", "/").rstrip(".")
    source = f"{case['source']['project'].split('@')[0]} {case['source']['path'].rsplit('/', 1)[-1]}"
    if case["id"] in NOT_ASKED:
        return f"| {name} | {source} | | not asked: {NOT_ASKED[case['id']]} | |"
    theirs, ours = answer(case["id"])
    entry = LEDGER[case["id"]]
    why = f": {entry.why}" if entry.why else ""
    return f"| {name} | {source} | {_words(theirs)} | {_words(ours)} | {entry.verdict}{why} |"


def _words(numbers: Numbers) -> str:
    return "; ".join(f"{key}: {_word(value)}" for key, value in numbers.items()) or "nothing"


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.6g}"


def page() -> str:
    found = cases()
    counts = {verdict: sum(entry.verdict is verdict for entry in LEDGER.values()) for verdict in Verdict}
    said = "; ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return "\n".join(
        [
            "# Cases of other projects",
            "",
            "What EVerest, evcc, OpenEMS and acnportal assert in their own tests, put to our allocator. Made by",
            "`make peer-cases` from `tests/peercases/ledger.py`; a test asks every case again and compares this page.",
            "How a case becomes a site and a question stands in `tests/peercases/translate.py` and `questions.py`:",
            "nothing there knows a case by its name. Setpoints are those of the steady state; A per phase, or W.",
            "",
            f"{len(found)} cases: {said}; {len(NOT_ASKED)} not asked.",
            "",
            "| case | theirs in | theirs | ours | verdict, and why |",
            "|---|---|---|---|---|",
            *(row(case) for case in found),
            "",
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())
