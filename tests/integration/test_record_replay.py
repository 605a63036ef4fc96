"""Five simulated minutes of the demo site recorded, and decided again bit for bit (OPS-3)."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, time
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from busbar.cli import app
from busbar.config.load import load_site
from busbar.loops import VirtualLoop, run_virtual
from busbar.record.file import Reader, Writer
from busbar.record.recorder import Recorder
from busbar.record.replay import replay as decide_again
from busbar.sim.simulation import Record, Run, _Simulation, simulate
from busbar.sim.trouble import Fault, Incident

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"
RUN = Run(load_site(DEMO), date(2019, 9, 11), seed=1, duration_s=300.0, start=time(13, 0))


def recorded(run: Run, path: Path, said: list[str], begin_s: float) -> Record:
    """Simulate with a recorder that joins at `begin_s`."""
    writer = Writer(path, run.site, DEMO.read_text("utf-8"))

    async def main(loop: VirtualLoop) -> Record:
        simulation = _Simulation(run, loop, None, None)
        bus = simulation.network.connect("cli", "recorder")
        stop = asyncio.Event()

        async def record() -> None:
            await asyncio.sleep(begin_s)
            await Recorder(bus, simulation.clock, run.site, writer.add, said.append).run(
                stop, run.duration_s - 5.0 - begin_s
            )

        task = loop.create_task(record())
        outcome = await simulation.play()
        await task
        return outcome

    try:
        return run_virtual(main)
    finally:
        writer.close()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "five-minutes.jsonl.gz"
    said: list[str] = []
    record = recorded(RUN, path, said, begin_s=20.5)
    assert record.bugs == []
    assert said == []
    return path


@contextmanager
def changed(path: Path, folder: Path, number: int) -> Iterator[tuple[dict[str, object], Path]]:
    """One line of the recording as data; what is made of it is in the file."""
    reader = Reader(path)
    assert reader.site()
    lines = [*map(orjson.loads, _lines(path))]
    other = folder / "changed.jsonl"
    yield lines[number], other
    other.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def _lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def test_five_minutes_are_decided_again_bit_for_bit(recording: Path) -> None:
    reader = Reader(recording)
    found = decide_again(reader.site(), reader.entries())
    assert (found.differences, found.holes, reader.torn) == ([], [], "")
    assert found.cycles >= 270
    assert found.skipped == 0
    assert sum(b'"state":{' in line for line in _lines(recording)) == 5  # at 20 s and each 60 s after it


def test_nothing_else_changes_while_somebody_records(tmp_path: Path) -> None:
    short = replace(RUN, duration_s=60.0)
    assert recorded(short, tmp_path / "one.jsonl", [], 5.0).trace_hash == simulate(short).trace_hash


def test_the_command_says_that_all_is_the_same_and_shows_one_instant_in_words(recording: Path) -> None:
    result = CliRunner().invoke(app, ["replay", str(recording), "--at", "13:03:00"], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "every decision is the same" in result.stdout
    assert "at 2019-09-11 13:0" in result.stdout
    assert "it may rise by one step a minute" in result.stdout


@pytest.mark.parametrize("what", ["setpoint", "reason", "snapshot"])
def test_what_was_changed_in_the_recording_is_found_where_it_is(recording: Path, tmp_path: Path, what: str) -> None:
    with changed(recording, tmp_path, 100) as (line, path):
        cycle = line["cycle"]
        assert isinstance(cycle, dict)
        point = cycle["setpoints"][3]
        if what == "setpoint":
            point["current_a"] += 1.0
        elif what == "reason":
            point["reason"]["value"] = 99.0
        else:
            assert isinstance(line["snapshot"], dict)
            line["snapshot"]["connectors"][3]["current_a"][0] += 1e-12
    result = CliRunner().invoke(app, ["replay", str(path), "--json"])
    assert result.exit_code == 1
    found = orjson.loads(result.stdout)["differences"]
    assert found[0]["seq"] == cycle["seq"]
    assert found[0]["at_ms"] == cycle["published_at_ms"]
    if what == "snapshot":
        assert found[0]["connector"] is None  # one ulp of a measurement shows in the state alone
    else:
        assert [item["connector"] for item in found] == [point["connector"]]
        assert found[0]["recorded"] != found[0]["replayed"]


def test_an_allocator_that_is_killed_leaves_a_hole_and_its_successor_is_replayed(tmp_path: Path) -> None:
    crash = Incident(50.0, Fault.CRASH, "spc-allocator:main", 3.0)
    run = replace(RUN, duration_s=120.0, planned=(crash,))
    said: list[str] = []
    recorded(run, tmp_path / "crash.jsonl", said, 5.0)
    reader = Reader(tmp_path / "crash.jsonl")
    found = decide_again(reader.site(), reader.entries())
    assert found.differences == []
    assert found.cycles >= 95
    assert len({entry.trace.epoch for entry in Reader(tmp_path / "crash.jsonl").entries()}) == 2
    assert any("is spc-allocator running" in text or "did not answer" in text for text in said)
