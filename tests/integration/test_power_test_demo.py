"""Power tests on the demo site in virtual time: the real actors, drivers and device models (SPC-10)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.events import Event, PowerTest, PowerTestResult, PowerTestState, ReasonCode, Setpoint
from busbar.loops import VirtualLoop, run_virtual
from busbar.record.file import Reader, Writer
from busbar.record.recorder import Recorder
from busbar.record.replay import replay
from busbar.sim.simulation import Record, Run, _Simulation
from busbar.subjects import POWER_TEST

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"
RUN = Run(load_site(DEMO), date(2019, 9, 11), seed=1, duration_s=420.0, start=time(13, 0))
BEGIN_S = 60.0


@dataclass
class Played:
    record: Record
    results: dict[str, PowerTestResult]
    """The last one of each connector."""
    tested: dict[str, list[float]]
    """Setpoints whose reason was the test."""
    path: Path


def play(path: Path, connectors: tuple[str, ...]) -> Played:
    """All are tested at the same time; a recorder follows."""
    said: list[str] = []
    results: dict[str, PowerTestResult] = {}
    tested: dict[str, list[float]] = {}

    def heard(_: str, event: Event) -> None:
        if isinstance(event, PowerTestResult):
            results[event.connector] = event
        elif isinstance(event, Setpoint) and event.reason.code is ReasonCode.POWER_TEST:
            tested.setdefault(event.asset, []).append(event.current_a or 0.0)

    async def main(loop: VirtualLoop) -> Record:
        simulation = _Simulation(RUN, loop, None, None)
        simulation.network.tap(heard)
        bus = simulation.network.connect("cli", "recorder")

        async def work() -> None:
            await asyncio.sleep(BEGIN_S)
            at_ms = simulation.clock.utc_ms()
            for name in connectors:
                order = PowerTest(connector=name, source="cli", until_ms=at_ms + 600_000, published_at_ms=at_ms)
                await bus.store(POWER_TEST, order, name)
            stop, lasts_s = asyncio.Event(), RUN.duration_s - 5.0 - BEGIN_S
            await Recorder(bus, simulation.clock, RUN.site, writer.add, said.append).run(stop, lasts_s)

        task = loop.create_task(work())
        record = await simulation.play()
        await task
        return record

    writer = Writer(path, RUN.site, DEMO.read_text("utf-8"))
    try:
        return Played(run_virtual(main), results, tested, path)
    finally:
        writer.close()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("test") / "one.jsonl.gz", ("a2", "b3"))


@pytest.fixture(scope="module")
def all_at_once(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return play(tmp_path_factory.mktemp("test") / "all.jsonl.gz", tuple(e.id for e in RUN.site.connectors))


def test_spc_10_a_1_phase_vehicle_of_14_a_is_found_as_it_is(one: Played) -> None:
    vehicle, charge_point = one.results["a2"].vehicle, one.results["a2"].charge_point
    assert one.results["a2"].state is PowerTestState.DONE
    assert vehicle is not None
    assert vehicle.phases == ("L1",)
    assert vehicle.max_current_a == pytest.approx(14.0, abs=0.5)
    assert vehicle.max_power_w == pytest.approx(14.0 * 228.0, rel=0.05)
    assert charge_point is not None
    assert charge_point.measured
    assert one.tested["a2"][0] == 6.0
    assert max(one.tested["a2"]) > 14.0


def test_spc_10_where_no_vehicle_is_the_package_is_all_that_is_known(one: Played) -> None:
    found = one.results["b3"]
    assert (found.state, found.vehicle) == (PowerTestState.NO_VEHICLE, None)
    assert found.charge_point is not None
    assert not found.charge_point.measured


def test_spc_10_all_at_once_share_what_there_is_and_no_fuse_is_loaded_above_its_rating(all_at_once: Played) -> None:
    assert all_at_once.record.bugs == []
    assert all_at_once.record.twin.judge.ok
    states = {one.state for one in all_at_once.results.values()}
    assert PowerTestState.NO_ROOM in states
    assert len(all_at_once.results) == len(RUN.site.connectors)
    assert not states & {PowerTestState.WAITING, PowerTestState.RUNNING}


@pytest.mark.parametrize("which", ["one", "all_at_once"])
def test_spc_10_a_run_with_tests_is_decided_again_bit_for_bit(which: str, request: pytest.FixtureRequest) -> None:
    reader = Reader(request.getfixturevalue(which).path)
    found = replay(reader.site(), reader.entries())
    assert (found.differences, found.holes, reader.torn) == ([], [], "")
    assert found.cycles >= 340
