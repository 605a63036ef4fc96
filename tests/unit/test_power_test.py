"""The power test (SPC-10): first what must never happen, then what it finds."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.events import FoundPower, PowerTest, PowerTestState, ReasonCode
from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import U, Vehicle, World, site_of
from spc_allocator.core import decide
from spc_allocator.power_test import ROOM_MS
from spc_allocator.power_test_events import result
from spc_allocator.state import dump, restore
from spc_allocator.trials import Trial
from unit.allocator_sites import PACKAGES, charging_world, happen, how_many, random_vehicle
from unit.test_allocator_properties import given_twice

State = PowerTestState


def _trial(world: World, name: str = "x0") -> Trial:
    assert world.state.trials is not None
    return world.state.trials.of[world.net.slot[name]]


def _quick(world: World) -> World:
    """Its devices answer within three seconds, so that a test gets far in a short while."""
    world.net.devices.reaction_ms[:] = 3000
    return world


# -- what must never happen


@settings(max_examples=how_many(8, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_10_no_test_ever_breaks_a_row_or_a_step_and_afterwards_the_ramp_holds(number: int) -> None:
    """Whatever happens to the site meanwhile. The certificate of fairness is checked in each cycle."""
    rng = Random(number)
    world = _quick(charging_world(rng, check=True))
    world.state.covered_since_ms -= 16_000
    world.allocate()
    for _ in range(90):
        if rng.random() < 0.1:
            world.power_test(rng.choice(list(world.outlets)), lasts_ms=rng.choice([20_000, 900_000]))
        if rng.random() < 0.05:
            world.tests.pop(rng.choice(list(world.outlets)), None)
        if rng.random() < 0.1:
            happen(world, rng)
        world.step()
        known = all(o.reachable and not o.poll_s for o in world.outlets.values())
        wrong = broken_rows(world, reserves=known) + broken_steps(world) + broken_ramps(world)
        assert wrong + (given_twice(world) if known else []) == []
        for name, order in world.tests.items():
            over = world.now_ms >= (order.until_ms or 0)
            assert not over or not _trial(world, name).under_way, "a test ends by itself"


@settings(max_examples=how_many(8, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_10_a_restart_in_mid_test_goes_on_bit_for_bit_from_the_checkpoint(number: int) -> None:
    rng = Random(number)
    world = _quick(charging_world(rng))
    for name in world.outlets:
        world.power_test(name)
    world.run_to(rng.randint(1, 60))
    again = restore(dump(world.state, world.net), world.net, world.now_ms)
    assert again.digest() == world.state.digest()
    snapshot, at_ms = world.snapshot(), world.now_ms + 1000
    one, other = (decide(world.net, state, snapshot, world.inputs(), at_ms) for state in (world.state, again))
    assert (one.told(), one.why(), one.state.digest()) == (other.told(), other.why(), other.state.digest())


@settings(max_examples=how_many(15, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_10_with_room_it_finds_what_the_vehicle_really_takes(number: int) -> None:
    rng = Random(number)
    dc = rng.random() < 0.3
    entry = {"max_w": 50_000, "package": "dc"} if dc else {"package": rng.choice(["plain", "from-8", "never-0"])}
    world = _quick(World(site_of([{"id": "grid", "rated_current_a": 400}], [{"id": "x0", "collector": "grid", **entry}],
                                 packages=PACKAGES)))  # fmt: skip
    vehicle = world.plug("x0", random_vehicle(rng, world.outlets["x0"]))
    vehicle.max_a = max(vehicle.max_a, world.minimum_a("x0"))
    world.run_to(rng.randint(1, 200))
    world.power_test("x0")
    world.run_to(world.now_s + 300)
    found, outlet = _trial(world).found, world.outlets["x0"]
    assert _trial(world).state is State.DONE
    assert found.flows_from_a == world.minimum_a("x0")
    assert max(found.drawn_a) == pytest.approx(min(vehicle.max_a, outlet.entity.max_current_a))
    assert sum(a > 1.0 for a in found.drawn_a) == outlet.used
    assert found.drawn_w == pytest.approx(sum(found.drawn_a) * U)
    assert world.state.trials is not None
    assert world.state.trials.charge_points[0].proven


def test_spc_10_without_an_order_nothing_is_remembered_and_nothing_is_different() -> None:
    world = charging_world(Random(1))
    world.run_to(5)
    assert world.state.trials is None
    assert b"power_tests" not in dump(world.state, world.net)


# -- examples


def _park(rated_a: float = 100.0, count: int = 1, **connector: object) -> World:
    return World(
        site_of(
            [{"id": "grid", "rated_current_a": rated_a}],
            [{"id": f"x{n}", "collector": "grid", **connector} for n in range(count)], packages=PACKAGES,
        )
    )  # fmt: skip


def _tested(vehicle: Vehicle | None, seconds: float = 400.0, after_s: float = 60.0, **park: object) -> World:
    """A while after plug-in a test of x0 is ordered; it runs as long as it takes, at most `seconds`."""
    world = _park(**park)  # type: ignore[arg-type]  # whatever the park takes
    for name in world.outlets:
        if vehicle is not None or name != "x0":
            world.plug(name, vehicle if name == "x0" else None)
    world.run_to(after_s)
    world.power_test("x0")
    _finish(world, seconds)
    return world


def _finish(world: World, seconds: float = 400.0) -> None:
    until_s = world.now_s + seconds
    world.step()
    while world.now_s < until_s and _trial(world).under_way:
        world.step()


def _vehicle(world: World) -> FoundPower | None:
    assert world.state.trials is not None
    return result(world.net, world.state.trials, 0, 0).vehicle


def _charge_point(world: World) -> FoundPower:
    assert world.state.trials is not None
    found = result(world.net, world.state.trials, 0, 0).charge_point
    assert found is not None
    return found


def test_spc_10_a_1_phase_vehicle_on_a_3_phase_charger_is_found_as_1_phase_16_a() -> None:
    world = _tested(Vehicle(phases=1, max_a=16.0))
    assert _trial(world).state is State.DONE
    assert _vehicle(world) == FoundPower(
        min_current_a=6.0, max_current_a=16.0, min_power_w=6 * U, max_power_w=16 * U, phases=("L1",)
    )
    assert _charge_point(world) == FoundPower(
        min_current_a=6.0, max_current_a=32.0, min_power_w=18 * U, max_power_w=96 * U, phases=("L1", "L2", "L3")
    )


def test_spc_10_sharing_and_the_order_of_pauses_use_what_was_found() -> None:
    world = _tested(Vehicle(phases=1, max_a=16.0), count=2, phases=["L2", "L3", "L1"])
    assert _vehicle(world).phases == ("L1",)  # type: ignore[union-attr]  # of its own conductors
    world.step()
    assert (world.told["x0"], world.why["x0"].code) == (17.0, ReasonCode.VEHICLE)
    world.run_to(841)  # just after a quarter of an hour
    drawn_wh = world.outlets["x0"].vehicle.energy_wh  # type: ignore[union-attr]
    assert world.state.need[0] == pytest.approx(drawn_wh * 16 * U, rel=0.01)


def test_spc_10_a_vehicle_limited_to_10_a_is_found_and_the_rest_of_the_room_goes_back() -> None:
    world = _tested(Vehicle(max_a=10.0), count=2)
    found = _vehicle(world)
    assert found is not None
    assert (found.max_current_a, found.at_least, len(found.phases)) == (10.0, False, 3)
    assert world.told["x0"] == 11.0


def test_spc_10_each_step_says_so_and_nothing_else_is_ramped() -> None:
    world = _park(count=2)
    world.plug("x0")
    world.plug("x1")
    world.run_to(60)
    world.power_test("x0", source="A. Person")
    asked: list[float] = []
    while not asked or _trial(world).under_way:
        world.step()
        if _trial(world).under_way and world.told["x0"] not in asked:
            asked.append(world.told["x0"])
            assert (world.why["x0"].code, world.why["x0"].source) == (ReasonCode.POWER_TEST, "A. Person")
        assert broken_ramps(world) == []
    assert asked == [6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 18.0, 22.0, 27.0, 32.0]


def test_spc_10_after_the_test_the_ramp_goes_on_from_where_it_stands() -> None:
    world = _tested(Vehicle(), rated_a=24.0)
    assert (_trial(world).state, world.told["x0"]) == (State.NO_ROOM, 24.0)
    world.limit("grid", import_w=14 * 3 * U)
    world.step()
    assert world.told["x0"] == 14.0
    world.limits.clear()
    world.run_to(world.now_s + 150)
    assert world.told["x0"] == 16.0


def test_spc_10_without_room_it_takes_its_fair_share_and_says_at_least() -> None:
    world = _tested(Vehicle(), rated_a=30.0, count=2, after_s=1200.0)
    found = _vehicle(world)
    assert found is not None
    assert (_trial(world).state, found.max_current_a, found.at_least) == (State.NO_ROOM, 15.0, True)
    assert _charge_point(world).at_least
    assert min(world.told.values()) >= 6.0
    assert not world.state.maximum_known[0]


@pytest.mark.parametrize(
    ("vehicle", "rated_a", "found_a", "state"),
    [
        (Vehicle(max_a=10.0), 12.5, 10.0, State.DONE),
        (Vehicle(overdraws_a=-2.0), 100.0, 30.0, State.DONE),
        (Vehicle(overdraws_a=-2.0), 20.0, 18.0, State.NO_ROOM),
    ],
)
def test_spc_10_less_than_offered_is_its_maximum_once_a_higher_step_gives_no_more(
    vehicle: Vehicle, rated_a: float, found_a: float, state: State
) -> None:
    world = _tested(replace(vehicle), rated_a=rated_a)
    found = _vehicle(world)
    assert found is not None
    assert (_trial(world).state, found.max_current_a, found.at_least) == (state, found_a, state is State.NO_ROOM)
    assert world.state.maximum_known[0] == (state is State.DONE)


def test_spc_10_without_room_for_the_first_step_it_waits_for_it() -> None:
    world = _park()
    world.plug("x0")
    world.limit("grid", import_w=0.0)
    world.run_to(60)
    world.power_test("x0")
    world.run_to(60 + 2 * ROOM_MS / 1000)
    assert (_trial(world).state, world.told["x0"], world.why["x0"].code) == (State.WAITING, 0.0, ReasonCode.PAUSED)
    world.limits.clear()
    _finish(world)
    assert _trial(world).state is State.DONE


def test_spc_10_an_operators_limit_cuts_it_at_once() -> None:
    world = _park()
    world.plug("x0")
    world.run_to(60)
    world.power_test("x0")
    world.run_to(200)
    assert world.told["x0"] > 10.0
    world.limit("grid", import_w=9 * 3 * U)
    world.step()
    assert world.told["x0"] == 9.0
    _finish(world)
    found = _vehicle(world)
    assert found is not None
    assert (_trial(world).state, found.at_least) == (State.NO_ROOM, True)


@pytest.mark.parametrize("after_s", [3.0, 45.0, 150.0])
def test_spc_10_unplugged_in_mid_test_it_ends_and_the_next_vehicle_starts_at_6_a(after_s: float) -> None:
    world = _park()
    world.plug("x0")
    world.run_to(60)
    world.power_test("x0")
    world.run_to(60 + after_s)
    world.unplug("x0")
    world.step()
    assert _trial(world).state is State.VEHICLE_LEFT
    world.plug("x0")
    world.run_to(world.now_s + 20)
    assert (_trial(world).state, world.told["x0"]) == (State.VEHICLE_LEFT, 6.0)
    assert not world.state.maximum_known[0]


def test_spc_10_another_vehicle_between_two_samples_ends_it_too() -> None:
    world = _park()
    world.plug("x0")
    world.run_to(60)
    world.power_test("x0")
    world.run_to(150)
    world.plug("x0", Vehicle(phases=1))
    world.step()
    assert _trial(world).state is State.VEHICLE_LEFT
    assert not world.state.maximum_known[0]


def test_spc_10_stopped_by_hand_and_a_new_order_begins_anew() -> None:
    world = _park()
    world.plug("x0")
    world.run_to(60)
    world.power_test("x0")
    world.run_to(150)
    told = world.told["x0"]
    world.tests.clear()
    world.step()
    assert _trial(world).state is State.STOPPED
    assert world.told["x0"] <= told + 1.0
    world.power_test("x0")
    world.run_to(world.now_s + 2)
    assert (_trial(world).asked_a, world.told["x0"]) == (6.0, 6.0)


def test_spc_10_a_forgotten_test_ends_by_itself() -> None:
    world = _park()
    world.plug("x0")
    world.run_to(60)
    world.power_test("x0", lasts_ms=60_000)
    world.run_to(60 + 60)
    assert _trial(world).state is State.EXPIRED


def test_spc_10_without_a_vehicle_the_package_is_all_there_is() -> None:
    world = _tested(None, package="from-8", max_a=20)
    assert _trial(world).state is State.NO_VEHICLE
    assert _vehicle(world) is None
    found = _charge_point(world)
    assert (found.min_current_a, found.max_current_a, found.measured) == (8.0, 20.0, False)


def test_spc_10_a_charge_point_that_keeps_to_20_a_is_found_so() -> None:
    world = _park()
    world.outlets["x0"].most_a = 20.0
    world.plug("x0")
    world.run_to(60)
    world.power_test("x0")
    _finish(world)
    found = _charge_point(world)
    assert (_trial(world).state, found.max_current_a, found.at_least, found.measured) == (State.DONE, 20.0, False, True)
    assert _vehicle(world).max_current_a == 20.0  # type: ignore[union-attr]


def test_spc_10_a_vehicle_that_begins_at_8_a_is_found_so() -> None:
    world = _tested(Vehicle(wakes=False, slept=True))
    assert _vehicle(world).min_current_a == 8.0  # type: ignore[union-attr]


def test_spc_10_a_full_vehicle_takes_no_current() -> None:
    world = _tested(Vehicle(full_wh=0.0), seconds=900.0)
    assert (_trial(world).state, _vehicle(world)) == (State.NO_CURRENT, None)
    assert not world.state.maximum_known[0]


def test_spc_10_a_dc_point_is_tested_in_w() -> None:
    world = _park(rated_a=200.0, max_w=50_000, package="dc")
    world.plug("x0", Vehicle(max_a=30_000 / 690))
    world.run_to(60)
    world.power_test("x0")
    _finish(world)
    assert world.state.trials
    told = result(world.net, world.state.trials, 0, 0)
    assert (told.state, told.asked_current_a, told.vehicle.min_current_a) == (State.DONE, None, None)  # type: ignore[union-attr]
    assert told.vehicle.max_power_w == pytest.approx(30_000, abs=1)  # type: ignore[union-attr]
    assert told.charge_point.max_power_w == pytest.approx(50_000, abs=100)  # type: ignore[union-attr]


def test_spc_10_advice_is_not_heard_meanwhile_and_a_setpoint_by_hand_is_the_most() -> None:
    world = _park(count=2)
    for name in world.outlets:
        world.plug(name)
    world.run_to(60)
    world.advise("x0", (0.0, 0.0))
    world.mode("x1", "manual", 10.0)
    world.power_test("x0")
    world.power_test("x1")
    world.run_to(150)
    assert world.told["x0"] > 7.0
    _finish(world)
    assert _trial(world).state is State.DONE
    assert (_trial(world, "x1").state, world.told["x1"]) == (State.NO_ROOM, 10.0)


def test_spc_10_what_was_found_of_the_charge_point_stays_with_it_until_its_device_is_another() -> None:
    world = _tested(Vehicle(max_a=10.0))
    world.unplug("x0")
    world.plug("x0")
    world.run_to(world.now_s + 10)
    body = dump(world.state, world.net)
    again = restore(body, world.net, world.now_ms)
    assert again.trials is not None
    assert again.trials.charge_points[0].max_a == 32.0
    other = restore(body, _park(max_a=20).net, world.now_ms)
    assert other.trials is not None
    assert other.trials.charge_points == {}


@pytest.mark.parametrize("until_ms", [None, 0, 1_000, 3_601_001])
def test_spc_10_an_order_without_an_end_near_by_is_none(until_ms: int | None) -> None:
    with pytest.raises(ValueError, match="until_ms must be at most 60 minutes after"):
        PowerTest(connector="x0", source="cli", until_ms=until_ms, published_at_ms=1_000)
