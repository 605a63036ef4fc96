"""Which kinds yield and which take surplus in which order (SPC-24): first what no order may ever do, then examples."""

from __future__ import annotations

from itertools import permutations
from random import Random
from typing import Any

import pytest

from busbar.config.assets import EBoiler
from busbar.events import ReasonCode
from unit.allocator_sites import how_many
from unit.flexible_sites import happen, random_flexible_world
from unit.flexible_world import FlexWorld, battery, heater, pv
from unit.test_flexible_examples import world_of
from unit.test_flexible_properties import DUST_W, below, excesses, limits_w

SURPLUS = [list(order) for order in permutations(["vehicles", "batteries", "heat"])]
YIELD = [list(order) for order in permutations(["batteries", "heat", "vehicles"])]
Entry = dict[str, Any]
SETTLED_S = 100
"""A generator is released by a tenth of its rating within 18 s, and batteries follow."""


def still_draws(world: FlexWorld) -> list[str]:
    """Collectors above a limit of import with something below that could draw less."""
    found = []
    for collector in world.site.collectors:
        flow = world.flow_a(collector.id)[0]
        over = [p for p in collector.root_phases if flow[p] > collector.root_rated_a[p] + DUST_W / 230.0]
        if not over and sum(flow) * 230.0 <= limits_w(world, collector.id)[0] + DUST_W:
            continue
        inside = world.site.tree.below(collector.id)
        found += [
            f"{name} below {collector.id}"
            for name, outlet in world.outlets.items()
            if world.site.tree.index[outlet.entity.collector or ""] in inside and outlet.current_a > 1.0
            and (not over or set(over) & set(outlet.entity.root_phases))
        ]  # fmt: skip
        found += [
            f"{name} below {collector.id}"
            for name in below(world, collector.id)
            if isinstance(world.things[name].entity.flexible, EBoiler) and world.things[name].power_w > DUST_W
            and (not over or set(over) & set(world.things[name].entity.root_phases))
        ]  # fmt: skip
    return found


def lasting(world: FlexWorld) -> list[str]:
    """What is broken for 15 s without a break: a release that was one too many is mended sooner."""
    found = list[str]()
    for _ in range(15):
        found = excesses(world) + still_draws(world)
        if not found:
            break
        world.step()
    return found


def test_spc_24_no_order_of_kinds_breaks_a_fuse_or_a_limit() -> None:
    for number in range(how_many(6)):
        rng = Random(7000 + number)
        orders = {"surplus_order": SURPLUS[number % 6], "yield_order": YIELD[rng.randrange(6)]}
        world = random_flexible_world(rng, surplus=True, check=True, **orders)
        for _ in range(3):
            happen(rng, world)
            world.run_to(world.now_s + SETTLED_S)
            assert lasting(world) == [], f"site {number} at {world.now_s:g} s: {orders}"


@pytest.mark.parametrize("order", YIELD)
def test_spc_24_what_gives_way_later_is_not_touched_as_long_as_another_has_something_to_give(order: list[str]) -> None:
    """12 kW for a vehicle that would have 22, heat that would have 6 and a battery that a hand lets charge with 8."""
    world = limited(12_000.0, battery("b"), heater("h"), yield_order=order)
    world.things["h"].wish_w = 6000.0
    world.plug("x")
    world.run_to(100.0)
    world.by_hand("b", 8000.0)
    world.run_to(1000.0)
    has_w = {"vehicles": 690.0 * world.told["x"], "heat": world.things["h"].power_w, "batteries": world.watts["b"]}
    least_w = {"vehicles": 4140.0, "heat": 0.0, "batteries": 0.0}
    wish_w = {"vehicles": 22_080.0, "heat": 6000.0, "batteries": 8000.0}
    assert world.net_w() <= 12_010.0
    for first in range(3):
        for later in range(first + 1, 3):
            gives, keeps = order[first], order[later]
            assert has_w[keeps] >= wish_w[keeps] - 700.0 or has_w[gives] <= least_w[gives] + 700.0, has_w


def limited(limit_w: float, *assets: Entry, **options: Any) -> FlexWorld:
    """Under a power limit, with one connector."""
    grid = {"id": "grid", "rated_current_a": 100, "power_limit_w": limit_w}
    return world_of(*assets, connectors=[{"id": "x", "collector": "grid"}], collectors=[grid], **options)


