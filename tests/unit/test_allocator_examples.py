"""What requirements.md says of SPC-1, SPC-2, SPC-6 and SPC-7 in numbers, beside the tests of their files."""

from __future__ import annotations

import pytest

from busbar.bus import Received
from busbar.events import CollectorLimit, ReasonCode
from scenarios.truths import broken_rows
from scenarios.world import U, Vehicle, World, site_of
from spc_allocator.standing_inputs import StandingInputs
from spc_allocator.state import AllocatorState


def tree(*collectors: dict[str, object], at: str, count: int = 2) -> World:
    return World(site_of(list(collectors), [{"id": f"x{n}", "collector": at} for n in range(count)]))


def charging(world: World, **vehicles: Vehicle) -> World:
    """Vehicles that were given all they can take, by the devices alone; two minutes later."""
    for name in vehicles or world.outlets:
        vehicle = world.plug(name, vehicles.get(name))
        outlet = world.outlets[name]
        outlet.limit_a = outlet.current_a = min(vehicle.max_a, outlet.entity.max_current_a)
    world.state = AllocatorState.fresh(world.net, world.now_ms)
    world.run_to(world.now_s + 120.0)
    world.overload_s = dict.fromkeys(world.overload_s, 0.0)
    return world


# -- SPC-1


@pytest.mark.parametrize("tight", ["grid", "feeder", "row"])
def test_spc_1_every_fuse_on_the_path_to_the_grid_connection_is_kept(tight: str) -> None:
    rated = {name: 24.0 if name == tight else 63.0 for name in ("grid", "feeder", "row")}
    world = tree(
        {"id": "grid", "rated_current_a": rated["grid"]},
        {"id": "feeder", "parent": "grid", "rated_current_a": rated["feeder"], "phases": ["L2", "L3", "L1"]},
        {"id": "row", "parent": "feeder", "rated_current_a": rated["row"], "phases": ["L3", "L2", "L1"]},
        at="row",
    )
    charging(world)
    assert sum(world.told.values()) == 24.0
    assert {reason.collector for reason in world.why.values()} == {tight}


def test_spc_1_rating_minus_total_reserve_is_what_is_shared() -> None:
    world = tree({"id": "grid", "rated_current_a": 40, "fixed_reserve_a": 7}, at="grid")
    assert sum(charging(world).told.values()) == 33.0
    assert broken_rows(world) == []


def test_spc_1_what_flows_outward_above_the_rating_is_told() -> None:
    world = tree({"id": "grid", "rated_current_a": 40}, at="grid")
    world.generation_a["grid"] = [0.0, -45.0, 0.0]
    world.run_to(20.0)
    assert world.last
    assert [(name, words[:12]) for name, words in world.last.export] == [("grid", "export on L2")]


def test_spc_1_every_power_limit_is_kept_beside_the_fuses() -> None:
    world = tree({"id": "grid", "rated_current_a": 63, "power_limit_w": 20_700}, at="grid")
    assert sum(charging(world).told.values()) * 3 * U == 20_700


# -- SPC-2


def test_spc_2_power_not_current_is_equal_and_what_one_cannot_take_the_others_get() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 48}],
            [{"id": "one", "collector": "grid", "phases": ["L1"]}, {"id": "three", "collector": "grid"},
             {"id": "small", "collector": "grid"}],
        )
    )  # fmt: skip
    charging(world, one=Vehicle(phases=1), three=Vehicle(), small=Vehicle(max_a=6.0))
    told = world.told
    assert told["one"] + told["three"] + told["small"] == 48.0
    assert told["small"] <= 8.0
    assert abs(told["one"] - 3.0 * told["three"]) <= 3.0  # within a whole ampere of equal watts


# -- SPC-6


def test_spc_6_proactive_three_cars_that_come_at_once_meet_their_reserve_and_rise_by_1_a_a_minute() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 60, "dynamic_reserve_connectors": 3}],
            [{"id": f"x{n}", "collector": "grid"} for n in range(5)],
        )
    )
    charging(world, x0=Vehicle(), x1=Vehicle())
    assert world.told["x0"] + world.told["x1"] == 42.0
    for name in ("x2", "x3", "x4"):
        world.plug(name)
    arrived_s = world.now_s
    while world.now_s < arrived_s + 600.0:
        world.step()
        minutes = (world.now_s - arrived_s) / 60.0
        assert max(world.told[name] for name in ("x2", "x3", "x4")) <= 6.0 + minutes
    assert world.overload_s["grid"] == 0.0


def test_spc_6_reactive_a_power_limit_at_run_time_takes_effect_in_the_same_cycle() -> None:
    world = tree({"id": "grid", "rated_current_a": 200}, at="grid", count=5)
    charging(world)
    assert sum(world.told.values()) * 3 * U == 110_400
    world.limit("grid", import_w=100_000.0)
    world.step()
    assert 100_000 - 3 * U < sum(world.told.values()) * 3 * U <= 100_000  # 100 kW, to the whole ampere


# -- SPC-7


def test_spc_7_any_collector_can_be_limited_and_only_what_hangs_below_it_gives_way() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 100}, {"id": "a", "parent": "grid", "rated_current_a": 50},
             {"id": "b", "parent": "grid", "rated_current_a": 50}],
            [{"id": "xa", "collector": "a"}, {"id": "xb", "collector": "b"}],
        )
    )  # fmt: skip
    charging(world)
    world.limit("a", "pcu", import_w=6900.0)
    world.step()
    assert world.told == {"xa": 10.0, "xb": 32.0}
    assert (world.why["xa"].code, world.why["xa"].source) == (ReasonCode.POWER_LIMIT, "pcu")


def test_spc_7_no_injection_is_a_field_of_its_own_and_limits_no_import() -> None:
    world = tree({"id": "grid", "rated_current_a": 40}, at="grid", count=1)
    world.limit("grid", "pcu", export_w=0.0)
    assert charging(world).told == {"x0": 32.0}
    world.generation_a["grid"] = [-35.0] * 3
    world.step()
    assert world.last
    assert [(name, "pcu" in words) for name, words in world.last.export] == [("grid", True)]


def standing(*limits: CollectorLimit) -> StandingInputs:
    inputs = StandingInputs()
    for limit in limits:
        inputs.on_limit(Received("limit", limit, 0.0, 0.0))
    return inputs


def limit(
    source: str, import_w: float | None, until_ms: int | None = None, *, released: bool = False
) -> CollectorLimit:
    return CollectorLimit(
        collector="grid", source=source, import_limit_w=import_w, export_limit_w=None, until_ms=until_ms,
        released=released, published_at_ms=0,
    )  # fmt: skip


def test_spc_7_a_limit_holds_until_its_time_or_until_released_and_each_source_has_its_own() -> None:
    inputs = standing(limit("page", 9000.0), limit("pcu", 7000.0, until_ms=5000), limit("cli", 8000.0))
    assert {held.source for held in inputs.limits(4999)} == {"page", "pcu", "cli"}
    assert {held.source for held in inputs.limits(5000)} == {"page", "cli"}
    inputs.on_limit(Received("limit", limit("cli", None, released=True), 0.0, 0.0))
    assert {held.source: held.import_limit_w for held in inputs.limits(5000)} == {"page": 9000.0}
