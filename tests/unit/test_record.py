"""Recordings: the state survives bit for bit, torn files are read, what cannot be used is refused in words (OPS-3)."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from busbar.bus.memory import MemoryNetwork
from busbar.cli import app
from busbar.config.load import load_site
from busbar.events import Command, CommandReply, CycleTrace, Event, PowerTestState, StatePart
from busbar.loops import VirtualClock, VirtualLoop, run_virtual
from busbar.record.file import Entry, Reader, RecordError, Writer
from busbar.record.recorder import Joiner
from busbar.record.replay import replay
from scenarios.world import World
from spc_allocator import recording
from spc_allocator.core import decide
from spc_allocator.flexible.state import FlexState
from spc_allocator.inputs import Inputs
from spc_allocator.recording import Recording
from spc_allocator.rows import Network
from spc_allocator.state import AllocatorState, dump, restore
from spc_allocator.trials import ChargePoint, Found, Trial, Trials, device_of
from spc_allocator.windows import MaxWindow
from unit.actor_rig import START_MS

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"
SITE = load_site(DEMO)
NET = Network(SITE)
ODD = (0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, -2.2e-308, 1.7e308, 0.1 + 0.2)


def any_state(seed: int) -> AllocatorState:
    """Every bit of every array drawn, odd numbers often."""
    rng, state = Random(seed), AllocatorState.fresh(NET, 0)

    def drawn(value: Any) -> Any:
        if isinstance(value, MaxWindow):
            now_ms = 0
            for _ in range(rng.randrange(90)):
                now_ms += rng.choice((200, 1000, 1000, 2500, 30_000))
                value = value.pushed(now_ms, drawn(value.top))
            return value
        if isinstance(value, tuple):
            return tuple(rng.choice([None, "", "s1", "é\u2028\\"]) for _ in value)
        if isinstance(value, int):
            return rng.randrange(-1, 2**62)
        shape, size = value.shape, value.size
        if value.dtype == bool:
            return np.array([rng.random() < 0.5 for _ in range(size)]).reshape(shape)
        if value.dtype == np.int64:
            return np.array([rng.randrange(-(2**63), 2**63) for _ in range(size)], dtype=np.int64).reshape(shape)
        numbers = [rng.choice(ODD) if rng.random() < 0.3 else rng.gauss(0.0, 1.0) * 10.0 ** rng.randrange(-300, 300)
                   for _ in range(size)]  # fmt: skip
        return np.array(numbers).reshape(shape)

    state.flexible = FlexState.fresh(NET)
    for part in fields(FlexState):
        setattr(state.flexible, part.name, drawn(getattr(state.flexible, part.name)))
    state.trials = any_trials(rng)
    for item in fields(AllocatorState):
        # kept: made anew; phases: nothing is switched on this site
        if item.name not in ("kept", "flexible", "trials", "phases"):
            setattr(state, item.name, drawn(getattr(state, item.name)))
    return state


def any_trials(rng: Random) -> Trials | None:
    """Power tests of some connectors; what they find is finite or unknown."""

    def drawn() -> float:
        return rng.choice([0.0, -0.0, 5e-324, 1.7e308, rng.gauss(0.0, 30.0)])

    def maybe() -> float | None:
        return rng.choice([None, drawn()])

    def amperes() -> tuple[float, float, float]:
        return drawn(), drawn(), drawn()

    def bit() -> bool:
        return rng.random() < 0.5

    of: dict[int, Trial] = {}
    for slot in rng.sample(range(NET.count), 4):
        found = Found(maybe(), maybe(), maybe(), maybe(), drawn(), amperes(), drawn(), bit(), bit())
        at_ms = [rng.randrange(2**62) for _ in range(5)]
        of[slot] = Trial(
            at_ms[0], at_ms[1], "cli", "\u2028", rng.choice([*PowerTestState]), rng.choice([None, "s1"]), drawn(),
            drawn(), at_ms[2], amperes(), at_ms[3], at_ms[4], found,
        )  # fmt: skip
    known = {
        slot: ChargePoint(device_of(NET, slot), drawn(), drawn(), bit()) for slot in rng.sample(range(NET.count), 3)
    }
    return rng.choice([None, Trials(of, known)])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_any_state_is_the_same_bit_for_bit_after_it_was_written_and_read(seed: int) -> None:
    state = any_state(seed)
    assert restore(dump(state, NET), NET, 0).digest() == state.digest()


def cycle(seq: int, whole: bool, digest: str = "") -> tuple[Entry, AllocatorState]:
    """A cycle of the demo site on an empty snapshot."""
    world = World(SITE)
    state = AllocatorState.fresh(NET, world.now_ms)
    snapshot, inputs = world.snapshot(), Inputs()
    decided = decide(NET, state, snapshot, inputs, world.now_ms)

    async def made(loop: VirtualLoop) -> CycleTrace:
        clock = VirtualClock(loop, START_MS)
        bus = MemoryNetwork(SITE.id, clock).connect("spc-allocator")
        return Recording(NET, bus, clock)._trace(snapshot, inputs, decided, (1, seq), whole)

    trace = run_virtual(made)
    trace = trace.model_copy(update={"digest": digest}) if digest else trace
    return Entry(trace, snapshot, dump(state, NET) if whole else None), state


def written(path: Path, *entries: Entry) -> Path:
    writer = Writer(path, SITE, DEMO.read_text("utf-8"))
    for entry in entries:
        writer.add(entry)
    writer.close()
    return path


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    entry, _ = cycle(1, True)
    for name in ("a.jsonl", "a.jsonl.gz"):
        reader = Reader(written(tmp_path / name, entry))
        [read] = list(reader.entries())
        assert (read.trace, read.snapshot) == (entry.trace, entry.snapshot)
        assert read.state is not None
        assert orjson.loads(read.state) == orjson.loads(entry.state or b"")
        assert reader.site().fingerprint == SITE.fingerprint


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("kept", [1, 20])
def test_a_torn_last_line_is_said_and_skipped(tmp_path: Path, name: str, kept: int) -> None:
    entry, _ = cycle(1, True)
    path = tmp_path / name
    writer = Writer(path, SITE, DEMO.read_text("utf-8"))
    writer.add(entry)
    whole = path.stat().st_size  # each line is on the disk before the next
    writer.add(entry)
    writer.close()
    path.write_bytes(path.read_bytes()[: whole + kept])
    reader = Reader(path)
    assert len(list(reader.entries())) == 1
    assert "torn" in reader.torn or "killed" in reader.torn


def test_a_cycle_without_its_state_is_skipped_and_a_hole_is_said(tmp_path: Path) -> None:
    whole, _ = cycle(1, True)
    later, _ = cycle(7, False)
    found = replay(SITE, [later, whole, later, later])
    assert (found.cycles, found.skipped, found.differences) == (1, 3, [])
    assert found.holes == ["cycle 7: what came before it was not recorded (last was 1)"]
    lost = Entry(whole.trace, None, whole.state)
    assert replay(SITE, [lost]).holes == [f"cycle 1: its snapshot {whole.trace.snapshot} was not received"]


def test_another_state_after_the_cycle_is_a_difference() -> None:
    entry, _ = cycle(1, True, digest="0000")
    [difference] = replay(SITE, [entry]).differences
    assert difference.connector is None
    assert difference.recorded == "state 0000"


BAD = {
    b"": "empty",
    b"{}": "format is None",
    b"[1]": "format is 'list'",
    b'{"format": "busbar-record/9"}': "busbar-record/9",
    b'{"format": "busbar-record/1", "version": "1", "fingerprint": 7}': "'fingerprint'",
    b'{"format": "busbar-record/1", "version": "1", "fingerprint": "x", "site": "a: 1"}': "is refused",
    b"no json": "line 1: no JSON",
}


@pytest.mark.parametrize("content", BAD, ids=BAD.values())
def test_what_is_no_recording_ends_with_2_and_says_why(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["replay", str(path)])
    assert result.exit_code == 2
    assert BAD[content] in result.stderr


@pytest.mark.parametrize(
    ("bad", "says"),
    [(b"{torn\n", "line 2: no JSON"), (b"{}\n", "line 2: no cycle"), (b'{"cycle": {}}\n', "line 2: fingerprint")],
)
def test_a_bad_line_in_the_middle_ends_with_2_and_its_number(tmp_path: Path, bad: bytes, says: str) -> None:
    path = written(tmp_path / "bad.jsonl", cycle(1, True)[0])
    head, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(head + b"\n" + bad + rest)
    result = CliRunner().invoke(app, ["replay", str(path)])
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_file_that_is_not_there_no_gzip_or_of_another_site_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        Reader(tmp_path / "none.jsonl")
    (tmp_path / "x.gz").write_bytes(b"plain")
    with pytest.raises(RecordError, match="no readable gzip"):
        Reader(tmp_path / "x.gz")
    path = written(tmp_path / "other.jsonl.gz", cycle(1, True)[0])
    data = gzip.decompress(path.read_bytes()).replace(SITE.fingerprint.encode(), b"0" * 8, 1)
    (tmp_path / "other.jsonl").write_bytes(data)
    with pytest.raises(RecordError, match="replay it with busbar"):
        Reader(tmp_path / "other.jsonl").site()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--for", "soon"], "--for 'soon' is no duration"), (["--for", "0s"], "is no duration"),
        (["--out", "no/such/folder/x"], "cannot be created"), (["--out", str(DEMO)], "are not overwritten"),
        (["--site", "none.yaml"], "there is no site file"),
    ],
)  # fmt: skip
def test_record_refuses_what_it_cannot_do(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["record", "--site", str(DEMO), *arguments])
    assert result.exit_code in {2, 3}
    assert says in result.stderr


def test_without_a_bus_record_ends_with_1_and_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    result = CliRunner().invoke(
        app, ["record", "--site", str(DEMO), "--nats", "nats://127.0.0.1:1", "--out", str(out), "--for", "1s"]
    )
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr
    assert not out.exists()


def ask(who: Any = "me", lease_s: Any = 10.0) -> Command:
    return Command.model_construct(verb="record", args={"recorder": who, "lease_s": lease_s}, published_at_ms=0)


def test_leases_are_refused_in_words_bounded_and_end() -> None:
    async def main(loop: VirtualLoop) -> None:
        clock = VirtualClock(loop, START_MS)
        made = Recording(NET, MemoryNetwork(SITE.id, clock).connect("spc-allocator"), clock)

        async def no(command: Command) -> str:
            reply: CommandReply = await made.answer(command)
            assert not reply.ok
            return reply.text

        assert not made.wanted()
        assert "recorder" in await no(ask(None))
        for bad in (None, True, -1.0, 61, "5", float("nan")):
            assert "lease_s" in await no(ask("me", bad))
        assert not made.wanted()
        for number in range(recording.MOST_RECORDERS):
            assert (await made.answer(ask(f"r{number}"))).ok
        assert "end one of them" in await no(ask("one more"))
        assert made.wanted()
        await asyncio.sleep(10.0)
        assert not made.wanted()
        assert (await made.answer(ask("one more"))).ok
        assert (await made.answer(ask("one more", 0))).ok
        assert not made.wanted()

    run_virtual(main)


def test_a_large_state_travels_in_parts_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PART_LENGTH", 100)
    entry, state = cycle(5, True)
    assert entry.snapshot is not None
    parts: list[Event] = []

    async def main(loop: VirtualLoop) -> None:
        clock = VirtualClock(loop, START_MS)
        parts.extend(Recording(NET, MemoryNetwork(SITE.id, clock).connect("x"), clock)._parts(state, (1, 5)))

    run_virtual(main)
    assert len(parts) > 3
    joiner = Joiner()
    joiner.trace(entry.trace, 0.0)
    for part in reversed(parts[1:]):
        assert isinstance(part, StatePart)
        joiner.part(part)
    joiner.snapshot(entry.snapshot)
    assert list(joiner.ready(1.0)) == []
    assert isinstance(parts[0], StatePart)
    joiner.part(parts[0])
    [joined] = list(joiner.ready(1.0))
    assert restore(joined.state or b"", NET, 0).digest() == state.digest()


def test_a_cycle_whose_snapshot_never_comes_is_kept_without_it_and_in_its_place() -> None:
    joiner = Joiner()
    first, _ = cycle(1, False)
    second, _ = cycle(2, False)
    assert second.snapshot is not None
    joiner.trace(first.trace.model_copy(update={"snapshot": 99}), 0.0)
    joiner.trace(second.trace, 0.5)
    joiner.snapshot(second.snapshot)
    assert list(joiner.ready(2.0)) == []
    got = list(joiner.ready(3.0))
    assert [(entry.trace.seq, entry.snapshot is None) for entry in got] == [(1, True), (2, False)]
