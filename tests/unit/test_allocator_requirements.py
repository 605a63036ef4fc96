"""The numeric examples of the requirements, by name (SPC-1, SPC-3, SPC-4, SPC-5, SPC-17, SPC-18)."""

from __future__ import annotations

import pytest

from busbar.config.packages import PackageFacts
from busbar.events import ReasonCode
from busbar.units import PhaseVector
from scenarios.truths import broken_rows
from scenarios.world import U, Vehicle, World, site_of
from spc_allocator.decisions import decisions
from spc_allocator.limits import reserves


def one_fuse(rated_a: float, count: int, **collector: object) -> World:
    return World(
        site_of(
            [{"id": "grid", "rated_current_a": rated_a, **collector}],
            [{"id": f"x{number}", "collector": "grid"} for number in range(count)],
        )
    )


# -- SPC-3


def test_spc_3_of_a_one_phase_car_with_20_kwh_and_a_three_phase_one_with_15_kwh_the_three_phase_one_stops() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 40}],
            [
                {"id": "one", "collector": "grid", "phases": ["L1"], "max_a": 16},
                {"id": "three", "collector": "grid", "max_a": 16},
            ],
        )
    )
    world.plug("one", Vehicle(phases=1, max_a=16, energy_wh=20_000))
    world.plug("three", Vehicle(phases=3, max_a=16, energy_wh=15_000))
    world.run_to(900)
    assert min(world.told.values()) >= 6.0
    world.outlets["one"].vehicle.energy_wh = 20_000  # type: ignore[union-attr]
    world.outlets["three"].vehicle.energy_wh = 15_000  # type: ignore[union-attr]
    world.run_to(1800)  # over a quarter of an hour: the order stands
    world.load_a["grid"] = [31.0, 31.0, 31.0]
    world.step()
    assert world.told["three"] == 0.0
    assert 6.0 <= world.told["one"] <= 9.0
    assert world.why["three"].code is ReasonCode.PAUSED
    assert (world.why["three"].rank, world.why["three"].collector) == (1, "grid")


def test_spc_3_nobody_gets_between_zero_and_six_amperes() -> None:
    world = one_fuse(20, 4)
    for name in world.outlets:
        world.plug(name)
    world.run_to(120)
    told = sorted(world.told.values())
    assert told[0] == 0.0
    assert sum(told) <= 20.0
    assert sum(value >= 6.0 for value in told) == 3


def test_spc_3_a_newcomer_whose_minimum_fits_is_admitted_at_once() -> None:
    world = one_fuse(32, 2)
    world.plug("x0")
    world.run_to(3000)
    assert world.told["x0"] == 32.0
    world.plug("x1")
    world.step()
    assert world.told == {"x0": 26.0, "x1": 0.0}  # what the first has not yet let go is nobody's
    world.run_to(world.now_s + 4)
    assert world.told["x1"] == 6.0


def test_spc_3_between_quarters_of_an_hour_nobody_is_swapped_and_on_the_quarter_the_order_is_made_anew() -> None:
    world = one_fuse(14, 3)
    for name, energy_wh in (("x0", 1000.0), ("x1", 5000.0), ("x2", 9000.0)):
        world.plug(name, Vehicle(energy_wh=energy_wh))
    world.run_to(60)
    quarter_s = 900 - world.now_ms // 1000 % 900 + world.now_s
    world.run_to(quarter_s + 1)
    on = {name for name, value in world.told.items() if value >= 6.0}
    assert on == {"x0", "x1"}
    world.outlets["x0"].vehicle.energy_wh = 50_000.0  # type: ignore[union-attr]
    for _ in range(800):
        world.step()
        assert {name for name, value in world.told.items() if value >= 6.0} == {"x0", "x1"}
    world.run_to(quarter_s + 910)
    assert {name for name, value in world.told.items() if value >= 6.0} == {"x1", "x2"}


