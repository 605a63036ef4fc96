"""`busbar allocate`: one decision by hand is the one that was made live, and says its bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from busbar.cli import app
from busbar.config.load import load_site
from scenarios.world import Vehicle, World
from spc_allocator.state import dump
from unit.test_record import DEMO, cycle, written


def allocate(*words: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(app, ["allocate", *words], input=stdin, env={"COLUMNS": "160"})


def charging() -> World:
    world = World(load_site(DEMO))
    for name in list(world.outlets)[:3]:
        world.plug(name, Vehicle(phases=3))
    world.run_to(200)
    return world


def lines(*made: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in made)


def test_lines_of_a_recording_are_decided_as_they_were_live(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", cycle(1, True)[0])
    recorded = json.loads(path.read_bytes().splitlines()[1])["cycle"]["setpoints"]
    for result in (allocate(str(path)), allocate("-", stdin=path.read_bytes())):
        assert result.exit_code == 0, result.output
        [decided] = map(json.loads, result.stdout.splitlines())
        assert decided["state"] == "given"
        told = [(row["connector"], row["setpoint_a"], row["code"]) for row in decided["connectors"]]
        assert told == [(row["connector"], row["current_a"], row["reason"]["code"]) for row in recorded]


def test_a_bare_snapshot_starts_fresh_and_the_next_line_goes_on(tmp_path: Path) -> None:
    world = charging()
    first = json.loads(world.snapshot().model_dump_json())
    (tmp_path / "snapshot.json").write_text(json.dumps(first, indent=2))
    one = allocate(str(tmp_path / "snapshot.json"), "--site", str(DEMO))
    assert one.exit_code == 0, one.output
    two = allocate("-", "--site", str(DEMO), stdin=lines(first, first))
    states = [json.loads(line)["state"] for line in two.stdout.splitlines()]
    assert states == ["fresh", "carried"]
    rows = json.loads(one.stdout)["connectors"]
    assert all(row["setpoint_a"] <= row["high_a"] for row in rows if row["low_a"])
    assert sum(row["low_a"] == 6.0 for row in rows) == 3


def test_bounds_and_words_are_those_of_the_state_that_is_given(tmp_path: Path) -> None:
    world = charging()
    entry, _ = cycle(1, True)
    path = written(tmp_path / "b.jsonl", entry)
    head, line = path.read_bytes().splitlines()
    data = json.loads(line)
    data["snapshot"] = json.loads(world.snapshot().model_dump_json())
    data["state"] = json.loads(dump(world.state, world.net))
    data["cycle"]["now_ms"] = world.now_ms + 1000
    name = next(iter(world.outlets))
    result = allocate("-", "--explain", name, stdin=head + b"\n" + lines(data))
    assert result.exit_code == 0, result.output
    setpoint_a = world.state.setpoint_a[world.net.slot[name]]
    assert f"{name}: {setpoint_a:g} A: it may rise by one step a minute" in result.stdout
    assert "at least 6 A, at most" in result.stdout
    assert "by ramp; state given" in result.stdout
    table = allocate("-", "--table", stdin=head + b"\n" + lines(data))
    assert name in table.stdout
    assert "ramp" in table.stdout


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        (b"", "no snapshot in it"), (b"nonsense", "line 1: no JSON"), (b"{}", "number: Field required"),
        (b"[]", "no cycle"), (b'{"format": "x"}', "format is 'x'"), (b'{"cycle": {}}', "fingerprint: Field required"),
    ],
)  # fmt: skip
def test_bad_input_ends_with_2_and_says_where(stdin: bytes, says: str) -> None:
    result = allocate("-", "--site", str(DEMO), stdin=stdin)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_state_that_is_none_a_lost_snapshot_and_an_unknown_connector_are_refused(tmp_path: Path) -> None:
    head, line = written(tmp_path / "c.jsonl", cycle(1, True)[0]).read_bytes().splitlines()
    data = json.loads(line)
    for change, says in (({"state": {}}, "not a checkpoint"), ({"snapshot": None}, "was lost")):
        result = allocate("-", stdin=head + b"\n" + lines(data | change))
        assert (result.exit_code, says in result.stderr) == (2, True)
    assert "no asset that this site sets" in allocate("-", "--explain", "zz", stdin=head + b"\n" + line).stderr
    assert "cannot be read" in allocate(str(tmp_path / "none.json")).stderr
