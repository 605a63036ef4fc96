"""The fast charger of the depot through all of Busbar: allocator, driver, frames, registers, physics (SPC-11)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.sim.simulation import Record, Run, simulate
from busbar.sim.stepped import StepRun, step_through
from busbar.sim.trouble import Fault, Incident

DEPOT = load_site(Path(__file__).parents[2] / "examples" / "depot.yaml")
DAY, ELEVEN = date(2019, 9, 11), time(11)


class Story:
    """One run with its trace: what was told, and what flowed each second."""

    def __init__(self, seconds: float, *planned: Incident) -> None:
        trace = io.StringIO()
        self.record: Record = simulate(Run(DEPOT, DAY, 1, seconds, ELEVEN, planned=planned), trace=trace)
        self.told_w: list[tuple[float, float]] = []
        """(time, setpoint of q1)."""
        self.dc_w: dict[int, float] = {}
        """What reached the vehicle, by second."""
        for line in trace.getvalue().splitlines():
            when, _, rest = line.partition(" ")
            if rest.startswith("busbar.") and ".setpoint." in rest.split()[0] and rest.split()[0].endswith(".q1"):
                self.told_w.append((float(when), json.loads(rest.partition(" ")[2])["power_w"]))
            elif " q1:" in rest:
                self.dc_w[int(when)] = float(rest.partition(" q1:")[2].split()[0].split(":")[2])

    def changes(self) -> Iterator[float]:
        """Setpoints of q1, each once."""
        last = None
        for _, power_w in self.told_w:
            if power_w != last:
                yield power_w
            last = power_w


def ac_w(dc_w: float) -> float:
    return dc_w / 0.95 + 100.0


def test_spc_11_5_kw_until_the_vehicle_charges_then_7_kw_above_what_it_draws_up_to_the_maximum() -> None:
    story = Story(120.0)
    assert story.record.bugs == []
    assert list(story.changes()) == pytest.approx([5_000, 11_900, 18_800, 25_700, 30_000], abs=100)
    for at_s, power_w in story.told_w:
        before_w = max(ac_w(story.dc_w.get(int(at_s) - k, 0.0)) for k in range(6))
        assert power_w <= max(5_000.0, before_w + 7_000.0) + 50.0
    assert ac_w(story.dc_w[119]) == pytest.approx(30_000.0, rel=0.01)
    assert all(finding.ok for finding in story.record.twin.physics.judge.findings())


def test_fb_3_a_killed_driver_leaves_the_station_at_its_own_fallback_power_and_the_next_one_takes_it_back() -> None:
    story = Story(110.0, Incident(60.0, Fault.CRASH, "field-driver-modbus:modbus-1", 25.0))
    assert ac_w(story.dc_w[59]) == pytest.approx(30_000.0, rel=0.01)
    assert ac_w(story.dc_w[62]) == pytest.approx(30_000.0, rel=0.01)
    assert ac_w(story.dc_w[70]) == pytest.approx(10_000.0, rel=0.01)
    assert ac_w(story.dc_w[84]) == pytest.approx(10_000.0, rel=0.01)
    assert ac_w(story.dc_w[108]) > 25_000.0
    assert all(finding.ok for finding in story.record.twin.physics.judge.findings())


def test_the_fast_mode_charges_a_dc_vehicle_as_much_as_the_exact_one() -> None:
    exact = Story(900.0).record.charged_wh["q1"]
    fine, coarse = (
        step_through(StepRun(DEPOT, DAY, 1, 900.0, step_s, ELEVEN)).charged_wh["q1"] for step_s in (1.0, 10.0)
    )
    assert exact > 5_000.0
    assert fine == pytest.approx(exact, rel=0.02)
    assert coarse == pytest.approx(exact, rel=0.06)
