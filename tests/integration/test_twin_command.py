"""`busbar twin` as a process: real sockets, signals, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.integration
DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """The demo site on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site = yaml.safe_load(DEMO.read_text("utf-8"))
    for device in site["devices"]:
        device["port"] = port
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


def command(site_file: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "busbar", "twin", str(site_file), *options]


@contextmanager
def running(site_file: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "BUSBAR_LOG": "text", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command(site_file, *options), stderr=subprocess.PIPE, text=True, env=env)
    try:
        wait_for(process, "playing")
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def wait_for(process: subprocess.Popen[str], words: str) -> str:
    """The next line with these words; fails where the process ends without them."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if words in line:
            return line
    raise AssertionError(f"{words!r} never came:\n{''.join(seen)}")


def grid_volts(port: int) -> float:
    """Voltage of L1 by hand-made Modbus from the grid meter (EEM: f32 at input register 4096)."""
    with socket.create_connection(("127.0.42.1", port), timeout=10) as link:
        link.sendall(struct.pack(">HHHBBHH", 7, 0, 6, 1, 4, 4096, 2))
        reply = link.recv(64)
    assert reply[:9] == struct.pack(">HHHBBB", 7, 0, 7, 1, 4, 4)
    volts: float = struct.unpack(">f", reply[9:13])[0]
    return volts


def test_it_serves_true_modbus_obeys_its_fault_file_and_ends_cleanly(site_file: Path, tmp_path: Path) -> None:
    port = yaml.safe_load(site_file.read_text())["devices"][0]["port"]
    faults = tmp_path / "faults.yaml"
    with running(site_file, "--faults", str(faults)) as process:
        assert 215.0 < grid_volts(port) < 245.0
        faults.write_text("devices: {charx: {silent: true}}")
        process.send_signal(signal.SIGHUP)
        assert "silent=True" in wait_for(process, "charx:")
        faults.write_text("devices: {charx: {silence: true}}")
        assert "silence" in wait_for(process, "was refused, nothing changed")
        faults.unlink()
        assert "in good order" in wait_for(process, "charx:")
        process.send_signal(signal.SIGINT)
        wait_for(process, "stopped")
        assert process.wait(20) == 0


def test_a_taken_port_is_named_with_what_to_do(site_file: Path) -> None:
    port = yaml.safe_load(site_file.read_text())["devices"][0]["port"]
    with socket.create_server(("127.0.42.11", port)):
        done = subprocess.run(command(site_file), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "charx" in done.stderr
    assert f"127.0.42.11:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_simulated_device_away_from_loopback_is_refused(site_file: Path) -> None:
    site_file.write_text(site_file.read_text().replace("127.0.42.11", "192.0.2.7"))
    done = subprocess.run(command(site_file), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "192.0.2.7" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [("--day", "yesterday"), ("--start", "noon")])
def test_a_wrong_option_says_what_it_takes(site_file: Path, options: tuple[str, str]) -> None:
    done = subprocess.run(command(site_file, *options), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert options[1] in done.stderr
