"""`busbar target`, `mode` and `advice`: what they refuse, and whose word holds (SPC-8, SPC-9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from busbar.cli import advice, app, mode, power_test, target
from busbar.cli.slots import Series, power_w
from busbar.cli.standing import holding
from busbar.cli.times import left_text
from busbar.config.load import load_site
from busbar.events import (
    Advice,
    AdviceSlot,
    AssetMode,
    CollectorTarget,
    FoundPower,
    PowerTest,
    PowerTestResult,
    PowerTestState,
)
from busbar.events.limit import PowerSlot
from scenarios.world import site_of
from unit.allocator_sites import PACKAGES

DEMO = str(Path(__file__).parents[2] / "examples" / "demo.yaml")
SITE = load_site(Path(DEMO))
ZONE = ZoneInfo("Europe/Brussels")
NOW_MS = 1_700_000_000_000
MIN_MS = 60_000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["target", "set", "grid"], "name --import-w or --export-w, or a series"),
        (["target", "set", "grid", "5000"], "'5000' says no direction"),
        (["target", "set", "grid", "--import-w", "-5"], "--import-w -5 is no target"),
        (["target", "set", "grid", "--import-w", "5", "--export-w", "5"], "contradict each other"),
        (["target", "set", "grid", "--at", "14:00"], "--at '14:00': write TIME=POWER"),
        (["target", "set", "grid", "--at", "14:00=50 k"], "'50 k' is no power"),
        (["target", "set", "grid", "--at", "2 pm=50kW"], "'2 pm' is no time"),
        (["target", "set", "grid", "--at", "14:00=50kW", "--at", "14:00=5kW"], "another entry starts at the same time"),
        (["target", "set", "grid", "--slots", "nowhere.csv"], "nowhere.csv: cannot be read: No such file"),
        (["target", "set", "grid", "--slots", "a.txt"], "ends in .csv or .json"),
        (["target", "set", "a1", "--import-w", "5"], "no collector 'a1': name one of grid"),
        (["target", "release", "a1"], "no collector 'a1'"),
        (["mode", "set", "a1", "auto"], "no mode 'auto': name one of rule, manual, advice"),
        (["mode", "set", "a1", "manual"], "a1 is set by hand with --current-a"),
        (["mode", "set", "a1", "manual", "--power-w", "5000"], "a1 is set by hand with --current-a"),
        (["mode", "set", "a1", "manual", "--current-a", "3"], "--current-a 3: give 0 (off) or 6 to 32 A"),
        (["mode", "set", "a1", "manual", "--current-a", "33"], "give 0 (off) or 6 to 32 A"),
        (["mode", "set", "a1", "manual", "--current-a", "nan"], "give 0 (off) or 6 to 32 A"),
        (["mode", "set", "pv", "manual", "--power-w", "-20001"], "give at most 20000 W"),
        (["mode", "set", "pv", "manual", "--power-w", "inf"], "give at most 20000 W"),
        (["mode", "set", "pv", "manual", "--current-a", "6"], "pv is set by hand with --power-w"),
        (["mode", "set", "a1", "rule", "--current-a", "6"], "mode rule takes no setpoint"),
        (["mode", "set", "grid", "rule"], "no asset 'grid': name one of a1"),
        (["mode", "set", "a1", "rule", "--for", "1h", "--until", "18:00"], "--for and --until"),
        (["advice", "set", "a1"], "name --power-w, or a series"),
        (["advice", "set", "a1", "--power-w", "nan"], "--power-w nan is no power"),
        (["advice", "set", "a1", "--power-w", "5", "--source", "site"], "--source 'site'"),
        (["advice", "release", "nowhere"], "no asset 'nowhere'"),
        (["power-test", "start", "pv"], "no connector 'pv': name one of a1"),
        (["power-test", "stop", "nowhere"], "no connector 'nowhere'"),
        (["power-test", "start", "a1", "--for", "soon"], "--for 'soon' is no duration"),
        (["power-test", "start", "a1", "--for", "5m", "--until", "18:00"], "--for and --until"),
    ],
)
def test_what_cannot_be_is_refused_in_words_with_the_remedy(words: list[str], says: str) -> None:
    result = CliRunner().invoke(app, [*words, "--site", DEMO])
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["target", "set", "grid", "--import-w", "1"], ["target", "show"], ["target", "release", "grid"],
        ["mode", "set", "a1", "rule"], ["mode", "show"], ["mode", "release", "a1"],
        ["advice", "set", "a1", "--power-w", "1"], ["advice", "show"], ["advice", "release", "a1"],
        ["power-test", "start", "a1"], ["power-test", "show"], ["power-test", "stop", "a1"],
    ],
)  # fmt: skip
def test_without_a_bus_each_ends_with_1_and_says_so(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--site", DEMO, "--nats", "nats://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


# -- series


@pytest.mark.parametrize(
    ("text", "expected"), [("50kW", 50e3), ("-3.5 kW", -3500.0), ("5000", 5e3), ("+1W", 1.0), ("0", 0.0), ("2MW", 2e6)]
)
def test_a_power_has_a_unit_or_is_in_watts(text: str, expected: float) -> None:
    assert power_w(text, "--at") == expected


def test_a_series_of_options_and_file_is_in_order_and_in_the_time_of_the_site(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("start,power_w\n1700000000000,5000\n2023-11-14T23:45,-2.5e3\n")
    series = Series(["23:30=1kW"], file, ZONE)
    assert [(start - NOW_MS, watts) for start, watts, _ in series.slots(NOW_MS)] == [
        (0, 5000.0), (16 * MIN_MS + 40_000, 1000.0), (31 * MIN_MS + 40_000, -2500.0),
    ]  # fmt: skip


@given(st.dictionaries(st.integers(10**9, 10**14), st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_csv_and_json_say_the_same(tmp_path_factory: pytest.TempPathFactory, slots: dict[int, float]) -> None:
    folder = tmp_path_factory.mktemp("slots")
    (folder / "a.json").write_bytes(orjson.dumps([{"start": s, "power_w": p} for s, p in slots.items()]))
    (folder / "a.csv").write_text("power_w,start\n" + "".join(f"{p!r},{s}\n" for s, p in slots.items()))
    read = [[(s, p) for s, p, _ in Series(None, folder / f"a.{x}", ZONE).slots(NOW_MS)] for x in ("json", "csv")]
    assert read[0] == read[1] == sorted(slots.items())


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "time,power\n", "line 1: name the columns"),
        ("a.csv", "", "line 1: name the columns"),
        ("a.csv", "start,power_w\n", "no entry in it"),
        ("a.csv", "start,power_w\n14:00,much\n", "line 2: power_w 'much' is no power"),
        ("a.csv", "start,power_w\n14:00\n", "line 2: `start` and `power_w` are both needed"),
        ("a.csv", "start,power_w\nnoon,1\n", "line 2 'noon' is no time"),
        ("a.json", "{", "no JSON"),
        ("a.json", "{}", "give a list"),
        ("a.json", '[{"start": -1, "power_w": 1}]', "entry 1: start -1 is no time"),
        ("a.json", '[{"start": "14:00", "power_w": true}]', "entry 1: power_w True is no power"),
        ("a.json", "[5]", "entry 1: `start` and `power_w` are both needed"),
    ],
)
def test_a_bad_file_is_refused_with_line_and_field(tmp_path: Path, name: str, text: str, says: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    result = CliRunner().invoke(app, ["advice", "set", "a1", "--slots", str(file), "--site", DEMO])
    assert result.exit_code == 2
    assert says in result.stderr


# -- whose word holds


def of_target(source: str, power: float, *slots: tuple[int, float], **more: Any) -> CollectorTarget:
    series = tuple(PowerSlot(start_ms=NOW_MS + at, power_w=watts) for at, watts in slots)
    return CollectorTarget(collector="grid", source=source, power_w=power, slots=series, published_at_ms=NOW_MS, **more)


def test_spc_8_the_target_of_the_grid_operator_holds_before_that_of_an_optimiser_and_of_a_person() -> None:
    targets = [
        of_target("cli", 1.0), of_target("gateway", -5000.0, (-1, 3000.0), (MIN_MS, 0.0)),
        of_target("pcu", 9.0, released=True), of_target("schedule", 0.0, until_ms=NOW_MS),
    ]  # fmt: skip
    rows = target.standing(SITE, holding(targets, NOW_MS), NOW_MS)
    assert [(row.source, row.cells, row.data["holds"]) for row in rows] == [
        ("cli", ("import 1 W", ""), False),
        ("gateway", ("import 3000 W <", "import 0 W at 2023-11-14 23:14"), True),
    ]


def of_advice(source: str, given_ms: int, until_ms: int, *slots: tuple[int, float]) -> Advice:
    series = tuple(AdviceSlot(start_ms=NOW_MS + at, power_w=watts) for at, watts in slots)
    return Advice(
        asset="a1", source=source, slots=series, until_ms=NOW_MS + until_ms, published_at_ms=NOW_MS + given_ms
    )


def test_spc_9_of_an_asset_the_newest_advice_holds_and_what_is_silent_is_not_shown() -> None:
    advices = [
        of_advice("cli", -5 * MIN_MS, 55 * MIN_MS, (0, 7000.0)), of_advice("gateway", -MIN_MS, MIN_MS, (1, 0.0)),
        of_advice("old", -20 * MIN_MS, 40 * MIN_MS, (0, 1.0)),
    ]  # fmt: skip
    rows = advice.standing(SITE, holding(advices, NOW_MS), NOW_MS)
    assert [(row.source, row.cells[0], row.until_ms) for row in rows] == [
        ("cli", "7000 W", NOW_MS + 15 * MIN_MS),
        ("gateway", "nothing yet <", NOW_MS + MIN_MS),
    ]


def test_spc_9_modes_are_shown_with_their_setpoint() -> None:
    modes = [
        AssetMode(asset="b1", source="page", mode="manual", current_a=0.0, published_at_ms=0),
        AssetMode(asset="a1", source="cli", mode="rule", until_ms=NOW_MS + 1, published_at_ms=0),
    ]
    rows = mode.standing(SITE, holding(modes, NOW_MS), NOW_MS)
    assert [(row.name, row.cells) for row in rows] == [("a1", ("rule", "")), ("b1", ("manual", "0 A"))]


@pytest.mark.parametrize(
    ("left_ms", "text"), [(-5, "0 s"), (1, "1 s"), (59_001, "1 min"), (3_599_000, "59 min"), (7_500_000, "2 h 05 min")]
)
def test_the_time_left_is_said_as_people_do(left_ms: int, text: str) -> None:
    assert left_text(left_ms) == text


@pytest.mark.parametrize(
    ("current_a", "power_w", "says"),
    [
        (None, 20_000.0, ""),
        (32.0, None, "d0 is set by hand with --power-w"),
        (None, 60_000.0, "give at most 50000 W"),
    ],
)
def test_spc_11_a_dc_point_is_set_by_hand_in_w(
    current_a: float | None, power_w: float | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connector = {"id": "d0", "collector": "grid", "package": "dc", "max_w": 50_000}
    site = site_of([{"id": "grid", "rated_current_a": 250}], [connector], packages=PACKAGES)
    entity = next(one for one in site.connectors if one.id == "d0")
    refused = False
    try:
        mode._check_by_hand(entity, "manual", current_a, power_w)
    except typer.Exit:
        refused = True
    assert refused is bool(says)
    assert says in capsys.readouterr().err


# -- power tests


def test_spc_10_show_says_how_far_a_test_is_and_what_it_found() -> None:
    found = FoundPower(min_current_a=6.0, max_current_a=16.1, min_power_w=1380.0, max_power_w=3703.0, phases=("L1",))
    says = FoundPower(min_power_w=5000.0, max_power_w=50_000.0, measured=False)
    result = PowerTestResult(
        connector="a1", source="cli", author="", ordered_at_ms=NOW_MS, until_ms=NOW_MS + 5 * MIN_MS, state="running",
        asked_current_a=20.0, vehicle=found.model_copy(update={"at_least": True}), charge_point=says,
        published_at_ms=NOW_MS, lifetime_ms=60_000,
    )  # fmt: skip
    over = result.model_copy(update={"connector": "a2", "state": PowerTestState.NO_ROOM, "vehicle": None})
    order = PowerTest(connector="a3", source="page", until_ms=NOW_MS + 5 * MIN_MS, published_at_ms=NOW_MS)
    rows = power_test.table(SITE, [order], [over, result], NOW_MS)
    assert [row.cells[:3] for row in rows] == [
        ("runs, 20 A, 5 min left", "6 to 16.1 A on L1, 1.4 to 3.7 kW at least", "5.0 to 50.0 kW (its package says)"),
        ("not enough room for more, 20 A", "unknown", "5.0 to 50.0 kW (its package says)"),
        ("ordered: the allocator has not taken it up", "", ""),
    ]
    assert power_test.under_way([order], []) == {"a3"}
    again = PowerTest(connector="a2", source="cli", until_ms=NOW_MS + 1, published_at_ms=NOW_MS)
    assert power_test.under_way([again], [over]) == set()
