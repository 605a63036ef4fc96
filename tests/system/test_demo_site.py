"""`make run` as a user sees it: the whole demo site as real processes (OPS-2, FC-8, SPC-17)."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from system.running import RunningSite, running_site

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("demo"), 51) as running:
        running.wait_until_controlled()
        yield running


def test_vehicles_charge_and_every_setpoint_says_why(site: RunningSite) -> None:
    site.wait("a vehicle charging", lambda: site.state()["charging"] >= 2)
    rows = site.state()["connector_rows"]
    assert all(row["why"] for row in rows)
    assert {row["state"] for row in rows} >= {"charging", "free"}


def test_every_collector_stays_under_its_rating(site: RunningSite) -> None:
    for _ in range(5):
        for row in site.state()["collector_rows"]:
            for phase in row["phases"]:
                assert phase["current_a"] is not None, f"{row['id']} {phase['name']} unknown"
                assert abs(phase["current_a"]) <= phase["rated_a"], f"{row['id']} {phase['name']} over its rating"
        time.sleep(1)


def test_the_devices_are_told_what_the_page_shows(site: RunningSite) -> None:
    site.wait("devices and page agree", site.obeyed, 20)


def test_the_page_is_one_document_from_one_host(site: RunningSite) -> None:
    html = urllib.request.urlopen(f"{site.page}/", timeout=3).read().decode()
    assert "Row A" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html


def test_the_live_stream_sends_the_whole_picture_and_then_only_changes(site: RunningSite) -> None:
    with urllib.request.urlopen(f"{site.page}/live", timeout=5) as stream:
        first = _message(stream)
        later = _message(stream)
    assert first.count("<hx-partial") >= 13  # summary, collectors, connectors, lists
    assert later.count("<hx-partial") < first.count("<hx-partial")


def _message(stream: object) -> str:
    lines: list[str] = []
    for raw in stream:  # type: ignore[attr-defined]  # an HTTP response iterates its lines
        line = raw.decode().rstrip("\n")
        if not line and lines:
            return "\n".join(lines)
        if line:
            lines.append(line)
    raise AssertionError("the stream ended")


def test_nonsense_on_the_bus_harms_nobody(site: RunningSite) -> None:
    """Raw NATS protocol, no client library: garbage on every control subject."""
    with socket.create_connection(("127.0.0.1", site.nats_port), timeout=3) as nats:
        nats.recv(4096)
        nats.sendall(b'CONNECT {"verbose":false,"name":"nonsense"}\r\n')
        for noun in ("telemetry.modbus-1.a1", "setpoint.modbus-1.a1", "snapshot", "fallback.x", "heartbeat.a.b"):
            for body in (b"", b"{}", b"\xff\xfe", b'{"epoch":"x"}', b"[" * 1000):
                nats.sendall(f"PUB busbar.v1.demo.{noun} {len(body)}\r\n".encode() + body + b"\r\n")
        nats.sendall(b"PING\r\n")
        nats.recv(64)
    time.sleep(2)
    assert site.controlled()


def test_a_killed_service_is_back_and_the_page_says_so(site: RunningSite) -> None:
    site.kill("run", "collector-aggregator")
    site.wait("the restart in the page's log", lambda: "restarted" in json.dumps(site.state()["log"]), 20)
    site.wait_until_controlled()


def test_a_second_site_on_the_same_data_is_refused_with_the_remedy(site: RunningSite) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "busbar", "up", str(site.site), "--data-dir", str(site.folder / "data")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "Traceback" not in done.stderr + done.stdout
    assert str(site.folder / "data") in done.stderr + done.stdout


def test_ctrl_c_ends_everything_cleanly(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_site(tmp_path_factory.mktemp("ctrl-c"), 52) as running:
        running.wait_until_controlled()
        assert running.stop() in (0, 130, -signal.SIGINT)
        assert running.leftovers() == []
        assert "Traceback" not in running.log.read_text()
