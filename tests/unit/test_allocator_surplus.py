"""PV surplus mode of connectors (SPC-20). First what must never happen, then examples."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.events import ReasonCode
from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import U, Vehicle, World, site_of
from spc_allocator.surplus import START_MS, STOP_MS
from unit.allocator_sites import how_many

W3 = 3 * U
"""Watts of one ampere on three phases."""


def roof(*modes: str, rated_a: float = 100.0, **more: object) -> World:
    """A grid connection with PV and a building, and below it a metered car park with one connector a mode."""
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": rated_a}, {"id": "park", "parent": "grid", "rated_current_a": 80}],
            [{"id": f"x{n}", "collector": "park", "surplus": mode, **more} for n, mode in enumerate(modes)],
        ),
        check=True,
    )
    for name in world.outlets:
        world.plug(name)
    return world


def sun(world: World, surplus_w: float, load_w: float = 2000.0) -> None:
    """So much more is made than the building uses."""
    world.load_a["grid"] = [load_w / W3] * 3
    world.generation_a["grid"] = [-(surplus_w + load_w) / W3] * 3


def drawn_w(world: World, *names: str) -> float:
    return sum(world.told[name] for name in names) * W3


@settings(max_examples=how_many(10, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_20_surplus_breaks_no_row_step_or_ramp_and_takes_no_more_than_surplus_but_minima(number: int) -> None:
    rng = Random(number)
    modes = [rng.choice(["off", "minimum", "only"]) for _ in range(rng.randint(1, 6))]
    world = roof(*modes, rated_a=rng.choice([25.0, 40.0, 100.0]))
    wants = [f"x{n}" for n, mode in enumerate(modes) if mode != "off"]
    for _ in range(rng.randint(1, 4)):
        surplus_w = rng.uniform(-20e3, 40e3)
        sun(world, surplus_w)
        for _ in range(rng.choice([20, 120])):
            world.step()
            assert broken_rows(world) + broken_steps(world) + broken_ramps(world) == []
        others_w = sum(world.outlets[n].current_a for n in world.outlets if n not in wants) * W3
        minima_w = sum(6.0 for name in wants if world.told[name] > 0.0) * W3
        assert drawn_w(world, *wants) <= max(surplus_w - others_w, minima_w) + 1e-6


@settings(max_examples=how_many(6, 1000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_20_a_flickering_sun_never_switches_faster_than_its_delays(number: int) -> None:
    rng = Random(number)
    world = roof("only")
    changes: list[tuple[float, bool]] = [(0.0, False)]
    for _ in range(60):
        sun(world, rng.choice([0.0, 4000.0, 6000.0, 9000.0]))
        world.run_to(world.now_s + rng.choice([5, 20, 70]))
        on = world.told["x0"] > 0.0
        if on != changes[-1][1]:
            changes.append((world.now_s, on))
    for (before_s, was_on), (after_s, _) in pairwise(changes[1:]):
        assert after_s - before_s >= (STOP_MS if was_on else START_MS) / 1000.0 - 75.0


@pytest.mark.parametrize(("surplus_w", "expected"), [(-3000.0, 6.0), (3000.0, 6.0), (10 * W3 + 50, 10.0), (22e3, 31.0)])
def test_spc_20_minimum_plus_surplus(surplus_w: float, expected: float) -> None:
    world = roof("minimum")
    sun(world, surplus_w)
    world.run_to(1700)
    assert world.told["x0"] == expected
    assert world.why["x0"].code is ReasonCode.SURPLUS
    assert world.why["x0"].collector == "grid"


def test_spc_20_surplus_only_starts_after_a_minute_of_enough_and_stops_after_three_without() -> None:
    world = roof("only")
    sun(world, 6 * W3 + 200)  # within the hysteresis
    world.run_to(200)
    assert (world.told["x0"], world.why["x0"].code) == (0.0, ReasonCode.SURPLUS)
    sun(world, 6 * W3 + 400)
    world.run_to(250)
    assert world.told["x0"] == 0.0
    world.run_to(280)
    assert world.told["x0"] == 6.0
    sun(world, 6 * W3 - 100)
    world.run_to(280 + 170)
    assert world.told["x0"] == 6.0
    world.run_to(280 + 190)
    assert world.told["x0"] == 0.0


def test_spc_20_a_cloud_shorter_than_the_stop_delay_pauses_nobody() -> None:
    world = roof("only")
    sun(world, 9000.0)
    world.run_to(500)
    sun(world, 0.0)
    world.run_to(650)
    assert world.told["x0"] == 6.0  # cut at once, on
    sun(world, 9000.0)
    world.run_to(1200)
    assert world.told["x0"] == 13.0


def test_spc_20_several_share_the_surplus_equally_and_what_one_cannot_take_the_others_get() -> None:
    world = roof("minimum", "minimum", "minimum")
    sun(world, 30 * W3)
    world.run_to(900)
    assert sorted(world.told.values()) == [10.0, 10.0, 10.0]
    world.outlets["x0"].vehicle.max_a = 6.0  # type: ignore[union-attr]
    world.run_to(2400)
    assert world.outlets["x0"].current_a == 6.0
    assert sum(world.told.values()) == 30.0
    assert world.told["x1"] >= 10.0


def test_spc_20_what_others_draw_is_no_surplus_and_own_consumption_counts_once() -> None:
    world = roof("off", "minimum")
    world.outlets["x0"].vehicle.max_a = 16.0  # type: ignore[union-attr]
    sun(world, 26 * W3)
    world.run_to(1800)
    assert world.told["x1"] == 10.0
    active, _ = world.flow_a("grid")
    assert max(active) == pytest.approx(0.0, abs=1.0)  # nothing is exported, nothing imported


def test_spc_20_by_hand_there_is_no_surplus_mode() -> None:
    world = roof("only", "minimum")
    world.mode("x0", "manual", 10.0)
    sun(world, 18 * W3)
    world.run_to(1200)
    assert world.told == {"x0": 10.0, "x1": 8.0}


def test_spc_20_without_valid_monitoring_there_is_no_surplus() -> None:
    world = roof("minimum")
    sun(world, 20_000.0)
    world.run_to(600)
    assert world.told["x0"] > 10.0
    world.blind["grid"] = world.now_s
    world.run_to(world.now_s + 40)
    assert world.told["x0"] <= 6.0


def test_spc_20_a_free_connector_for_surplus_alone_offers_no_standing_6_a() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 100, "dynamic_reserve_connectors": 2}],
            [{"id": f"x{n}", "collector": "grid", "surplus": mode} for n, mode in enumerate(("only", "off"))],
        )
    )
    world.step()
    assert world.told == {"x0": 0.0, "x1": 6.0}
    assert world.why["x0"].code is ReasonCode.SURPLUS


def test_spc_20_a_one_phase_vehicle_needs_a_third() -> None:
    world = roof("only", phases=["L1"])
    world.plug("x0", Vehicle(phases=1))
    sun(world, 7 * U + 350.0)
    world.run_to(400)
    assert world.told["x0"] == 7.0 or world.told["x0"] == 8.0
