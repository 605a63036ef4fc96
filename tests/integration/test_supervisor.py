"""`busbar up` as a real process: crashes are repaired, the end leaves nothing, refusals name the remedy (OPS-2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from busbar.bus.nats import NatsBus
from busbar.clock import SystemClock
from busbar.testing.nats_server import free_port

pytestmark = pytest.mark.integration

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"


class Up:
    """One `busbar up` without the twin; the drivers find nobody, which is nothing to them."""

    def __init__(self, folder: Path, *options: str, data: Path | None = None) -> None:
        self.data = data or folder / "data"
        self.log = folder / f"up-{free_port()}.log"
        self.nats_port, self.page_port = free_port(), free_port()
        self._options = options

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "busbar", "up", str(DEMO), "--no-twin", "--nats-port", str(self.nats_port),
            "--page-port", str(self.page_port), "--data-dir", str(self.data), *self._options,
        ]  # fmt: skip

    def start(self) -> Up:
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(self.command(), stdout=out, stderr=out, start_new_session=True)
        return self

    def refusal(self) -> tuple[int, str]:
        ended = subprocess.run(self.command(), capture_output=True, text=True, timeout=60, check=False)
        return ended.returncode, ended.stderr

    def children(self) -> dict[str, int]:
        """Pid by word of the command line, of everything that belongs to this run."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if any(str(self.data) in word for word in words) and int(entry.name) != self.process.pid:
                    found[words[4] if "busbar" in words else "nats-server"] = int(entry.name)
        return found

    def wait(self, what: str, condition: Callable[[], object], timeout_s: float = 60.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError(f"waited in vain: {what}\n{self.log.read_text(errors='replace')[-4000:]}")

    def wait_for_page(self) -> None:
        self.wait("the page", lambda: "the page is at" in self.log.read_text())

    def end(self) -> None:
        for pid in (self.process.pid, *self.children().values()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path).start()
    yield running
    running.end()


def test_a_killed_service_and_a_killed_server_come_back_and_ctrl_c_leaves_nothing(up: Up) -> None:
    up.wait_for_page()
    up.wait("all processes", lambda: {"nats-server", "site-page", "field-driver-modbus"} <= set(up.children()))
    for name in ("site-page", "nats-server"):
        before = up.children()[name]
        os.kill(before, signal.SIGKILL)
        up.wait(f"{name} again", lambda n=name, b=before: up.children().get(n, b) != b)  # type: ignore[misc]
    up.wait("the page again", lambda: answers(up.page_port))
    assert "site-page was killed by SIGKILL; starting it again" in up.log.read_text()
    up.wait("the memory stream again", lambda: asyncio.run(has_last_stream(up.nats_port)))
    os.kill(up.process.pid, signal.SIGINT)
    assert up.process.wait(timeout=30) == 0
    assert up.children() == {}
    assert not answers(up.nats_port)
    assert up.log.read_text().rstrip().endswith("all stopped")
    assert not (up.data / "busbar.pid").exists()


def test_when_the_supervisor_itself_is_killed_no_child_survives_it(up: Up) -> None:
    up.wait("the children", lambda: {"nats-server", "field-driver-modbus"} <= set(up.children()))
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    up.wait("the end of all children", lambda: not up.children())


def test_a_second_one_on_the_same_data_is_refused_with_the_pid_and_changes_nothing(up: Up, tmp_path: Path) -> None:
    up.wait("the server", lambda: answers(up.nats_port))
    code, text = Up(tmp_path, data=up.data).refusal()
    assert code == 1
    assert f"(pid {up.process.pid})" in text
    assert "--data-dir" in text
    assert answers(up.nats_port)


def test_a_taken_port_is_refused_with_holder_and_option_before_anything_starts(tmp_path: Path) -> None:
    wanted = Up(tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", wanted.nats_port))
        holder.listen()
        code, text = wanted.refusal()
    assert code == 1
    assert f"port {wanted.nats_port} for nats-server is taken by" in text
    assert f"(pid {os.getpid()})" in text
    assert "--nats-port" in text
    assert not (wanted.data / "jetstream").exists()


def test_a_service_that_hangs_is_killed_and_started_again(up: Up) -> None:
    up.wait_for_page()
    before = up.children()["site-page"]
    time.sleep(2.5)  # it must have beaten once to be judged
    os.kill(before, signal.SIGSTOP)
    up.wait("a new page", lambda: up.children().get("site-page", before) != before)
    assert "site-page does not advance any more: killing it" in up.log.read_text()


def test_with_a_store_that_cannot_be_opened_control_starts_without_and_the_person_is_told(tmp_path: Path) -> None:
    up = Up(tmp_path)
    up.data.mkdir()
    (up.data / "jetstream").write_text("a file where a directory should be")
    try:
        up.start()
        up.wait("the page", lambda: answers(up.page_port))
        assert "nats-server cannot use its store: starting it without. Control goes on" in up.log.read_text()
    finally:
        up.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: needs root to mount a small disk")
def test_with_a_full_disk_control_starts_and_the_person_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("NOT RUN: this machine does not let a test mount a small disk")
    up = Up(tmp_path, data=disk / "data")
    with contextlib.suppress(OSError):  # full: as wanted
        (disk / "fill").write_bytes(b"x" * (1 << 20))
    try:
        up.start()
        up.wait("the page", lambda: answers(up.page_port))
        assert "stream CONTROL cannot be provided" in up.log.read_text()
        assert "make room" in up.log.read_text()
        os.kill(up.process.pid, signal.SIGINT)
        assert up.process.wait(timeout=30) == 0
    finally:
        up.end()
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["up", "no-such-site.yaml"],                    3, "there is no site file no-such-site.yaml"),
        (["up", str(DEMO), "--speed", "50"],             2, "--speed"),
        (["up", str(DEMO), "--nats-port", "0"],          2, "--nats-port"),
        (["run", "no-such-service"],                     2, "there is no service 'no-such-service'"),
        (["run", "site-page", "--set", "novalue"],       2, "--set takes KEY=VALUE"),
        (["status", "--site", str(DEMO), "--nats", f"nats://127.0.0.1:{free_port()}"], 1, "is `busbar up` running?"),
        (["stauts"],                                     2, "Did you mean 'status'?"),
    ],
)  # fmt: skip
def test_bad_usage_gives_one_clear_message(arguments: list[str], code: int, words: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "busbar", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == code
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


async def has_last_stream(port: int) -> bool:
    bus = await NatsBus.connect(f"nats://127.0.0.1:{port}", "demo", "test", SystemClock())
    try:
        info = await bus._js.stream_info("LAST")
        return bool(info.config.name == "LAST")
    except NotFoundError:
        return False
    finally:
        await bus.close()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
