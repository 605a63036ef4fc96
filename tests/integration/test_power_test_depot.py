"""A power test of the depot's fast charger in virtual time, recorded and decided again (SPC-10, SPC-11, OPS-3)."""

from __future__ import annotations

import asyncio
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

DEPOT = Path(__file__).parents[2] / "examples" / "depot.yaml"
RUN = Run(load_site(DEPOT), date(2019, 9, 11), seed=1, duration_s=300.0, start=time(11))


def test_spc_10_a_dc_outlet_is_tested_in_w_and_decided_again_bit_for_bit(tmp_path: Path) -> None:
    results: list[PowerTestResult] = []
    told_w: list[float] = []

    def heard(_: str, event: Event) -> None:
        if isinstance(event, PowerTestResult):
            results.append(event)
        elif isinstance(event, Setpoint) and event.asset == "q1" and event.reason.code is ReasonCode.POWER_TEST:
            told_w.append(event.power_w or 0.0)

    async def main(loop: VirtualLoop) -> Record:
        simulation = _Simulation(RUN, loop, None, None)
        simulation.network.tap(heard)
        bus = simulation.network.connect("cli", "recorder")

        async def work() -> None:
            await asyncio.sleep(50.0)
            at_ms = simulation.clock.utc_ms()
            order = PowerTest(connector="q1", source="cli", until_ms=at_ms + 600_000, published_at_ms=at_ms)
            await bus.store(POWER_TEST, order, "q1")
            await Recorder(bus, simulation.clock, RUN.site, writer.add, print).run(asyncio.Event(), 240.0)

        task = loop.create_task(work())
        record = await simulation.play()
        await task
        return record

    path = tmp_path / "depot.jsonl.gz"
    writer = Writer(path, RUN.site, DEPOT.read_text("utf-8"))
    try:
        record = run_virtual(main)
    finally:
        writer.close()
    assert record.bugs == []
    found = results[-1].charge_point
    assert results[-1].state is PowerTestState.DONE
    assert found is not None
    assert [found.min_power_w, found.max_power_w] == pytest.approx([5_000.0, 30_000.0])
    assert told_w == sorted(told_w)
    assert (told_w[0], told_w[-1]) == (5_000.0, 30_000.0)
    reader = Reader(path)
    again = replay(reader.site(), reader.entries())
    assert (again.differences, again.holes, again.cycles > 200) == ([], [], True)
