"""What must never be false (algorithms.md 1 to 7), in closed loops over random sites (`allocator_sites`) that bite.

The certificate is checked in every cycle (`World(check=True)`); what is judged is what was told, against the physical
currents. How much the sites bite is counted and asserted."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest

from scenarios.truths import START_A, broken_ramps, broken_rows, broken_steps
from scenarios.world import World
from spc_allocator.core import Decided
from unit.allocator_sites import (
    ROTATIONS,
    booked_conductors,
    charging_world,
    happen,
    how_many,
    random_vehicle,
    twin,
    words_of,
)
from unit.allocator_truth import true_rows

SHARES = 2
SECONDS = 28
AT_LEAST = {
    "two levels bind": 0.3, "minima do not fit": 0.2, "mixed phases": 0.3, "rotated": 0.3, "export side": 0.1,
    "generation above load": 0.3, "reactive": 0.2, "lagging samples": 0.15, "missing samples": 0.15,
    "meter silent": 0.1, "power limit": 0.3, "virtual collector": 0.3, "guard": 0.05, "raised": 0.1,
    "cannot be paused": 0.2, "higher minimum": 0.2,
}  # fmt: skip
"""Part of the sites in which it happens."""


@pytest.mark.parametrize("share", range(SHARES))
def test_fuses_limits_steps_caps_and_ramps_hold_whatever_happens_on_sites_that_bite(share: int) -> None:
    seen: Counter[str] = Counter()
    numbers = range(share, how_many(110), SHARES)
    for number in numbers:
        seen.update(live(number))
    part = {name: seen[name] / len(numbers) for name in AT_LEAST}
    print(f"{len(numbers)} sites: " + ", ".join(f"{name} {100 * value:.0f} %" for name, value in part.items()))
    assert [f"{name}: {part[name]:.0%}" for name, least in AT_LEAST.items() if part[name] < least] == []


def live(number: int) -> set[str]:
    """One site for SECONDS; returns what it met. Fails with the site's number."""
    rng = Random(number)
    world = charging_world(rng, check=True)
    world.use_guard = rng.random() < 0.15
    seen = features(world)
    drawn: list[dict[str, float]] = []
    for second in range(SECONDS):
        if second == 1 and rng.random() < 0.6:
            under_way(world, rng)
        if second:
            if rng.random() < 0.25:
                happen(world, rng)
            world.step()
        else:
            world.allocate()
        drawn.append({name: outlet.current_a for name, outlet in world.outlets.items()})
        known = all(o.reachable and not o.poll_s for o in world.outlets.values())
        wrong = broken_rows(world, reserves=known) + broken_steps(world) + broken_ramps(world)
        wrong += broken_caps(world, drawn)
        if known and second and starts_or_raises(world):
            seen.add("raised")
            wrong += given_twice(world)
        assert wrong == [], f"site {number} at {world.now_s:g} s"
        seen |= met(world)
    return seen


def broken_caps(world: World, drawn: list[dict[str, float]]) -> list[str]:
    """4. At most 5 A (DC: 7 kW) above what was drawn within 60 s (here: at all), or the device's minimum or start."""
    most = {name: max(currents[name] for currents in drawn) for name in world.outlets}
    above = {name: 7000 / 690 if o.entity.dc else 5.0 for name, o in world.outlets.items()}
    least = {name: max(world.minimum_a(name), START_A if o.entity.dc else 0.0) for name, o in world.outlets.items()}
    return [
        f"{name}: told {value} A, draws {most[name]:.1f} A"
        for name, value in world.told.items()
        if value > max(least[name], most[name] + above[name]) + 1e-6 and world.outlets[name].reachable
    ]


def under_way(world: World, rng: Random) -> None:
    """The allocator has run for a while: its windows have no hole, ramps are due soon, and vehicles wait to start."""
    world.state.covered_since_ms -= 16_000
    world.state.anchor_ms -= rng.randint(30, 58) * 1000
    for outlet in world.outlets.values():
        if outlet.vehicle is None:
            world.plug(outlet.entity.id, random_vehicle(rng, outlet))


def starts_or_raises(world: World) -> bool:
    (_, before), (_, now) = world.history[-2:]
    return any(now[name] > before[name] for name, outlet in world.outlets.items() if outlet.vehicle)


def given_twice(world: World) -> list[str]:
    """1. What is raised stands beside everything that may still be drawn: limits in force, and real currents."""
    (_, before), (_, now) = world.history[-2:]
    conductors = {
        name: [int(p) for p in outlet.entity.root_phases[: outlet.used]] for name, outlet in world.outlets.items()
    }
    may_draw = {
        name: max(now[name], outlet.limit_a, outlet.current_a)
        for name, outlet in world.outlets.items()
        if outlet.vehicle
    }
    return [
        f"{row.name}: {row.used(may_draw):.2f} A may be drawn, there are {row.room_a:.2f} A"
        for row in true_rows(world, conductors)
        if row.used(may_draw) > row.room_a + 1e-6
        and any(row.share.get(name) and now[name] > before[name] + 1e-6 for name in may_draw)
    ]


def features(world: World) -> set[str]:
    """What the site is made of."""
    seen = set()
    phases = [tuple(o.entity.root_phases) for o in world.outlets.values() if o.vehicle]
    if len({len(p) for p in phases}) > 1:
        seen.add("mixed phases")
    if any(p != tuple(sorted(p)) or p[0] != 0 for p in phases):
        seen.add("rotated")
    if world.limits or any(c.file.power_limit_w or c.file.power_limit_va for c in world.site.collectors):
        seen.add("power limit")
    if any(world.must_run(name) for name in world.outlets):
        seen.add("cannot be paused")
    if any(world.minimum_a(name) > 6.0 for name in world.outlets):
        seen.add("higher minimum")
    if any(o.entity.dc and o.vehicle for o in world.outlets.values()):
        seen.add("dc")
    if any(c.file.virtual for c in world.site.collectors):
        seen.add("virtual collector")
    return seen


