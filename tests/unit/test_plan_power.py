"""The fallback plan of what is set in W: batteries stop, generators keep standing limits (FB-3, SPC-12)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from busbar.config.model import SiteFile
from busbar.config.packages import PackageFacts
from busbar.config.plan import FallbackPlan, fallback_plan
from busbar.config.protection import protection
from busbar.config.site import Site, compile_site

SITE = yaml.safe_load("""
format: busbar-site/1
site: {id: depot, timezone: Europe/Brussels, network: tn_400}
collectors:
  - {id: grid, rated_current_a: 100, fuse: gG, meter: m}
  - {id: roof, parent: grid, rated_current_a: 63, fuse: mcb_c, virtual: {unmetered_load_a: 0}}
devices:
  - {id: d0, package: eastron-sdm630, host: 127.0.0.1}
  - {id: d1, package: sunspec-pv-inverter, host: 127.0.0.2}
  - {id: d2, package: sunspec-pv-inverter, host: 127.0.0.3}
  - {id: d3, package: sunspec-der-battery, host: 127.0.0.4}
assets:
  - {kind: meter, id: m, device: d0}
  - {kind: pv, id: pv1, collector: roof, device: d1, rated_power_w: 20000}
  - {kind: pv, id: pv2, collector: roof, device: d2, rated_power_w: 10000, phases: [L1]}
  - {kind: battery, id: bat, collector: grid, device: d3, capacity_wh: 60000, max_charge_w: 30000,
     max_discharge_w: 23000}
""")
STOPS = PackageFacts(device_class="battery", on_silence="zero")


def site(roof_a: float = 80.0, **grid: Any) -> Site:
    data = copy.deepcopy(SITE)
    data["collectors"][1]["rated_current_a"] = roof_a
    data["collectors"][0] |= grid
    return compile_site(SiteFile.model_validate(data), {"sunspec-der-battery": STOPS})


def planned(roof_a: float = 80.0, **grid: Any) -> FallbackPlan:
    return fallback_plan(site(roof_a, **grid))


def test_batteries_stop_and_generators_are_free_where_nothing_speaks_against_it() -> None:
    assert planned(roof_a=80).power_w == {"pv1": -20_000, "pv2": -10_000, "bat": 0}


def test_the_export_side_of_a_fuse_is_kept_without_anybody() -> None:
    """L1 of the roof: 20 kW / 3 + 10 kW against 63 A x 230 V."""
    share = 63 * 230 / (20_000 / 3 + 10_000)
    assert planned(roof_a=63).power_w == pytest.approx({"pv1": -20_000 * share, "pv2": -10_000 * share, "bat": 0})


@pytest.mark.parametrize(
    ("grid", "share"),
    [
        ({"export_limit_w": 15_000}, 0.5),
        ({"export_limit_w": 0},      0.0),
        ({"power_limit_w": 6_000},   0.2),
    ],
)  # fmt: skip
def test_spc_12_a_standing_injection_limit_is_shared_by_rating(grid: dict[str, Any], share: float) -> None:
    assert planned(**grid).power_w == pytest.approx({"pv1": -20_000 * share, "pv2": -10_000 * share, "bat": 0})


@pytest.mark.parametrize(("on_silence", "charging_a"), [("zero", 0.0), ("unknown", 30_000 / 690)])
def test_fb_3_a_battery_is_booked_at_zero_only_where_its_watchdog_stops_it(on_silence: Any, charging_a: float) -> None:
    facts = {"sunspec-der-battery": PackageFacts(device_class="battery", on_silence=on_silence)}
    (grid, _) = fallback_plan(site(), facts).fuses
    assert grid.total_a == pytest.approx([charging_a] * 3)


def test_charging_counts_as_controlled_and_a_loss_of_discharge_as_a_loss_of_generation() -> None:
    (grid,) = (e for e in protection(site(), {}).exposures if e.collector.id == "grid")
    assert grid.controlled_a == pytest.approx([30_000 / 690] * 3)
    pv_a, bat_a = 20_000 / 690, 23_000 / 690
    assert grid.generation_a == pytest.approx([pv_a + 10_000 / 230 + bat_a, pv_a + bat_a, pv_a + bat_a])


def test_the_plan_says_what_each_asset_does() -> None:
    assert "bat" in planned().table()
    assert "-0 W" not in planned(export_limit_w=0).table()
