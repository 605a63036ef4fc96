"""What is booked: nothing is given away before it was let go (algorithms.md, What is booked; failure.md)."""

from __future__ import annotations

import pytest

from busbar.events import ReasonCode
from scenarios.truths import broken_rows
from scenarios.world import Vehicle, World, site_of
from spc_allocator.state import AllocatorState


def pair(rated_a: float = 32.0, **connector: object) -> World:
    """Two three-phase connectors behind one fuse; extra settings go to the first."""
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": rated_a}],
            [{"id": "x0", "collector": "grid", **connector}, {"id": "x1", "collector": "grid"}],
        )
    )
    world.plug("x0")
    world.run_to(1800)
    return world


def test_a_decrease_that_the_device_never_took_frees_nothing() -> None:
    world = pair()
    world.outlets["x0"].obeys = False
    world.plug("x1")
    world.run_to(world.now_s + 600)
    assert world.told["x0"] < 32.0
    assert world.told["x1"] == 0.0
    assert world.overload_s["grid"] == 0.0
    assert world.last is not None
    assert world.last.uncontrollable == ("x0",)


def test_a_slow_vehicle_keeps_its_amperes_until_it_has_let_them_go() -> None:
    world = pair()
    world.reaction_s = 60.0
    world.plug("x1")
    while world.told["x1"] == 0.0:
        world.step()
        assert world.now_s < 2000
    drawn = world.outlets["x0"].current_a
    assert drawn <= world.told["x0"] + 1.0
    assert drawn + 6.0 <= 32.0 + 1e-6


def test_drawing_above_the_setpoint_is_booked_from_the_first_sample_and_labelled_after_10_s() -> None:
    world = pair(rated_a=40.0)
    world.plug("x1")
    world.run_to(world.now_s + 1200)
    before = dict(world.told)
    assert before["x1"] >= 10.0
    world.outlets["x0"].vehicle.overdraws_a = 5.0  # type: ignore[union-attr]
    world.reaction_s = 0.1
    world.step()
    assert world.told["x0"] + 5.0 + world.told["x1"] <= 40.0 + 1e-6 or world.told["x1"] < before["x1"]
    assert world.last is not None
    assert world.last.uncontrollable == ()
    world.run_to(world.now_s + 25)
    assert "x0" in world.last.uncontrollable
    assert world.outlets["x0"].current_a + world.told["x1"] <= 40.0 + 1e-6


def test_current_counts_where_no_setpoint_is_booked() -> None:
    world = pair()
    world.outlets["x1"].out = True
    world.outlets["x1"].stray_a = 9.5  # a welded contactor: out of service, and still it draws
    world.step()
    assert world.told == {"x0": 22.0, "x1": 0.0}
    assert world.why["x1"].code is ReasonCode.OUT_OF_SERVICE
    world.outlets["x1"].out, world.outlets["x1"].stray_a = False, 2.5  # free, with a heater inside
    world.step()
    world.run_to(world.now_s + 1200)
    assert world.told["x0"] == 29.0


def lose(world: World, name: str) -> None:
    world.outlets[name].reachable = False


def test_unreachable_is_booked_as_before_until_its_watchdog_and_reaction_have_passed_then_at_its_fallback() -> None:
    world = pair(watchdog_s=30)
    lose(world, "x0")
    world.plug("x1")
    world.run_to(world.now_s + 40)
    assert world.told["x1"] == 0.0
    assert world.told["x0"] == 32.0
    assert world.why["x0"].code is ReasonCode.UNREACHABLE
    world.run_to(world.now_s + 10)  # 30 s watchdog + 15 s reaction
    assert world.told == {"x0": 6.0, "x1": 6.0}


def test_without_a_verified_watchdog_an_unreachable_one_is_booked_at_its_maximum() -> None:
    world = pair(rated_a=40.0, max_a=32)
    world.outlets["x0"].vehicle.max_a = 8.0  # type: ignore[union-attr]
    world.plug("x1")
    world.run_to(world.now_s + 900)
    assert world.told["x1"] > 12.0
    sample = world.outlets["x0"].sample
    assert sample is not None
    world.state.watchdog_s[world.net.slot["x0"]] = float("nan")
    lose(world, "x0")
    world.run_to(world.now_s + 60)
    assert world.told["x1"] == 8.0  # 40 - 32


def test_booked_at_max_when_lost_is_booked_so_at_once() -> None:
    world = pair(rated_a=44.0, book_at_max_when_lost=True)
    world.outlets["x0"].vehicle.max_a = 8.0  # type: ignore[union-attr]
    world.plug("x1")
    world.run_to(world.now_s + 900)
    assert world.told["x1"] > 12.0
    lose(world, "x0")
    world.run_to(world.now_s + 2)
    assert world.told["x1"] == 12.0


def test_a_device_that_comes_back_with_a_higher_limit_than_it_was_told_is_booked_at_that_limit() -> None:
    world = pair(rated_a=40.0)
    world.plug("x1")
    world.run_to(world.now_s + 1500)
    assert world.told == {"x0": 20.0, "x1": 20.0}
    outlet = world.outlets["x0"]
    outlet.obeys, outlet.limit_a = False, 32.0
    world.run_to(world.now_s + 3)
    assert world.told["x1"] == 8.0


