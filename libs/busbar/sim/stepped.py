"""Weeks and months: the cores of aggregator and allocator and the twin's physics, stepped directly.

What is left out is what takes less than a step: the bus, polls, registers, reaction times, faults. What is the same:
vehicles, sun, loads, wires, fuses and their judge; the aggregator's snapshot and the allocator's decisions. The step is
`step_s`, and 1 s while any collector carries more than 95 % of its rating or power limit, so that an excess is seen and
answered as it would be live. (`busbar.sim.simulation` is the exact mode; a test holds both to 1 % of energy.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from datetime import time as clocktime
from typing import Final, Protocol

from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.events import Measurement, Session, SiteSnapshot
from busbar.registry import core
from busbar.sim.direct_field import DirectField
from busbar.sim.physics import Physics
from busbar.sim.plant import DcPort, EvsePort
from busbar.sim.twin import build_plant
from busbar.sim.world import MIDNIGHT, World

DEFAULT_STEP_S: Final = 10.0
FINE_STEP_S: Final = 1.0
FINE_ABOVE: Final = 0.95
SAMPLE_S: Final = 900.0
"""Means of a quarter of an hour are kept for the report."""
_DAY_S: Final = 86_400.0


class AggregatorCore(Protocol):
    """What is used of `collector_aggregator.core.Aggregator`."""

    def observe(self, event: Measurement, at_s: float) -> bool: ...
    def session(self, event: Session, stored: bool = False) -> None: ...
    def snapshot(self, now_s: float, now_ms: int) -> SiteSnapshot: ...


class AllocatorCore(Protocol):
    """What is used of `spc_allocator.stepped.SteppedAllocator`."""

    def step(self, snapshot: SiteSnapshot, now_ms: int) -> dict[str, float]:
        """New setpoints by entity: A for connectors (of a DC one its power at 230 V), W for other assets."""
        ...

    def paused(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StepRun:
    """What to simulate: from midnight of `day` with an empty car park, or from `start` with vehicles in every state."""

    site: Site
    day: date
    seed: int
    duration_s: float = _DAY_S
    step_s: float = DEFAULT_STEP_S
    start: clocktime | None = None


@dataclass(slots=True)
class Quarter:
    """Means over one quarter of an hour. Powers of all phases together; consumption positive."""

    start_s: float
    charging_w: float = 0.0
    pv_w: float = 0.0
    battery_w: float = 0.0
    load_w: float = 0.0
    grid_w: float = 0.0
    paused: float = 0.0
    utilisation: dict[str, float] = field(default_factory=dict)
    """Highest current of the quarter as a part of the rating, by collector."""


@dataclass(slots=True)
class StepRecord:
    """What happened."""

    run: StepRun
    physics: Physics
    quarters: list[Quarter] = field(default_factory=list)
    charged_wh: dict[str, float] = field(default_factory=dict)
    charged_by_day_wh: list[float] = field(default_factory=list)
    steps: int = 0
    fine_steps: int = 0
    wall_s: float = 0.0

    @property
    def held(self) -> bool:
        return self.physics.judge.ok


def step_through(run: StepRun, progress: Callable[[float], None] | None = None) -> StepRecord:
    """Simulate. `progress` gets the seconds done, each simulated quarter. Raises ValueError for a bad step."""
    if not FINE_STEP_S <= run.step_s <= DEFAULT_STEP_S:
        raise ValueError(f"step {run.step_s:g} s: physics is exact enough from {FINE_STEP_S:g} to {DEFAULT_STEP_S:g} s")
    started = time.perf_counter()  # how long it took is reported, never used
    record = _Stepper(run).play(progress)
    record.wall_s = time.perf_counter() - started
    return record


class _Stepper:
    def __init__(self, run: StepRun) -> None:
        self.run = run
        world = World(run.site, run.day, run.seed, run.start or MIDNIGHT, staged=run.start is not None)
        self.plant = build_plant(run.site, run.seed)
        self.physics = Physics(run.site, self.plant, world, run.seed)
        self.utc_start_ms = world.almanac.utc_start_ms
        self.field = DirectField(run.site, self.plant, self.utc_start_ms)
        options = run.site.options.model_copy(update={"cycle_ms": round(1000.0 * run.step_s)})
        paced = replace(run.site, options=options)  # the cores judge ages and gaps by the length of a cycle
        self.aggregator: AggregatorCore = core("aggregator")(paced, 0)
        self.allocator: AllocatorCore = core("allocator")(paced, self.utc_start_ms)
        self.record = StepRecord(run, self.physics)
        self._limits = _limits(run.site)
        self._power_limits = list(_power_limits(run.site))
        self._root = 3 * run.site.tree.index[run.site.collectors[0].id]
        self._connectors: list[EvsePort | DcPort] = [*self.plant.evses.values(), *self.plant.dc_outlets.values()]
        self._loads = [
            port for name, port in self.plant.meters.items() if run.site.entities[name].kind is AssetKind.LOAD
        ]

    def play(self, progress: Callable[[float], None] | None) -> StepRecord:
        run, record = self.run, self.record
        before_wh = self.plant.counters_wh()
        day_wh, now_s, told_s = sum(before_wh.values()), 0.0, 0.0
        self._control(now_s)
        while now_s < run.duration_s - 1e-6:
            step_s = self._step_s(now_s)
            now_s += step_s
            self.field.act()
            self.physics.step(step_s, now_s)
            self._control(now_s)
            self._note(now_s, step_s)
            if now_s % _DAY_S < 1e-6 or now_s >= run.duration_s - 1e-6:
                total_wh = self._energy_wh()
                record.charged_by_day_wh.append(total_wh - day_wh)
                day_wh = total_wh
            if progress is not None and now_s - told_s >= SAMPLE_S:
                told_s = now_s
                progress(now_s)
        record.charged_wh = {name: wh - before_wh[name] for name, wh in self.plant.counters_wh().items()}
        return record

    def _control(self, now_s: float) -> None:
        """Read, take a snapshot, decide, tell."""
        now_ms = self.utc_start_ms + round(now_s * 1000.0)
        for session in self.field.sessions(now_s):
            self.aggregator.session(session)
        for measurement in self.field.measurements(now_s, round(3000.0 * self.run.step_s)):
            self.aggregator.observe(measurement, now_s)
        self.field.tell(self.allocator.step(self.aggregator.snapshot(now_s, now_ms), now_ms))

    def _step_s(self, now_s: float) -> float:
        """Coarse on the grid of coarse steps; fine while anything is close to its limit."""
        left_s = self.run.duration_s - now_s
        if self._busiest() > FINE_ABOVE:
            self.record.fine_steps += 1
            return min(FINE_STEP_S, left_s)
        into_s = now_s % self.run.step_s
        return min(self.run.step_s - into_s, left_s)

    def _busiest(self) -> float:
        wires = self.physics.wires
        busiest = max(a / limit for a, limit in zip(wires.current_a, self._limits, strict=True))
        for at, limit, apparent in self._power_limits:
            power = sum(wires.power_w[at : at + 3])
            if apparent:
                power = math.hypot(power, sum(wires.reactive_var[at : at + 3]))
            busiest = max(busiest, abs(power) / limit)
        return busiest

    def _note(self, now_s: float, step_s: float) -> None:
        record, wires = self.record, self.physics.wires
        record.steps += 1
        start_s = (now_s - step_s) // SAMPLE_S * SAMPLE_S
        if not record.quarters or record.quarters[-1].start_s != start_s:
            record.quarters.append(Quarter(start_s))
        quarter, share = record.quarters[-1], step_s / SAMPLE_S
        quarter.charging_w += share * sum(sum(port.power_w) for port in self._connectors)
        quarter.pv_w += share * sum(sum(port.power_w) for port in self.plant.pvs.values())
        quarter.battery_w += share * sum(sum(port.power_w) for port in self.plant.batteries.values())
        quarter.load_w += share * sum(sum(port.power_w) for port in self._loads)
        quarter.grid_w += share * sum(wires.power_w[self._root : self._root + 3])
        quarter.paused += share * self.allocator.paused()
        for collector in self.run.site.collectors:
            at = 3 * collector.index
            used = max(wires.current_a[k] / self._limits[k] for k in (at, at + 1, at + 2))
            quarter.utilisation[collector.id] = max(quarter.utilisation.get(collector.id, 0.0), used)

    def _energy_wh(self) -> float:
        return sum(self.plant.counters_wh().values())


def _limits(site: Site) -> list[float]:
    """Rating by flat index; infinite for conductors that a collector does not have."""
    rated = [float("inf")] * (3 * len(site.collectors))
    for collector in site.collectors:
        for own, root in enumerate(collector.root_phases):
            rated[3 * collector.index + root] = collector.rated_a[own]
    return rated


def _power_limits(site: Site) -> Iterator[tuple[int, float, bool]]:
    """(flat index of L1, limit, True for VA) of every power limit."""
    for collector in site.collectors:
        for limit, apparent in ((collector.file.power_limit_va, True), (collector.file.power_limit_w, False)):
            if limit is not None:
                yield 3 * collector.index, limit, apparent
