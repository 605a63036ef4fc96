"""DC charge points (SPC-11): start at 5 kW, then measured + 7 kW, as fast as possible; equal power with AC vehicles in
one filling; paused at a declared value that is booked."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from busbar.events import ReasonCode
from scenarios.truths import broken_rows, broken_steps
from scenarios.world import U, Vehicle, World, site_of
from spc_allocator.dc import power_w
from spc_allocator.limits import reserves
from spc_allocator.state import AllocatorState
from unit.allocator_sites import PACKAGES

START_W = 5000.0


def world_of(rated_a: float, dc: list[dict[str, Any]], ac: int = 0, **collector: Any) -> World:
    """One fuse, DC outlets d0, d1 ... and AC connectors a0, a1 ..."""
    connectors = [{"id": f"d{i}", "collector": "grid", "package": "dc", "max_w": 50_000, **c} for i, c in enumerate(dc)]
    connectors += [{"id": f"a{i}", "collector": "grid", "package": "plain"} for i in range(ac)]
    return World(site_of([{"id": "grid", "rated_current_a": rated_a, **collector}], connectors, packages=PACKAGES),
                 check=True)  # fmt: skip


def told_w(world: World, name: str) -> float:
    return power_w(world.told[name])


def waiting(max_w: float = 150_000, **vehicle: Any) -> Vehicle:
    return Vehicle(max_a=max_w / 690, **vehicle)


# -- start, cap, no ramp


def test_spc_11_5_kw_until_more_than_1_kw_is_measured_then_measured_plus_7_kw() -> None:
    world = world_of(250, [{}])
    vehicle = world.plug("d0", waiting(max_w=900))
    world.run_to(30)
    assert told_w(world, "d0") == START_W
    assert world.why["d0"].code is ReasonCode.CAP
    assert world.why["d0"].value == START_W
    vehicle.max_a = 1100 / 690
    world.run_to(35)
    assert told_w(world, "d0") == 8100
    vehicle.max_a = 5000 / 690
    world.run_to(40)
    assert told_w(world, "d0") == 12_000


def test_spc_11_it_goes_up_as_fast_as_the_vehicle_follows_and_never_further_than_7_kw_ahead() -> None:
    world = world_of(250, [{"max_w": 150_000}])
    world.plug("d0", waiting())
    drawn_w = 0.0
    while world.now_s < 120.0:
        world.step()
        drawn_w = max(drawn_w, 690 * world.outlets["d0"].current_a)
        assert told_w(world, "d0") <= max(START_W, drawn_w + 7000) + 1.0
    assert told_w(world, "d0") == 150_000
    assert world.why["d0"].code is ReasonCode.DEVICE
    steps = [power_w(told["d0"]) for at_s, told in world.history if at_s < 60.0]
    assert max(steps) > 100_000, "no ramp of 1 A a minute"


def test_spc_11_the_next_step_waits_for_a_sample_that_is_newer_than_the_last_change() -> None:
    world = world_of(250, [{}])
    world.plug("d0", waiting())
    world.outlets["d0"].poll_s = 3.0
    changes = []
    while world.now_s < 60.0:
        before = told_w(world, "d0")
        world.step()
        if told_w(world, "d0") > before:
            changes.append(world.now_s)
    assert len(changes) > 4
    assert min(b - a for a, b in pairwise(changes)) >= 3.0


def test_spc_11_what_a_vehicle_drew_most_is_no_bound_of_what_it_may_take_later() -> None:
    world = world_of(250, [{}])
    vehicle = world.plug("d0", waiting(max_w=20_000))  # cold
    world.run_to(400)
    assert told_w(world, "d0") == 27_000
    vehicle.max_a = 45_000 / 690
    world.run_to(430)
    assert told_w(world, "d0") == 50_000


def test_spc_11_the_wish_falls_with_the_vehicle_and_others_get_what_it_leaves() -> None:
    world = world_of(100, [{}], ac=1)
    vehicle = world.plug("d0", waiting())
    world.run_to(200)
    world.plug("a0", Vehicle(max_a=32))
    world.run_to(3000)
    assert world.told["a0"] == 32.0
    assert told_w(world, "d0") == 46_900  # 68 A, in steps of 100 W
    vehicle.max_a = 10_000 / 690
    world.run_to(world.now_s + 90)
    assert told_w(world, "d0") == 17_000


# -- sharing


def test_spc_2_dc_and_ac_vehicles_share_by_equal_power() -> None:
    world = world_of(48, [{}], ac=2)
    for name in world.outlets:
        world.plug(name, waiting())
    world.run_to(1200)
    assert (world.told["a0"], world.told["a1"]) == (16.0, 16.0)
    assert told_w(world, "d0") == 11_000  # 16 A are 11,040 W
    assert world.why["d0"].code is ReasonCode.ROW


def test_spc_2_a_one_phase_vehicle_gets_its_power_on_one_conductor() -> None:
    world = world_of(40, [{}], ac=1)
    world.plug("a0", Vehicle(phases=1, max_a=32))
    world.plug("d0", waiting())
    world.run_to(1800)
    assert world.told["a0"] in (29.0, 30.0)  # 3/4 of 40 A on one conductor, as much power as 10 A on three
    assert told_w(world, "d0") == pytest.approx(690 * (40 - world.told["a0"]), abs=100)


@pytest.mark.parametrize("volts", [215.0, 245.0])
def test_spc_1_at_another_voltage_the_fuse_bears_what_the_power_makes_of_it(volts: float) -> None:
    world = world_of(60, [{"max_w": 150_000}])
    world.volts = [volts] * 3
    world.plug("d0", waiting())
    world.run_to(120)
    assert told_w(world, "d0") == pytest.approx(3 * volts * 60, abs=100)
    assert max(world.flow_a("grid")[0]) <= 60.0 + 1e-9
    assert world.overload_s["grid"] == 0.0


def test_spc_2_weights_hold_between_dc_and_ac() -> None:
    world = world_of(48, [{"weight": 2.0}], ac=1)
    for name in world.outlets:
        world.plug(name, waiting())
    world.run_to(1500)
    assert told_w(world, "d0") == pytest.approx(2 * 690 * world.told["a0"], abs=790)


# -- who is on


def test_spc_3_a_dc_outlet_needs_its_smallest_power_to_be_on() -> None:
    world = world_of(13, [{}], ac=1)
    world.plug("a0")
    world.plug("d0", waiting())
    world.run_to(120)
    assert world.told["a0"] > 6.0
    assert told_w(world, "d0") == 0.0
    assert world.why["d0"].code is ReasonCode.PAUSED
    world.load_a["grid"] = [0.0] * 3
    roomy = world_of(13.3, [{}], ac=1)
    roomy.plug("a0")
    roomy.plug("d0", waiting())
    roomy.run_to(120)
    assert (roomy.told["a0"], told_w(roomy, "d0")) == (6.0, START_W)


def test_spc_11_the_smallest_power_of_the_site_file_counts() -> None:
    world = world_of(20, [{"min_w": 12_000}])
    world.plug("d0", waiting())
    world.run_to(60)
    assert told_w(world, "d0") >= 12_000
    world.load_a["grid"] = [3.0] * 3
    world.run_to(61)
    assert told_w(world, "d0") == 0.0


def test_spc_11_one_that_forbids_0_is_paused_at_its_declared_value_and_booked_with_it() -> None:
    world = world_of(20, [{"package": "dc-pause"}], ac=1)
    assert told_w(world, "d0") == 1547  # free, and the reserve has no place for more
    world.plug("d0", waiting())
    world.plug("a0", Vehicle(energy_wh=0.0))
    world.run_to(30)
    world.load_a["grid"] = [8.0] * 3  # 12 A left: no place for 6 A and 7.2 A
    world.run_to(120)
    paused = [name for name in world.told if world.told[name] <= world.pause_a(name)]
    assert len(paused) == 1
    world.load_a["grid"] = [9.5] * 3
    world.run_to(400)
    assert told_w(world, "d0") in (1547, *range(5000, 8000, 100))
    total_a = world.told["d0"] + world.told["a0"] + 9.5
    assert total_a <= 20.0
    assert broken_rows(world) == broken_steps(world) == []


def test_spc_11_what_pauses_it_is_booked_from_plug_in() -> None:
    world = world_of(9, [{"package": "dc-pause"}, {"package": "dc-pause"}])
    for name in world.outlets:
        world.plug(name, waiting())
        world.run_to(world.now_s + 5)
    world.run_to(120)
    assert sorted(told_w(world, name) for name in world.told) == [1547, 1547]  # 2.2 A and 7.2 A are more than 9 A
    roomy = world_of(10, [{"package": "dc-pause"}, {"package": "dc-pause"}])
    for name in roomy.outlets:
        roomy.plug(name, waiting())
    roomy.run_to(120)
    assert sorted(told_w(roomy, name) for name in roomy.told) == [1547, 5300]
    assert roomy.overload_s["grid"] == 0.0


# -- reserve, by hand, advice, fallback


def test_spc_5_a_free_dc_outlet_counts_its_start_power_in_the_reserve_and_stands_ready_with_it() -> None:
    world = world_of(100, [{}, {}], ac=2, dynamic_reserve_connectors=3)
    assert world.last
    total, _ = reserves(world.net, world.last.cycle.obs.kind)
    assert total[0] == pytest.approx(2 * 5000 / 690 + 6.0)
    assert sorted(world.told.values())[-2:] == pytest.approx([5000 / 690] * 2)
    assert sum(value > 0.0 for value in world.told.values()) == 3


def test_spc_9_by_hand_and_by_advice_in_watts() -> None:
    world = world_of(250, [{}])
    world.plug("d0", waiting())
    world.run_to(60)
    world.mode("d0", "manual", current_a=20_050 / 690)
    world.step()
    assert (told_w(world, "d0"), world.why["d0"].code) == (20_000, ReasonCode.MANUAL)
    world.mode("d0", "manual", current_a=0.0)
    world.step()
    assert told_w(world, "d0") == 0.0
    world.mode("d0", "advice")
    world.advise("d0", (0.0, 60.0))
    world.run_to(world.now_s + 400)
    assert (told_w(world, "d0"), world.why["d0"].code) == (START_W, ReasonCode.ADVICE)
    world.advise("d0", (0.0, 30_049.0))
    world.run_to(world.now_s + 60)
    assert told_w(world, "d0") == 30_000


def test_fb_2_a_bound_of_6_a_lets_no_dc_outlet_charge() -> None:
    world = world_of(250, [{}])
    world.plug("d0", waiting())
    world.run_to(60)
    world.fall_back("meter", ["d0"], 6.0)
    world.step()
    assert (told_w(world, "d0"), world.why["d0"].code) == (0.0, ReasonCode.FALLBACK)


def test_fb_5_what_the_device_has_in_force_is_taken_over_after_a_start() -> None:
    world = world_of(250, [{}])
    world.plug("d0", waiting())
    world.run_to(120)
    assert told_w(world, "d0") == 50_000
    world.state = AllocatorState.fresh(world.net, world.now_ms)
    world.run_to(140)
    assert {told["d0"] for _, told in world.history[-20:]} == {world.told["d0"]}
    assert told_w(world, "d0") == 50_000


def test_fb_3_one_that_is_lost_is_booked_at_its_maximum_where_the_site_says_so() -> None:
    world = world_of(100, [{"book_at_max_when_lost": True}], ac=1)
    world.plug("d0", waiting(max_w=10_000))
    world.plug("a0")
    world.run_to(1800)
    assert world.told["a0"] == 32.0
    world.outlets["d0"].reachable = False
    world.step()
    assert world.told["a0"] == int(100 - 50_000 / (3 * U))
