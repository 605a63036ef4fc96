"""`busbar limit`: what it refuses, and which limit is the tightest (algorithms.md, Limits)."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from busbar.cli import app
from busbar.cli.limit import standing
from busbar.cli.standing import holding
from busbar.config.load import load_site
from busbar.config.model import SiteFile
from busbar.config.site import compile_site
from busbar.events import CollectorLimit

DEMO = str(Path(__file__).parents[2] / "examples" / "demo.yaml")
NOW_MS = 1_000_000
SITE = load_site(Path(DEMO))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["grid", "5000"], "'5000' says no direction"),
        (["grid", "-5000"], "'-5000' says no direction"),
        (["grid", "0"], "'0' says no direction"),
        (["grid", "--imort-w", "5"], "unknown argument '--imort-w'"),
        (["grid"], "name --import-w, --export-w or both"),
        (["grid", "--import-w", "-1"], "--import-w -1 is no limit"),
        (["grid", "--export-w", "nan"], "--export-w nan is no limit"),
        (["grid", "--export-w", "inf"], "--export-w inf is no limit"),
        (["nowhere", "--import-w", "1"], "no collector 'nowhere': name one of grid"),
        (["grid", "--import-w", "1", "--source", "a.b"], "--source 'a.b'"),
        (["grid", "--import-w", "1", "--source", "site"], "--source 'site'"),
        (["grid", "--import-w", "1", "--author", "a" * 101], "--author 'aaaaaaaaaa"),
        (["grid", "--import-w", "1", "--for", "2"], "--for '2' is no duration"),
        (["grid", "--import-w", "1", "--for", "2h", "--until", "18:00"], "--for and --until"),
    ],
)
def test_set_refuses_in_words_with_the_remedy(words: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["limit", "set", *words, "--site", DEMO])
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("words", [["set", "grid", "--import-w", "1"], ["show"], ["release", "grid"]])
def test_without_a_bus_it_ends_with_1_and_says_so(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["limit", *words, "--site", DEMO, "--nats", "nats://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


def limit(source: str, import_w: float | None, export_w: float | None = None, **more: object) -> CollectorLimit:
    return CollectorLimit.model_validate(
        {"collector": "grid", "source": source, "import_limit_w": import_w, "export_limit_w": export_w,
         "published_at_ms": 1, **more}
    )  # fmt: skip


def test_the_tightest_of_those_that_hold_is_marked_in_each_direction() -> None:
    limits = [
        limit("page", 5000.0, 0.0), limit("cli", 3000.0), limit("pcu", 3000.0, 10.0),
        limit("over", 0.0, until_ms=NOW_MS), limit("gone", 0.0, released=True),
        limit("cli", 9000.0, collector="sub"),
    ]  # fmt: skip
    rows = standing(SITE, holding(limits, NOW_MS), NOW_MS)
    assert [(row.name, row.source, row.data["tightest"]) for row in rows if row.source != "site"] == [
        ("grid", "cli", ["import"]),
        ("grid", "page", ["export"]),
        ("grid", "pcu", ["import"]),
        ("sub", "cli", ["import"]),
    ]


def test_what_the_site_file_limits_is_shown_beside_and_may_be_the_tightest() -> None:
    body = SITE.file.model_dump(exclude_unset=True)
    body["collectors"][0] |= {"power_limit_w": 40_000, "power_limit_va": 30_000, "export_limit_w": 0}
    site = compile_site(SiteFile.model_validate(body))
    rows = standing(site, [limit("cli", 35_000.0, 5.0)], NOW_MS)
    name = site.collectors[0].id
    assert [(row.name, row.source, row.cells) for row in rows if row.name == name] == [
        (name, "cli", ("35000 W", "5 W")),
        (name, "site", ("30000 W <", "0 W <")),
    ]
