"""`busbar simulate --fast`: agrees with the exact mode, holds fuses, compares what-ifs, refuses what makes no sense."""

from __future__ import annotations

import json
from datetime import date
from datetime import time as clocktime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from busbar.cli import app
from busbar.config.load import load_site
from busbar.config.site import Site
from busbar.sim.simulation import Run, simulate
from busbar.sim.stepped import StepRun, step_through

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"
DAY = date(2019, 9, 11)


@pytest.fixture(scope="module")
def demo() -> Site:
    return load_site(DEMO)


def test_the_exact_mode_and_the_fast_mode_charge_the_same_energy(demo: Site) -> None:
    """Within a percent at equal steps; the first half hour is all ramps, which steps of ten seconds blur most.

    The whole day: docs/benchmarks.md."""
    start = clocktime(11)
    exact_wh = sum(simulate(Run(demo, DAY, 1, 1800.0, start)).charged_wh.values())
    fine_wh, coarse_wh = (
        sum(step_through(StepRun(demo, DAY, 1, 1800.0, step_s, start)).charged_wh.values()) for step_s in (1.0, 10.0)
    )
    assert exact_wh > 5000.0
    assert fine_wh == pytest.approx(exact_wh, rel=0.01)
    assert coarse_wh == pytest.approx(exact_wh, rel=0.03)


@pytest.mark.parametrize("step_s", [5.0, 10.0])
def test_a_day_holds_every_fuse_and_repeats(demo: Site, step_s: float) -> None:
    run = StepRun(demo, DAY, 3, 2 * 3600.0, step_s, clocktime(9))
    first, again = step_through(run), step_through(run)
    assert first.held
    assert first.charged_wh == again.charged_wh
    assert sum(first.charged_by_day_wh) == pytest.approx(sum(first.charged_wh.values()))


def test_energy_of_the_quarters_is_the_energy_of_the_meters(demo: Site) -> None:
    record = step_through(StepRun(demo, DAY, 1, 2 * 3600.0, start=clocktime(9)))
    assert sum(q.charging_w for q in record.quarters) / 4.0 == pytest.approx(sum(record.charged_wh.values()), rel=0.02)


def test_close_to_a_limit_the_step_is_a_second(demo: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = StepRun(demo, DAY, 1, 1800.0, start=clocktime(11))
    far = step_through(run)
    monkeypatch.setattr("busbar.sim.stepped.FINE_ABOVE", 0.95 * max(q.utilisation["parking"] for q in far.quarters))
    close = step_through(run)
    assert (far.fine_steps, far.steps) == (0, 180)
    assert 100 < close.fine_steps < close.steps < 1800


def test_bad_steps_are_refused(demo: Site) -> None:
    with pytest.raises(ValueError, match="from 1 to 10 s"):
        step_through(StepRun(demo, DAY, 1, 3600.0, 11.0))


def cli(*args: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["simulate", str(DEMO), "--hours", "1", *args])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_compares_and_writes_a_page(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    code, out, _ = cli("--fast", "--what-if", "fuse.grid=250", "--report", str(report), "--json")
    found = json.loads(out)
    assert code == 0
    assert [run["name"] for run in found] == ["as it is", "with fuse.grid=250"]
    assert {f["limit"] for f in found[1]["fuses"] if f["collector"] == "grid" and f["what"] == "L1"} == {250.0}
    text = report.read_text()
    assert "with fuse.grid=250" in text
    assert text.count("<svg") == 2
    assert "NOT HELD" not in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--what-if", "fuse.grid=250"), "add --fast"),
        (("--fast", "--wire"), "--wire cannot be used with --fast"),
        (("--fast", "--what-if", "fuse.grd=250"), "did you mean 'grid'"),
        (("--fast", "--what-if", "fuse.grid=much"), "is no value"),
        (("--fast", "--what-if", "colour.grid=1"), "choose from fuse"),
        (("--fast", "--what-if", "grid=1"), "KIND.NAME=VALUE"),
        (("--fast", "--what-if", "fuse.grid=-1"), "rated_current_a"),
        (("--fast", "--what-if", "option.ramp_a_per_min=2"), "ramp_a_per_min"),
        (("--fast", "--report", "/nowhere/report.html"), "does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(args: tuple[str, ...], words: str) -> None:
    code, _, err = cli(*args)
    assert code == 2
    assert words in " ".join(err.replace("│", " ").split())