def test_spc_3_a_paused_vehicle_resumes_when_its_minimum_has_fitted_for_60_s_and_not_before_5_minutes() -> None:
    world = one_fuse(16, 2)
    world.plug("x0", Vehicle(energy_wh=5000.0))
    world.plug("x1")
    world.run_to(60)
    assert world.told == {"x0": 8.0, "x1": 8.0} or min(world.told.values()) >= 6.0
    world.load_a["grid"] = [8.0, 8.0, 8.0]
    world.step()
    paused = min(world.told, key=lambda name: world.told[name])
    assert world.told[paused] == 0.0
    at_s = world.now_s
    world.load_a["grid"] = [0.0, 0.0, 0.0]
    world.run_to(at_s + 200)
    assert world.told[paused] == 0.0
    assert world.why[paused].code is ReasonCode.START_BUDGET
    world.run_to(at_s + 310)
    assert world.told[paused] >= 6.0


def test_spc_3_somebody_makes_room_in_the_same_cycle_for_a_newcomer_that_cannot_be_paused() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 40, "power_limit_w": 2.5 * 6 * 3 * U}],
            [
                {"id": "x0", "collector": "grid"},
                {"id": "x1", "collector": "grid"},
                {"id": "never-0", "collector": "grid", "package": "never-0"},
            ],
            packages={"never-0": PackageFacts("ac_charger", zero_allowed=False)},
        )
    )
    world.plug("x0", Vehicle(energy_wh=5000))
    world.plug("x1")
    world.run_to(30)
    assert (world.told["x0"], world.told["x1"]) == (6.0, 6.0)
    world.plug("never-0")
    world.step()
    assert (world.told["x0"], world.told["x1"]) == (0.0, 6.0)
    assert broken_rows(world) == []
    world.run_to(world.now_s + 10)
    assert world.told["never-0"] == 6.0


def test_spc_3_at_most_four_starts_an_hour() -> None:
    world = one_fuse(16, 1)
    world.plug("x0")
    starts, before = 0, 0.0
    for minute in range(60):
        world.load_a["grid"] = [14.0] * 3 if minute % 7 == 6 else [0.0] * 3
        for _ in range(60):
            world.step()
            starts += before == 0.0 and world.told["x0"] >= 6.0
            before = world.told["x0"]
    assert starts == 4


# -- SPC-4


def test_spc_4_starts_at_6_a_and_rises_by_1_a_a_minute_from_the_moment_current_flows() -> None:
    world = one_fuse(100, 1)
    world.plug("x0")
    world.step()
    started_s = world.now_s
    assert world.told["x0"] == 6.0
    flowing_s = started_s + 2
    for minute, expected in ((0.9, 6.0), (1.1, 7.0), (1.9, 7.0), (2.1, 8.0), (10.1, 16.0)):
        world.run_to(flowing_s + 60 * minute)
        assert world.told["x0"] == expected
    assert world.why["x0"].code is ReasonCode.RAMP


def test_spc_4_measured_10_8_a_12_a_is_allowed_at_most_15_a() -> None:
    world = one_fuse(100, 1)
    world.plug("x0", Vehicle(max_a=10.8))
    world.run_to(6 * 60 + 30)
    assert world.told["x0"] == 12.0
    highest = 0.0
    for _ in range(15 * 60):
        world.step()
        highest = max(highest, world.told["x0"])
    assert highest <= 15.0


def test_spc_4_the_cap_is_named_where_it_binds() -> None:
    world = one_fuse(100, 1)
    world.plug("x0", Vehicle(max_a=32.0))
    world.run_to(20 * 60)
    world.outlets["x0"].vehicle.max_a = 9.0  # type: ignore[union-attr]
    world.run_to(world.now_s + 70)
    assert world.told["x0"] == 14.0
    assert world.why["x0"].code is ReasonCode.CAP


def test_spc_4_a_decrease_is_immediate_and_the_ramp_goes_on_from_there() -> None:
    world = one_fuse(32, 1)
    world.plug("x0")
    world.run_to(30 * 60)
    assert world.told["x0"] == 32.0
    world.load_a["grid"] = [20.0, 0.0, 0.0]
    world.step()
    assert world.told["x0"] == 12.0
    world.load_a["grid"] = [0.0, 0.0, 0.0]
    world.run_to(world.now_s + 58)
    assert world.told["x0"] == 12.0
    world.run_to(world.now_s + 4)
    assert world.told["x0"] == 13.0


