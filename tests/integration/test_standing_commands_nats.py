"""Set, shown and released on a real server: limits, targets, modes, advice (SPC-7 to SPC-9)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from busbar.bus.provision import provision
from busbar.cli import app
from busbar.testing.nats_server import NatsServer

pytestmark = pytest.mark.integration
DEMO = str(Path(__file__).parents[2] / "examples" / "demo.yaml")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = NatsServer(tmp_path_factory.mktemp("nats"), "demo").start()
    asyncio.run(provision(server.url, "demo"))
    yield server.url
    server.stop()


def busbar(url: str, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*words, "--site", DEMO, "--nats", url])
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


def shown(url: str, noun: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = orjson.loads(busbar(url, noun, "show", "--json"))
    return [row for row in rows if row["source"] != "site"]


@pytest.mark.parametrize(
    ("noun", "name", "words", "says"),
    [
        ("limit", "grid", ["--import-w", "0", "--for", "1h"], "grid: import 0 W, export none by me, until 20"),
        ("target", "grid", ["--export-w", "5000", "--at", "2099-01-01T00:00=1kW"], "grid: export 5000 W by me"),
        ("mode", "a1", ["manual", "--current-a", "16"], "a1: manual 16 A by me, until released"),
        ("mode", "pv", ["manual", "--power-w", "-5000"], "pv: manual -5000 W by me, until released"),
        ("advice", "a1", ["--power-w", "4000"], "repeat it within 20 min"),
    ],
)
def test_what_is_set_is_shown_with_its_author_and_released(
    url: str, noun: str, name: str, words: list[str], says: str
) -> None:
    said = busbar(url, noun, "set", name, *words, "--source", "me", "--author", "A. Person")
    assert says in said
    [row] = shown(url, noun)
    assert (row["source"], row["author"], name in row.values()) == ("me", "A. Person", True)
    assert name in busbar(url, noun, "show")
    assert "released" in busbar(url, noun, "release", name, "--source", "me")
    assert shown(url, noun) == []
    assert f"has no {noun}" in busbar(url, noun, "release", name, "--source", "me", code=1)


def test_spc_10_a_power_test_is_started_shown_and_stopped(url: str) -> None:
    assert "a1: power test by me, at most until 20" in busbar(
        url, "power-test", "start", "a1", "--source", "me", "--author", "A. Person"
    )
    [row] = shown(url, "power-test")
    assert (row["connector"], row["source"], row["author"], row["state"]) == ("a1", "me", "A. Person", "ordered")
    assert 0 < row["until_ms"] - row["published_at_ms"] <= 15 * 60_000
    assert "a1" in busbar(url, "power-test", "show")
    assert "stopped" in busbar(url, "power-test", "stop", "a1")
    assert shown(url, "power-test") == []
    assert "a1 has no power test" in busbar(url, "power-test", "stop", "a1", code=1)


def test_sources_of_a_limit_stand_beside_each_other_and_a_mode_is_one_for_all(url: str) -> None:
    for source in ("me", "you"):
        busbar(url, "limit", "set", "grid", "--import-w", "9000", "--source", source)
        busbar(url, "mode", "set", "a1", "rule", "--source", source)
    busbar(url, "limit", "release", "grid", "--source", "me")
    assert [row["source"] for row in shown(url, "limit")] == ["you"]
    assert [row["source"] for row in shown(url, "mode")] == ["you"]
    busbar(url, "mode", "release", "a1")
    assert shown(url, "mode") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["target", "set", "grid", "--at", "2099-01-01T00:00=1kW"], "what holds until 2099-01-01 00:00:00.000?"),
        (["advice", "set", "a1", "--power-w", "1", "--for", "61m"], "good for 1 h 00 min at most"),
        (["advice", "set", "a1", "--at", "2099-01-01T00:00=1kW"], "the series begins when the advice has ended"),
        (["limit", "set", "grid", "--import-w", "1", "--until", "2020-01-01"], "is past"),
        (["power-test", "start", "a1", "--for", "61m"], "--for 61m: a power test lasts 1 h 00 min at most"),
    ],
)
def test_what_depends_on_the_time_is_refused_with_the_remedy(url: str, words: list[str], says: str) -> None:
    assert says in busbar(url, *words, code=2)
