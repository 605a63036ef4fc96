"""`busbar run`: stops on TERM at any time, ends a crash with one line, an exit code and the traceback in a file."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from busbar.testing.nats_server import NatsServer, free_port

pytestmark = pytest.mark.integration

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"


class Run:
    def __init__(self, folder: Path, url: str, *options: str) -> None:
        self.log = folder / "run.log"
        self.data = folder / "data"
        command = [
            sys.executable, "-m", "busbar", "run", "site-page", "--site", str(DEMO), "--nats", url,
            "--data-dir", str(self.data), *options,
        ]  # fmt: skip
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out)

    def wait_for(self, text: str) -> None:
        self.wait(lambda: text in self.log.read_text())

    def wait(self, condition: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline_s, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def start(url: str, *options: str) -> Run:
        runs.append(Run(tmp_path, url, *options))
        return runs[-1]

    yield start
    for run in runs:
        run.end()


def test_a_running_service_stops_cleanly_on_term_and_answers_for_its_health(
    nats_server: NatsServer, start: Callable[..., Run]
) -> None:
    health = free_port()
    run = start(nats_server.url, "--set", f"listen=127.0.0.1:{free_port()}", "--health-port", str(health))
    run.wait_for('"text":"running site-page main')
    with urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz") as answer:
        assert answer.read().startswith(b"ready")
    with urllib.request.urlopen(f"http://127.0.0.1:{health}/metrics") as answer:
        assert b"busbar_bus_published_total" in answer.read()
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(timeout=30) == 0
    assert '"text":"stopped"' in run.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_still_waits_for_its_bus_stops_too(start: Callable[..., Run], number: signal.Signals) -> None:
    run = start(f"nats://127.0.0.1:{free_port()}")
    run.wait_for("waiting for nats-server at")
    run.process.send_signal(number)
    assert run.process.wait(timeout=30) == 0


def test_a_crash_is_one_line_with_the_place_and_the_traceback_is_in_a_file(
    nats_server: NatsServer, start: Callable[..., Run]
) -> None:
    run = start(nats_server.url, "--set", "listen=nowhere:notaport")
    assert run.process.wait(timeout=60) == 1
    critical = [line for line in run.log.read_text().splitlines() if '"level":"critical"' in line]
    assert len(critical) == 1
    assert "ended by" in critical[0]
    assert "Traceback" not in run.log.read_text()
    assert "Traceback" in (run.data / "log" / "site-page.main.crash.txt").read_text()