# -- SPC-5


def test_spc_5_fuse_100_a_10_connectors_setting_3_7_cars_leaves_82_a_for_the_cars() -> None:
    world = one_fuse(100, 10, dynamic_reserve_connectors=3)
    for number in range(7):
        world.plug(f"x{number}")
    world.run_to(1200)
    assert world.last is not None
    grid = decisions(world.last, 1, 1)[0]
    assert grid.reserve_a == 18.0
    assert grid.limit_a == PhaseVector(82.0, 82.0, 82.0)
    assert sum(world.told[f"x{number}"] for number in range(7)) == 82.0
    assert [world.told[f"x{number}"] for number in (7, 8, 9)] == [6.0, 6.0, 6.0]  # stand ready


def test_spc_5_three_cars_plug_in_at_once_without_a_recalculation() -> None:
    world = one_fuse(100, 10, dynamic_reserve_connectors=3)
    for number in range(7):
        world.plug(f"x{number}")
    world.run_to(1200)
    world.allocating = False
    for number in (7, 8, 9):
        world.plug(f"x{number}")
    world.run_to(world.now_s + 10)
    active, _ = world.flow_a("grid")
    assert max(active) == pytest.approx(100.0)
    assert world.overload_s["grid"] == 0.0


def test_spc_5_dynamic_12_a_and_fixed_50_a_make_50_a() -> None:
    world = one_fuse(100, 4, dynamic_reserve_connectors=2, fixed_reserve_a=50)
    assert world.last is not None
    total, _ = reserves(world.net, world.last.cycle.obs.kind)
    assert total.tolist() == [50.0]


def test_spc_5_reserves_of_lower_levels_are_not_summed_up() -> None:
    world = World(
        site_of(
            [
                {"id": "grid", "rated_current_a": 100, "dynamic_reserve_connectors": 1},
                {"id": "a", "parent": "grid", "rated_current_a": 50, "dynamic_reserve_connectors": 3},
                {"id": "b", "parent": "grid", "rated_current_a": 50, "dynamic_reserve_connectors": 2},
            ],
            [{"id": f"{home}{n}", "collector": home} for home in "ab" for n in range(4)],
        )
    )
    assert world.last is not None
    total, _ = reserves(world.net, world.last.cycle.obs.kind)
    assert total.tolist() == [6.0, 18.0, 12.0]
    assert sum(world.told.values()) == 6.0  # the grid connection has place for one


def test_spc_5_reserve_yields_keeps_running_sessions_at_their_minimum() -> None:
    collectors = [{"id": "grid", "rated_current_a": 18, "dynamic_reserve_connectors": 1}]
    connectors = [{"id": f"x{n}", "collector": "grid"} for n in range(4)]
    on = {}
    for yields in (False, True):
        world = World(site_of(collectors, connectors, {"reserve_yields": yields}))
        for name in ("x0", "x1"):
            world.plug(name)
        world.run_to(30)
        world.load_a["grid"] = [5.0, 5.0, 5.0]
        world.step()
        on[yields] = sum(world.told[name] >= 6.0 for name in ("x0", "x1"))
    assert on == {False: 1, True: 2}


# -- SPC-1


def test_spc_1_rotated_one_phase_cars_load_the_conductors_they_hang_on() -> None:
    world = World(
        site_of(
            [
                {"id": "grid", "rated_current_a": 20},
                {"id": "sub", "parent": "grid", "rated_current_a": 32, "phases": ["L2", "L3", "L1"]},
            ],
            [
                {"id": "a", "collector": "sub", "phases": ["L1"]},
                {"id": "b", "collector": "sub", "phases": ["L3", "L1", "L2"]},
            ],
        )
    )
    world.plug("a", Vehicle(phases=1))
    world.plug("b", Vehicle(phases=1))
    world.load_a["grid"] = [12.0, 8.0, 0.0]
    world.run_to(3600)
    assert world.told == {"a": 12.0, "b": 8.0}  # a: sub L1 = grid L2; b: sub L3 = grid L1
    assert (world.why["a"].collector, world.why["a"].phase) == ("grid", "L2")
    assert (world.why["b"].collector, world.why["b"].phase) == ("grid", "L1")


