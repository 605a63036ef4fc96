"""What must never be false of assets that are set in W, in closed loops over random sites (`flexible_sites`).

Judged by physical flows: what was told against what really flows, not against the allocator's sums."""

from __future__ import annotations

from random import Random

import pytest

from busbar.config.assets import Battery
from busbar.config.site import compile_site
from busbar.events import ReasonCode
from spc_allocator.core import decide
from spc_allocator.flexible.generators import MARGIN
from spc_allocator.state import AllocatorState, dump, restore
from unit.allocator_sites import how_many
from unit.flexible_sites import happen, random_flexible_world, wish
from unit.flexible_world import GENERATORS, FlexWorld
from unit.test_flexible_examples import world_of

SETTLED_S = 60
DUST_W = 150.0


def limits_w(world: FlexWorld, collector: str) -> tuple[float, float]:
    """Tightest import and export limit of a collector's power."""
    file = world.site.collector(collector).file
    both = file.power_limit_w if file.power_limit_w is not None else float("inf")
    ins = [x.import_limit_w for x in world.limits.values() if x.collector == collector and x.import_limit_w is not None]
    outs = [
        x.export_limit_w for x in world.limits.values() if x.collector == collector and x.export_limit_w is not None
    ]
    fixed = file.export_limit_w if file.export_limit_w is not None else float("inf")
    return min([both, *ins]), min([both, fixed, *outs])


def below(world: FlexWorld, collector: str) -> list[str]:
    inside = world.site.tree.below(collector)
    return [n for n, t in world.things.items() if world.site.tree.index[t.entity.collector or ""] in inside]


def excesses(world: FlexWorld) -> list[str]:
    """Limits that are broken although something below could still help. What is released may exceed one by a tenth
    of its rating until that is seen."""
    found = []
    for collector in world.site.collectors:
        most_in, most_out = limits_w(world, collector.id)
        flow = world.flow_a(collector.id)[0]
        over = [f"L{p + 1}" for p in collector.root_phases if flow[p] > collector.root_rated_a[p] + DUST_W / 230.0]
        names = below(world, collector.id)
        released = [n for n in names if world.because(n).code is ReasonCode.RELEASE]
        most_a = [rated + (DUST_W + released_w(world, released, p)) / 230.0
                  for p, rated in enumerate(collector.root_rated_a)]  # fmt: skip
        under = [f"L{p + 1}" for p in collector.root_phases if -flow[p] > most_a[p]]
        most_out += sum(released_w(world, released, p) for p in range(3))
        if (over or sum(flow) * 230.0 > most_in + DUST_W) and any(charges(world, name) for name in names):
            found.append(f"{collector.id}: {sum(flow) * 230.0:.0f} W in, at most {most_in:.0f}, {over}, still charges")
        if (under or -sum(flow) * 230.0 > most_out + DUST_W) and any(gives(world, name) for name in names):
            found.append(f"{collector.id}: {-sum(flow) * 230.0:.0f} W out, not {most_out:.0f}, {under}, still gives")
    return found


def released_w(world: FlexWorld, names: list[str], phase: int) -> float:
    """A tenth of what each may give, on one conductor."""
    found = [world.things[name].entity for name in names]
    return sum(MARGIN * e.rated_power_w / len(e.root_phases) for e in found if phase in e.root_phases)


def charges(world: FlexWorld, name: str) -> bool:
    return isinstance(world.things[name].entity.flexible, Battery) and world.things[name].power_w > 100.0


def gives(world: FlexWorld, name: str) -> bool:
    return world.things[name].power_w < -100.0


def test_once_settled_no_limit_is_broken_that_an_asset_could_still_keep() -> None:
    for number in range(how_many(8)):
        rng = Random(number)
        world = random_flexible_world(rng)
        for _ in range(4):
            happen(rng, world)
            world.run_to(world.now_s + SETTLED_S)
            assert not excesses(world), f"site {number} at {world.now_s:g} s"


def test_a_battery_never_leaves_its_window_whatever_happens() -> None:
    for number in range(how_many(5)):
        rng = Random(1000 + number)
        world = random_flexible_world(rng)
        for _ in range(60):
            happen(rng, world)
            world.run_to(world.now_s + rng.randint(3, 20))
        for thing in world.things.values():
            if isinstance(file := thing.entity.flexible, Battery):
                step = 3 * 10_000.0 / 36.0 / file.capacity_wh  # what it moves until it has heard
                low, high = file.soc_min_percent - step, file.soc_max_percent + step
                assert low <= min(thing.socs) <= max(thing.socs) <= high, f"site {number}"


