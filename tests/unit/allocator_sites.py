"""Random sites for the allocator's tests: one generator for properties, ground truth and soak.

A site is a number: `random.Random(number)` draws it, so a failing one is named by its number. Hypothesis gives the same
generator a `st.randoms()`. Sites bite: ratings stand in proportion to what hangs below, so that several levels bind at
once; some cannot carry all minima; conductors are rotated and tapped; there is generation above the load, reactive
current, power limits, virtual and unprotected collectors. `SOAK` (environment, `make soak`) is how many to try.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from busbar.config.assets import ChargePoint, Connector, DcConnector
from busbar.config.packages import PackageFacts
from scenarios.world import Outlet, U, Vehicle, World, site_of
from spc_allocator.learning import UNSEEN_MS
from spc_allocator.state import AllocatorState

ROTATIONS = [list(order) for order in itertools.permutations(["L1", "L2", "L3"])]
BITE = (0.5, 0.9)
BITE_ABOVE = (0.55, 0.8)
"""A rating as part of what all below would like, averaged over the conductors."""
TAPS = [["L1"], ["L2"], ["L3"]]
Entry = dict[str, Any]
PACKAGES = {
    "plain": PackageFacts("ac_charger"),
    "from-8": PackageFacts("ac_charger", minimum_a=8.0),
    "never-0": PackageFacts("ac_charger", zero_allowed=False),
    "dc": PackageFacts("dc_charger", minimum_a=5000 / 690, step_a=100 / 690),
    "dc-pause": PackageFacts(
        "dc_charger",
        minimum_a=5000 / 690,
        step_a=100 / 690,
        zero_allowed=False,
        declared_pause_a=1547 / 690,
    ),
}
"""Devices: as most are, with a higher minimum, and one that cannot be paused; DC, and DC that is paused above 0."""
DC_POWERS_W = (11_000, 22_000, 50_000)
DC_SHARE = 0.15


def how_many(default: int, most: int | None = None) -> int:
    """Sites that a test tries: `default`, or what BUSBAR_SOAK says, at most `most`."""
    wanted = int(os.environ.get("BUSBAR_SOAK", "0")) or default
    return wanted if most is None else max(default, min(wanted, most))


@dataclass(frozen=True)
class Size:
    """Largest numbers of a site."""

    collectors: int = 7
    connectors: int = 14
    least: int = 5
    """Connectors at least."""


def random_site(rng: Random, size: Size = Size()) -> tuple[list[Entry], list[Entry]]:
    """Collectors and connectors in the words of `site_of`."""
    width, level = {"c0": 3}, {"c0": 0}
    collectors: list[Entry] = [{"id": "c0"}]
    for index in range(1, rng.randint(min(3, size.collectors), size.collectors)):
        parent = rng.choice([c["id"] for c in collectors if level[c["id"]] < 5][-4:])
        three = width[parent] == 3
        phases = rng.choice([*ROTATIONS, *ROTATIONS, *TAPS]) if three else ["L1"]
        name = f"c{index}"
        collectors.append({"id": name, "parent": parent, "phases": phases})
        width[name], level[name] = len(phases), level[parent] + 1
    deep = [c["id"] for c in sorted(collectors, key=lambda c: level[c["id"]])]
    connectors = []
    for number in range(rng.randint(size.least, size.connectors)):
        home = rng.choice(deep[len(deep) // 3 :])
        phases = rng.choice([*ROTATIONS, *ROTATIONS, *TAPS]) if width[home] == 3 else ["L1"]
        connectors.append(
            {"id": f"x{number}", "collector": home, "phases": phases, "max_a": rng.choice([16, 20, 32]),
             "weight": rng.choice([1.0, 1.0, 1.0, 2.0, 0.5]),
             "package": rng.choice([*["plain"] * 12, "from-8", "never-0"])}
        )  # fmt: skip
        if width[home] == 3 and rng.random() < DC_SHARE:
            connectors[-1] = _dc_outlet(rng, connectors[-1])
    _rank(Random(repr(connectors)), connectors)
    for collector in reversed(collectors):  # children first
        collector.update(_ratings(rng, collector["id"], collectors, connectors))
    for collector in collectors:
        collector.pop("nominal_a", None)
    return collectors, connectors


def _rank(rng: Random, connectors: list[Entry]) -> None:
    """One site in four has priorities. Drawn apart, so that a number names the site it always named."""
    classes = rng.choice([[0], [0], [0], [0, 0, 1, 9]])
    for connector in connectors:
        connector["priority"] = rng.choice(classes)


def _dc_outlet(rng: Random, instead_of: Entry) -> Entry:
    return {"id": instead_of["id"], "collector": instead_of["collector"], "weight": instead_of["weight"],
            "max_w": rng.choice(DC_POWERS_W), "package": rng.choice(["dc", "dc-pause"])}  # fmt: skip


def _like_a(connector: Entry) -> float:
    """What it would like, summed over its conductors."""
    return float(connector["max_w"] / U if "max_w" in connector else connector["max_a"] * len(connector["phases"]))


def _ratings(rng: Random, name: str, collectors: list[Entry], connectors: list[Entry]) -> Entry:
    """Less than what hangs below would like: its vehicles, and the collectors below as far as their own fuse goes."""
    like = sum(_like_a(c) for c in connectors if c["collector"] == name)
    like += sum(c["nominal_a"] * len(c["phases"]) for c in collectors if c.get("parent") == name)
    parent = any(c.get("parent") == name for c in collectors)
    rated = max(8.0, float(round((like / 3.0 + 6.0) * rng.uniform(*(BITE_ABOVE if parent else BITE)))))
    made: Entry = {"rated_current_a": rated, "nominal_a": rated}
    if rng.random() < 0.1 and name != "c0":
        made["rated_current_a"] = [rated, rated + 4.0, max(8.0, rated - 3.0)]
    chance = rng.random()
    if chance < 0.15:
        made["power_limit_w"] = 690.0 * rated * rng.uniform(0.6, 1.0)
    elif chance < 0.3:
        made["power_limit_va"] = 690.0 * rated * rng.uniform(0.6, 1.0)
    if rng.random() < 0.2:
        made["fixed_reserve_a"] = rng.choice([2, 5])
    if rng.random() < 0.2:
        made["dynamic_reserve_connectors"] = rng.randint(1, 3)
    if name != "c0" and rng.random() < 0.2:
        made["virtual"] = {"unmetered_load_a": rng.choice([0, 0, 2])}
    if name != "c0" and rng.random() < 0.05:
        made["monitored_only"] = True
    return made


def path_of(collector: str, collectors: list[Entry]) -> list[str]:
    """From the collector up to the grid connection."""
    above = {c["id"]: c.get("parent") for c in collectors}
    path = [collector]
    while (parent := above[path[-1]]) is not None:
        path.append(parent)
    return path


def amperes(rng: Random, most: int) -> list[float]:
    return [float(rng.randint(0, most)) for _ in range(3)]


def random_background(rng: Random, world: World, collector: str) -> None:
    """Load, generation and reactive current of one collector, in its own frame."""
    rated = int(min(world.site.collector(collector).rated_a))
    kind = rng.random()
    own = len(world.site.collector(collector).root_phases)
    if kind < 0.4:
        world.load_a[collector] = amperes(rng, max(1, rated // 6))
    elif kind < 0.75:
        world.generation_a[collector] = [-a for a in amperes(rng, rated * (2 if rng.random() < 0.3 else 1))]
    elif kind < 0.9:
        world.reactive_a[collector] = [a - rated // 4 for a in amperes(rng, rated // 2)]
    else:
        world.load_a[collector] = [0.0] * 3
    for table in (world.load_a, world.generation_a, world.reactive_a):
        table[collector] = [a if index < own else 0.0 for index, a in enumerate(table[collector])]


def random_vehicle(rng: Random, outlet: Outlet) -> Vehicle:
    phases, most_a = rng.randint(1, len(outlet.entity.root_phases)), max(32.0, outlet.entity.max_current_a)
    return Vehicle(
        phases=phases,
        max_a=rng.choice([8.0, 10.8, 16.0, 32.0, 32.0, 32.0, most_a]),
        energy_wh=rng.uniform(0.0, 30_000.0),
    )


def charging_world(
    rng: Random, size: Size = Size(), options: Entry | None = None,
    dress: Callable[[Random, list[Entry], list[Entry]], None] = lambda *_: None, **world: Any,
) -> World:  # fmt: skip
    """A site in full swing, seen by an allocator that has just taken over: limits that the devices have in force, and
    what vehicles draw, above what the fuses carry together. `options`: of the site file; `dress` adds to its
    collectors and connectors."""
    site = random_site(rng, size)
    dress(rng, *site)
    made = World(site_of(*site, options, packages=PACKAGES), settle_s=0.0, **world)
    for collector in made.site.collectors:
        if rng.random() < 0.25:
            random_background(rng, made, collector.id)
        if rng.random() < 0.07:
            made.limit(collector.id, import_w=690.0 * min(collector.rated_a) * rng.uniform(0.4, 1.0))
    for name, outlet in made.outlets.items():
        if rng.random() < 0.85:
            vehicle = made.plug(name, random_vehicle(rng, outlet))
            outlet.plugged_at_s = -rng.uniform(1.0, 5000.0)
            step_a = made.step_a(name)
            most, least = (int(a / step_a + 1e-6) for a in (outlet.entity.max_current_a, made.minimum_a(name)))
            outlet.limit_a = rng.choice([most, most, rng.randint(least, most)]) * step_a
            outlet.current_a = min(outlet.limit_a, vehicle.max_a)
    made.state = AllocatorState.fresh(made.net, made.now_ms)
    for outlet in made.outlets.values():
        if rng.random() < 0.5:
            _know_phases(made, outlet)
    return made


def _know_phases(world: World, outlet: Outlet) -> None:
    """The allocator has learned which conductors the vehicle does not use (SPC-18)."""
    used = outlet.used or 3
    for phase in outlet.entity.root_phases[used:]:
        world.state.unseen_ms[phase, world.net.slot[outlet.entity.id]] = UNSEEN_MS


def booked_conductors(world: World) -> dict[str, list[int]]:
    """Conductors of the grid connection on which each connector may draw, so far as the allocator can know."""
    unseen_ms = world.state.unseen_ms
    return {
        name: [int(p) for p in outlet.entity.root_phases if unseen_ms[p, world.net.slot[name]] < UNSEEN_MS]
        for name, outlet in world.outlets.items()
    }


def twin(
    world: World, collectors: list[Entry], connectors: list[Entry], conductor: tuple[int, int, int] = (0, 1, 2)
) -> World:
    """The same vehicles, currents and limits on the same site in other words. `conductor`: the grid connection's
    conductors by their number here."""
    made = World(site_of(collectors, connectors, packages=PACKAGES), settle_s=0.0, check=world.check)
    root = world.site.collectors[0].id
    for mine, theirs in (
        (made.load_a, world.load_a), (made.generation_a, world.generation_a), (made.reactive_a, world.reactive_a)
    ):  # fmt: skip
        for name, value in theirs.items():
            mine[name] = [value[conductor.index(p)] for p in range(3)] if name == root else list(value)
    made.limits = dict(world.limits)
    for name, outlet in world.outlets.items():
        other = made.outlets[name]
        if outlet.vehicle:
            made.plug(name, replace(outlet.vehicle))
        other.plugged_at_s, other.limit_a, other.current_a = outlet.plugged_at_s, outlet.limit_a, outlet.current_a
    made.state = AllocatorState.fresh(made.net, made.now_ms)
    for name, slot in made.net.slot.items():
        unseen_ms = world.state.unseen_ms[:, world.net.slot[name]]
        made.state.unseen_ms[list(conductor), slot] = unseen_ms
    return made


def words_of(world: World) -> tuple[list[Entry], list[Entry]]:
    """Collectors and connectors as `site_of` takes them."""
    collectors = [c.model_dump(exclude_unset=True, exclude={"meter"}) for c in world.site.file.collectors]
    connectors = [
        {**_words(c), "id": c.id, "collector": c.collector, "weight": c.weight, "priority": c.priority,
         "package": point.device.removeprefix("d-")}
        for point in world.site.file.assets if isinstance(point, ChargePoint) for c in point.connectors
    ]  # fmt: skip
    return collectors, connectors


def _words(connector: Connector | DcConnector) -> Entry:
    if isinstance(connector, DcConnector):
        return {"max_w": connector.max_power_w}
    return {"phases": connector.phases, "max_a": connector.max_current_a}


def happen(world: World, rng: Random) -> str:
    """Something random, by its name in HAPPENINGS."""
    what = rng.choice(list(HAPPENINGS))
    HAPPENINGS[what](world, rng, world.outlets[rng.choice(list(world.outlets))])
    return what


def _plug(world: World, rng: Random, outlet: Outlet) -> None:
    """Vehicles come and go where the allocator can know of it: what it is told late is another test's."""
    if outlet.vehicle is None and outlet.reachable and not outlet.poll_s:
        world.plug(outlet.entity.id, random_vehicle(rng, outlet))


