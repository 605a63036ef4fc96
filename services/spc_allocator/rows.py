"""The constraint rows of a site, made once from the compiled site (SPC-1).

A **row** is one thing that may not be exceeded: a fuse on one conductor (root frame, rotations multiplied out), or the
power of a collector. Connectors are numbered depth first (a *slot*), so everything below a collector is one run
`[begin, end)` of slots, and the sums of all rows are differences of four running sums, one a **channel**:

    channel 0..2   amperes on the grid connection's L1, L2, L3
    channel 3      power, as amperes at 230 V summed over the phases
    channel 4      the same of connectors in PV surplus mode alone; only on sites that have such
    channel 5..7   amperes of vehicles on fewer than three conductors; only on sites that limit imbalance

`load` maps a current per connector to the channels (shape 4, 5 or 8 x n). Rows of fuses come first, then one power row
for each collector, those of imbalance (`imbalance`), one for each region of surplus (`surplus`). A collector that is
only monitored has no fuse rows; its power row binds when somebody sets a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from busbar.config.assets import AcChargePoint
from busbar.config.model import YieldKind
from busbar.config.plan import fallback_plan, smallest_current_a
from busbar.config.site import Collector, Entity, Site
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import MAX_AGE_TO_RAISE_MS, REACTION_TIME_S
from busbar.units import THREE_PHASE_V, Phase
from spc_allocator.dc import FLOWS_W, OBEYS, Dc
from spc_allocator.flexible.assets import Assets
from spc_allocator.switchable import FLOWS_A, switchable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

POWER: Final = 3
"""The channel of power rows."""
SURPLUS: Final = 4
"""The channel of rows of PV surplus."""
IMBALANCE: Final = 5
"""The first of the three channels of rows of imbalance, one a conductor."""
OBEYS_A: Final = 1.0
"""So much above its setpoint a connector still obeys."""
EPS: Final = 1e-6
"""Amperes that are dust: far below any step, far above rounding errors of the sums."""


def some(mask: Bools) -> bool:
    """Whether any is true: `mask.any()` without its half dozen Python calls, which a cycle would make fifty times."""
    return b"\x01" in mask.tobytes()


def slots_of(mask: Bools) -> list[int]:
    """Indexes of what is true."""
    indexes: list[int] = mask.nonzero()[0].tolist()
    return indexes


@dataclass(frozen=True)
class Rows:
    """Arrays by row: where the row stands, which channel it sums and over which slots."""

    collector: Ints
    channel: Ints
    begin: Ints
    end: Ints
    fuses: int
    """Rows below this index are fuses."""
    of_slot: tuple[tuple[tuple[int, int], ...], ...]
    """For each slot its rows as (row, channel); fuse rows only on conductors that the connector is wired to."""
    entry_row: Ints
    entry_slot: Ints
    """The same pairs, flat, ordered by row."""
    imbalance: int
    """Rows from this index on, up to those of surplus, are of imbalance."""
    surplus: int
    """Rows from this index on are regions of surplus."""

    @property
    def count(self) -> int:
        return len(self.channel)

    @property
    def uneven(self) -> bool:
        """Whether any collector limits imbalance."""
        return self.imbalance < self.surplus

    @cached_property
    def path(self) -> Ints:
        """n x the longest: `of_slot` as an array; short ones are filled up with `count`, a row that is none."""
        longest = max(map(len, self.of_slot), default=0)
        rows = np.full((self._slots, max(longest, 1)), self.count, dtype=np.int64)
        for slot, pairs in enumerate(self.of_slot):
            rows[slot, : len(pairs)] = [row for row, _ in pairs]
        return rows

    @cached_property
    def path_channel(self) -> Ints:
        """The channel of each row of `path`; 0 for none."""
        return np.append(self.channel, 0)[self.path]

    @cached_property
    def at_end(self) -> Ints:
        return self.channel * (self._slots + 1) + self.end

    @cached_property
    def at_begin(self) -> Ints:
        return self.channel * (self._slots + 1) + self.begin

    @property
    def _slots(self) -> int:
        return len(self.of_slot)

    def sums(self, channels: Floats) -> Floats:
        """Sum of each row, from per-slot values in all channels."""
        running = np.zeros((len(channels), self._slots + 1))
        np.add.accumulate(channels, axis=1, out=running[:, 1:])
        flat = running.ravel()
        return flat.take(self.at_end) - flat.take(self.at_begin)


@dataclass(frozen=True)
class Devices:
    """Facts of the connectors, by slot."""

    wired: Bools
    """3 x n: conductors of the grid connection behind the connector."""
    max_a: Floats
    minimum_a: Floats
    step_a: Floats
    """Setpoints are whole multiples of it."""
    pause_a: Floats
    """Told instead of 0, and booked from plug-in, where 0 is forbidden and something else pauses (SPC-11)."""
    flows_a: Floats
    """Above it current flows."""
    obeys_a: Floats
    """So much above its setpoint it still obeys."""
    weight: Floats
    priority: Ints
    """Higher first, in everything that is shared (SPC-24)."""
    classes: tuple[int, ...]
    """All that occur, highest first."""
    toggles: Bools
    """0 A takes the charging release back: can be toggled to wake a vehicle."""
    must_run: Bools
    """Cannot be paused: booked at its minimum from plug-in."""
    max_when_lost: Bools
    plan_a: Floats
    """Booked in the fallback plan: what it does before it was ever heard of."""
    reaction_ms: Ints
    watchdog_ms: Ints
    surplus: Bools
    """In PV surplus mode (SPC-20)."""
    surplus_only: Bools
    """Takes nothing but surplus."""
    in_amperes: bool
    """All steps are 1 A."""

    def whole(self, current_a: Floats) -> Floats:
        """Rounded down to whole steps."""
        if self.in_amperes:
            return np.floor(current_a)
        steps: Floats = np.floor(current_a / self.step_a)
        return steps * self.step_a


class Network:
    """Everything of a site that never changes while it runs, in the shape the allocator computes with."""

    def __init__(self, site: Site) -> None:
        self.site = site
        ordered = sorted(site.connectors, key=lambda e: site.tree.index[_collector_id(e)])
        self.entities: tuple[Entity, ...] = tuple(ordered)
        self.ids: tuple[str, ...] = tuple(e.id for e in ordered)
        self.slot = {name: slot for slot, name in enumerate(self.ids)}
        self.count = len(ordered)
        self.devices = _devices(site, self.entities)
        self.dc = Dc.among(site, self.entities, self.devices.minimum_a)
        self.pauses = some(self.devices.pause_a > 0.0)
        self.switchable = switchable(site, self.entities)
        self.begin, self.end = _runs(site, self.entities)
        self.regions, self.region = _regions(site, self.entities, self.devices.surplus)
        self.rows = _rows(site, self.entities, self.regions, self.begin, self.end)
        self.collectors = len(site.collectors)
        self.rated_a = np.array([c.root_rated_a for c in site.collectors], dtype=float).T.copy()
        """3 x V; 0 where a collector does not have the conductor."""
        self.own_order = _own_order(site)
        self.most_a = self.rated_a.max(axis=0)
        """V: largest rating of its conductors."""
        self.fixed_a = np.array([c.file.fixed_reserve_a for c in site.collectors], dtype=float)
        self.dynamic = np.array([c.file.dynamic_reserve_connectors for c in site.collectors], dtype=np.int64)
        self.power_limit_w = _limits([c.file.power_limit_w for c in site.collectors])
        self.power_limit_va = _limits([c.file.power_limit_va for c in site.collectors])
        self.imbalance_a = _limits([c.file.imbalance_limit_a for c in site.collectors])
        self.export_limit_w = _limits([c.file.export_limit_w for c in site.collectors])
        self.has_peak = any(c.file.quarter_hour_peak_w is not None for c in site.collectors)
        self.assets = Assets(site)
        """Everything else whose power is set."""
        self.worst_a = _worst_case(site)
        self.unmetered_a = _unmetered_floor(site)
        self.fuse_flat = self.rows.channel[: self.rows.fuses] * self.collectors + self.rows.collector[: self.rows.fuses]
        """Index of each fuse row in a flattened 3 x V array."""
        self.path = tuple(site.tree.path(_collector_id(e)) for e in ordered)
        self.protected = np.array([not c.file.monitored_only for c in site.collectors], dtype=bool)
        self.under = _membership(self.path, self.collectors)
        self.fresh_ms = np.array([_fresh_ms(site, c) for c in site.collectors], dtype=float)
        self.lost_after_ms = np.array([c.file.on_lost_meter.timeout_s * 1000.0 for c in site.collectors])
        self.on_lost_a = np.array([_on_lost_a(c) for c in site.collectors])

    def yields_before(self, kind: YieldKind, other: YieldKind) -> bool:
        """At scarcity `kind` gives way first (SPC-24)."""
        order = self.site.options.yield_order
        return order.index(kind) < order.index(other)

    def below(self, per_slot: Floats) -> Floats:
        """3 x V sums over everything below each collector of per-slot values (3 x n)."""
        running = np.zeros((3, self.count + 1))
        np.add.accumulate(per_slot, axis=1, out=running[:, 1:])
        below: Floats = running.take(self.end, axis=1) - running.take(self.begin, axis=1)
        return below


def _collector_id(entity: Entity) -> str:
    if entity.collector is None:
        raise ValueError(f"connector {entity.id!r} hangs on no collector")
    return entity.collector


def _runs(site: Site, entities: tuple[Entity, ...]) -> tuple[Ints, Ints]:
    """First slot and one past the last slot below each collector."""
    at = np.array([site.tree.index[_collector_id(e)] for e in entities], dtype=np.int64)
    begin = np.array([np.searchsorted(at, node.index) for node in site.tree.nodes], dtype=np.int64)
    end = np.array([np.searchsorted(at, node.end) for node in site.tree.nodes], dtype=np.int64)
    return begin, end


def _regions(site: Site, entities: tuple[Entity, ...], wants: Bools) -> tuple[tuple[int, ...], Ints]:
    """Collectors at which the surplus of connectors in surplus mode is measured, the topmost metered one above each
    (else the grid connection); and by slot the number of its region, -1 for all others."""
    at = np.full(len(entities), -1, dtype=np.int64)
    for slot in slots_of(wants):
        path = site.tree.path(_collector_id(entities[slot]))
        metered = [index for index in path if site.collectors[index].file.meter]
        at[slot] = metered[-1] if metered else path[-1]
    regions = tuple(sorted({int(index) for index in at[wants]}))
    return regions, np.array([regions.index(index) if index >= 0 else -1 for index in at.tolist()], dtype=np.int64)


def _rows(site: Site, entities: tuple[Entity, ...], regions: tuple[int, ...], begin: Ints, end: Ints) -> Rows:
    fuses = [
        (c.index, int(phase)) for c in site.collectors if not c.file.monitored_only for phase in sorted(c.root_phases)
    ]
    powers = [(c.index, POWER) for c in site.collectors]
    uneven = [
        (c.index, IMBALANCE + int(phase))
        for c in site.collectors
        if c.file.imbalance_limit_a is not None
        for phase in sorted(c.root_phases)
    ]
    keys = fuses + powers + uneven + [(index, SURPLUS) for index in regions]
    of_slot: list[list[tuple[int, int]]] = [[] for _ in entities]
    entry_row: list[int] = []
    entry_slot: list[int] = []
    for row, (collector, channel) in enumerate(keys):
        for slot in range(int(begin[collector]), int(end[collector])):
            if _counts(entities[slot], channel):
                of_slot[slot].append((row, channel))
                entry_row.append(row)
                entry_slot.append(slot)
    collector_of, channel_of = np.array(keys, dtype=np.int64).reshape(-1, 2).T.copy()
    return Rows(
        collector_of, channel_of, begin[collector_of], end[collector_of], len(fuses),
        tuple(tuple(rows) for rows in of_slot),
        np.array(entry_row, dtype=np.int64), np.array(entry_slot, dtype=np.int64),
        len(fuses) + len(powers), len(keys) - len(regions),
    )  # fmt: skip


def _counts(entity: Entity, channel: int) -> bool:
    """Whether it may ever count in a row of that channel."""
    if channel == POWER:
        return True
    if channel == SURPLUS:
        return _surplus(entity) != "off"
    return Phase(channel - IMBALANCE if channel >= IMBALANCE else channel) in entity.root_phases


def _surplus(entity: Entity) -> str:
    point = entity.charge_point
    if not isinstance(point, AcChargePoint):
        return "off"
    return next((c.surplus for c in point.connectors if c.id == entity.id), "off")


def _devices(site: Site, entities: tuple[Entity, ...]) -> Devices:
    facts = [site.packages.get(site.devices[e.device].package) if e.device else None for e in entities]
    plan = fallback_plan(site)
    points = [e.charge_point for e in entities]
    return Devices(
        wired=np.array([[Phase(p) in e.root_phases for e in entities] for p in range(3)], dtype=bool),
        max_a=np.array([e.max_current_a for e in entities], dtype=float),
        minimum_a=np.array([smallest_current_a(e, f) for e, f in zip(entities, facts, strict=True)], dtype=float),
        step_a=np.array([f.step_a if f else 1.0 for f in facts], dtype=float),
        pause_a=np.array([(f.declared_pause_a or 0.0) if f else 0.0 for f in facts], dtype=float),
        flows_a=np.array([FLOWS_W / THREE_PHASE_V if e.dc else FLOWS_A for e in entities], dtype=float),
        obeys_a=np.array([max(OBEYS_A, OBEYS * e.max_current_a if e.dc else 0.0) for e in entities], dtype=float),
        weight=np.array([e.weight for e in entities], dtype=float),
        priority=np.array([e.priority for e in entities], dtype=np.int64),
        classes=tuple(sorted({e.priority for e in entities}, reverse=True)),
        toggles=np.array([f is not None and f.zero_releases for f in facts], dtype=bool),
        must_run=np.array([f is not None and f.pause_a >= f.minimum_a for f in facts], dtype=bool),
        max_when_lost=np.array([p is not None and p.book_at_max_when_lost for p in points], dtype=bool),
        plan_a=np.array([plan.booked_a[e.id] for e in entities], dtype=float),
        reaction_ms=np.array([1000 * (f.reaction_s if f else REACTION_TIME_S) for f in facts], dtype=np.int64),
        watchdog_ms=np.array([1000 * (p.watchdog_s if p else 30.0) for p in points], dtype=np.int64),
        surplus=np.array([_surplus(e) != "off" for e in entities], dtype=bool),
        surplus_only=np.array([_surplus(e) == "only" for e in entities], dtype=bool),
        in_amperes=not any(e.dc for e in entities),
    )


def _own_order(site: Site) -> Ints:
    """3 x V: the grid connection's conductor behind each own one of a collector; 3 where it has none."""
    order = np.full((3, len(site.collectors)), 3, dtype=np.int64)
    for collector in site.collectors:
        order[: len(collector.root_phases), collector.index] = collector.root_phases
    return order


