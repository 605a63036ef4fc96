"""A whole site as real processes: `busbar up` on loopback addresses of its own, watched from outside.

What the devices are told is read from the twin over Modbus by a client that shares no code with Busbar.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"

Change = Callable[[str], str]
"""From the text of the demo site to the text that is run."""

CHARX = {"a1": 1, "a2": 2, "a3": 3, "a4": 4}
ALFEN = {"b1": ("21", 1), "b2": ("21", 2), "b3": ("22", 1), "b4": ("22", 2)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_registers(host: str, unit: int, address: int, count: int, function: int = 3) -> bytes:
    """Function 3 or 4 over Modbus TCP, written out: 7 bytes of header, 5 of request."""
    request = struct.pack(">HHHBBHH", 1, 0, 6, unit, function, address, count)
    with socket.create_connection((host, 1502), timeout=3) as connection:
        connection.sendall(request)
        answer = b""
        while len(answer) < 9 + 2 * count:
            part = connection.recv(512)
            if not part or (len(answer) >= 8 and answer[7] & 0x80):
                raise OSError(f"{host} unit {unit}: refused address {address}: {answer.hex()}")
            answer += part
    return answer[9 : 9 + 2 * count]


class RunningSite:
    """`busbar up` and its children. Use `running_site()`; it ends everything."""

    def __init__(self, folder: Path, network: int, *arguments: str, change: Change = str) -> None:
        self.network = network
        self.folder = folder
        self.site = folder / "site.yaml"
        self.site.write_text(change(DEMO.read_text().replace("127.0.42.", f"127.0.{network}.")))
        self.nats_port, self.page_port = free_port(), free_port()
        self.log = folder / "up.log"
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.page_port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "busbar", "up", str(self.site), "--nats-port", str(self.nats_port),
            "--page-port", str(self.page_port), "--data-dir", str(self.folder / "data"), *self.arguments,
        ]  # fmt: skip
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.page}/api/state", timeout=3) as answer:
            data: dict[str, Any] = json.load(answer)
            return data

    def wait(self, what: str, ready: Any, timeout_s: float = 60.0) -> None:
        """Poll until `ready()` is true; the log is in the failure."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, urllib.error.URLError, KeyError, ValueError):
                if ready():
                    return
            time.sleep(0.25)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])
        raise AssertionError(f"waited {timeout_s:g} s for: {what}\n{tail}")

    def wait_until_controlled(self) -> None:
        """Every connector has fresh telemetry and a setpoint, and the devices obey."""
        self.wait("all connectors controlled", lambda: self.controlled() and self.obeyed(), 90.0)

    def controlled(self) -> bool:
        rows = self.state()["connector_rows"]
        return len(rows) == 8 and all(
            row["fresh"] and row["setpoint_a"] is not None and row["stage"] == "fresh" for row in rows
        )

    def obeyed(self) -> bool:
        """No device allows more than the page shows; a cable or the device itself may allow less."""
        told = self.limits_a()
        return all(told[row["id"]] <= row["setpoint_a"] + 0.5 for row in self.state()["connector_rows"])

    def host(self, last: str) -> str:
        return f"127.0.{self.network}.{last}"

    def limits_a(self) -> dict[str, float]:
        """Limit in force of every connector, read from the devices themselves."""
        limits: dict[str, float] = {}
        for name, number in CHARX.items():
            limits[name] = float(struct.unpack(">H", read_registers(self.host("11"), 1, number * 1000 + 297, 1))[0])
        for name, (last, unit) in ALFEN.items():
            limits[name] = round(struct.unpack(">f", read_registers(self.host(last), unit, 1206, 2))[0], 2)
        return limits

    def pid(self, *words: str) -> int:
        """Process whose command line holds all `words`, among those of this site."""
        for entry in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                mine = any(str(self.folder) in part for part in command)
                if mine and all(any(word in part for part in command) for word in words):
                    return int(entry.name)
        raise AssertionError(f"no process {words} of {self.folder}")

    def kill(self, *words: str, with_signal: int = signal.SIGKILL) -> int:
        pid = self.pid(*words)
        os.kill(pid, with_signal)
        return pid

    def stop(self) -> int:
        """Ctrl-C; returns the exit code. Whatever is left after 15 s is killed and is a failure."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(15)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def leftovers(self) -> list[str]:
        """Command lines of processes of this site that still run."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                if str(self.folder) in command:
                    found.append(command)
        return found


@contextlib.contextmanager
def running_site(folder: Path, network: int, *arguments: str, change: Change = str) -> Iterator[RunningSite]:
    site = RunningSite(folder, network, *arguments, change=change)
    site.start()
    try:
        yield site
    finally:
        if site.process and site.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                site.stop()
        for line in site.leftovers():
            print("left over:", line)
