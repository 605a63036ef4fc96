"""A site in closed loop, stepped directly, in which nothing is nice: meters lag, vehicles overdraw, stop and change
phases, and one collector at a time is cut to 30 %. Judged by physical currents (algorithms.md, What must never be
false).

The cores are the live ones: the aggregator makes the snapshot, `decide` decides with its certificate checked.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import date
from datetime import time as clocktime
from random import Random
from typing import Final

import numpy as np

from busbar.config.assets import Battery
from busbar.config.site import Site
from busbar.events import CollectorLimit, Measurement
from busbar.registry import core
from busbar.sim.direct_field import DirectField
from busbar.sim.physics import Physics
from busbar.sim.twin import build_plant
from busbar.sim.world import World
from spc_allocator.core import Decided, decide
from spc_allocator.inputs import Inputs
from spc_allocator.rows import Network
from spc_allocator.state import AllocatorState
from spc_allocator.waking import WAKE_A

CUT: Final = 0.3
CUT_S: Final = (300.0, 1200.0)
GRACE_S: Final = 20.0
"""A cut is obeyed after a decision and the slowest vehicle's reaction."""
DUST: Final = 1e-6


@dataclass
class Soak:
    """One run. `wrong` lists what must never be, `seen` counts what was met."""

    site: Site
    day: date
    seed: int
    start: clocktime
    step_s: float = 1.0
    wrong: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        world = World(self.site, self.day, self.seed, self.start, staged=True)
        self.plant = build_plant(self.site, self.seed)
        self.physics = Physics(self.site, self.plant, world, self.seed)
        self.utc_start_ms = world.almanac.utc_start_ms
        self.field = DirectField(self.site, self.plant, self.utc_start_ms)
        options = self.site.options.model_copy(update={"cycle_ms": round(1000.0 * self.step_s)})
        paced = replace(self.site, options=options)
        self.aggregator = core("aggregator")(paced, 0)
        self.net = Network(paced)
        self.state = AllocatorState.fresh(self.net, self.utc_start_ms)
        self.lag = {name: self.rng.choice((0, 0, 0, 1, 2)) for name in self.site.entities}
        """Steps by which each reading is late."""
        self._late: deque[list[Measurement]] = deque(maxlen=3)
        self._cut: tuple[CollectorLimit, float, float] | None = None
        self._told: deque[tuple[float, np.ndarray]] = deque()
        self._starts: dict[str, deque[float]] = {name: deque() for name in self.net.ids}
        self._excess_s = 0.0
        self.now_s = 0.0

    def run(self, duration_s: float) -> None:
        self._control()
        while self.now_s < duration_s:
            self.now_s += self.step_s
            self._upset()
            self.field.act()
            self.physics.step(self.step_s, self.now_s)
            self._judge_cut()
            self._control()
            self._judge_batteries()
        self.wrong += [str(finding) for finding in self.physics.judge.findings() if not finding.ok]

    # -- what happens

    def _upset(self) -> None:
        """Phases that drop out, vehicles that stop, and cuts that come and go."""
        rng, charging = self.rng, [bay for bay in self.physics.bays.values() if bay.vehicle and bay.vehicle.current_a]
        if charging and rng.random() < self.step_s / 120.0:
            vehicle = rng.choice(charging).vehicle
            assert vehicle is not None
            kind = rng.choice(("phases", "stops", "overdraws"))
            self.seen[kind] += 1
            if kind == "stops":
                vehicle.stop(self.now_s)
            elif kind == "phases":
                vehicle.shares = (*vehicle.shares[:1], 0.0, 0.0) if vehicle.shares[1] else (1.0, *vehicle.shares[1:])
            else:
                vehicle.manners = replace(vehicle.manners, over_a=rng.uniform(0.5, 1.5))
        if self._cut is None and rng.random() < self.step_s / 600.0:
            collector = rng.choice([c for c in self.site.collectors if not c.file.monitored_only])
            whole_w = 230.0 * sum(collector.rated_a)
            limit = CollectorLimit(
                collector=collector.id, source="soak", import_limit_w=CUT * whole_w, published_at_ms=0
            )
            self._cut = (limit, self.now_s, self.now_s + rng.uniform(*CUT_S))
            self.seen["cut"] += 1
        elif self._cut is not None and self.now_s >= self._cut[2]:
            self._cut = None

    def _control(self) -> None:
        """Read late, take a snapshot, decide, judge what is told, tell it."""
        now_ms = self.utc_start_ms + round(self.now_s * 1000.0)
        for session in self.field.sessions(self.now_s):
            self.aggregator.session(session)
        self._late.append(list(self.field.measurements(self.now_s, round(10_000.0 * self.step_s))))
        for back, readings in enumerate(reversed(self._late)):
            at_s = self.now_s - back * self.step_s
            for reading in readings:
                if self.lag[reading.asset] == back and at_s >= 0.0:
                    self.aggregator.observe(reading, at_s)
        limits = () if self._cut is None else (self._cut[0],)
        snapshot = self.aggregator.snapshot(self.now_s, now_ms)
        decided = decide(self.net, self.state, snapshot, Inputs(limits=limits), now_ms, check=True)
        self._judge(decided)
        self.state = decided.state
        self.field.tell({**decided.told(), **decided.told_w()})

    # -- what must never be

    def _judge(self, decided: Decided) -> None:
        told, before = decided.setpoint_a, self.state
        minimum = self.net.devices.minimum_a
        bad = (told != 0.0) & ((told < minimum) | (told != np.floor(told)))
        self._say("steps", bad, told)
        while self._told and self._told[0][0] < self.now_s - 59.5:
            self._told.popleft()
        waking = (decided.state.wake_tries > 0) & (told <= WAKE_A)  # algorithms.md, Waking: 8 A whatever the ramp says
        for _, earlier in self._told:
            self._say("ramp", (earlier >= 6.0) & (told > earlier + 1.0 + DUST) & decided.cycle.present & ~waking, told)
        self._told.append((self.now_s, told.copy()))
        highest = decided.state.cap_window.top
        self._say("cap", decided.cycle.present & (told > np.maximum(6.0, highest + 5.0) + DUST) & ~waking, told)
        begun = (told >= 6.0) & (before.setpoint_a < 6.0) & before.present & decided.cycle.present & before.started
        begun &= decided.state.wake_tries <= 1  # a release that is toggled is no start
        for slot in np.flatnonzero(begun).tolist():
            starts = self._starts[self.net.ids[slot]]
            starts.append(self.now_s)
            self.seen["resumed"] += 1
            while starts[0] < self.now_s - 3600.0:
                starts.popleft()
            if len(starts) > self.site.options.starts_per_hour + 1:
                self.wrong.append(f"{self.now_s:.0f} s {self.net.ids[slot]}: {len(starts)} starts in an hour")
        self.seen["paused"] += int((decided.cycle.present & (told == 0.0)).any())
        self.seen["guard"] += bool(decided.guarded)
        self.seen["minima do not fit"] += bool(decided.cycle.admitted.lacking)

    def _judge_batteries(self) -> None:
        """None is driven out of its window (SPC-13): where it started outside, not further."""
        for name, port in self.plant.batteries.items():
            file = self.site.entities[name].flexible
            assert isinstance(file, Battery)
            self.seen["battery works"] += port.power_w[0] != 0.0
            empty = port.power_w[0] < 0.0 and port.soc_percent < file.soc_min_percent - 0.5
            full = port.power_w[0] > 0.0 and port.soc_percent > file.soc_max_percent + 0.5
            if empty or full:
                self.wrong.append(f"{self.now_s:.0f} s {name}: {port.power_w[0]:.0f} W at {port.soc_percent:.1f} %")

    def _judge_cut(self) -> None:
        """After the grace the collector keeps to its cut, or everything below that may be 0 A is 0 A."""
        if self._cut is None or self.now_s < self._cut[1] + GRACE_S:
            return
        limit = self._cut[0]
        assert limit.import_limit_w is not None
        index = self.site.tree.index[limit.collector]
        flows_w = sum(self.physics.wires.power_w[3 * index : 3 * index + 3])
        below = slice(int(self.net.begin[index]), int(self.net.end[index]))
        offered = (self.state.setpoint_a[below] > 0.0) & self.state.present[below] & ~self.net.devices.must_run[below]
        if flows_w > limit.import_limit_w * (1.0 + DUST) and offered.any():
            self._excess_s += self.step_s
            if self._excess_s > 10.0:
                self.wrong.append(
                    f"{self.now_s:.0f} s {limit.collector}: {flows_w:.0f} W, cut to {limit.import_limit_w:.0f}"
                )
        else:
            self._excess_s = 0.0
        self.seen["cut binds"] += flows_w > 0.6 * limit.import_limit_w

    def _say(self, rule: str, bad: np.ndarray, told: np.ndarray) -> None:
        for slot in np.flatnonzero(bad).tolist() if bad.any() else ():
            self.wrong.append(f"{self.now_s:.0f} s {rule}: {self.net.ids[slot]} told {told[slot]:g} A")