def _limits(values: list[float | None]) -> Floats:
    return np.array([np.inf if value is None else value for value in values], dtype=float)


def _membership(path: tuple[tuple[int, ...], ...], collectors: int) -> Bools:
    """V x n: the slot hangs below the collector."""
    under = np.zeros((collectors, len(path)), dtype=bool)
    for slot, indexes in enumerate(path):
        under[list(indexes), slot] = True
    return under


def _worst_case(site: Site) -> Floats:
    """3 x V: worst case of what is not controlled below, generation counted 0 (failure.md, The fallback plan)."""
    worst = np.zeros((3, len(site.collectors)))
    for collector in site.collectors:
        virtual = collector.file.virtual
        amount = max(collector.file.unmetered_load_a, virtual.unmetered_load_a if virtual else 0.0)
        _spread(worst, collector.path, collector.root_phases, amount)
    for entity in site.entities.values():
        if entity.kind is AssetKind.LOAD and entity.collector:
            _spread(worst, site.tree.path(entity.collector), entity.root_phases, entity.max_current_a)
    return worst


def _unmetered_floor(site: Site) -> Floats:
    """3 x V: least load of a virtual collector, the worst case of what has no meter in its region (SPC-15); -inf for
    a collector with a meter of its own, which sees what is there."""
    floor = np.zeros((3, len(site.collectors)))
    for collector in site.collectors:
        amount = collector.file.virtual.unmetered_load_a if collector.file.virtual else 0.0
        region: list[int] = []
        for index in collector.path:
            if site.collectors[index].file.meter:
                break
            region.append(index)
        _spread(floor, tuple(region), collector.root_phases, amount)
    metered = [c.index for c in site.collectors if c.file.meter]
    floor[:, metered] = -np.inf
    return floor


def _spread(into: Floats, path: tuple[int, ...], phases: tuple[Phase, ...], amount_a: float) -> None:
    for index in path:
        for phase in phases:
            into[phase, index] += amount_a


def _fresh_ms(site: Site, collector: Collector) -> float:
    """Age above which the collector's values raise nothing: 3 s, or three polls of its slowest meter."""
    if collector.file.meter:
        sources = [site.entities[collector.file.meter]]
    else:
        meters = [site.collectors[i].file.meter for i in site.tree.below(collector.id)]
        sources = [*site.below(collector.id), *(site.entities[m] for m in meters if m)]
    return max([float(MAX_AGE_TO_RAISE_MS), *(3.0 * source.poll_ms for source in sources)])


def _on_lost_a(collector: Collector) -> float:
    """Upper bound of connectors below while the collector's monitoring is invalid (FB-2)."""
    policy = collector.file.on_lost_meter
    if policy.action == "ignore_lost_meter":
        return float(np.inf)
    return policy.value_a if policy.action == "minimum" else 0.0
