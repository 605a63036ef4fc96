"""The whole demo site in virtual time: real actors, driver and codec (OPS-3, failure.md, algorithms.md 8)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, time
from functools import lru_cache
from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.config.plan import fallback_plan
from busbar.sim.simulation import Record, Run, simulate
from busbar.sim.trouble import Fault, Incident, incidents

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"
DAY = date(2019, 9, 11)
NOON = time(13, 0)
ALLOCATOR = "spc-allocator:main"


@lru_cache
def demo() -> Run:
    return Run(load_site(DEMO), DAY, seed=1, duration_s=240.0, start=NOON)


def limits_a(trace: str, second: int) -> dict[str, float]:
    """Current that each device offers at one second, from the twin's own line in the trace."""
    line = next(line for line in trace.splitlines() if line.startswith(f"{second} "))
    return {part.split(":")[0]: float(part.split(":")[2]) for part in line.split() if part.count(":") == 3}


def traced(run: Run) -> tuple[Record, str]:
    out = io.StringIO()
    return simulate(run, trace=out), out.getvalue()


def test_the_same_seed_gives_the_same_trace_under_another_hash_seed() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from integration.test_simulation import demo; from busbar.sim.simulation import simulate;"
        "print(simulate(demo()).trace_hash)"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parents[1])], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": str(number)},
        ).stdout.strip()
        for number in (0, 4711)
    }  # fmt: skip
    assert hashes == {simulate(demo()).trace_hash}


def test_another_seed_gives_another_trace() -> None:
    short = replace(demo(), duration_s=30.0)
    assert simulate(short).trace_hash != simulate(replace(short, seed=2)).trace_hash


def test_events_survive_the_wire_unchanged() -> None:
    assert simulate(replace(demo(), wire=True)).trace_hash == simulate(demo()).trace_hash


def test_vehicles_get_more_as_the_ramp_allows_and_every_fuse_holds() -> None:
    record, trace = traced(replace(demo(), duration_s=600.0))
    assert record.twin.judge.ok
    assert record.bugs == []
    early, late = limits_a(trace, 60), limits_a(trace, 599)
    assert sum(late.values()) > sum(early.values()) + 10


@pytest.mark.parametrize("away_s", [0.3, 2.0, 4.5])
def test_an_allocator_back_within_five_seconds_moves_no_connector(away_s: float) -> None:
    kill = Incident(100.0, Fault.CRASH, ALLOCATOR, away_s)
    _, undisturbed = traced(replace(demo(), duration_s=160.0))
    record, trace = traced(replace(demo(), duration_s=160.0, planned=(kill,)))
    assert record.restarts == {ALLOCATOR: 1}
    before = limits_a(undisturbed, 99)
    for second in range(100, 112):
        now = limits_a(trace, second)
        for name, value in limits_a(undisturbed, second).items():
            # a ramp step due in these seconds may come a little later; nothing else may differ
            assert min(before[name], value) <= now[name] <= max(before[name], value), f"{name} at {second} s"
    assert limits_a(trace, 159).keys() == before.keys()


def test_an_allocator_gone_for_31_seconds_puts_all_at_the_fallback_plan_and_recovers() -> None:
    run = replace(demo(), duration_s=240.0, planned=(Incident(60.0, Fault.CRASH, ALLOCATOR, 45.0),))
    record, trace = traced(run)
    plan = fallback_plan(run.site).value_a
    held, fallen = limits_a(trace, 80), limits_a(trace, 104)
    before = limits_a(trace, 59)
    assert all(held[name] <= before[name] for name in before), "hold never raises"
    assert all(fallen[name] in (0.0, plan[name]) for name in plan), fallen
    assert any(limits_a(trace, second)[name] > plan[name] for second in (220, 239) for name in plan)
    assert record.twin.judge.ok


@pytest.mark.parametrize(
    "service", ["collector-aggregator:main", "fallback-watchdog:main", "field-driver-modbus:modbus-1"]
)
def test_any_service_killed_for_seconds_raises_nothing_and_trips_nothing(service: str) -> None:
    run = replace(demo(), duration_s=150.0, planned=(Incident(90.0, Fault.CRASH, service, 3.0),))
    record, trace = traced(run)
    before = limits_a(trace, 89)
    for second in range(90, 100):
        now = limits_a(trace, second)
        assert all(now[name] <= before[name] + 1.0 for name in before), f"at {second} s"
        assert all(now[name] >= before[name] - 1.0 for name in before), f"at {second} s"
    assert record.twin.judge.ok
    assert record.bugs == []


def test_a_silent_meter_binds_what_hangs_below_it_after_its_timeout() -> None:
    run = replace(demo(), duration_s=540.0, planned=(Incident(130.0, Fault.STALE, "sdm-parking", 80.0),))
    record, trace = traced(run)
    before, late = limits_a(trace, 129), limits_a(trace, 200)
    assert max(before.values()) > 6.0
    assert set(late.values()) == {0.0}, "the car park's own rule: disable"
    assert any(value >= 6.0 for value in limits_a(trace, 539).values()), "and back by itself, five minutes after"
    assert record.twin.judge.ok


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lost_messages_silent_meters_and_crashes_trip_no_fuse(seed: int) -> None:
    run = replace(demo(), seed=seed, duration_s=900.0, faults=tuple(Fault))
    record = simulate(run)
    assert record.twin.judge.ok, "\n".join(str(finding) for finding in record.twin.judge.findings() if not finding.ok)
    assert record.bugs == []


def test_incidents_of_one_kind_do_not_depend_on_the_others() -> None:
    alone = incidents((Fault.CRASH,), 5, 86_400.0, ["m"], ["a", "b"])
    together = incidents((Fault.STALE, Fault.CRASH), 5, 86_400.0, ["m"], ["a", "b"])
    assert [i for i in together if i.kind is Fault.CRASH] == list(alone)
    assert len(alone) > 10


def test_the_command_judges_and_prints_json_for_programs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "busbar", "simulate", str(DEMO), "--hours", "0.05", "--start", "13:00", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["held"] is True
    assert {row["collector"] for row in result["fuses"]} == {"grid", "roof", "parking", "row-a", "row-b"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--day", "yesterday"], "2019-09-11"), (["--fault", "flood"], "stale"), (["--start", "noon"], "13:30")],
)
def test_bad_options_are_refused_with_the_remedy(arguments: list[str], word: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "busbar", "simulate", str(DEMO), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr
