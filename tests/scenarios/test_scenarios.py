"""Every ledger of this folder, and proof that a ledger can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.ledger import LedgerError, run

LEDGERS = sorted(Path(__file__).parent.glob("*.yaml"))


@pytest.mark.parametrize("path", LEDGERS, ids=[path.stem for path in LEDGERS])
def test_the_ledger_comes_out_as_written(path: Path) -> None:
    assert run(path) == []


BOOK = """
name: one car
site:
  collectors: [{id: grid, rated_current_a: 40}]
  connectors: [{id: a1, collector: grid}]
timeline:
  - {at: 1, plug: {a1: {}}}
"""


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("  - {at: 5, expect_a: {a1: 7}}", "told 6 A, expected 7"),
        ("  - {at: 5, because: {a1: row grid L1}}", "because of 'ramp'"),
        ("  - {at: 5, load_a: {grid: 50}}\n  - {at: 20, expect_a: {a1: 0}}", "above its rating"),
    ],
)
def test_a_ledger_that_is_not_fulfilled_says_where(tmp_path: Path, lines: str, complaint: str) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(BOOK + lines)
    wrong = run(path)
    assert len(wrong) == 1
    assert complaint in wrong[0]


def test_a_word_that_nobody_knows_is_an_error_not_silence(tmp_path: Path) -> None:
    path = tmp_path / "book.yaml"
    path.write_text(BOOK + "  - {at: 5, expct_a: {a1: 7}}")
    with pytest.raises(LedgerError, match="expct_a"):
        run(path)
