"""Vehicles that take no current after a pause (algorithms.md, Waking)."""

from __future__ import annotations

from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.config.packages import PackageFacts, catalogue
from busbar.events import ReasonCode
from scenarios.truths import broken_rows, broken_steps
from scenarios.world import Vehicle, World, site_of
from spc_allocator.rows import Network
from unit.test_limit_command import DEMO


def paused_world(vehicle: Vehicle, *, zero_releases: bool) -> World:
    """Charged for a minute, was paused for want of room, and may charge again after five."""
    packages = {"p": PackageFacts("ac_charger", zero_releases=zero_releases)}
    connectors = [{"id": "x0", "collector": "grid", "package": "p"}, {"id": "x1", "collector": "grid", "package": "p"}]
    world = World(site_of([{"id": "grid", "rated_current_a": 24}], connectors, packages=packages))
    world.plug("x0", vehicle)
    world.run_to(60)
    world.load_a["grid"] = [20.0] * 3
    world.run_to(70)
    assert world.told["x0"] == 0.0
    world.load_a["grid"] = [0.0] * 3
    world.outlets["x0"].toggles = 0
    world.run_to(65 + 300)
    return world


def pulses(world: World, seconds: float) -> list[float]:
    """How long each 0 A lasted, from here on."""
    lasted, at_zero, until_s = [], 0.0, world.now_s + seconds
    while world.now_s < until_s:
        world.step()
        assert broken_rows(world) + broken_steps(world) == []
        if world.told["x0"] == 0.0:
            at_zero += 1.0
            assert world.why["x0"].code in {ReasonCode.WAKING, ReasonCode.START_BUDGET}
        elif at_zero:
            lasted.append(at_zero)
            at_zero = 0.0
    return lasted


@pytest.mark.parametrize("toggles", [1, 2, 3])
def test_the_release_is_toggled_up_to_three_times_until_the_vehicle_wakes(toggles: int) -> None:
    world = paused_world(Vehicle(sleeps_on=toggles), zero_releases=True)
    assert pulses(world, 1100)[-toggles:] == [10.0] * toggles
    assert world.outlets["x0"].current_a >= 6.0
    assert world.last is not None
    assert world.last.does_not_wake == ()
    assert int((world.state.starts_ms > 0).sum()) == 2  # toggling is no start


def test_what_does_not_wake_after_three_is_said_and_stays_offered_6_a() -> None:
    world = paused_world(Vehicle(sleeps_on=99), zero_releases=True)
    pulses(world, 1400)
    assert world.outlets["x0"].toggles == 3
    assert world.last is not None
    assert (world.last.does_not_wake, world.told["x0"]) == (("x0",), 6.0)


def test_where_zero_only_pauses_nothing_is_toggled() -> None:
    world = paused_world(Vehicle(sleeps_on=99), zero_releases=False)
    pulses(world, 1000)
    assert world.outlets["x0"].toggles == 0
    assert world.last is not None
    assert world.last.does_not_wake == ("x0",)


def test_the_place_in_the_rows_is_kept_while_the_release_is_toggled() -> None:
    world = paused_world(Vehicle(sleeps_on=2), zero_releases=True)
    world.run_to(world.now_s + 360)
    assert world.state.wake_tries[world.net.slot["x0"]] >= 1
    world.plug("x1")
    world.load_a["grid"] = [13.0] * 3  # room for one minimum
    told = []
    for _ in range(400):
        world.step()
        told.append(world.told["x1"])
        assert broken_rows(world) == []
    assert max(told) == 0.0 or world.told["x0"] == 0.0  # one of the two is paused, nobody takes the other's place


def test_the_demo_s_charx_can_toggle_its_release_and_its_alfen_cannot() -> None:
    assert catalogue()("phoenix-charx-sec3xxx").zero_releases
    net = Network(load_site(Path(DEMO)))
    assert {net.ids[slot][0] for slot in net.devices.toggles.nonzero()[0]} == {"a"}
