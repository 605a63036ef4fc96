"""Aggregator: batteries are load while they charge, credited generation while they discharge (SPC-15, SPC-16)."""

from __future__ import annotations

from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.domain.kinds import AssetKind
from busbar.events import AssetSample
from unit.aggregator_world import World, on

SITE = load_site(Path(__file__).parents[2] / "examples" / "depot.yaml")
ALL = (0, 1, 2)
KW = 1000.0
CHARGE_A_PHASE = 30 * KW / 3
STOPPED_S = 60.0 + 5.0
"""Watchdog of the site file and reaction of the package."""


def world(battery_kw: float = 0.0, pv_kw: float = 0.0, building_kw: float = 0.0) -> World:
    draws = {entity.id: [0.0] * 6 for entity in SITE.entities.values()}
    for name, power_kw in (("battery", battery_kw), ("pv", pv_kw), ("building", building_kw)):
        draws[name] = on(ALL, [power_kw * KW] * 3)
    return World(SITE, draws)


def asset(found: World, name: str, now_s: float) -> AssetSample:
    return next(a for a in found.snapshot(now_s).assets if a.asset == name)


@pytest.mark.parametrize(
    ("battery_kw", "pv_kw", "generation_kw"),
    [(-5.0, 0.0, -5.0), (-5.0, -4.0, -9.0), (5.0, -4.0, -4.0), (5.0, 0.0, 0.0)],
)
def test_discharge_is_credited_like_pv_and_charging_is_not(
    battery_kw: float, pv_kw: float, generation_kw: float
) -> None:
    site = world(battery_kw, pv_kw, 12.0)
    site.say_all(1.0)
    collectors = site.collectors(1.0)
    assert collectors["energy"].background_w == pytest.approx(((battery_kw + pv_kw) * KW,) * 3)
    for name in ("grid", "energy"):
        assert collectors[name].generation_w == pytest.approx((generation_kw * KW,) * 3)


def test_spc_16_the_batteries_have_a_sum_of_their_own() -> None:
    site = world(-5.0, -4.0, 12.0)
    site.say_all(1.0)
    site.snapshot(1.0)
    grid = next(s for s in site.aggregator.states(1000) if s.collector == "grid")
    assert grid.sums.bess_w == pytest.approx((-5 * KW,) * 3)
    assert grid.sums.ucl_w == pytest.approx((12 * KW,) * 3)


@pytest.mark.parametrize(
    ("power_kw", "age_s", "seen_w"),
    [
        (-5.0, 5.0,             -5 * KW),
        (-5.0, 31.0,            CHARGE_A_PHASE),  # its discharge at once nothing, and it may be charging
        (5.0,  31.0,            CHARGE_A_PHASE),
        (5.0,  STOPPED_S - 0.5, CHARGE_A_PHASE),
        (5.0,  STOPPED_S + 0.5, 0.0),             # its own watchdog has stopped it
    ],
)  # fmt: skip
def test_fb_3_a_silent_battery_is_its_worst_case_until_it_has_stopped_by_itself(
    power_kw: float, age_s: float, seen_w: float
) -> None:
    site = world(power_kw)
    site.say_all(1.0)
    energy = site.collectors(1.0 + age_s)["energy"]
    assert energy.background_w == pytest.approx((seen_w,) * 3)
    assert energy.generation_w == pytest.approx((min(0.0, seen_w),) * 3)
    assert energy.valid is (age_s < 30.0)


def test_what_a_battery_and_a_roof_say_of_themselves_is_in_the_snapshot() -> None:
    site = world(-5.0, -4.0)
    said: dict[str, float | str | None] = {
        "soc_percent": 61.5, "setpoint_power_w": -15_000.0, "max_charge_power_w": 30_000.0,
        "max_discharge_power_w": 28_000.0, "frequency_hz": 49.97,
    }  # fmt: skip
    site.say("battery", 1.0, **said)
    site.say("pv", 1.0, setpoint_power_w=-20_000.0, available_power_w=25_000.0)
    battery, pv = asset(site, "battery", 2.0), asset(site, "pv", 2.0)
    assert (battery.kind, battery.soc_percent, battery.setpoint_w) == (AssetKind.BATTERY, 61.5, -15_000.0)
    assert (battery.max_charge_w, battery.max_discharge_w, battery.frequency_hz) == (30_000.0, 28_000.0, 49.97)
    assert (battery.sampled_at_ms, battery.age_ms, battery.reachable) == (1000, 1000, True)
    assert (pv.setpoint_w, pv.available_power_w, pv.soc_percent) == (-20_000.0, 25_000.0, None)


def test_fc_7_a_battery_that_went_silent_is_not_reachable_any_more() -> None:
    site = world(-5.0)
    site.say("battery", 1.0, soc_percent=50.0)
    assert not asset(site, "battery", 5.0).reachable