def test_a_fresh_allocator_adopts_what_the_devices_do_and_moves_nobody() -> None:
    world = pair(rated_a=50.0)
    world.plug("x1")
    world.run_to(world.now_s + 600)
    told = dict(world.told)
    assert min(told.values()) > 6.0
    world.state = AllocatorState.fresh(world.net, world.now_ms)
    for _ in range(14):
        world.step()
        assert world.told == told
        assert {reason.code for reason in world.why.values()} == {ReasonCode.STARTING}
    assert broken_rows(world) == []


def test_no_value_since_the_start_is_fallback_never_no_limit() -> None:
    world = World(
        site_of([{"id": "grid", "rated_current_a": 63}], [{"id": f"x{n}", "collector": "grid"} for n in range(3)])
    )
    world.blind["grid"] = -1e6
    for name in world.outlets:
        world.plug(name)
    world.run_to(600)
    assert set(world.told.values()) == {0.0}  # nothing is raised on a path without any value


@pytest.mark.parametrize(("action", "expected"), [("disable", 0.0), ("minimum", 6.0)])
def test_a_silent_collector_meter_bounds_what_hangs_below_after_its_timeout(action: str, expected: float) -> None:
    world = World(
        site_of(
            [
                {"id": "grid", "rated_current_a": 63},
                {"id": "sub", "parent": "grid", "rated_current_a": 32, "on_lost_meter": {"action": action}},
            ],
            [{"id": "x0", "collector": "sub"}, {"id": "x1", "collector": "grid"}],
        )
    )
    world.plug("x0")
    world.plug("x1")
    world.run_to(900)
    world.blind["sub"] = world.now_s
    world.run_to(world.now_s + 4)
    held = world.told["x0"]
    world.run_to(world.now_s + 25)
    assert world.told["x0"] == held  # nothing rises, nothing falls yet
    assert world.why["x0"].code is ReasonCode.STALE
    world.run_to(world.now_s + 4)
    assert world.told["x0"] == expected
    assert (world.why["x0"].code, world.why["x0"].source) == (ReasonCode.FALLBACK, "sub")
    assert world.told["x1"] >= held
    del world.blind["sub"]
    world.run_to(world.now_s + 1)
    assert world.told["x0"] <= 6.0  # back without a jump


def test_fallback_events_are_upper_bounds_and_the_lowest_counts() -> None:
    world = pair()
    world.fall_back("rule-1", ["x0"], 10.0)
    world.step()
    assert world.told["x0"] == 10.0
    assert (world.why["x0"].code, world.why["x0"].source) == (ReasonCode.FALLBACK, "rule-1")
    world.fall_back("rule-2", ["x0", "x1"], 0.0)
    world.step()
    assert world.told["x0"] == 0.0
    assert (world.why["x0"].code, world.why["x0"].source) == (ReasonCode.FALLBACK, "rule-2")


def test_one_implausible_sample_cuts_nobody_two_do() -> None:
    world = World(
        site_of([{"id": "grid", "rated_current_a": 66}], [{"id": f"x{n}", "collector": "grid"} for n in range(2)])
    )
    for name in world.outlets:
        world.plug(name)
    world.run_to(1800)
    assert world.told == {"x0": 32.0, "x1": 32.0}
    outlet = world.outlets["x0"]
    outlet.current_a = 60.0
    world.now_s += 1.0
    world.allocate()
    assert world.told == {"x0": 32.0, "x1": 32.0}
    world.now_s += 1.0
    world.allocate()
    assert world.told["x1"] == 6.0


def test_a_vehicle_that_does_not_wake_is_tried_with_8_a_and_then_paused_last() -> None:
    world = World(site_of([{"id": "grid", "rated_current_a": 16}], [{"id": "x0", "collector": "grid"}]))
    world.plug("x0", Vehicle(wakes=False))
    world.run_to(60)
    world.load_a["grid"] = [12.0] * 3
    world.run_to(70)
    assert world.told["x0"] == 0.0
    world.load_a["grid"] = [0.0] * 3
    world.outlets["x0"].vehicle.max_a = 0.0  # type: ignore[union-attr]
    offered = set()
    for _ in range(800):
        world.step()
        offered.add(world.told["x0"])
    assert offered == {0.0, 6.0, 8.0}
    assert world.last is not None
    assert world.last.does_not_wake == ("x0",)
    assert world.told["x0"] == 6.0


def test_8_a_wakes_a_vehicle_that_needs_it() -> None:
    world = World(site_of([{"id": "grid", "rated_current_a": 16}], [{"id": "x0", "collector": "grid"}]))
    world.plug("x0", Vehicle(wakes=False))
    world.run_to(60)
    world.load_a["grid"] = [12.0] * 3
    world.run_to(70)
    world.load_a["grid"] = [0.0] * 3
    world.run_to(900)
    assert world.outlets["x0"].current_a >= 6.0
    assert world.last is not None
    assert world.last.does_not_wake == ()
