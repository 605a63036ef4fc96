"""Batteries, PV and the rest in closed loops, by requirement: SPC-7 (export), 8, 12, 13, 14, 19, 24."""

from __future__ import annotations

import pytest

from busbar.events import ReasonCode
from unit.flexible_world import FlexWorld, battery, flexible_site, heater, pv


def world_of(*assets, connectors=(), collectors=({"id": "grid", "rated_current_a": 100},), **options) -> FlexWorld:  # type: ignore[no-untyped-def]
    return FlexWorld(flexible_site(assets, connectors, collectors, **options))


def test_spc12_without_a_limit_pv_is_free() -> None:
    world = world_of(pv("pv"))
    world.things["pv"].wish_w = 15_000.0
    world.run_to(30.0)
    assert world.watts == {"pv": -20_000.0}
    assert world.because("pv").code is ReasonCode.DEVICE


def test_spc12_fixed_injection_limit_curtails_and_the_release_is_slow_and_complete() -> None:
    world = world_of(pv("pv"), collectors=[{"id": "grid", "rated_current_a": 100, "export_limit_w": 5000}])
    world.things["pv"].wish_w = 15_000.0
    world.run_to(30.0)
    assert -5000.0 <= world.net_w() <= -4900.0
    assert world.because("pv").code is ReasonCode.EXPORT_LIMIT
    world.load_a["grid"] = [20.0] * 3  # 13.8 kW
    world.run_to(32.0)
    assert world.watts["pv"] > -8000.0, "released slowly"
    world.run_to(330.0)
    assert world.watts["pv"] == -18_800.0 or world.watts["pv"] == -20_000.0
    assert world.things["pv"].power_w == -15_000.0


def test_spc7_a_variable_limit_of_0_stops_injection_at_once_and_its_end_frees_again() -> None:
    world = world_of(pv("pv"))
    world.things["pv"].wish_w = 18_000.0
    world.run_to(20.0)
    world.limit("grid", "pcu", export_w=0.0)
    world.run_to(26.0)
    assert world.net_w() == pytest.approx(0.0, abs=1.0)
    assert (world.because("pv").code, world.because("pv").source) == (ReasonCode.EXPORT_LIMIT, "pcu")
    world.limits.clear()
    world.run_to(240.0)
    assert world.watts["pv"] == -20_000.0


def test_spc13_self_consumption_stores_the_surplus_and_gives_it_back() -> None:
    world = world_of(pv("pv"), battery("b"))
    world.things["pv"].wish_w = 8000.0
    world.run_to(40.0)
    assert world.net_w() == pytest.approx(0.0, abs=50.0)
    assert world.things["b"].power_w == pytest.approx(8000.0, abs=50.0)
    world.things["pv"].wish_w = 0.0
    world.load_a["grid"] = [10.0] * 3
    world.run_to(80.0)
    assert world.things["b"].power_w == pytest.approx(-6900.0, abs=50.0)
    assert world.because("b").source == "self_consumption"


def test_spc12_pv_is_not_curtailed_while_the_battery_takes_it() -> None:
    world = world_of(
        pv("pv"),
        battery("b", modes=["peak_shaving"]),
        collectors=[{"id": "grid", "rated_current_a": 100, "export_limit_w": 0}],
    )
    world.run_to(20.0)
    for second in range(20, 120):
        world.things["pv"].wish_w = min(9000.0, 150.0 * (second - 20))
        world.run_to(second + 1.0)
    assert world.things["pv"].power_w == pytest.approx(-9000.0, abs=100.0)
    assert world.things["b"].power_w == pytest.approx(9000.0, abs=100.0)
    assert world.because("b").code is ReasonCode.EXPORT_LIMIT


def test_spc13_peak_shaving_keeps_a_limit_that_the_building_alone_would_break() -> None:
    world = world_of(battery("b", modes=["peak_shaving"]))
    world.limit("grid", import_w=10_000.0)
    world.load_a["grid"] = [20.0] * 3
    world.run_to(30.0)
    assert world.net_w() == pytest.approx(10_000.0, abs=50.0)
    assert (world.because("b").source, world.because("b").collector) == ("peak_shaving", "grid")
    world.load_a["grid"] = [10.0] * 3
    world.run_to(60.0)
    assert world.watts["b"] == 0.0