def test_setpoints_are_what_an_asset_can_be_told() -> None:
    for number in range(how_many(8)):
        rng = Random(2000 + number)
        world = random_flexible_world(rng)
        for _ in range(30):
            happen(rng, world)
            for _ in range(4):
                world.step()
                for name, power_w in world.watts.items():
                    can_be_told(world, name, power_w)


def can_be_told(world: FlexWorld, name: str, power_w: float) -> None:
    file = world.things[name].entity.flexible
    if isinstance(file, Battery):
        assert -file.max_discharge_w <= power_w <= file.max_charge_w
    elif isinstance(file, GENERATORS):
        assert -file.rated_power_w <= power_w <= 0.0
    elif file is not None and file.steps_w:
        assert power_w in (0.0, *file.steps_w, file.rated_power_w if file.follows == "always" else 0.0)
    elif file is not None:
        assert 0.0 <= power_w <= file.rated_power_w


def test_pv_is_curtailed_only_when_a_battery_that_could_take_it_takes_all() -> None:
    seen = 0
    for number in range(how_many(8)):
        rng = Random(3000 + number)
        world = random_flexible_world(rng)
        for name in world.things:
            wish(rng, world, name)
        world.run_to(400.0)
        for name, thing in world.things.items():
            if world.because(name).code is not ReasonCode.EXPORT_LIMIT or not isinstance(
                thing.entity.flexible, GENERATORS
            ):
                continue
            told_w = -world.watts[name]
            if thing.power_w > -min(thing.wish_w, told_w) + 200.0 or thing.wish_w < told_w + 500:
                continue  # not held down by it
            seen += 1
            where = world.because(name).collector or ""
            for other in below(world, where):
                at = world.net.assets.index[other]
                file = world.things[other].entity.flexible
                if isinstance(file, Battery) and not world.state.flexible.full[at]:  # type: ignore[union-attr]
                    fuse = world.because(other).code in (ReasonCode.ROW, ReasonCode.POWER_LIMIT)
                    assert fuse or world.watts[other] >= file.max_charge_w - 200.0, f"site {number}: {other} of {name}"
    assert seen >= 1


def test_setpoints_are_free_again_when_limits_are_gone() -> None:
    for number in range(how_many(6)):
        rng = Random(4000 + number)
        world = random_flexible_world(rng)
        for _ in range(5):
            happen(rng, world)
            world.run_to(world.now_s + 20.0)
        if any(c.file.export_limit_w is not None or c.file.power_limit_w for c in world.site.collectors):
            continue
        world.limits.clear()
        world.targets.clear()
        for thing in world.things.values():
            thing.wish_w = 0.0
        world.run_to(world.now_s + 400.0)
        for name, thing in world.things.items():
            if isinstance(thing.entity.flexible, GENERATORS):
                assert world.watts[name] == -thing.entity.rated_power_w, f"site {number}"


def test_the_state_survives_being_written_and_read_in_every_cycle() -> None:
    for number in range(how_many(10)):
        rng = Random(5000 + number)
        world = random_flexible_world(rng)
        for _ in range(12):
            happen(rng, world)
            world.run_to(world.now_s + 3.0)
            again = restore(dump(world.state, world.net), world.net, world.now_ms)
            assert again.digest() == world.state.digest(), f"site {number}"
            world.now_s += 1.0
            snapshot = world.snapshot()
            one, two = (decide(world.net, s, snapshot, world.inputs(), world.now_ms) for s in (world.state, again))
            assert one.told_w() == two.told_w()
            assert one.state.digest() == two.state.digest()


def test_the_order_of_listing_changes_nothing() -> None:
    for number in range(how_many(6)):
        plain = random_flexible_world(Random(6000 + number))
        file = plain.site.file
        turned_file = file.model_copy(update={"assets": list(reversed(file.assets))})
        turned = FlexWorld(compile_site(turned_file), settle_s=0.0)
        turned.state = AllocatorState.fresh(turned.net, plain.now_ms)
        plain.state = AllocatorState.fresh(plain.net, plain.now_ms)
        for _ in range(5):
            plain.now_s += 1.0
            snapshot = plain.snapshot()
            shuffled = snapshot.model_copy(update={"assets": tuple(reversed(snapshot.assets))})
            one = decide(plain.net, plain.state, snapshot, plain.inputs(), plain.now_ms)
            two = decide(turned.net, turned.state, shuffled, plain.inputs(), plain.now_ms)
            plain.state, turned.state = one.state, two.state
            assert one.told_w() == pytest.approx(two.told_w()), f"site {number}"


def test_nothing_is_decided_where_there_is_nothing_to_set() -> None:
    world = world_of(connectors=[{"id": "x", "collector": "grid"}])
    world.plug("x")
    world.run_to(5.0)
    assert world.last
    assert world.last.flexible is None
    assert world.state.flexible is None
