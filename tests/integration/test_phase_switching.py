"""PV surplus on a station that is switched between one and three phases, through all of Busbar (SPC-20).

A scripted sun over the real allocator, driver, frames, registers and physics; the run is recorded and decided again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.loops import VirtualLoop, run_virtual
from busbar.record.file import Reader, Writer
from busbar.record.recorder import Recorder
from busbar.record.replay import replay
from busbar.sim.sessions import Visit
from busbar.sim.simulation import Record, Run, _Simulation

SITE = """
format: busbar-site/1
site: {id: roof, name: Roof and one socket, timezone: Europe/Brussels, network: tn_400}
collectors:
  - {id: grid, name: Grid connection, rated_current_a: 35, fuse: gG, meter: grid-meter,
     on_lost_meter: {action: minimum, value_a: 6, timeout_s: 30}}
devices:
  - {id: eem, package: phoenix-eem-em3xx, host: 127.0.43.1, port: 1502, simulated: true}
  - {id: inverter, package: sunspec-pv-inverter, host: 127.0.43.2, port: 1502, simulated: true}
  - {id: alfen, package: alfen-ng9xx, host: 127.0.43.3, port: 1502, simulated: true}
assets:
  - {kind: meter, id: grid-meter, name: Grid meter, device: eem, poll_ms: 500}
  - {kind: pv, id: pv, name: Roof, collector: grid, device: inverter, rated_power_w: 10000, poll_ms: 1000}
  - kind: ac_charge_point
    id: station
    name: Station
    device: alfen
    watchdog_s: 60
    connectors:
      - {id: x, name: X, collector: grid, instance: 1, phases: [L2, L3, L1], max_current_a: 16, surplus: only,
         phase_switching: auto, phase_dwell_s: 300}
controllers:
  - {id: main, role: master, drivers: [{id: modbus-1, protocol: modbus}]}
"""
PLENTY, LITTLE = 0.65, 0.22
"""Of 10 kW: more than three phases need, and enough for one alone."""
DWELL_S = 300.0


def sun(now_s: float) -> float:
    """Plenty, little, plenty again, and a restless sky."""
    if now_s < 1500.0:
        return PLENTY if now_s < 700.0 else LITTLE
    if now_s < 2400.0:
        return PLENTY
    return PLENTY if now_s % 90.0 < 45.0 else LITTLE


@dataclass
class Day:
    """One run: what stood at the socket each second, and what was recorded."""

    recording: Path
    record: Record | None = None
    seconds: list[tuple[float, int, float, tuple[float, ...], tuple[float, ...]]] = field(default_factory=list)
    """(twin time, closed conductors, offer, currents of the socket, powers of the grid connection by conductor)."""
    lost: list[str] = field(default_factory=list)

    def moves(self) -> list[tuple[float, int, float]]:
        """(time, conductors from then on, largest current just before and after) of each move of the contactors."""
        return [
            (late[0], late[1], max(*early[3], *late[3]))
            for early, late in pairwise(self.seconds)
            if early[1] != late[1]
        ]

    def at(self, now_s: float) -> tuple[int, float, tuple[float, ...]]:
        _, phases, offered_a, currents, _ = next(s for s in self.seconds if s[0] >= now_s)
        return phases, offered_a, currents


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    folder = tmp_path_factory.mktemp("phases")
    (folder / "site.yaml").write_text(SITE, "utf-8")
    run = Run(load_site(folder / "site.yaml"), date(2019, 9, 11), seed=3, duration_s=3600.0)
    day = Day(folder / "run.jsonl.gz")
    writer = Writer(day.recording, run.site, SITE)

    async def main(loop: VirtualLoop) -> Record:
        simulation = _Simulation(run, loop, None, None)
        twin = simulation.twin
        twin.world.suns["pv"].at = lambda now_s, dt_s: sun(now_s)  # type: ignore[method-assign]
        twin.physics.plug(Visit("x", "guest", 0.0, 9e9, 40_000.0, 40_000.0, phases=3))
        bus = simulation.network.connect("cli", "recorder")

        async def watch() -> None:
            while True:
                await asyncio.sleep(1.0)
                port, wires = twin.plant.evses["x"], twin.physics.wires
                day.seconds.append(
                    (twin.now_s, port.phases, port.offered_a, tuple(port.current_a), tuple(wires.power_w[:3]))
                )

        async def record() -> None:
            await asyncio.sleep(10.0)
            recorder = Recorder(bus, simulation.clock, run.site, writer.add, day.lost.append)
            await recorder.run(asyncio.Event(), run.duration_s - 20.0)

        tasks = [loop.create_task(watch()), loop.create_task(record())]
        outcome = await simulation.play()
        tasks[0].cancel()
        await tasks[1]
        return outcome

    try:
        day.record = run_virtual(main)
    finally:
        writer.close()
    return day


def test_spc_20_contactors_never_move_under_current_nor_sooner_than_the_dwell(day: Day) -> None:
    moves = day.moves()
    assert all(current_a < 0.5 for _, _, current_a in moves), moves
    assert all(late[0] - early[0] >= DWELL_S - 1.0 for early, late in pairwise(moves)), moves
    assert len(moves) <= 3600.0 / DWELL_S


def test_spc_20_three_phases_one_phase_and_three_again(day: Day) -> None:
    assert [phases for _, phases, _ in day.moves()][:2] == [1, 3]
    phases, offered_a, currents = day.at(690.0)
    assert (phases, offered_a) == (3, 9.0)
    assert min(currents) > 7.0
    phases, offered_a, currents = day.at(1490.0)
    assert (phases, offered_a) == (1, 9.0)
    assert currents[0] > 7.0
    assert currents[1:] == (0.0, 0.0)
    phases, offered_a, _ = day.at(2390.0)
    assert (phases, offered_a) == (3, 9.0)


def test_spc_20_little_sun_leads_to_0_a_before_it_leads_to_one_phase(day: Day) -> None:
    at_s = day.moves()[0][0]
    assert 700.0 + 120.0 < at_s < 700.0 + 240.0
    assert day.at(at_s - 3.0)[1] == 0.0


def test_spc_20_with_a_steady_sun_next_to_nothing_is_imported(day: Day) -> None:
    for begin_s, end_s in ((300.0, 690.0), (1000.0, 1490.0), (2000.0, 2390.0)):
        powers = [sum(s[4]) for s in day.seconds if begin_s <= s[0] < end_s]
        assert sum(powers) / len(powers) < 50.0, (begin_s, powers[::60])


def test_every_fuse_holds_and_no_service_ended(day: Day) -> None:
    assert day.record is not None
    assert day.record.bugs == []
    assert all(finding.ok for finding in day.record.twin.physics.judge.findings())


def test_ops_3_the_run_is_decided_again_bit_for_bit(day: Day) -> None:
    assert day.lost == []
    reader = Reader(day.recording)
    found = replay(reader.site(), reader.entries())
    assert (found.differences, found.holes, reader.torn) == ([], [], "")
    assert found.cycles > 3500
