"""Switching between one and three phases (SPC-20). First what must never happen, then examples."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.config.packages import PackageFacts, PhaseSwitch
from busbar.events import ReasonCode
from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import Outlet, U, Vehicle, World, site_of
from spc_allocator.phases import DOWN_MS, LONGEST_MS, UP_MS
from spc_allocator.state import dump, restore
from unit.allocator_sites import how_many

ROTATIONS = (["L1", "L2", "L3"], ["L2", "L3", "L1"], ["L3", "L1", "L2"])
PACKAGES = {
    "pauses": PackageFacts("ac_charger", phase_switch=PhaseSwitch(at_zero=True, settle_s=10.0)),
    "by-itself": PackageFacts("ac_charger", phase_switch=PhaseSwitch(at_zero=False, settle_s=10.0)),
    "cannot": PackageFacts("ac_charger"),
}
W3, W1 = 18 * U, 6 * U
"""The least power on three phases and on one."""


def garage(
    *surplus: str, rated_a: float = 100.0, package: str = "pauses", dwell_s: float = 60.0, max_a: float = 16.0
) -> World:
    """One collector with so many connectors that can be switched, each with a vehicle."""
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": rated_a}],
            [
                {"id": f"x{n}", "collector": "grid", "surplus": mode, "package": package, "max_a": max_a,
                 "phases": ROTATIONS[n % 3], "phase_switching": "auto", "phase_dwell_s": dwell_s}
                for n, mode in enumerate(surplus)
            ],
            packages=PACKAGES,
        ),
        check=True, latency_s=3.0,
    )  # fmt: skip
    for name in world.outlets:
        world.plug(name)
    return world


def go(world: World, seconds: float) -> None:
    until_s = world.now_s + seconds
    while world.now_s < until_s:
        world.step()
        assert broken_rows(world) + broken_steps(world) + broken_ramps(world) == []


def gaps(outlet: Outlet) -> list[float]:
    times = [at_s for at_s, _ in outlet.switches]
    return [after - before for before, after in pairwise(times)]


def sun(world: World, surplus_w: float) -> None:
    world.generation_a["grid"] = [-surplus_w / (3 * U)] * 3


@settings(max_examples=how_many(8, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_20_whatever_happens_rows_hold_the_dwell_is_kept_and_nothing_is_switched_while_current_flows(
    number: int,
) -> None:
    rng = Random(number)
    package, dwell_s = rng.choice(["pauses", "pauses", "by-itself"]), rng.choice([60.0, 200.0])
    modes = [rng.choice(["off", "minimum", "only"]) for _ in range(rng.randint(1, 4))]
    world = garage(*modes, rated_a=rng.choice([20.0, 30.0, 60.0]), package=package, dwell_s=dwell_s)
    for outlet in world.outlets.values():
        outlet.vehicle = Vehicle(phases=rng.choice([1, 3, 3]), max_a=rng.choice([10.0, 16.0]))
        outlet.relay_s = rng.choice([0.0, 5.0, 9.0])
    for _ in range(rng.randint(3, 8)):
        event, name = rng.random(), rng.choice(list(world.outlets))
        if event < 0.4:
            sun(world, rng.uniform(0.0, 15e3))
        elif event < 0.7:
            world.limit("grid", import_w=rng.uniform(0.0, 15e3))
        elif event < 0.8:
            world.outlets[name].takes_phases = not world.outlets[name].takes_phases
        elif event < 0.9:
            world.unplug(name)
        else:
            world.plug(name)
        go(world, rng.choice([30, 150, 300]))
    for outlet in world.outlets.values():
        assert all(gap >= dwell_s - 1.0 for gap in gaps(outlet)), outlet.switches
        assert package == "by-itself" or all(flowed_a == 0.0 for _, flowed_a in outlet.switches)


@pytest.mark.parametrize("package", ["pauses", "by-itself"])
def test_spc_20_a_limit_that_leaves_one_phase_and_then_three(package: str) -> None:
    """4140 W is the least of three phases, 1380 W of one."""
    world = garage("off", package=package, dwell_s=600)
    x0 = world.outlets["x0"]
    world.limit("grid", import_w=W3 - 1.0)
    go(world, 500)
    assert (x0.phases, world.told["x0"]) == (3, 0.0)  # the dwell counts from when it was first seen
    go(world, 500)
    assert (x0.phases, world.told["x0"]) == (1, 12.0)
    world.limit("grid", import_w=3680.0)
    go(world, 900)
    assert (x0.phases, world.told["x0"]) == (1, 16.0)
    world.limit("grid", import_w=W3)
    go(world, UP_MS / 1000 + 60)
    assert (x0.phases, world.told["x0"]) == (3, 6.0)
    assert len(x0.switches) == 2


def test_spc_20_not_during_a_power_test() -> None:
    world = garage("off", dwell_s=60)
    x0 = world.outlets["x0"]
    world.limit("grid", import_w=W3 - 1.0)
    go(world, 400)
    assert x0.phases == 1
    world.limit("grid", import_w=W3)
    world.power_test("x0")
    begun_s = world.now_s
    go(world, 2)
    while world.state.trials is not None and world.state.trials.asked():
        go(world, 1)
        assert x0.phases == 1
    assert world.now_s - begun_s > UP_MS / 1000  # it would have been due
    go(world, UP_MS / 1000 + 60)
    assert x0.phases == 3


def test_spc_20_surplus_only_begins_on_one_phase_goes_to_three_and_back() -> None:
    world = garage("only", dwell_s=300)
    x0 = world.outlets["x0"]
    sun(world, 2000.0)
    go(world, 700)
    assert (x0.phases, world.told["x0"]) == (1, 8.0)
    sun(world, W3 + 200.0)  # 300 W more than enough it must be
    go(world, 900)
    assert (x0.phases, world.told["x0"]) == (1, 16.0)
    sun(world, 6000.0)
    go(world, 400)
    assert (x0.phases, world.told["x0"]) == (3, 8.0)
    sun(world, 1500.0)
    go(world, DOWN_MS / 1000 - 10)
    assert (x0.phases, world.told["x0"]) == (3, 6.0)
    go(world, 60)
    assert (x0.phases, world.told["x0"]) == (1, 6.0)
    assert [flowed_a for _, flowed_a in x0.switches] == [0.0] * 3  # also the last two, out of charging


def test_spc_20_while_it_is_switched_it_is_told_0_a_with_its_reason_and_keeps_its_place() -> None:
    world = garage("minimum", "off", rated_a=25.0, dwell_s=60)
    sun(world, 1500.0)
    seen = set()
    for _ in range(400):
        go(world, 1)
        state = world.state.phases
        assert state is not None
        if state.to[world.net.slot["x0"]]:
            seen.add((world.told["x0"], world.why["x0"].code))
            assert world.last is not None
            assert world.last.cycle.load[:3, world.net.slot["x0"]].sum() == 3.0 or state.at_ms.max() == world.now_ms
    assert seen == {(0.0, ReasonCode.PHASE_SWITCH)}
    assert world.outlets["x0"].phases == 1


def test_spc_20_where_one_phase_is_full_three_carry_more() -> None:
    """On its one conductor it would have to stop; on three it has 6 A each."""
    world = garage("off", rated_a=40.0, dwell_s=60)
    x0 = world.outlets["x0"]
    x0.phases = x0.shows_phases = 1
    world.load_a["grid"] = [31.0, 0.0, 0.0]
    go(world, 400)
    assert (x0.phases, world.told["x0"]) == (3, 9.0)


def test_spc_20_two_want_three_phases_and_one_has_room() -> None:
    world = garage("off", "off", dwell_s=60)
    for outlet in world.outlets.values():
        outlet.phases = outlet.shows_phases = 1
    world.limit("grid", import_w=W3 + W1 + 100.0)
    go(world, 1500)
    assert sorted(outlet.phases for outlet in world.outlets.values()) == [1, 1]
    assert sum(world.told.values()) == 24.0  # half of it each: less than three phases need
    world.limit("grid", import_w=2 * W3)
    go(world, 300)
    assert sorted(outlet.phases for outlet in world.outlets.values()) == [3, 3]


def test_spc_20_a_device_that_does_not_switch_is_given_up_and_goes_on() -> None:
    world = garage("minimum", dwell_s=900)
    world.outlets["x0"].takes_phases = False
    go(world, 900 + 30)
    until_s = world.now_s + LONGEST_MS / 1000 + 60
    at_zero, failed = 0, False
    while world.now_s < until_s:
        go(world, 1)
        at_zero += world.told["x0"] == 0.0
        assert world.last is not None
        failed |= world.last.does_not_switch == ("x0",)
    assert failed
    assert at_zero <= LONGEST_MS / 1000 + 1
    assert world.told["x0"] == 6.0


def test_spc_20_a_device_that_switches_by_itself_is_followed_and_booked_as_it_is() -> None:
    world = garage("off", dwell_s=600)
    x0 = world.outlets["x0"]
    world.limit("grid", import_w=3680.0)
    go(world, 1500)
    assert (x0.phases, world.told["x0"]) == (1, 16.0)
    x0.phases = x0.shows_phases = 3  # somebody at the device
    world.step()
    world.step()
    assert world.told["x0"] == 0.0
    assert world.last is not None
    assert world.last.phases() == [3]


def test_spc_20_without_the_package_or_the_site_file_nothing_is_said_of_phases() -> None:
    world = garage("only", package="cannot")
    sun(world, 2000.0)
    go(world, 900)
    assert world.outlets["x0"].switches == []
    assert world.last is not None
    assert world.last.phases() == [None]
    assert world.state.phases is None


def test_spc_20_phases_that_cannot_be_read_are_booked_on_all_conductors_and_not_switched() -> None:
    world = garage("only")
    world.outlets["x0"].shows_phases = None
    sun(world, 2000.0)
    go(world, 900)
    assert world.told["x0"] == 0.0
    assert world.outlets["x0"].switches == []


def test_spc_20_what_is_remembered_survives_a_checkpoint_and_is_part_of_the_digest() -> None:
    world = garage("only", dwell_s=300)
    sun(world, 2000.0)
    go(world, 700)
    again = restore(dump(world.state, world.net), world.net, world.now_ms)
    assert again.digest() == world.state.digest()
    assert again.phases is not None
    again.phases.at_ms[0] += 1
    assert again.digest() != world.state.digest()