def met(world: World) -> set[str]:
    """What this cycle had to deal with."""
    assert world.last
    cycle, seen = world.last.cycle, set[str]()
    if len(binding_levels(world.last)) >= 2:
        seen.add("two levels bind")
    if cycle.admitted.lacking:
        seen.add("minima do not fit")
    if world.last.guarded:
        seen.add("guard")
    if (cycle.obs.background_w.sum(axis=0) < 0.0).any():
        seen.add("generation above load")
    if (cycle.obs.background_var != 0.0).any():
        seen.add("reactive")
    if any(min(world.flow_a(c.id)[0]) < 0.0 for c in world.site.collectors) and cycle.limits.export:
        seen.add("export side")
    if any(o.reachable and o.poll_s and o.sample and world.now_s > o.sampled_at_s for o in world.outlets.values()):
        seen.add("lagging samples")
    if any(not o.reachable for o in world.outlets.values()):
        seen.add("missing samples")
    if any(world.now_s - since > 3.0 for since in world.blind.values()):
        seen.add("meter silent")
    return seen


def binding_levels(decided: Decided) -> set[int]:
    """Levels of the tree at which a row is full and keeps somebody below what he could have."""
    cycle, rows = decided.cycle, decided.cycle.net.rows
    other = np.concatenate((cycle.other_a, cycle.other_a.sum(axis=0, keepdims=True)))
    used = rows.sums(cycle.load * cycle.filled.current_a + other)
    kept = decided.state.on & (cycle.filled.current_a < cycle.bounds.high_a - 1e-6)
    keeps = rows.sums(cycle.load * kept) > 0.5
    tight = (used > cycle.limits.room_a - 1e-6) & keeps
    return {cycle.net.site.collectors[index].level for index in rows.collector[tight]}


def test_relabelling_the_phases_everywhere_changes_nothing() -> None:
    for number in range(how_many(60)):
        rng = Random(number)
        plain = charging_world(rng)
        collectors, connectors = words_of(plain)
        rotation = rng.choice(ROTATIONS[1:])
        for entry in [*collectors, *connectors]:
            if entry.get("parent", entry.get("collector")) == "c0" and "phases" in entry:
                entry["phases"] = [rotation[int(p[1]) - 1] for p in entry["phases"]]
        one, two, three = (int(p[1]) - 1 for p in rotation)
        turned = twin(plain, collectors, connectors, (one, two, three))
        same(plain, turned, number)


def test_listing_connectors_and_collectors_in_another_order_changes_nothing() -> None:
    for number in range(how_many(60)):
        rng = Random(number)
        plain = charging_world(rng)
        collectors, connectors = words_of(plain)
        rng.shuffle(collectors)
        rng.shuffle(connectors)
        same(plain, twin(plain, collectors, connectors), number)


def same(plain: World, turned: World, number: int) -> None:
    """Which of several free connectors stands ready is a tie."""
    plain.allocate()
    turned.allocate()
    charging = [name for name, outlet in plain.outlets.items() if outlet.vehicle]
    for _ in range(3):
        told = [{name: world.told[name] for name in charging} for world in (plain, turned)]
        assert told[0] == told[1], f"site {number} at {plain.now_s:g} s"
        plain.step()
        turned.step()


def test_more_room_never_lowers_the_smallest_share_while_the_same_are_on() -> None:
    compared = 0
    for number in range(how_many(60)):
        rng = Random(number)
        plain = charging_world(rng)
        collectors, connectors = words_of(plain)
        wider = rng.choice(collectors)
        rated = wider["rated_current_a"]
        wider["rated_current_a"] = [a + 7.0 for a in rated] if isinstance(rated, list) else rated + 7.0
        roomy = twin(plain, collectors, connectors)
        plain.allocate()
        roomy.allocate()
        if set(on(plain)) == set(on(roomy)) and on(plain):
            compared += 1
            assert min(on(roomy).values()) >= min(on(plain).values()) - 1e-6, f"site {number}"
    assert compared >= 20


def on(world: World) -> dict[str, float]:
    """Watts per weight, before rounding, of those that are on."""
    assert world.last
    cycle, booked = world.last.cycle, booked_conductors(world)
    return {
        name: float(cycle.filled.current_a[slot]) * len(booked[name]) / world.outlets[name].entity.weight
        for name, slot in world.net.slot.items()
        if world.last.state.on[slot]
    }


def test_at_most_four_starts_an_hour_whatever_the_loads_do() -> None:
    most = 0
    for number in range(how_many(1, most=200)):
        rng = Random(number)
        world = charging_world(rng)
        starts: dict[str, list[float]] = {name: [] for name in world.outlets}
        world.allocate()
        before = dict(world.told)
        while world.now_s < 3600.0:
            if rng.random() < 0.03:
                world.load_a["c0"] = [rng.uniform(0.0, 1.2) * world.site.collectors[0].rated_a[0]] * 3
            world.now_s += 2.0
            world.step()
            for name, value in world.told.items():
                if value >= 6.0 and before[name] == world.pause_a(name) and world.outlets[name].vehicle:
                    starts[name].append(world.now_s)
            before = dict(world.told)
        assert max(len(times) for times in starts.values()) <= 4, f"site {number}: {starts}"
        most = max(most, *(len(times) for times in starts.values()))
    assert most >= 2