def test_spc13_two_batteries_share_by_power_and_energy() -> None:
    world = world_of(battery("a", modes=["peak_shaving"]), battery("b", modes=["peak_shaving"]))
    world.things["a"].soc_percent, world.things["b"].soc_percent = 30.0, 70.0
    world.limit("grid", import_w=5800.0)
    world.load_a["grid"] = [20.0] * 3
    world.run_to(20.0)
    assert world.watts["a"] + world.watts["b"] == pytest.approx(-8000.0, abs=30.0)
    assert world.watts["b"] / world.watts["a"] == pytest.approx(3.0, rel=0.02)


def test_spc13_below_the_reserve_only_peaks_are_shaved_and_never_below_the_window() -> None:
    world = world_of(battery("b"))
    world.things["b"].soc_percent = 19.0
    world.load_a["grid"] = [20.0] * 3
    world.run_to(30.0)
    assert world.watts["b"] == 0.0
    assert world.because("b").code is ReasonCode.SOC
    world.limit("grid", import_w=5000.0)
    world.run_to(1500.0)
    assert 9.9 <= min(world.things["b"].socs) <= 10.0
    assert world.watts["b"] == 0.0


def test_spc13_advice_is_followed_for_100_s_and_lifts_no_limit() -> None:
    world = world_of(battery("b"), collectors=[{"id": "grid", "rated_current_a": 100, "power_limit_w": 6000}])
    world.run_to(20.0)
    world.advise("b", (0.0, 9000.0))
    world.run_to(40.0)
    assert world.things["b"].power_w == pytest.approx(6000.0, abs=20.0)
    assert world.because("b").code is ReasonCode.POWER_LIMIT
    world.run_to(130.0)
    assert world.watts["b"] == 0.0


def test_spc13_droop_is_linear_with_a_deadband() -> None:
    rule = {"power_w": 8000, "deadband_hz": 0.02, "full_hz": 0.2}
    world = world_of(battery("b", modes=["droop"], droop=rule))
    given = []
    for hz in (50.0, 50.01, 50.11, 50.3, 49.89, 49.7):
        world.things["b"].frequency_hz = hz
        world.run_to(world.now_s + 20.0)
        given.append(world.watts["b"])
    assert given == pytest.approx([0.0, 0.0, 4000.0, 8000.0, -4000.0, -8000.0], abs=11.0)


def test_spc8_a_target_below_the_present_power_is_reached_by_the_battery() -> None:
    world = world_of(battery("b", modes=["advice"]))
    world.load_a["grid"] = [20.0] * 3
    world.target("grid", 8000.0)
    world.run_to(20.0)
    assert world.net_w() == pytest.approx(8000.0, abs=20.0)
    assert (world.because("b").code, world.because("b").source) == (ReasonCode.TARGET, "gateway")


def test_spc8_a_target_above_charges_and_then_curtails() -> None:
    world = world_of(battery("b"), pv("pv"))
    world.things["pv"].wish_w = 12_000.0
    world.load_a["grid"] = [10.0] * 3
    world.target("grid", 4000.0)  # 6.9 - 12 + 9.1 by the battery
    world.run_to(200.0)
    assert world.net_w() == pytest.approx(4000.0, abs=20.0)
    assert world.things["pv"].power_w == -12_000.0
    world.target("grid", 8000.0)  # 10 kW by the battery, 3.1 less sun
    world.run_to(220.0)
    assert world.net_w() == pytest.approx(8000.0, abs=100.0)
    assert world.because("pv").code is ReasonCode.TARGET


