"""Random sites with assets that are set in W, and what may happen there: a site is a number (`allocator_sites`)."""

from __future__ import annotations

from random import Random
from typing import Any

from unit.allocator_sites import Entry
from unit.flexible_world import GENERATORS, FlexWorld, battery, flexible_site, heater, pv


def random_assets(rng: Random, homes: list[str]) -> list[Entry]:
    """Two to six assets on collectors that have all three conductors."""
    made: list[Entry] = []
    for number in range(rng.randint(2, 6)):
        name, home = f"f{number}", rng.choice(homes)
        kind = rng.choice(["battery", "battery", "pv", "pv", "heat", "wind", "chp"])
        wires: Entry = {"phases": rng.choice([["L1", "L2", "L3"], ["L2", "L3", "L1"], ["L2"]])}
        if kind == "battery":
            modes = rng.choice([["peak_shaving"], ["self_consumption"], ["peak_shaving", "self_consumption", "advice"]])
            made.append(battery(name, home, modes=modes, capacity_wh=rng.choice([300, 5000, 50_000]), **wires))
        elif kind == "heat":
            steps = rng.choice([[], [1500, 3000, 6000]])
            follows = rng.choice(["always", "surplus"])
            made.append(heater(name, home, steps_w=steps, follows=follows, min_on_s=rng.choice([0, 20]), **wires))
        elif kind == "chp":
            made.append({"kind": "chp", "id": name, "collector": home, "rated_power_w": 6000, "min_power_w": 2000,
                         **wires})  # fmt: skip
        else:
            made.append(pv(name, home, **wires) | {"kind": kind})
    return made


def random_flexible_world(rng: Random, *, surplus: bool = False, check: bool = False, **options: Any) -> FlexWorld:
    """Two levels, ratings that bite, some limits, some vehicles, in full swing. `surplus`: most of them in surplus
    mode."""
    collectors: list[Entry] = [{"id": "grid", "rated_current_a": rng.choice([40, 63, 100])}]
    collectors += [
        {"id": f"c{number}", "parent": "grid", "rated_current_a": rng.choice([32, 50]),
         "phases": rng.choice([["L1", "L2", "L3"], ["L3", "L1", "L2"]])}
        for number in range(rng.randint(0, 2))
    ]  # fmt: skip
    for collector in collectors:
        if rng.random() < 0.4:
            collector["export_limit_w"] = rng.choice([0, 3000, 12_000])
        if rng.random() < 0.3:
            collector["power_limit_w"] = rng.choice([8000, 15_000])
    homes = [c["id"] for c in collectors]
    connectors = [
        {"id": f"x{n}", "collector": rng.choice(homes), "phases": rng.choice([["L1", "L2", "L3"], ["L2"]])}
        for n in range(rng.randint(0, 3))
    ]
    if surplus:
        connectors = [{**connector, "surplus": rng.choice(["off", "minimum", "only"])} for connector in connectors]
    site = flexible_site(random_assets(rng, homes), connectors, collectors, **options)
    world = FlexWorld(site, settle_s=20.0, check=check)
    for name in world.outlets:
        world.plug(name)
    for thing in world.things.values():
        thing.poll_s = rng.choice([1.0, 1.0, 2.0])
        thing.says_available = rng.random() < 0.3
        wish(rng, world, thing.entity.id)
    return world


def wish(rng: Random, world: FlexWorld, name: str) -> None:
    thing = world.things[name]
    if isinstance(thing.entity.flexible, GENERATORS):
        thing.wish_w = rng.choice([0.0, 0.2, 0.6, 1.0]) * thing.entity.rated_power_w
    else:
        thing.wish_w = rng.choice([0.0, 0.5, 1.0]) * thing.entity.rated_power_w


def happen(rng: Random, world: FlexWorld) -> None:
    """Something random."""
    what = rng.randrange(7)
    collector = rng.choice([c.id for c in world.site.collectors])
    name = rng.choice(list(world.things))
    if what <= 1:
        wish(rng, world, name)
    elif what == 2:
        world.load_a[collector] = [float(rng.randint(0, 12)) for _ in range(3)]
    elif what == 3:
        world.limit(collector, export_w=rng.choice([0.0, 4000.0]))
    elif what == 4:
        world.limit(collector, import_w=rng.choice([6000.0, 14_000.0]))
    elif what == 5:
        world.target(collector, rng.choice([-8000.0, 0.0, 9000.0]))
    else:
        world.limits.clear()
        world.targets.clear()
        world.advices.clear()
    if rng.random() < 0.2 and world.net.assets.batteries:
        world.advise(world.net.assets.ids[world.net.assets.batteries[0]], (0.0, rng.choice([-9000.0, 9000.0])))