@pytest.mark.parametrize("shape", [{}, {"steps_w": [2000, 4000, 6000]}, {"min_power_w": 2500}])
def test_spc_24_vehicles_make_room_for_heat_that_gives_way_after_them_and_get_back_what_it_leaves(shape: Entry) -> None:
    world = limited(9000.0, heater("h", **shape), yield_order=["batteries", "vehicles", "heat"])
    world.plug("x")
    world.run_to(900.0)
    assert world.told["x"] >= 9.0
    world.things["h"].wish_w = 6000.0
    world.run_to(960.0)
    assert (world.told["x"], world.things["h"].power_w >= 4000.0) == (6.0, True), "not paused"
    assert world.why["x"].code is ReasonCode.POWER_LIMIT
    world.things["h"].wish_w = 0.0
    world.run_to(1500.0)
    told = set()
    for _ in range(120):
        world.step()
        told.add((world.told["x"], world.watts["h"]))
    assert min(told)[0] >= 9.0
    assert len(told) == 1, "nothing swings"


def test_spc_24_heat_gives_way_first_by_default() -> None:
    world = limited(9000.0, heater("h"))
    world.things["h"].wish_w = 6000.0
    world.plug("x")
    world.run_to(900.0)
    assert (world.told["x"], world.things["h"].power_w) == (13.0, 0.0)


def surplus_world(*assets: Entry, mode: str = "only", **options: Any) -> FlexWorld:
    return world_of(pv("pv"), *assets, connectors=[{"id": "x", "collector": "grid", "surplus": mode}], **options)


@pytest.mark.parametrize("mode", ["only", "minimum"])
def test_spc_24_a_battery_leaves_surplus_to_vehicles_by_default(mode: str) -> None:
    world = surplus_world(battery("b"), mode=mode)
    world.things["pv"].wish_w = 9000.0
    world.run_to(60.0)
    assert world.watts["b"] == pytest.approx(9000.0, abs=50.0)
    world.plug("x")
    world.run_to(900.0)
    assert world.told["x"] == 13.0
    assert world.net_w() == pytest.approx(0.0, abs=50.0)
    world.things["pv"].wish_w = 6000.0
    world.run_to(960.0)
    assert world.told["x"] == 8.0


def test_spc_24_what_a_battery_stores_against_an_export_limit_is_surplus_too() -> None:
    grid = {"id": "grid", "rated_current_a": 100, "export_limit_w": 0}
    world = surplus_world(battery("b", modes=["peak_shaving"]), collectors=[grid])
    world.things["pv"].says_available, world.things["pv"].wish_w = True, 8000.0
    world.run_to(300.0)
    assert world.things["b"].power_w > 7000.0
    world.plug("x")
    world.run_to(1200.0)
    assert world.told["x"] == 11.0


@pytest.mark.parametrize(("mode", "told_a", "stored_w"), [("only", 0.0, 10_000.0), ("minimum", 6.0, 7860.0)])
def test_spc_24_vehicles_give_surplus_back_to_a_battery_that_stands_before_them(
    mode: str, told_a: float, stored_w: float
) -> None:
    world = surplus_world(battery("b"), mode=mode, surplus_order=["batteries", "vehicles", "heat"])
    world.things["b"].soc_percent, world.things["pv"].wish_w = 100.0, 12_000.0
    world.plug("x")
    world.run_to(1200.0)
    assert world.told["x"] == 17.0
    world.things["b"].soc_percent = 50.0
    bought_w = 0.0
    while world.now_s < 1800.0:
        world.step()
        bought_w = max(bought_w, world.net_w())
    assert world.told["x"] == told_a
    assert world.watts["b"] == pytest.approx(stored_w, abs=20.0)
    assert bought_w < 50.0


@pytest.mark.parametrize("shape", [{}, {"steps_w": [2000, 4000, 6000]}])
def test_spc_24_heat_before_vehicles_takes_its_surplus_first_and_what_it_does_not_need_is_theirs(shape: Entry) -> None:
    boiler = heater("h", follows="surplus", **shape)
    world = surplus_world(boiler, surplus_order=["heat", "vehicles", "batteries"])
    world.things["pv"].wish_w = 11_000.0
    world.plug("x")
    world.things["h"].wish_w = 6000.0
    world.run_to(900.0)
    assert (world.things["h"].power_w, world.told["x"]) == (6000.0, 7.0)
    world.things["h"].wish_w = 0.0
    world.run_to(1800.0)
    assert world.told["x"] >= 13.0


def test_spc_24_heat_after_vehicles_takes_what_they_leave() -> None:
    world = surplus_world(heater("h", follows="surplus"), surplus_order=["vehicles", "heat", "batteries"])
    world.things["pv"].wish_w, world.things["h"].wish_w = 11_000.0, 6000.0
    world.run_to(60.0)
    assert world.things["h"].power_w == 6000.0
    world.plug("x")
    world.run_to(1500.0)
    assert world.told["x"] == 15.0
    assert world.things["h"].power_w == pytest.approx(650.0, abs=20.0)