def test_spc8_vehicles_go_down_to_6_a_and_are_not_paused() -> None:
    connectors = [{"id": "x", "collector": "grid"}, {"id": "y", "collector": "grid"}]
    world = world_of(connectors=connectors)
    world.plug("x")
    world.plug("y")
    world.run_to(1500.0)
    assert world.told["x"] > 20.0
    world.target("grid", 3000.0)
    world.run_to(1501.0)
    assert world.why["x"].code is ReasonCode.TARGET
    world.run_to(1520.0)
    assert world.told == {"x": 6.0, "y": 6.0}
    world.run_to(1590.0)
    assert world.flexed.missed[0][0] == "grid"
    assert "5.3 kW more" in world.flexed.missed[0][1]


def test_spc8_a_target_may_pause_where_it_is_told_to() -> None:
    world = world_of(connectors=[{"id": "x", "collector": "grid"}], target_may_pause=True)
    world.plug("x")
    world.run_to(100.0)
    world.target("grid", 3000.0)
    world.run_to(120.0)
    assert world.told == {"x": 0.0}


def test_spc8_the_lower_target_is_served_first() -> None:
    tree = [{"id": "grid", "rated_current_a": 100}, {"id": "hall", "parent": "grid", "rated_current_a": 80}]
    world = world_of(battery("b", "hall"), collectors=tree)
    world.load_a["hall"] = [20.0] * 3
    world.target("hall", 10_000.0)
    world.target("grid", 5000.0)
    world.run_to(30.0)
    assert world.net_w("hall") == pytest.approx(10_000.0, abs=20.0)


def test_spc19_the_mean_of_a_quarter_stays_within_the_peak() -> None:
    tree = [{"id": "grid", "rated_current_a": 100, "quarter_hour_peak_w": 15_000}]
    world = world_of(connectors=[{"id": f"x{n}", "collector": "grid"} for n in range(4)], collectors=tree)
    for n in range(4):
        world.plug(f"x{n}")
    world.run_to(840.0)  # until the next quarter
    for _ in range(4):
        used_ws = 0.0
        for second in range(900):
            world.load_a["grid"] = [15.0 if second % 300 < 100 else 3.0] * 3
            world.step()
            used_ws += max(0.0, world.net_w())
        assert used_ws / 900.0 <= 15_000.0 * 1.01
    assert used_ws / 900.0 > 12_000.0, "what is allowed is used"


def test_spc14_heat_takes_the_surplus_in_steps_with_minimum_times() -> None:
    world = world_of(pv("pv"), heater("boiler", steps_w=[2000, 4000, 6000], follows="surplus", min_on_s=60))
    world.things["pv"].wish_w, world.things["boiler"].wish_w = 5000.0, 6000.0
    world.run_to(20.0)
    assert world.watts["boiler"] == 4000.0
    world.things["pv"].wish_w = 500.0
    world.run_to(26.0)
    assert (world.watts["boiler"], world.because("boiler").code) == (2000.0, ReasonCode.MINIMUM_ON)
    world.run_to(90.0)
    assert world.watts["boiler"] == 0.0


def test_a_silent_battery_is_told_0_w_and_one_of_unknown_charge_too() -> None:
    world = world_of(battery("b"), pv("pv"))
    world.things["pv"].wish_w = 8000.0
    world.run_to(30.0)
    world.things["b"].soc_percent = None
    world.run_to(33.0)
    assert (world.watts["b"], world.because("b").code) == (0.0, ReasonCode.SOC)
    world.things["b"].reachable = False
    world.run_to(36.0)
    assert (world.watts["b"], world.because("b").code) == (0.0, ReasonCode.UNREACHABLE)


def test_pv_behind_a_silent_meter_keeps_its_limit_and_then_holds_it_alone() -> None:
    world = world_of(pv("pv"), collectors=[{"id": "grid", "rated_current_a": 100, "export_limit_w": 5000}])
    world.things["pv"].wish_w = 18_000.0
    world.load_a["grid"] = [10.0] * 3
    world.run_to(200.0)
    assert world.watts["pv"] == pytest.approx(-11_900.0, abs=20.0)
    world.blind["grid"] = world.now_s
    world.run_to(220.0)
    assert world.watts["pv"] == pytest.approx(-11_900.0, abs=20.0)
    world.run_to(240.0)
    assert world.watts["pv"] == -5000.0
