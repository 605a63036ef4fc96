"""Limit on the difference between conductors (SPC-23). First what must never happen, then examples."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.events import ReasonCode
from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import Vehicle, World, site_of
from unit.allocator_sites import how_many

LIMIT_A = 16.0


def row_of(*phases: list[str], limit_a: float = LIMIT_A, rated_a: float = 100.0) -> World:
    """One connector for each; wired to these conductors of the grid connection."""
    return World(
        site_of(
            [
                {"id": "grid", "rated_current_a": rated_a},
                {"id": "row", "parent": "grid", "rated_current_a": 80, "imbalance_limit_a": limit_a},
            ],
            [{"id": f"x{n}", "collector": "row", "phases": wired} for n, wired in enumerate(phases)],
        ),
        check=True,
    )


def told_a(world: World, background_a: list[float]) -> list[float]:
    """Current of each conductor if everybody took what he is told."""
    total = list(background_a)
    for name, outlet in world.outlets.items():
        if outlet.vehicle:
            for phase in outlet.entity.root_phases[: outlet.vehicle.phases]:
                total[phase] += world.told[name]
    return total


def caused(world: World, background_a: list[float]) -> float:
    """How far one-phase vehicles lift a conductor above the least loaded one."""
    with_a = told_a(world, background_a)
    worst = 0.0
    for phase in range(3):
        if any(len(o.entity.root_phases) < 3 and phase in o.entity.root_phases and world.told[n] for n, o in
               world.outlets.items()):  # fmt: skip
            worst = max(worst, with_a[phase] - min(with_a))
    return worst


@settings(max_examples=how_many(15, 2000), deadline=None)
@given(st.integers(0, 10**6))
def test_spc_23_charging_never_causes_or_widens_more_than_the_limit(number: int) -> None:
    rng = Random(number)
    wired = [rng.choice([["L1"], ["L2"], ["L3"], ["L1", "L2", "L3"]]) for _ in range(rng.randint(1, 6))]
    world = row_of(*wired, limit_a=rng.choice([7.0, 12.0, 20.0]), rated_a=rng.choice([40.0, 100.0]))
    for name, outlet in world.outlets.items():
        world.plug(name, Vehicle(phases=len(outlet.entity.root_phases)))
    limit_a = world.site.collector("row").file.imbalance_limit_a
    assert limit_a is not None
    for _ in range(4):
        background = [rng.uniform(0.0, 15.0) for _ in range(3)]
        world.load_a["row"] = list(background)
        for _ in range(60):
            world.step()
            assert broken_rows(world) + broken_steps(world) + broken_ramps(world) == []
        assert caused(world, background) <= limit_a + 1e-6


def test_spc_23_a_one_phase_vehicle_takes_no_more_than_the_limit_and_says_why() -> None:
    world = row_of(["L2"])
    world.plug("x0", Vehicle(phases=1))
    world.run_to(1500)
    assert world.told["x0"] == LIMIT_A
    assert (world.why["x0"].code, world.why["x0"].collector, world.why["x0"].phase) == (
        ReasonCode.IMBALANCE, "row", "L2",
    )  # fmt: skip


def test_spc_23_three_phase_vehicles_change_no_difference_and_are_not_bound() -> None:
    world = row_of(["L1", "L2", "L3"], ["L1"])
    world.plug("x0")
    world.plug("x1", Vehicle(phases=1))
    world.run_to(2400)
    assert world.told == {"x0": 32.0, "x1": 16.0}


def test_spc_23_two_on_one_conductor_share_the_limit_and_an_uneven_background_counts() -> None:
    world = row_of(["L1"], ["L1"])
    for name in world.outlets:
        world.plug(name, Vehicle(phases=1))
    world.run_to(900)
    assert world.told == {"x0": 8.0, "x1": 8.0}
    world.load_a["row"] = [7.0, 3.0, 3.0]  # 4 A of the difference are the building's
    world.step()
    assert sorted(world.told.values()) == [6.0, 6.0]
    world.load_a["row"] = [20.0, 3.0, 3.0]  # widened by anybody who charges there
    world.step()
    assert world.told == {"x0": 0.0, "x1": 0.0}
    assert (world.why["x0"].code, world.why["x0"].collector) == (ReasonCode.PAUSED, "row")


def test_spc_23_a_three_phase_connector_with_a_one_phase_vehicle_is_bound_once_that_is_known() -> None:
    world = row_of(["L1", "L2", "L3"])
    world.plug("x0", Vehicle(phases=1))
    world.run_to(1800)
    assert world.told["x0"] == LIMIT_A
    assert world.why["x0"].code is ReasonCode.IMBALANCE