def test_spc_1_reactive_current_leaves_less_room_for_active() -> None:
    world = one_fuse(50, 1)
    world.plug("x0")
    world.reactive_a["grid"] = [-30.0, 0.0, 40.0]
    world.load_a["grid"] = [10.0, 10.0, 10.0]
    world.run_to(1800)
    assert world.told["x0"] == 20.0  # sqrt(50^2 - 40^2) - 10
    assert world.worst_ratio <= 1.0 + 1e-9


def test_spc_1_generation_is_credited_only_up_to_a_quarter_above_the_rating() -> None:
    world = one_fuse(40, 3)
    for name in world.outlets:
        world.plug(name)
    world.generation_a["grid"] = [-40.0] * 3
    world.run_to(3600)
    assert sum(world.told.values()) == 50.0  # without the limit to the credit it would be 80


def test_spc_1_a_power_limit_in_va_counts_background_and_reactive_power() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 100, "power_limit_va": 10_000}],
            [{"id": "x0", "collector": "grid"}],
        )
    )
    world.plug("x0")
    world.reactive_a["grid"] = [6000 / U / 3] * 3
    world.load_a["grid"] = [1100 / U / 3] * 3
    world.run_to(1800)
    assert world.told["x0"] == 10.0  # sqrt(10^2 - 6^2) - 1.1 = 6.9 kW
    assert (world.why["x0"].code, world.why["x0"].source) == (ReasonCode.POWER_LIMIT, "site")


# -- SPC-7: limits at run time


def test_spc_7_the_tightest_import_limit_wins_and_is_named() -> None:
    world = one_fuse(100, 1)
    world.plug("x0")
    world.run_to(1500)
    world.limit("grid", "page", import_w=9000)
    world.limit("grid", "pcu", import_w=7000)
    world.step()
    assert world.told["x0"] == 10.0
    assert (world.why["x0"].code, world.why["x0"].source) == (ReasonCode.POWER_LIMIT, "pcu")
    world.limit("grid", "gateway", import_w=0)
    world.step()
    assert world.told["x0"] == 0.0


def test_spc_7_an_export_limit_takes_nothing_from_vehicles_and_its_excess_is_reported() -> None:
    world = one_fuse(40, 1)
    world.plug("x0")
    world.generation_a["grid"] = [-30.0] * 3
    world.limit("grid", "pcu", export_w=0)
    world.run_to(400)
    assert world.told["x0"] >= 12.0
    assert world.last is not None
    assert [name for name, _ in world.last.export] == ["grid"]


# -- SPC-18


def test_spc_18_a_one_phase_car_on_a_three_phase_connector_is_recognised_and_its_other_phases_are_freed() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 32}],
            [{"id": "one", "collector": "grid"}, {"id": "three", "collector": "grid", "phases": ["L2", "L3", "L1"]}],
        )
    )
    world.plug("one", Vehicle(phases=1))
    world.run_to(150)
    assert world.last is not None
    assert world.last.cycle.load[:3, world.net.slot["one"]].tolist() == [1.0, 1.0, 1.0]
    world.run_to(240)
    assert world.last.cycle.load[:3, world.net.slot["one"]].tolist() == [1.0, 0.0, 0.0]


def test_spc_18_current_on_an_unbooked_phase_books_it_in_the_same_cycle() -> None:
    world = one_fuse(32, 1)
    vehicle = world.plug("x0", Vehicle(phases=1))
    world.run_to(300)
    assert world.last is not None
    assert world.last.cycle.load[1, 0] == 0.0
    vehicle.phases = 2
    world.step()
    assert world.last.cycle.load[1, 0] == 1.0


def test_spc_18_what_was_learned_is_forgotten_at_unplug() -> None:
    world = one_fuse(32, 1)
    world.plug("x0", Vehicle(phases=1))
    world.run_to(300)
    world.unplug("x0")
    world.run_to(310)
    world.plug("x0", Vehicle(phases=3))
    world.run_to(312)
    assert world.last is not None
    assert world.last.cycle.load[:3, 0].tolist() == [1.0, 1.0, 1.0]
    assert world.told["x0"] == 6.0
