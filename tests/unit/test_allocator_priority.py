"""Priorities of connectors (SPC-24). First what must never happen, then examples. That the filling itself is the right
one is told by linear programs (`test_allocator_truth`)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import U, Vehicle, World, site_of
from unit.allocator_sites import how_many

W3 = 3 * U
"""Watts of one ampere on three phases."""


def garage(*priorities: int, rated_a: float = 100.0, **more: object) -> World:
    """One collector with a vehicle at every connector; the later ones have charged less."""
    connectors = [{"id": f"x{n}", "collector": "grid", "priority": p, **more} for n, p in enumerate(priorities)]
    world = World(site_of([{"id": "grid", "rated_current_a": rated_a}], connectors), check=True)
    for name in world.outlets:
        world.plug(name, Vehicle(energy_wh=1000.0))
    return world


def load(world: World, load_a: float) -> None:
    world.load_a["grid"] = [load_a] * 3


@settings(max_examples=how_many(4, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_24_whoever_is_above_his_minimum_or_on_keeps_no_higher_one_down(number: int) -> None:
    """On one fuse, once nothing moves any more; and no fuse, step or ramp is broken on the way."""
    rng = Random(number)
    priorities = [rng.choice([0, 0, 3, 9]) for _ in range(rng.randint(2, 6))]
    world = garage(*priorities, rated_a=rng.choice([14.0, 25.0, 40.0]), max_a=11)
    for _ in range(rng.randint(1, 3)):
        load(world, rng.choice([0.0, 3.0, 7.0]))
        until_s = world.now_s + rng.choice([30, 100, 300])
        while world.now_s < until_s:
            world.step()
            assert broken_rows(world) + broken_steps(world) + broken_ramps(world) == []
    world.run_to(world.now_s + 1400.0)
    for name, other in ((a, b) for a in world.told for b in world.told):
        if world.outlets[name].entity.priority > world.outlets[other].entity.priority:
            assert world.told[name] == 11.0 or world.told[other] <= 6.0
            assert world.told[name] > 0.0 or world.told[other] == 0.0


@settings(max_examples=how_many(4, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_24_with_one_priority_for_all_it_is_as_without(number: int) -> None:
    worlds = []
    for priority in (0, 7):
        rng = Random(number)
        world = garage(*([priority] * rng.randint(1, 5)), rated_a=rng.choice([15.0, 25.0, 60.0]))
        for _ in range(rng.randint(1, 4)):
            load(world, rng.uniform(0.0, 15.0))
            world.run_to(world.now_s + rng.choice([20, 100, 200]))
        worlds.append(world)
    assert worlds[0].history == worlds[1].history


def test_spc_24_the_higher_one_gets_all_that_the_minimum_of_the_lower_one_leaves() -> None:
    world = garage(0, 1, rated_a=30.0)
    world.run_to(3000)
    assert world.told == {"x0": 6.0, "x1": 24.0}
    world.unplug("x1")
    world.run_to(6000)
    assert world.told["x0"] == 30.0


def test_spc_24_those_of_one_priority_share_equally_what_the_higher_one_leaves() -> None:
    world = garage(0, 5, 0, 9, rated_a=70.0)
    world.run_to(4000)
    assert world.told == {"x0": 6.0, "x1": 26.0, "x2": 6.0, "x3": 32.0}


def test_spc_24_the_lower_one_is_paused_although_it_has_charged_less() -> None:
    world = garage(1, 0, rated_a=20.0)
    world.outlets["x0"].vehicle.energy_wh = 50_000.0  # type: ignore[union-attr]
    world.run_to(1000)
    load(world, 11.0)
    world.step()
    assert (world.told["x0"] >= 6.0, world.told["x1"]) == (True, 0.0)
    assert world.why["x1"].rank == 1


def test_spc_24_a_newcomer_of_higher_priority_takes_the_place_on_the_quarter_of_an_hour() -> None:
    world = garage(0, 9, rated_a=11.0)
    world.unplug("x1")
    world.run_to(1000)
    assert world.told["x0"] >= 6.0
    world.plug("x1")
    world.run_to(1000 + 901)
    assert (world.told["x0"], world.told["x1"] >= 6.0) == (0.0, True)


def test_spc_24_the_guard_cuts_the_lower_one_first() -> None:
    world = garage(0, 1, rated_a=60.0)
    world.run_to(3000)
    assert world.told == {"x0": 28.0, "x1": 32.0}
    load(world, 15.0)
    world.now_s += 0.5
    world.allocate(guard=["grid"])
    assert world.told == {"x0": 13.0, "x1": 32.0}


def test_spc_24_left_over_amperes_go_to_the_higher_one() -> None:
    """Room for 45.9 A: the minimum of the lower one and 39.9 A, of which 39 are whole, for two."""
    world = garage(0, 1, 1, rated_a=45.9)
    world.run_to(3000)
    assert world.told["x0"] == 6.0
    assert sorted([world.told["x1"], world.told["x2"]]) == [19.0, 20.0]


@pytest.mark.parametrize("mode", ["minimum", "only"])
def test_spc_24_surplus_goes_to_the_higher_one(mode: str) -> None:
    world = garage(0, 1, surplus=mode)
    world.generation_a["grid"] = [-20.0] * 3
    world.run_to(3000)
    assert world.told == {"x0": 6.0, "x1": 14.0}
    world.generation_a["grid"] = [-9.0] * 3
    world.run_to(3400)
    assert world.told == {"x0": 6.0 if mode == "minimum" else 0.0, "x1": 6.0 if mode == "minimum" else 9.0}


def test_spc_24_surplus_only_of_higher_priority_takes_the_place_of_a_lower_one() -> None:
    world = garage(0, 1, surplus="only")
    world.unplug("x1")
    world.generation_a["grid"] = [-8.0] * 3
    world.run_to(1000)
    assert world.told["x0"] == 8.0
    world.plug("x1")
    world.run_to(1300)
    assert world.told == {"x0": 0.0, "x1": 8.0}
