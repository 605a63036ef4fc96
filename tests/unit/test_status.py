"""`busbar status`: what a person reads follows from the newest events and their age."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from busbar.bus import Received
from busbar.cli.status import Board, render, why
from busbar.config.load import load_site
from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import CollectorState, Heartbeat, Measurement, Reason, ReasonCode, ServiceState, Setpoint, Sums
from busbar.units import PhaseVector, uniform


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path(__file__).parents[2] / "examples" / "demo.yaml")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (Reason(code=ReasonCode.NO_VEHICLE), "no_vehicle"),
        (Reason(code=ReasonCode.RAMP, value=7.0), "ramp: 7"),
        (Reason(code=ReasonCode.ROW, collector="parking", phase="L2", side="import", value=63.5),
         "row: parking L2 import 63.5"),
        (Reason(code=ReasonCode.PAUSED, rank=2), "paused: (rank 2)"),
        (Reason(code=ReasonCode.FALLBACK, source="meter:grid-meter", value=0.0), "fallback: meter:grid-meter 0"),
    ],
)  # fmt: skip
def test_a_reason_reads_as_one_line(reason: Reason, text: str) -> None:
    assert why(reason) == text


def board(site: Site) -> Board:
    board = Board(site)
    board.hearts["spc-allocator/main"] = Received(
        "h", Heartbeat(
            service="spc-allocator", instance="main", state=ServiceState.RUNNING, cycle_ms=3.14, cycles=9, version="1",
            fingerprint="f", published_at_ms=0,
        ), 100.0, 0.0,
    )  # fmt: skip
    board.collectors["grid"] = Received(
        "c", CollectorState(
            collector="grid", measured_at_ms=0, lifetime_ms=3000, virtual=False, quality=Quality.GOOD,
            current_a=PhaseVector(50.04, -96.0, 10.0), power_w=None, reactive_power_var=None, sums=Sums(),
            free_connectors=3, reserve_a=6.0, limit_a=uniform(94.0),
        ), 100.0, 0.0,
    )  # fmt: skip
    board.measurements["a1"] = Received(
        "t", Measurement(
            asset="a1", driver="d", kind=AssetKind.AC_CONNECTOR, seq=1, measured_at_ms=0, lifetime_ms=3000,
            points={"status": "Charging", "power_l1_w": 1000.0, "power_l2_w": 1100.4, "power_l3_w": None},
        ), 100.0, 0.0,
    )  # fmt: skip
    board.setpoints["a1"] = Received(
        "s", Setpoint(
            asset="a1", driver="d", epoch=1, seq=1, published_at_ms=0, lifetime_ms=5000, current_a=9.0,
            reason=Reason(code=ReasonCode.CAP), snapshot=1,
        ), 100.0, 0.0,
    )  # fmt: skip
    return board


def test_rows_say_what_is_known_and_what_was_never_seen(site: Site) -> None:
    shown = json.loads(board(site).as_json(now_s=101.0))
    assert shown["services"][0] == {
        "service": "spc-allocator", "instance": "main", "state": "running", "cycles": 9, "cycle_ms": 3.1, "age_s": 1.0,
        "detail": "",
    }  # fmt: skip
    grid, roof = shown["collectors"][:2]
    assert (grid["current_a"], grid["limit_a"], grid["quality"]) == ([50.0, -96.0, 10.0], [94.0] * 3, "good")
    assert (roof["current_a"], roof["quality"], roof["age_s"]) == (None, "never seen", None)
    a1, a2 = shown["connectors"][:2]
    assert a1 == {
        "connector": "a1", "status": "Charging", "power_w": 2100, "setpoint_a": 9.0, "setpoint_w": None,
        "why": "cap", "age_s": 1.0,
    }  # fmt: skip
    assert a2 == {
        "connector": "a2", "status": None, "power_w": None, "setpoint_a": None, "setpoint_w": None,
        "why": "no setpoint", "age_s": None,
    }  # fmt: skip


def test_a_measurement_past_its_life_is_shown_as_stale_not_as_its_last_status(site: Site) -> None:
    assert board(site).connector_rows(now_s=102.9)[0]["status"] == "Charging"
    assert board(site).connector_rows(now_s=103.1)[0]["status"] == "stale"


def test_a_device_that_does_not_answer_is_shown_as_unreachable(site: Site) -> None:
    shown = board(site)
    lost = shown.measurements["a1"].event.model_copy(update={"reachable": False})
    shown.measurements["a1"] = Received("t", lost, 100.0, 0.0)
    assert shown.connector_rows(now_s=100.5)[0]["status"] == "unreachable"


def test_a_load_beyond_its_limit_stands_out_in_either_direction(site: Site) -> None:
    console = Console(width=140, force_terminal=True, record=True, color_system="standard", file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(render(board(site), now_s=101.0))
    text = console.export_text(styles=True)
    assert "\x1b[1;31m-96.0 / 94 A" in text
    assert "\x1b[1;31m50.0 / 94 A" not in text
