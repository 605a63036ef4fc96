"""SPC-17: reasons are causal (docs/decisions/0009), on random decisions of random sites.

For every connector with a vehicle: without all bounds that its reason names it takes its next step; as long as one of
them holds it does not, whatever else is relaxed; and no bound that is not named moves it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np

from busbar.cli.status import why as status_words
from busbar.events import Binding, Reason, ReasonCode
from busbar.events.words import listed
from busbar.record.words import words
from scenarios.world import Vehicle, World, site_of
from spc_allocator.state import AllocatorState
from unit.allocator_causes import Again, causes
from unit.allocator_sites import Entry, Size, charging_world, happen, how_many

SMALL = Size(collectors=5, connectors=8, least=2)
DECISIONS_A_SITE = 10
CAN_BIND = {
    ReasonCode.ROW, ReasonCode.POWER_LIMIT, ReasonCode.RAMP, ReasonCode.CAP, ReasonCode.DEVICE, ReasonCode.CABLE,
    ReasonCode.VEHICLE, ReasonCode.PAUSED, ReasonCode.START_BUDGET, ReasonCode.FALLBACK, ReasonCode.STALE,
    ReasonCode.STARTING, ReasonCode.MANUAL, ReasonCode.ADVICE, ReasonCode.SURPLUS, ReasonCode.IMBALANCE,
    ReasonCode.WAKING, ReasonCode.POWER_TEST,
}  # fmt: skip
"""All others say what a connector is, or come with what the allocator cannot do yet."""


def random_decisions(number: int) -> Iterator[Again]:
    """Of one site, with what happened before each."""
    rng = Random(number)
    options = {"reserve_yields": rng.random() < 0.2}
    world = charging_world(rng, SMALL, options, _dress, latency_s=rng.choice([1.0, 3.0]))
    for _ in range(DECISIONS_A_SITE):
        for _ in range(rng.randint(0, 3)):
            happen(world, rng)
        _steer(world, rng)
        world.run_to(world.now_s + rng.choice([0.0, 1.0, 1.0, 3.0, 15.0, 16.0, 61.0]))
        world.now_s += 1.0
        past = _another_past(world, rng)
        guard = world.over_rating() if rng.random() < 0.7 else []
        inputs = replace(world.inputs(), snapshot_age_ms=rng.choice([0, 0, 0, 4000]))
        yield Again(world.net, past, world.snapshot(guard), inputs, world.now_ms)


def _dress(rng: Random, collectors: list[Entry], connectors: list[Entry]) -> None:
    """Surplus modes and limits of imbalance, on some sites."""
    if rng.random() < 0.4:
        for connector in connectors:
            connector["surplus"] = rng.choice(["off", "minimum", "only"])
    if rng.random() < 0.4:
        for collector in collectors:
            if rng.random() < 0.5:
                collector["imbalance_limit_a"] = rng.choice([4.0, 8.0, 12.0, 20.0])


def _steer(world: World, rng: Random) -> None:
    name = rng.choice(list(world.outlets))
    chance = rng.random()
    if chance < 0.15:
        world.mode(name, "manual", rng.choice([0.0, 6.0, 11.0, 32.0]))
    elif chance < 0.2:
        world.modes.clear()
    elif chance < 0.5:
        world.advise(name, (0.0, rng.choice([0.0, 1000.0, 5000.0, 9000.0])))
    elif chance < 0.6:
        world.power_test(name)


def _another_past(world: World, rng: Random) -> AllocatorState:
    """What would take hours to come about: budgets spent, vehicles known, pauses, a new quarter of an hour."""
    state, now_ms = world.state.copy(), world.now_ms
    for slot in range(world.net.count):
        chance = rng.random()
        if chance < 0.1:
            state.own("starts_ms")[:, slot] = now_ms - rng.randint(1, 4_000_000)
        elif chance < 0.2:
            state.own("maximum_known")[slot] = True
            state.own("highest_a")[slot] = rng.choice([6.0, 10.2, 16.0, 31.9])
        elif chance < 0.3:
            state.own("paused_at_ms")[slot] = now_ms - rng.randint(1, 600_000)
            state.own("fits_since_ms")[slot] = now_ms - rng.randint(1, 100_000)
        elif chance < 0.4:
            state.own("anchor_ms")[slot] = now_ms - rng.choice([0, 59_000, 61_000])
        elif chance < 0.5:
            state.own("setpoint_a")[slot] += rng.choice([0.0, 1.0, 4.0])
            state.own("changed_at_ms")[slot] = now_ms - 60_000
        elif chance < 0.65:
            state.own("wake_tries")[slot] = rng.randint(0, 3)
            state.own("resumed_at_ms")[slot] = now_ms - rng.randint(1, 20_000)
        if rng.random() < 0.5:
            state.own("surplus_on")[slot] = True
    if rng.random() < 0.3:
        state.quarter = -1
    if rng.random() < 0.6:
        state.covered_since_ms = np.zeros_like(state.covered_since_ms)
    return state


def test_spc_17_every_reason_names_all_that_keeps_a_setpoint_down_and_nothing_else() -> None:
    seen: Counter[str] = Counter()
    together = decisions = 0
    for site in range(how_many(90, 10_000) // DECISIONS_A_SITE):
        for number, again in enumerate(random_decisions(site)):
            decisions += 1
            for slot in np.flatnonzero(again.cycle.present).tolist():
                reason = again.why[again.net.ids[slot]]
                check(again, slot, f"site {site}, decision {number}, {again.net.ids[slot]}: {reason!r}")
                seen.update({binding.code.value for binding in (reason, *reason.also)})
                together += bool(reason.also)
    print(f"{decisions} decisions, {together} reasons of several bounds; {dict(seen.most_common())}")
    assert set(seen) == {code.value for code in CAN_BIND}
    assert together > decisions / 10


def check(again: Again, slot: int, who: str) -> None:
    named, everything = causes(again.why[again.net.ids[slot]]), again.bounds(slot)
    assert named <= everything, who
    assert not again.moves(slot, set()), who
    assert again.moves(slot, named), who
    for one in named:
        assert not again.moves(slot, everything - {one}), f"{who}: moves although {one} holds"
    for one in everything - named:
        assert not again.moves(slot, {one}), f"{who}: {one} moves it"


def test_spc_17_words_for_several_bounds_name_each_fuse_once() -> None:
    fuses = [Binding(code=ReasonCode.ROW, collector="row-a", phase=f"L{n}", side="import", value=63) for n in (2, 3)]
    ramp = Binding(code=ReasonCode.RAMP, value=9.0)
    reason = Reason(**fuses[0].model_dump(), also=(fuses[1], ramp))
    assert words(reason) == "the fuse row-a L2 and L3 import is full [63]; the ramp holds it too"
    assert status_words(reason) == "row: row-a L2 import 63 + row + ramp"
    other = Reason(code=ReasonCode.CAP, also=(*fuses, ramp))
    assert words(other).endswith("; fuse row-a on L2 and L3 and the ramp hold it too")
    assert listed([]) == ""


def test_spc_17_a_larger_fuse_moves_what_it_alone_holds() -> None:
    """The same by public inputs: the site file, a limit, time."""

    def told(rated_a: int, limit_w: float | None = None, until_s: float = 900.0) -> tuple[float, Reason]:
        world = World(site_of([{"id": "grid", "rated_current_a": rated_a}], [{"id": "x", "collector": "grid"}]))
        world.plug("x", Vehicle())
        if limit_w is not None:
            world.limit("grid", "operator", import_w=limit_w)
        world.run_to(until_s)
        return world.told["x"], world.why["x"]

    full, why = told(12)
    assert (full, why.code, why.phase, [also.phase for also in why.also]) == (12.0, ReasonCode.ROW, "L1", ["L2", "L3"])
    assert told(13)[0] == 13.0
    limited, why = told(12, limit_w=690.0 * 10.5)
    assert (limited, why.code, why.source, why.also) == (10.0, ReasonCode.POWER_LIMIT, "operator", ())
    assert told(12, limit_w=690.0 * 11.0)[0] == 11.0
    rising, why = told(12, until_s=200.0)
    assert (why.code, why.also) == (ReasonCode.RAMP, ())
    assert told(12, until_s=262.0)[0] == rising + 1.0
