"""collector-aggregator, guard: a raw measurement above a limit is told at once, once for each excess (SPC-1)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.domain.limits import REACTION_TIME_S
from collector_aggregator.guard import OVER_S
from unit.aggregator_world import U, World, electrical, measurement, on, site_of
from unit.site_files import demo, entry, small

ALL = (0, 1, 2)


def one_fuse(rated_a: float = 50.0, **root: Any) -> World:
    data = small(rated_a, 1, **root)
    data["assets"].append({"kind": "load", "id": "rest", "collector": "grid", "max_current_a": 50})
    return World(site_of(data), {"c1": [0.0] * 6, "rest": [0.0] * 6})


def at(world: World, at_s: float, *amps: float, reactive: tuple[float, ...] = (0.0, 0.0, 0.0)) -> bool:
    world.draws["rest"] = on(ALL, [a * U for a in amps], [a * U for a in reactive])
    return world.say("m", at_s)


@pytest.mark.parametrize(
    ("amps", "reactive", "root", "above"),
    [
        # rated 50 A, no reserve taken off
        ((50.0, 50.0, 50.0),    (0.0, 0.0, 0.0),   {},                                       False),
        ((50.1, 0.0, 0.0),      (0.0, 0.0, 0.0),   {},                                       True),
        ((0.0, 0.0, -50.1),     (0.0, 0.0, 0.0),   {},                                       True),
        ((30.0, 0.0, 0.0),      (40.1, 0.0, 0.0),  {},                                       True),
        ((30.0, 0.0, 0.0),      (-39.9, 0.0, 0.0), {},                                       False),
        ((49.0, 0.0, 0.0),      (0.0, 0.0, 0.0),   {"fixed_reserve_a": 10},                  False),
        ((20.0, 20.0, 20.0),    (0.0, 0.0, 0.0),   {"power_limit_w": 13_700},                True),
        ((-20.0, -20.0, -20.0), (0.0, 0.0, 0.0),   {"power_limit_w": 13_700},                True),
        ((20.0, 20.0, 20.0),    (0.0, 0.0, 0.0),   {"power_limit_w": 13_900},                False),
        ((20.0, 20.0, 20.0),    (20.0, 20.0, 20.0), {"power_limit_va": 19_000},              True),
        ((20.0, 20.0, 20.0),    (20.0, 20.0, 20.0), {"power_limit_va": 20_000},              False),
        ((40.0, -40.0, 0.0),    (0.0, 0.0, 0.0),   {"power_limit_w": 1000},                  False),
        ((60.0, 0.0, 0.0),      (0.0, 0.0, 0.0),   {"monitored_only": True},                 False),
    ],
)  # fmt: skip
def test_both_sides_of_each_fuse_and_every_power_limit_are_watched(
    amps: tuple[float, ...], reactive: tuple[float, ...], root: dict[str, Any], above: bool
) -> None:
    world = one_fuse(**root)
    assert at(world, 1.0, *amps, reactive=reactive) is above
    assert world.snapshot(1.0).guard == (("grid",) if above else ())


def test_the_meters_own_current_counts_where_it_is_the_larger_one() -> None:
    # harmonics heat a fuse and stand neither in P nor in Q
    world = one_fuse()
    meter = world.site.entities["m"]
    points = electrical(meter, on(ALL, [40 * U, 0.0, 0.0])) | {"current_l1_a": 51.0}
    assert world.aggregator.observe(measurement(meter, points), 1.0)


def test_each_phase_has_its_own_rating_in_the_collectors_own_frame() -> None:
    data = demo()
    entry(data, "row-b")["rated_current_a"] = [10, 50, 50]
    for own, above in ((0, True), (1, False), (2, False)):
        world = World(site_of(data), {})
        world.draws = {e.id: [0.0] * 6 for e in world.site.entities.values()}
        root = world.site.collector("row-b").root_phases[own]
        world.draws["b1"][root] = 20 * U
        assert world.say("row-b-meter", 1.0) is above


def test_one_excess_is_told_once_and_again_when_it_outlasts_the_reaction_time() -> None:
    world = one_fuse()
    told = [tick / 5 for tick in range(200) if at(world, tick / 5, 60.0, 0.0, 0.0)]
    assert told == [0.0, REACTION_TIME_S, 2 * REACTION_TIME_S]


def test_the_reaction_time_is_that_of_the_slowest_device_below() -> None:
    data = small(50, 1)
    data["devices"][1]["package"] = "slow"
    data["assets"].append({"kind": "load", "id": "rest", "collector": "grid", "max_current_a": 50})
    world = World(site_of(data), {"c1": [0.0] * 6, "rest": [0.0] * 6})
    assert [s for s in range(200) if at(world, float(s), 60.0, 0.0, 0.0)] == [0, 120]


def test_a_current_that_dances_around_the_rating_does_not_flood() -> None:
    world = one_fuse()
    told = [tick / 5 for tick in range(150) if at(world, tick / 5, 50.5 if tick % 3 else 49.5, 0.0, 0.0)]
    assert told == [0.2, 0.2 + REACTION_TIME_S]


def test_a_new_excess_after_a_quiet_while_is_told_at_once() -> None:
    world = one_fuse()
    assert at(world, 0.0, 60.0, 0.0, 0.0)
    for tick in range(1, 30):
        assert not at(world, tick / 5, 40.0, 0.0, 0.0)
    assert at(world, 6.0, 60.0, 0.0, 0.0)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_an_excess_is_always_told_at_its_first_sample_and_never_more_often_than_it_may(above: list[bool]) -> None:
    world = one_fuse()
    told = [tick / 5 for tick, high in enumerate(above) if at(world, tick / 5, 60.0 if high else 40.0, 0.0, 0.0)]
    if any(above):
        assert told[0] == above.index(True) / 5
    assert all(b - a >= OVER_S for a, b in itertools.pairwise(told))


def test_a_sample_below_a_virtual_collector_is_a_sample_of_it() -> None:
    data = demo()
    grid = entry(data, "grid")
    del grid["meter"], grid["power_limit_va"]
    grid["virtual"] = {"unmetered_load_a": 0}
    world = World(site_of(data), {})
    world.draws = {e.id: [0.0] * 6 for e in world.site.entities.values()}
    world.draws["building"] = on(ALL, [60 * U, 0.0, 0.0])
    world.draws["a1"] = on(ALL, [41 * U, 0.0, 0.0])
    assert not world.say("building", 1.0)
    assert world.say("parking-meter", 1.1)
    assert world.snapshot(1.1).guard == ("grid",)


def test_a_virtual_collector_of_connectors_alone_is_looked_at_in_each_cycle() -> None:
    world = World(site_of(demo()), {})
    world.draws = {e.id: [0.0] * 6 for e in world.site.entities.values()}
    for name in ("a1", "a2"):
        world.draws[name] = on(ALL, [26 * U, 0.0, 0.0])
        assert not world.say(name, 1.0)
    assert world.snapshot(1.5).guard == ("row-a",)
    assert world.snapshot(2.5).guard == ()
    assert world.snapshot(1.5 + REACTION_TIME_S).guard == ("row-a",)


def test_one_snapshot_names_every_collector_above_its_limits() -> None:
    world = World(site_of(demo()), {})
    world.draws = {e.id: [0.0] * 6 for e in world.site.entities.values()}
    world.draws["b1"] = on(ALL, [120 * U, 0.0, 0.0])
    assert [world.say(m, 1.0) for m in ("row-b-meter", "parking-meter", "grid-meter")] == [True] * 3
    assert world.snapshot(1.0).guard == ("row-b", "parking", "grid")
    assert world.snapshot(1.2).guard == ()
