"""The page and `busbar status` show what batteries and generators do, are told, and why (SPC-17)."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from busbar.bus import Received
from busbar.cli.status import Board, render
from busbar.config.load import load_site
from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import Measurement, Outcome, Reason, ReasonCode, Setpoint, SetpointResult
from site_page.asset_rows import AssetRow
from site_page.core import Newest, site_view
from site_page.render import Renderer


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path(__file__).parents[2] / "examples" / "depot.yaml")


def seen(asset: str, kind: AssetKind, **points: float | str | None) -> Received[Measurement]:
    event = Measurement(
        asset=asset, driver="modbus-1", kind=kind, seq=1, measured_at_ms=1, lifetime_ms=3000, points=dict(points),
    )  # fmt: skip
    return Received("t", event, 100.0, 0.0)


def told(asset: str, power_w: float, reason: Reason) -> Received[Setpoint]:
    event = Setpoint(
        asset=asset, driver="modbus-1", epoch=1, seq=1, published_at_ms=1, lifetime_ms=5000, power_w=power_w,
        reason=reason, snapshot=1,
    )  # fmt: skip
    return Received("s", event, 100.0, 0.0)


def newest() -> Newest:
    return Newest(
        telemetry={
            "battery": seen("battery", AssetKind.BATTERY, power_w=-12_080.0, soc_percent=61.4),
            "pv": seen("pv", AssetKind.PV, power_w=-9_990.0),
        },
        setpoints={
            "battery": told("battery", -12_000.0, Reason(code=ReasonCode.MODE, source="peak_shaving")),
            "pv": told("pv", -10_000.0, Reason(code=ReasonCode.EXPORT_LIMIT, collector="grid", source="site")),
        },
    )


def row(site: Site, found: Newest, asset: str, now_s: float = 101.0) -> AssetRow:
    return next(r for r in site_view(site, found, now_s).asset_rows if r.id == asset)


def test_a_battery_shows_power_charge_setpoint_and_why(site: Site) -> None:
    shown = row(site, newest(), "battery")
    assert (shown.power_kw, shown.soc_percent, shown.told, shown.why, shown.state) == (
        -12.08, 61.4, "discharge 12.0 kW", "its mode: peak shaving", "",
    )  # fmt: skip
    view = site_view(site, newest(), 101.0)
    assert (view.battery_kw, view.soc_percent) == (-12.08, 61.4)
    html = Renderer().pieces(view)["assets"]
    assert "61 %" in html
    assert "at most 10.0 kW: injection limit of Grid connection, set by site" in html


@pytest.mark.parametrize(
    ("asset", "power_w", "words"),
    [
        ("battery", 8_000.0,   "charge 8.0 kW"),
        ("battery", 0.0,       "rest"),
        ("pv",      -30_000.0, "free"),
        ("pv",      0.0,       "off"),
    ],
)  # fmt: skip
def test_a_setpoint_reads_as_what_the_device_is_to_do(site: Site, asset: str, power_w: float, words: str) -> None:
    found = newest()
    found.setpoints[asset] = told(asset, power_w, Reason(code=ReasonCode.SOC))
    assert row(site, found, asset).told == words


def test_what_is_old_or_silent_is_said(site: Site) -> None:
    assert row(site, Newest(), "battery").state == "no value yet"
    late = row(site, newest(), "battery", 110.0)
    assert (late.fresh, late.told, late.state) == (False, "", "does not answer (10 s)")
    view = site_view(site, newest(), 110.0)
    assert (view.battery_kw, view.soc_percent) == (0.0, None)


def test_a_driver_that_holds_or_falls_back_is_shown(site: Site) -> None:
    found = newest()
    event = SetpointResult(
        asset="battery", driver="modbus-1", epoch=1, seq=1, outcome=Outcome.APPLIED, requested_a=None, applied_a=None,
        requested_w=0.0, applied_w=0.0, stage="fallback", measured_at_ms=1,
    )  # fmt: skip
    found.results["battery"] = Received("r", event, 100.0, 0.0)
    assert row(site, found, "battery").state == "fallback"


def test_a_site_without_battery_has_no_tile_for_one() -> None:
    demo = load_site(Path(__file__).parents[2] / "examples" / "demo.yaml")
    view = site_view(demo, Newest(), 100.0)
    assert view.battery_kw is None
    assert "Batteries" not in Renderer().pieces(view)["summary"]


def test_status_has_a_row_for_each_asset_set_in_w(site: Site) -> None:
    board = Board(site)
    board.measurements["battery"] = seen(
        "battery", AssetKind.BATTERY, power_w=-12_080.0, soc_percent=61.4, run_state="running"
    )
    board.setpoints["battery"] = told("battery", -12_000.0, Reason(code=ReasonCode.SOC))
    pv, battery = board.asset_rows(101.0)
    assert battery == {
        "asset": "battery", "kind": "battery", "status": "running", "power_w": -12_080, "soc_percent": 61.4,
        "setpoint_w": -12_000.0, "why": "soc", "age_s": 1.0,
    }  # fmt: skip
    assert (pv["asset"], pv["power_w"], pv["why"]) == ("pv", None, "no setpoint")


def test_a_state_of_charge_of_bad_quality_is_not_shown(site: Site) -> None:
    found = newest()
    bad = found.telemetry["battery"].event.model_copy(update={"quality": {"soc_percent": Quality.OUT_OF_RANGE}})
    found.telemetry["battery"] = Received("t", bad, 100.0, 0.0)
    assert row(site, found, "battery").soc_percent is None


def test_spc_11_a_dc_connector_shows_kw_and_its_own_bounds(site: Site) -> None:
    found = Newest(
        telemetry={"q1": seen("q1", AssetKind.DC_CONNECTOR, status="Charging", power_w=11_870.0, dc_power_w=11_180.0)},
        setpoints={"q1": told("q1", 18_800.0, Reason(code=ReasonCode.CAP, value=18_800.0))},
    )
    view = site_view(site, found, 101.0)
    shown = next(r for r in view.connector_rows if r.id == "q1")
    assert (shown.power_kw, shown.setpoint_kw, shown.setpoint_a, shown.state) == (11.87, 18.8, None, "charging")
    assert shown.why == "5 kW until the vehicle charges, then at most 7 kW above what it draws"
    assert view.charging_kw == 11.87
    assert "18.8 kW" in Renderer().pieces(view)["connector-q1"]


def test_a_dc_connector_that_falls_back_shows_kw(site: Site) -> None:
    event = SetpointResult(
        asset="q1", driver="modbus-1", epoch=1, seq=1, outcome=Outcome.APPLIED, requested_a=None, applied_a=None,
        requested_w=5000.0, applied_w=5000.0, stage="fallback", measured_at_ms=1,
    )  # fmt: skip
    found = Newest(telemetry={"q1": seen("q1", AssetKind.DC_CONNECTOR, status="Charging", setpoint_power_w=5e3)})
    found.results["q1"] = Received("r", event, 100.0, 0.0)
    assert "fallback 5.0 kW" in Renderer().pieces(site_view(site, found, 101.0))["connector-q1"]


def test_status_shows_a_dc_connector_s_setpoint_in_w(site: Site) -> None:
    board = Board(site)
    board.measurements["q1"] = seen("q1", AssetKind.DC_CONNECTOR, status="Charging", power_w=11_870.0)
    board.setpoints["q1"] = told("q1", 18_800.0, Reason(code=ReasonCode.CAP, value=18_800.0))
    assert board.connector_rows(101.0)[-1] == {
        "connector": "q1", "status": "Charging", "power_w": 11_870, "setpoint_a": None, "setpoint_w": 18_800.0,
        "why": "cap: 18800", "age_s": 1.0,
    }  # fmt: skip
    console = Console(width=160, record=True, file=StringIO())
    console.print(render(board, now_s=101.0))
    assert "18800 W" in console.export_text()
