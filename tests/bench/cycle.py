"""What one allocation costs, reasons included: sites of 50 to 5000 connectors, against one linear program of HiGHS on
the same rows, and against acnportal's algorithms on as many stations. Rows of a Markdown table."""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from busbar.config.site import Site
from busbar.garbage import collect_seldom
from scenarios.world import Vehicle, World, site_of
from spc_allocator.core import Decided, decide
from spc_allocator.inputs import Inputs

SIZES = ((50, 10), (300, 60), (1000, 200), (5000, 1000))
"""Connectors, collectors."""
SETTLED_S = 240
WATCHED_S = 120


def site(connectors: int, collectors: int, seed: int = 7) -> Site:
    """Five levels, rotated feeders, a third of the outlets single-phase, fuses so small that they bind."""
    rng = random.Random(seed)
    tree = [{"id": "k0", "rated_current_a": int(connectors * 4.5), "dynamic_reserve_connectors": 2}]
    at_level = {1: ["k0"]}
    for number in range(1, collectors):
        level = min(rng.choice([2, 3, 3, 4, 4, 4, 5, 5, 5, 5]), max(at_level) + 1)
        entry: dict[str, Any] = {
            "id": f"k{number}", "parent": rng.choice(at_level[level - 1]), "dynamic_reserve_connectors": 1,
            "rated_current_a": {2: int(connectors * 0.9), 3: 250, 4: 125, 5: 63}[level],
            "phases": list(rng.choice([("L1", "L2", "L3"), ("L2", "L3", "L1"), ("L3", "L1", "L2")])),
        }  # fmt: skip
        if level == 3 and rng.random() < 0.3:
            entry["power_limit_w"] = 100_000.0
        tree.append(entry)
        at_level.setdefault(level, []).append(f"k{number}")
    outlets = [
        {
            "id": f"c{number}", "collector": f"k{rng.randrange(1, collectors)}", "max_a": rng.choice([16, 32, 32]),
            "phases": rng.sample(["L1", "L2", "L3"], 3 if rng.random() < 0.7 else 1),
        }
        for number in range(connectors)
    ]  # fmt: skip
    return site_of(tree, outlets)


@dataclass(frozen=True)
class Cost:
    """Of one size: milliseconds a cycle, and of one linear program on the last cycle's rows."""

    median_ms: float
    p99_ms: float
    highs_ms: float
    vehicles: int


def cost(connectors: int, collectors: int) -> Cost:
    """A busy site: vehicles come and go, loads change, ramps run."""
    collect_seldom()  # as every service does
    rng = random.Random(1)
    world = World(site(connectors, collectors))
    names, times = list(world.outlets), list[float]()
    for name in names:
        if rng.random() < 0.6:
            world.plug(name, _vehicle(rng))
    for second in range(SETTLED_S + WATCHED_S):
        if second % 20 == 10:
            for name in rng.sample(names, max(1, connectors // 40)):
                if world.outlets[name].vehicle:
                    world.unplug(name)
                else:
                    world.plug(name, _vehicle(rng))
        for load in world.load_a.values():
            if rng.random() < 0.1:
                load[:] = [rng.uniform(0.0, 8.0) for _ in load]
        if second >= SETTLED_S - 1:
            times.append(_timed(world))
        world.step()
    assert world.last is not None
    times = sorted(times[1:])  # the first makes what the others keep
    return Cost(
        statistics.median(times), times[int(0.99 * len(times))], _one_program_ms(world.last), int(world.state.on.sum())
    )


def _vehicle(rng: random.Random) -> Vehicle:
    return Vehicle(phases=rng.choice([1, 2, 3, 3]), max_a=rng.choice([10.0, 16.0, 32.0]))


def _timed(world: World) -> float:
    """The decision that the world is about to make, made once more."""
    snapshot = world.snapshot()
    started = time.perf_counter()
    decide(world.net, world.state, snapshot, Inputs(), world.now_ms + 1000).why()
    return (time.perf_counter() - started) * 1000.0


def _one_program_ms(decided: Decided) -> float:
    """The first of the linear programs that max-min fairness is a sequence of: raise the lowest level."""
    cycle = decided.cycle
    net, on = cycle.net, decided.state.on
    low = np.where(on, net.devices.minimum_a, 0.0)
    high = np.where(on, np.maximum(cycle.bounds.high_a, low), 0.0)
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    for slot in range(net.count):
        solver.addVar(float(low[slot]), float(high[slot]))
    solver.addVar(0.0, 32.0)
    solver.changeColCost(net.count, 1.0)
    for row in range(net.rows.count):
        channel = int(net.rows.channel[row])
        mine = [s for s in range(int(net.rows.begin[row]), int(net.rows.end[row])) if cycle.load[channel, s] > 0.0]
        room = max(float(cycle.limits.room_a[row]), float((cycle.load[channel, mine] * low[mine]).sum()))
        if mine and np.isfinite(room):
            solver.addRow(-highspy.kHighsInf, room, len(mine), mine, [float(cycle.load[channel, s]) for s in mine])
    for slot in np.flatnonzero(on).tolist():
        if high[slot] > low[slot]:
            solver.addRow(0.0, highspy.kHighsInf, 2, [slot, net.count], [1.0, -1.0])
    started = time.perf_counter()
    solver.run()
    return (time.perf_counter() - started) * 1000.0


def table() -> list[str]:
    """Rows of the table of all sizes."""
    rows = []
    for connectors, collectors in SIZES:
        found = cost(connectors, collectors)
        rows.append(
            f"| one cycle, reasons included: {connectors} connectors ({found.vehicles} on), {collectors} collectors "
            f"| {found.median_ms:.2f} ms, p99 {found.p99_ms:.2f} | one linear program of HiGHS (of several a cycle) "
            f"| {found.highs_ms:.2f} ms | {found.median_ms / found.highs_ms:.2f} |"
        )
        if connectors <= 300:
            rows += [_against_acn(connectors, found)]
    return [*rows, memory()]


def _against_acn(connectors: int, found: Cost) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench.acn.cycle", str(connectors)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    return (
        f"| the same | {found.median_ms:.2f} ms | acnportal: EDF, round robin on {connectors} stations, no reasons "
        f"| {theirs['edf_ms']:.0f} ms, {theirs['round_robin_ms']:.0f} ms | {found.median_ms / theirs['edf_ms']:.3f} |"
    )


def memory(cycles: int = 100_000) -> str:
    """Resident memory after a tenth of the cycles and after all, at 50 connectors."""
    world = World(site(50, 10))
    for name in world.outlets:
        world.plug(name)
    world.run_to(SETTLED_S)
    state, snapshot, at = world.state, world.snapshot(), []
    for number in range(1, cycles + 1):
        state = decide(world.net, state, snapshot, Inputs(), world.now_ms + 1000 * number).state
        if number in (cycles // 10, cycles):
            at.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0)
    return (
        f"| highest memory after {cycles} cycles at 50 connectors | {at[1]:.0f} MB | after {cycles // 10} "
        f"| {at[0]:.0f} MB | {at[1] / at[0]:.3f} |"
    )
