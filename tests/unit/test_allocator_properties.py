"""What must never be false (algorithms.md 1 to 6), in a closed loop over random trees with rotations, taps and
backgrounds of both signs. The certificate is checked in every cycle (`World(check=True)`)."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import Vehicle, World, site_of

LOOP = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an example is minutes of the site: shrinking takes hours
)
ROTATIONS = [list(p) for p in itertools.permutations(["L1", "L2", "L3"])]


def random_site(draw: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    collectors: list[dict[str, Any]] = [{"id": "c0", "rated_current_a": draw(st.integers(20, 60))}]
    width = {"c0": 3}
    for index in range(1, draw(st.integers(1, 5))):
        parent = f"c{draw(st.integers(max(0, index - 2), index - 1))}"
        three = width[parent] == 3
        phases = draw(st.sampled_from([*ROTATIONS, ["L2"], ["L3"]])) if three else ["L1"]
        collectors.append(
            {
                "id": f"c{index}", "parent": parent, "rated_current_a": draw(st.integers(12, 40)), "phases": phases,
                "fixed_reserve_a": draw(st.sampled_from([0, 0, 2, 5])),
                "dynamic_reserve_connectors": draw(st.integers(0, 3)),
            }
        )  # fmt: skip
        width[f"c{index}"] = len(phases)
    connectors = []
    for number in range(draw(st.integers(1, 6))):
        home = f"c{draw(st.integers(0, len(collectors) - 1))}"
        phases = draw(st.sampled_from([*ROTATIONS, ["L1"]])) if width[home] == 3 else ["L1"]
        connectors.append(
            {"id": f"x{number}", "collector": home, "phases": phases, "max_a": draw(st.sampled_from([16, 20, 32]))}
        )
    return collectors, connectors


def happen(world: World, draw: Any) -> None:
    """Something random, then some seconds."""
    names = list(world.outlets)
    name = draw(st.sampled_from(names))
    collector = draw(st.sampled_from([c.id for c in world.site.collectors]))
    what = draw(st.sampled_from(["plug", "plug", "unplug", "load", "generation", "reactive", "limit", "taper", "full"]))
    outlet = world.outlets[name]
    per_phase = st.lists(st.integers(0, 12).map(float), min_size=3, max_size=3)
    if what == "plug" and outlet.vehicle is None:
        phases = draw(st.integers(1, len(outlet.entity.root_phases)))
        world.plug(name, Vehicle(phases=phases, max_a=draw(st.sampled_from([8.0, 10.8, 16.0, 32.0]))))
    elif what == "unplug":
        world.unplug(name)
    elif what == "load":
        world.load_a[collector] = draw(per_phase)
    elif what == "generation":
        world.generation_a[collector] = [-a for a in draw(per_phase)]
    elif what == "reactive":
        world.reactive_a[collector] = [a - 6.0 for a in draw(per_phase)]
    elif what == "limit":
        world.limit(collector, import_w=draw(st.sampled_from([0.0, 4000.0, 9000.0, 30_000.0])))
    elif what == "taper" and outlet.vehicle:
        outlet.vehicle.max_a = draw(st.sampled_from([6.0, 9.0, 20.0]))
    elif what == "full" and outlet.vehicle:
        outlet.vehicle.full_wh = 0.0


@settings(LOOP, max_examples=40)
@given(st.data())
def test_fuses_limits_steps_and_ramps_hold_whatever_happens(data: Any) -> None:
    world = World(site_of(*random_site(data.draw)), check=True)
    for _ in range(data.draw(st.integers(3, 10))):
        happen(world, data.draw)
        for _ in range(data.draw(st.sampled_from([1, 3, 20, 70]))):
            world.step()
            assert broken_rows(world) == []
            assert broken_steps(world) == []
            assert broken_ramps(world) == []


@settings(LOOP, max_examples=12)
@given(st.data(), st.sampled_from(ROTATIONS))
def test_relabelling_the_phases_everywhere_changes_nothing(data: Any, rotation: list[str]) -> None:
    collectors, connectors = random_site(data.draw)
    plain = World(site_of(collectors, connectors))
    turned = World(site_of(_turned(collectors, "parent", rotation), _turned(connectors, "collector", rotation)))
    plugged = data.draw(st.lists(st.sampled_from([c["id"] for c in connectors]), unique=True))
    load = data.draw(st.lists(st.integers(0, 12).map(float), min_size=3, max_size=3))
    for number, name in enumerate(plugged):
        for world in (plain, turned):
            world.plug(name, Vehicle(phases=1 + number % 2, max_a=16.0))
    for collector in plain.load_a:
        if collector != "c0":
            plain.load_a[collector], turned.load_a[collector] = list(load), list(load)
    for until_s in (5, 130, 250):
        plain.run_to(until_s)
        turned.run_to(until_s)
        assert plain.told == turned.told


def _turned(entries: list[dict[str, Any]], above: str, rotation: list[str]) -> list[dict[str, Any]]:
    """What hangs on the root hangs on other conductors of it; seen from there nothing has changed."""
    index = {"L1": 0, "L2": 1, "L3": 2}
    return [
        {**e, "phases": [rotation[index[p]] for p in e["phases"]]} if e.get(above) == "c0" else dict(e) for e in entries
    ]


@settings(LOOP, max_examples=12)
@given(st.data())
def test_listing_connectors_in_another_order_changes_nothing_but_ties(data: Any) -> None:
    collectors, connectors = random_site(data.draw)
    plain, turned = World(site_of(collectors, connectors)), World(site_of(collectors, connectors[::-1]))
    plugged = data.draw(st.lists(st.sampled_from([c["id"] for c in connectors]), unique=True))
    for at_s, name in enumerate(plugged):
        for world in (plain, turned):
            world.plug(name, Vehicle(energy_wh=1000.0 * (at_s + 1)))
            world.run_to(at_s + 1.0)
    for until_s in (60, 130, 250):
        plain.run_to(until_s)
        turned.run_to(until_s)
        assert plain.told == turned.told
