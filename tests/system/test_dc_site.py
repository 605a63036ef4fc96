"""The fast charger of the depot as real processes over real Modbus TCP (SPC-11, FB-3), read by a client of our own."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from system.running import RunningSite, read_registers, running_site

pytestmark = pytest.mark.system
DEPOT = Path(__file__).parents[2] / "examples" / "depot.yaml"
NETWORK = 53


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    def depot(_: str) -> str:
        return DEPOT.read_text("utf-8").replace("127.0.43.", f"127.0.{NETWORK}.")

    with running_site(
        tmp_path_factory.mktemp("dc"), NETWORK, "--start", "11:00", "--day", "2019-09-11", change=depot
    ) as running:
        yield running


def told_w(site: RunningSite) -> int:
    """Holding 100: the limit as the station repeats it."""
    return int(struct.unpack(">I", read_registers(site.host("12"), 1, 100, 2))[0])


def draws_w(site: RunningSite) -> float:
    """Input 104 is the DC side; what the station takes for it."""
    return float(struct.unpack(">I", read_registers(site.host("12"), 1, 104, 2, 4))[0] / 0.95 + 100.0)


def row(site: RunningSite) -> dict[str, Any]:
    return next(row for row in site.state()["connector_rows"] if row["id"] == "q1")


def fuses_hold(site: RunningSite) -> bool:
    return all(
        abs(phase["current_a"]) <= phase["rated_a"]
        for collector in site.state()["collector_rows"]
        for phase in collector["phases"]
        if phase["current_a"] is not None
    )


def test_spc_11_a_dc_vehicle_gets_7_kw_more_than_it_draws_until_the_maximum(site: RunningSite) -> None:
    site.wait("the allocator speaks to q1", lambda: row(site)["setpoint_kw"] is not None, 60.0)
    site.wait("the station repeats it", lambda: told_w(site) == 1000.0 * row(site)["setpoint_kw"], 30.0)
    drawn = [draws_w(site)]
    deadline = time.monotonic() + 90.0
    while drawn[-1] < 29_500.0 and time.monotonic() < deadline:
        limit_w = told_w(site)
        drawn.append(draws_w(site))
        assert limit_w <= max(5_000.0, max(drawn) + 7_000.0) + 200.0
        assert fuses_hold(site)
        time.sleep(0.2)
    assert drawn[-1] == pytest.approx(30_000.0, rel=0.02)
    site.wait("the page says so", lambda: row(site)["power_kw"] > 29.0 and row(site)["state"] == "charging", 10.0)
    assert row(site)["setpoint_a"] is None


def test_fb_3_a_dead_driver_leaves_the_station_at_its_own_fallback_power_and_a_new_one_takes_it_back(
    site: RunningSite,
) -> None:
    site.wait("it charges", lambda: draws_w(site) > 25_000.0, 60.0)
    assert site.process is not None
    os.kill(site.process.pid, signal.SIGSTOP)  # nobody restarts it
    try:
        site.kill("run", "field-driver-modbus")
        site.wait(
            "10 kW, which only the station knows of", lambda: draws_w(site) == pytest.approx(10_000, rel=0.02), 15
        )
        assert told_w(site) > 25_000
    finally:
        os.kill(site.process.pid, signal.SIGCONT)
    site.wait("a new driver", lambda: draws_w(site) > 25_000.0, 60.0)
    assert fuses_hold(site)
