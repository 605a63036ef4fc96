"""Modes of connectors: by hand, by the rules, by advice (SPC-9). First what must never happen, then the examples."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.events import ReasonCode
from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import U, Vehicle, World, site_of
from spc_allocator.core import decide
from unit.allocator_sites import charging_world, happen, how_many

MODES = ("rule", "manual", "advice")


def steer(world: World, rng: Random) -> None:
    """Somebody says something about a connector."""
    name = rng.choice(list(world.outlets))
    mode = rng.choice(MODES)
    world.mode(name, mode, rng.choice([0.0, 6.0, 7.5, 16.0, 32.0, 100.0]) if mode == "manual" else None)
    other = rng.choice(list(world.outlets))
    world.advise(other, *((rng.choice([-1.0, 0.0, 3.0]), rng.uniform(-5e3, 25e3)) for _ in range(rng.randint(1, 3))))
    if rng.random() < 0.3:
        world.modes.pop(rng.choice(list(world.outlets)), None)


@settings(max_examples=how_many(10, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_9_no_mode_and_no_advice_ever_breaks_a_row_a_step_or_a_ramp(number: int) -> None:
    rng = Random(number)
    world = charging_world(rng, check=True)
    world.state.covered_since_ms -= 16_000
    for _ in range(12):
        steer(world, rng)
        if rng.random() < 0.3:
            happen(world, rng)
        world.step()
        known = all(o.reachable and not o.poll_s for o in world.outlets.values())
        assert broken_rows(world, reserves=known) + broken_steps(world) + broken_ramps(world) == []


@settings(max_examples=how_many(15, 2000), deadline=None)
@given(st.integers(0, 10**6), st.floats(-1e4, 3e4))
def test_spc_9_advice_never_gives_more_than_the_rules_alone_would(number: int, power_w: float) -> None:
    rng = Random(number)
    world = charging_world(rng)
    world.state.covered_since_ms -= 16_000
    world.state.anchor_ms -= 61_000
    world.allocate()
    snapshot, plain = world.snapshot(), world.inputs()
    name = rng.choice(list(world.outlets))
    world.advise(name, (0.0, power_w))
    at_ms = world.now_ms + 1000
    ruled, advised = (decide(world.net, world.state, snapshot, x, at_ms).told() for x in (plain, world.inputs()))
    assert advised[name] <= ruled[name]
    pause_a = world.net.devices.pause_a[world.net.slot[name]]
    assert power_w > 0.0 or advised[name] == pause_a or world.must_run(name)


@settings(max_examples=how_many(10, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_9_in_mode_rule_advice_changes_nothing(number: int) -> None:
    rng = Random(number)
    world = charging_world(rng)
    world.allocate()
    snapshot, plain = world.snapshot(), world.inputs()
    for name in world.outlets:
        world.mode(name, "rule")
        world.advise(name, (0.0, rng.uniform(-1e4, 1e4)))
    at_ms = world.now_ms + 1000
    one, other = (decide(world.net, world.state, snapshot, x, at_ms) for x in (plain, world.inputs()))
    assert (one.told(), one.why(), one.state.digest()) == (other.told(), other.why(), other.state.digest())


# -- examples


def car_park(rated_a: float = 100.0, count: int = 1, **connector: object) -> World:
    return World(
        site_of(
            [{"id": "grid", "rated_current_a": rated_a}],
            [{"id": f"x{n}", "collector": "grid", **connector} for n in range(count)],
        )
    )


def charging(minutes: float, rated_a: float = 100.0, count: int = 1, vehicle: Vehicle | None = None) -> World:
    world = car_park(rated_a, count)
    for name in world.outlets:
        world.plug(name, vehicle)
    world.run_to(60 * minutes)
    return world


def advise_for(world: World, minutes: float, power_w: float) -> None:
    """Repeated each quarter of an hour, as an optimiser does."""
    until_s = world.now_s + 60 * minutes
    while world.now_s < until_s:
        world.advise("x0", (0.0, power_w))
        world.run_to(min(until_s, world.now_s + 900))


def test_spc_9_without_advice_it_is_rule_based_from_6_a() -> None:
    world = charging(0.5)
    assert (world.told["x0"], world.why["x0"].code) == (6.0, ReasonCode.RAMP)
    world.run_to(3 * 60)
    assert world.told["x0"] == 8.0


def test_spc_9_advice_starts_at_6_a_ramps_by_the_rules_and_is_followed_as_an_upper_bound() -> None:
    world = car_park()
    world.advise("x0", (0.0, 9 * 3 * U))
    world.plug("x0")
    world.run_to(10)
    assert (world.told["x0"], world.why["x0"].code) == (6.0, ReasonCode.RAMP)
    world.run_to(150)
    assert world.told["x0"] == 8.0
    world.run_to(600)
    assert (world.told["x0"], world.why["x0"].code, world.why["x0"].source) == (9.0, ReasonCode.ADVICE, "gateway")


@pytest.mark.parametrize(
    ("power_w", "expected"),
    [(0.0, 0.0), (-4000.0, 0.0), (1.0, 6.0), (4139.0, 6.0), (6 * 3 * U, 6.0), (7.9 * 3 * U, 7.0), (8 * 3 * U, 8.0)],
)
def test_spc_9_zero_pauses_a_little_means_6_a_else_whole_amperes(power_w: float, expected: float) -> None:
    world = charging(20)
    world.advise("x0", (0.0, power_w))
    world.step()
    assert world.told["x0"] == expected
    assert (world.why["x0"].code, world.why["x0"].value) == (ReasonCode.ADVICE, expected)


def test_spc_9_amperes_are_those_of_the_measured_voltage_and_the_phases_in_use() -> None:
    world = charging(20, vehicle=Vehicle(phases=1))
    world.volts = [240.0, 230.0, 220.0]
    world.run_to(world.now_s + 10)
    world.advise("x0", (0.0, 10 * 240.0 - 1.0))
    world.step()
    assert world.told["x0"] == 9.0


def test_spc_9_after_20_minutes_of_silence_it_is_rule_based_from_the_present_setpoint() -> None:
    world = charging(20)
    world.advise("x0", (0.0, 8 * 3 * U))
    world.run_to(world.now_s + 20 * 60 - 5)
    assert world.told["x0"] == 8.0
    world.run_to(world.now_s + 10)
    assert world.told["x0"] == 9.0
    world.run_to(world.now_s + 120)
    assert world.told["x0"] == 11.0
    world.advise("x0", (0.0, 7 * 3 * U))
    world.step()
    assert world.told["x0"] == 7.0  # with new advice at once again


def test_spc_9_a_series_is_followed_slot_by_slot() -> None:
    world = charging(20)
    world.advise("x0", (0.0, 10 * 3 * U), (300.0, 0.0), (600.0, 7 * 3 * U))
    start_s = world.now_s
    for after_s, expected in ((290, 10.0), (302, 0.0), (650, 0.0), (670, 6.0), (760, 7.0)):
        world.run_to(start_s + after_s)
        assert world.told["x0"] == expected, after_s


def test_spc_9_advice_lifts_no_limit() -> None:
    world = charging(30, rated_a=10.0)
    world.advise("x0", (0.0, 22_000.0))
    world.step()
    assert (world.told["x0"], world.why["x0"].code) == (10.0, ReasonCode.ROW)


def test_spc_9_of_several_sources_the_newest_given_holds() -> None:
    world = charging(20)
    world.advise("x0", (0.0, 0.0), source="old")
    world.step()
    world.advise("x0", (0.0, 7 * 3 * U), source="new")
    world.run_to(world.now_s + 400)
    assert (world.told["x0"], world.why["x0"].source) == (6.0, "new") or world.told["x0"] == 7.0


def test_spc_9_by_hand_it_is_not_ramped_and_every_limit_cuts_it() -> None:
    world = charging(2, rated_a=50.0)
    world.mode("x0", "manual", 20.0)
    world.step()
    assert (world.told["x0"], world.why["x0"].code, world.why["x0"].source) == (20.0, ReasonCode.MANUAL, "page")
    world.limit("grid", import_w=12 * 3 * U)
    world.step()
    assert (world.told["x0"], world.why["x0"].code) == (12.0, ReasonCode.POWER_LIMIT)
    world.limits.clear()
    world.load_a["grid"] = [42.0, 0.0, 0.0]
    world.step()
    assert (world.told["x0"], world.why["x0"].code) == (8.0, ReasonCode.ROW)
    world.load_a["grid"] = [45.0, 0.0, 0.0]
    world.step()
    assert (world.told["x0"], world.why["x0"].code) == (0.0, ReasonCode.PAUSED)


def test_spc_9_zero_by_hand_is_off_and_a_setpoint_by_hand_starts_it_at_once() -> None:
    world = charging(5)
    world.mode("x0", "manual", 0.0)
    world.step()
    assert (world.told["x0"], world.why["x0"].code) == (0.0, ReasonCode.MANUAL)
    world.run_to(world.now_s + 10)
    world.mode("x0", "manual", 13.0)
    world.run_to(world.now_s + 3)
    assert world.told["x0"] == 13.0


def test_spc_9_after_a_mode_by_hand_the_rules_go_on_from_the_present_setpoint() -> None:
    world = charging(5)
    world.mode("x0", "manual", 20.0)
    world.run_to(world.now_s + 70)
    world.modes.clear()
    world.step()
    assert world.told["x0"] in {20.0, 21.0}
    world.run_to(world.now_s + 130)
    assert world.told["x0"] in {22.0, 23.0}


def test_spc_9_the_mode_of_a_free_connector_stays_and_one_that_is_off_offers_no_standing_6_a() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 100, "dynamic_reserve_connectors": 2}],
            [{"id": f"x{n}", "collector": "grid"} for n in range(2)],
        )
    )
    world.mode("x0", "manual", 0.0)
    world.mode("x1", "manual", 16.0)
    world.run_to(5)
    assert world.told == {"x0": 0.0, "x1": 6.0}
    assert world.why["x0"].code is ReasonCode.MANUAL
    world.plug("x0")
    world.plug("x1")
    world.run_to(60)
    assert world.told == {"x0": 0.0, "x1": 16.0}


def test_spc_9_by_hand_two_share_a_fuse_equally() -> None:
    world = charging(1, rated_a=30.0, count=2)
    for name in world.outlets:
        world.mode(name, "manual", 25.0)
    world.run_to(world.now_s + 5)
    assert world.told == {"x0": 15.0, "x1": 15.0}
