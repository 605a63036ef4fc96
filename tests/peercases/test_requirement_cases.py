"""The numeric examples of the requirements as they stand in the data file, each by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from busbar.events import ReasonCode
from peercases.ledger import DATA
from scenarios.world import Vehicle, World, site_of
from spc_allocator.dc import power_w
from spc_allocator.limits import reserves
from unit.allocator_sites import PACKAGES

CASES: dict[str, Any] = {case["id"]: case for case in json.loads(DATA.read_text("utf-8"))["requirement_cases"]}
EXPECTED: dict[str, Any] = {name: case["expected"] for name, case in CASES.items()}


def one_fuse(rated_a: float, count: int, **collector: Any) -> World:
    collectors = [{"id": "grid", "rated_current_a": rated_a, **collector}]
    return World(site_of(collectors, [{"id": f"x{number}", "collector": "grid"} for number in range(count)]))


def reserve_a(world: World) -> float:
    assert world.last
    total, _ = reserves(world.net, world.last.cycle.obs.kind)
    return float(total[0])


def test_every_case_has_a_test() -> None:
    assert {name[5:10].upper().replace("_", "-") for name in globals() if name.startswith("test_sd_")} == set(CASES)


def test_sd_01_of_100_a_seven_cars_share_82_and_three_more_start_at_6_a_without_a_recalculation() -> None:
    inputs, expected = CASES["SD-01"]["inputs"], EXPECTED["SD-01"]
    rated_a = CASES["SD-01"]["tree"][0]["limit_a"][0]
    world = one_fuse(rated_a, inputs["connectors"], dynamic_reserve_connectors=inputs["dynamic_reserve"])
    for number in range(inputs["charging"]):
        world.plug(f"x{number}")
    world.run_to(1200)
    assert sum(world.told[f"x{number}"] for number in range(inputs["charging"])) == expected["capacity_a"]
    world.allocating = False
    for number in range(inputs["charging"], inputs["connectors"]):
        world.plug(f"x{number}")
    world.run_to(world.now_s + 10)
    assert max(world.flow_a("grid")[0]) == pytest.approx(expected["after_3_connect_max_a"])


@pytest.mark.parametrize(("setting", "key"), [(3, "max_a"), (0, "off_a")])
def test_sd_02_a_dynamic_reserve_is_at_most_18_a_and_0_when_off(setting: int, key: str) -> None:
    assert reserve_a(one_fuse(100, 5, dynamic_reserve_connectors=setting)) == EXPECTED["SD-02"][key]
    with pytest.raises(ValidationError, match="dynamic_reserve_connectors"):
        one_fuse(100, 5, dynamic_reserve_connectors=4)


def test_sd_03_dynamic_12_a_and_fixed_50_a_make_50_a() -> None:
    world = one_fuse(100, 4, dynamic_reserve_connectors=2, fixed_reserve_a=50)
    assert reserve_a(world) == EXPECTED["SD-03"]["total_a"]


def test_sd_04_advice_of_60_w_gives_6_a() -> None:
    world = one_fuse(100, 1)
    world.plug("x0")
    world.run_to(600)
    world.advise("x0", (0.0, 60.0))
    world.step()
    assert (world.told["x0"], world.why["x0"].code) == (EXPECTED["SD-04"]["setpoint_a"], ReasonCode.ADVICE)


def test_sd_05_room_for_one_the_three_phase_car_with_15_kwh_stops() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 40}],
            [{"id": "1-phase", "collector": "grid", "phases": ["L1"], "max_a": 16},
             {"id": "3-phase", "collector": "grid", "max_a": 16}],
        )
    )  # fmt: skip
    world.plug("1-phase", Vehicle(phases=1, max_a=16, energy_wh=20_000))
    world.plug("3-phase", Vehicle(phases=3, max_a=16, energy_wh=15_000))
    world.run_to(845)  # over a quarter of an hour: the order stands
    world.load_a["grid"] = [32.0] * 3
    world.step()
    assert [name for name, value in world.told.items() if value == 0.0] == [EXPECTED["SD-05"]["paused"]]


def test_sd_06_6_a_at_the_start_and_1_a_a_minute_and_a_decrease_at_once() -> None:
    world = one_fuse(100, 1)
    world.plug("x0")
    world.run_to(4)  # current flows from here on
    for minutes, ampere in EXPECTED["SD-06"]["setpoint_after_min"].items():
        world.run_to(4 + 60 * int(minutes))
        assert world.told["x0"] == ampere
    world.limit("grid", import_w=690.0 * 9)
    world.step()
    assert world.told["x0"] == 9.0


def test_sd_07_10_8_a_measured_allows_12_and_at_most_15_whole_amperes() -> None:
    world = one_fuse(100, 1)
    world.plug("x0", Vehicle(max_a=10.8))
    seen = set()
    while world.now_s < 1200:
        world.step()
        seen.add(world.told["x0"])
    assert 12.0 in seen
    assert max(seen) == int(EXPECTED["SD-07"]["max_a"])


def test_sd_08_dc_starts_at_5_kw_and_5_kw_measured_allow_12_kw() -> None:
    expected = EXPECTED["SD-08"]
    fast = {"id": "x0", "collector": "grid", "max_w": 50_000, "package": "dc"}
    world = World(site_of([{"id": "grid", "rated_current_a": 100}], [fast], packages=PACKAGES))
    vehicle = world.plug("x0", Vehicle(max_a=0.0))
    world.run_to(10)
    assert power_w(world.told["x0"]) == expected["start_w"]
    vehicle.max_a = 5000 / 690
    world.run_to(30)
    assert power_w(world.told["x0"]) == expected["at_5kw_w"]


@pytest.mark.parametrize(("action", "index"), [("minimum", 0), ("disable", 1)])
def test_sd_09_a_meter_silent_for_30_s_takes_what_hangs_below_to_6_a_or_to_0(action: str, index: int) -> None:
    expected = EXPECTED["SD-09"]
    world = one_fuse(100, 1, on_lost_meter={"action": action})
    world.plug("x0")
    world.run_to(600)
    silent_s = world.now_s
    world.blind["grid"] = silent_s
    world.run_to(silent_s + 4)
    before = world.told["x0"]
    assert before > 10.0
    world.run_to(silent_s + expected["after_s"])
    assert world.told["x0"] == before
    world.step()
    assert world.told["x0"] == expected["setpoint_a"][index]
    assert world.why["x0"].code is ReasonCode.FALLBACK