def _unplug(world: World, _: Random, outlet: Outlet) -> None:
    if outlet.reachable and not outlet.poll_s:
        world.unplug(outlet.entity.id)


def _background(world: World, rng: Random, _: Outlet) -> None:
    random_background(rng, world, rng.choice([c.id for c in world.site.collectors]))


def _limit(world: World, rng: Random, _: Outlet) -> None:
    world.limit(rng.choice([c.id for c in world.site.collectors]), import_w=rng.choice([0.0, 4000.0, 9000.0, 30_000.0]))


def _release(world: World, _: Random, __: Outlet) -> None:
    world.limits.clear()
    world.fallbacks.clear()


def _taper(_: World, rng: Random, outlet: Outlet) -> None:
    if outlet.vehicle:
        outlet.vehicle.max_a = rng.choice([6.0, 9.0, 20.0])


def _lag(_: World, rng: Random, outlet: Outlet) -> None:
    outlet.poll_s = rng.choice([2.0, 5.0, 10.0])


def _lost(_: World, rng: Random, outlet: Outlet) -> None:
    if outlet.sample:
        outlet.reachable, outlet.missing = False, rng.random() < 0.5


def _found(world: World, _: Random, __: Outlet) -> None:
    for outlet in world.outlets.values():
        outlet.reachable, outlet.missing, outlet.poll_s = True, False, 0.0


def _blind(world: World, rng: Random, _: Outlet) -> None:
    world.blind[rng.choice([c.id for c in world.site.collectors])] = world.now_s


def _sees(world: World, _: Random, __: Outlet) -> None:
    world.blind.clear()


def _fallback(world: World, rng: Random, outlet: Outlet) -> None:
    world.fall_back("rule", [outlet.entity.id], rng.choice([0.0, 6.0, 10.0]))


HAPPENINGS: dict[str, Callable[[World, Random, Outlet], None]] = {
    "plug": _plug, "another": _plug, "unplug": _unplug, "background": _background, "load": _background,
    "limit": _limit, "release": _release, "taper": _taper, "lag": _lag, "lost": _lost, "found": _found,
    "blind": _blind, "sees": _sees, "fallback": _fallback,
}  # fmt: skip
"""What is lost or blind comes back by "found" and "sees"; tests end before a watchdog or FB-2 has acted."""
