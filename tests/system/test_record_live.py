"""Recorded from the running site, decided again; limits set from the command line hold (OPS-3, SPC-7)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from system.running import RunningSite, running_site

pytestmark = pytest.mark.system
RECORD_S = 15


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("record"), 58, "--start", "12:00", "--day", "2019-09-11") as running:
        running.wait_until_controlled()
        yield running


def command(site: RunningSite, *words: str) -> list[str]:
    on_bus = () if words[0] == "replay" else ("--site", str(site.site), "--nats", f"nats://127.0.0.1:{site.nats_port}")
    return [sys.executable, "-m", "busbar", *words, *on_bus]


def run(site: RunningSite, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(site, *words), capture_output=True, text=True, timeout=60, check=False)


def test_what_was_recorded_until_ctrl_c_is_decided_again_bit_for_bit(site: RunningSite) -> None:
    out = site.folder / "live.jsonl.gz"
    recorder = subprocess.Popen(command(site, "record", "--out", str(out)), stderr=subprocess.PIPE, text=True)
    time.sleep(RECORD_S)
    limited = run(site, "limit", "set", "grid", "--import-w", "9000", "--for", "1m")
    assert limited.returncode == 0, limited.stderr
    time.sleep(3)
    recorder.send_signal(signal.SIGINT)
    _, said = recorder.communicate(timeout=15)
    assert recorder.returncode == 0, said
    replayed = run(site, "replay", str(out), "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    found = json.loads(replayed.stdout)
    assert found["differences"] == found["holes"] == []
    assert found["cycles"] >= RECORD_S - 6
    assert found["skipped"] == 0


def test_a_limit_set_here_is_shown_obeyed_and_released(site: RunningSite) -> None:
    assert run(site, "limit", "set", "grid", "--import-w", "0", "--export-w", "0", "--source", "me").returncode == 0
    shown = json.loads(run(site, "limit", "show", "--json").stdout)
    mine = next(row for row in shown if row["source"] == "me")
    assert (mine["collector"], mine["import_limit_w"], mine["tightest"]) == ("grid", 0.0, ["import", "export"])

    def whys() -> list[str]:
        return [row["why"] for row in site.state()["connector_rows"]]

    site.wait("connectors held by the limit", lambda: any("not all vehicles" in why for why in whys()), 15)
    assert run(site, "limit", "release", "grid", "--source", "me").returncode == 0
    assert "me" not in run(site, "limit", "show").stdout
    again = run(site, "limit", "release", "grid", "--source", "me")
    assert (again.returncode, "has no limit by me" in again.stderr) == (1, True)
