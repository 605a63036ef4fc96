"""The site at one instant (algorithms.md, Quantities and UCL; SPC-15, SPC-16; FC-7). Pure: values and `now` in and out.

- Everything stands in the grid connection's frame and is summed as P and Q per phase, never as amperes.
- **Background** of a collector = its meter less the controllable connectors below, at one *common instant*: the oldest
  of the newest samples among the inputs; each input counts with its last value at or before it. Without that every
  step of a vehicle shows up as phantom load, because meters are read five times a second and chargers once.
- The newest meter value counts at once too, less what may be the connectors' own: a rise that fits into (limit in
  force less last measured) of connectors whose sample is older than the meter's is theirs and is booked already.
- A virtual collector is the sum of its parts plus its stated worst-case unmetered load, valid while its parts are.
- A connector that is silent keeps its last value here: what it may draw is booked by the allocator.
- Never seen, or silent for longer than the collector's timeout, is *invalid*; never "no limit".
- A meter above a rating is a guard event: a snapshot at once, and again only when the excess outlasts the reaction
  time.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from busbar.config.site import Collector, Entity, Site
from busbar.domain.charging import Status
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import REACTION_TIME_S
from busbar.domain.quality import Quality
from busbar.domain.topology import to_own_frame
from busbar.events import (
    AssetSample,
    CollectorSample,
    CollectorState,
    ConnectorSample,
    Measurement,
    Session,
    SiteSnapshot,
    Sums,
)
from busbar.units import MIN_CURRENT_A, NOMINAL_VOLTAGE_V, ZERO, PhaseVector
from collector_aggregator.samples import Electrical, Reader

HISTORY_S = 120.0
NEVER_MS = 10**9
SNAPSHOT_LIFETIME_MS = 5000
ALIGN_AT_MOST_S = 15.0
"""An input older than this is silent, not slow: it does not hold back the common instant."""

Powers = list[float]
"""[P1, P2, P3, Q1, Q2, Q3], root frame."""


@dataclass(slots=True)
class Seen:
    """Newest sample of one entity and its recent past."""

    entity: Entity
    reader: Reader
    event: Measurement | None = None
    at_s: float = -math.inf
    values: Electrical | None = None
    history: deque[tuple[float, Powers]] = field(default_factory=deque)
    session: Session | None = None

    def take(self, event: Measurement, at_s: float) -> None:
        self.event = event
        values = self.reader.read(event) if event.reachable else None
        if values is None:
            return
        self.values, self.at_s = values, at_s
        history = self.history
        history.append((at_s, [*values.power_w, *values.reactive_var]))
        while history[0][0] < at_s - HISTORY_S:
            history.popleft()

    def at(self, when_s: float) -> Powers:
        """Last value at or before `when_s`; the oldest known where there is none."""
        for at_s, powers in reversed(self.history):
            if at_s <= when_s:
                return powers
        return self.history[0][1] if self.history else [0.0] * 6

    @property
    def newest(self) -> Powers:
        return self.history[-1][1] if self.history else [0.0] * 6

    def age_ms(self, now_s: float) -> int:
        return round((now_s - self.at_s) * 1000.0) if self.at_s > -math.inf else NEVER_MS


@dataclass(slots=True)
class _Node:
    """One collector with what hangs on it; built once."""

    collector: Collector
    meter: Seen | None
    connectors: list[Seen]
    """All connectors at or below."""
    own_assets: list[Seen]
    """Loads and generators that hang directly here."""
    below_assets: list[Seen]
    children: list[int]
    unmetered_w: float
    background: Powers = field(default_factory=lambda: [0.0] * 6)
    measured: Powers = field(default_factory=lambda: [0.0] * 6)
    valid: bool = False
    age_ms: int = NEVER_MS
    excess_since_s: float | None = None


class Aggregator:
    """Keeps the newest of everything; makes snapshots."""

    def __init__(self, site: Site, first_number: int) -> None:
        self.site = site
        self._number = first_number
        self._seen = {e.id: Seen(e, Reader(e.root_phases)) for e in site.entities.values()}
        self._connectors = [self._seen[e.id] for e in site.connectors]
        self._assets = [
            s for s in self._seen.values() if s.entity.kind not in (AssetKind.AC_CONNECTOR, AssetKind.METER)
        ]
        self._nodes = [self._node(c) for c in site.collectors]
        self._of_meter = {n.meter.entity.id: n for n in self._nodes if n.meter}
        self._guard: list[str] = []

    # -- inputs

    def observe(self, event: Measurement, at_s: float) -> bool:
        """A measurement that was true at monotonic `at_s`. True: a fuse is above its limit, snapshot now."""
        seen = self._seen.get(event.asset)
        if seen is None or at_s < seen.at_s:
            return False
        seen.take(event, at_s)
        node = self._of_meter.get(event.asset)
        return node is not None and seen.at_s == at_s and self._check_guard(node, seen, at_s)

    def session(self, event: Session) -> None:
        seen = self._seen.get(event.connector)
        if seen is not None:
            seen.session = event if event.ended_at_ms is None else None

    # -- guard

    def _check_guard(self, node: _Node, seen: Seen, now_s: float) -> bool:
        if not self._above(node.collector, seen.newest, seen.values):
            node.excess_since_s = None
            return False
        if node.excess_since_s is not None and now_s - node.excess_since_s < REACTION_TIME_S:
            return False
        node.excess_since_s = now_s
        self._guard.append(node.collector.id)
        return True

    @staticmethod
    def _above(collector: Collector, powers: Powers, values: Electrical | None) -> bool:
        voltage = values.voltage_v if values else (NOMINAL_VOLTAGE_V,) * 3
        for own, root in enumerate(collector.root_phases):
            current_a = math.hypot(powers[root], powers[3 + root]) / (voltage[root] or NOMINAL_VOLTAGE_V)
            if current_a > collector.rated_a[own]:
                return True
        power_w, reactive_var = sum(powers[:3]), sum(powers[3:])
        limit_w, limit_va = collector.file.power_limit_w, collector.file.power_limit_va
        return (limit_w is not None and abs(power_w) > limit_w) or (
            limit_va is not None and math.hypot(power_w, reactive_var) > limit_va
        )

    # -- outputs

    def snapshot(self, now_s: float, now_ms: int) -> tuple[SiteSnapshot, list[CollectorState]]:
        """The numbered snapshot, and the state of each collector for pages and history."""
        for node in reversed(self._nodes):  # children come after their parent: sums flow up
            self._calculate(node, now_s)
        self._number += 1
        guard, self._guard = tuple(dict.fromkeys(self._guard)), []
        snapshot = SiteSnapshot(
            number=self._number,
            taken_at_ms=now_ms,
            published_at_ms=now_ms,
            lifetime_ms=SNAPSHOT_LIFETIME_MS,
            fingerprint=self.site.fingerprint,
            guard=guard,
            collectors=tuple(self._collector_sample(n) for n in self._nodes),
            connectors=tuple(self._connector_sample(s, now_s, now_ms) for s in self._connectors),
            assets=tuple(self._asset_sample(s, now_s) for s in self._assets),
        )
        return snapshot, [self._state(n, now_s, now_ms) for n in self._nodes]

    def _calculate(self, node: _Node, now_s: float) -> None:
        if node.meter is None:
            self._calculate_virtual(node, now_s)
        else:
            self._calculate_metered(node, node.meter, now_s)

    def _calculate_metered(self, node: _Node, meter: Seen, now_s: float) -> None:
        timeout_ms = node.collector.file.on_lost_meter.timeout_s * 1000.0
        node.age_ms = meter.age_ms(now_s)
        node.valid = node.age_ms < timeout_ms
        node.measured = meter.newest
        common_s = meter.at_s
        for seen in node.connectors:
            if meter.at_s - ALIGN_AT_MOST_S < seen.at_s < common_s:
                common_s = seen.at_s
        aligned = _less(meter.at(common_s), [s.at(common_s) for s in node.connectors])
        newest = _less(meter.newest, [s.newest for s in node.connectors])
        allowance = self._allowance_w(node, meter)
        for phase in range(3):
            surely = newest[phase] - allowance[phase]
            if surely > aligned[phase]:
                aligned[phase], aligned[3 + phase] = surely, newest[3 + phase]
        node.background = aligned

    @staticmethod
    def _allowance_w(node: _Node, meter: Seen) -> PhaseVector:
        """What connectors may have risen by since their last sample, per phase: theirs, not background."""
        extra = [0.0, 0.0, 0.0]
        for seen in node.connectors:
            if seen.values is None or seen.event is None or seen.at_s >= meter.at_s:
                continue
            limit_a = seen.event.number("actual_limit_current_a")
            if limit_a is None:
                limit_a = seen.entity.max_current_a
            for root in seen.entity.root_phases:
                extra[root] += max(0.0, limit_a - seen.values.current_a[root]) * seen.values.voltage_v[root]
        return PhaseVector(*extra)

    def _calculate_virtual(self, node: _Node, now_s: float) -> None:
        """Sum of parts. The stated unmetered load is worst case: it is booked, not measured."""
        background = [node.unmetered_w * (p in node.collector.root_phases) for p in (0, 1, 2)] + [0.0] * 3
        age_ms = 0
        valid = True
        for asset in node.own_assets:
            _add(background, asset.newest)
            if asset.entity.device is not None and asset.entity.kind is not AssetKind.PV:
                age_ms = max(age_ms, asset.age_ms(now_s))
        for index in node.children:
            child = self._nodes[index]
            _add(background, child.background)
            valid = valid and child.valid
            age_ms = max(age_ms, child.age_ms)
        timeout_ms = node.collector.file.on_lost_meter.timeout_s * 1000.0
        node.background, node.age_ms, node.valid = background, age_ms, valid and age_ms < timeout_ms
        node.measured = list(background)
        for seen in node.connectors:
            _add(node.measured, seen.newest)

    def _collector_sample(self, node: _Node) -> CollectorSample:
        generation = [0.0, 0.0, 0.0]
        for asset in node.below_assets:
            for phase in range(3):
                generation[phase] += min(0.0, asset.newest[phase])
        return CollectorSample(
            collector=node.collector.id,
            valid=node.valid,
            age_ms=node.age_ms,
            power_w=PhaseVector(*node.measured[:3]),
            reactive_power_var=PhaseVector(*node.measured[3:]),
            background_w=PhaseVector(*node.background[:3]),
            background_var=PhaseVector(*node.background[3:]),
            generation_w=PhaseVector(*generation),
        )

    @staticmethod
    def _connector_sample(seen: Seen, now_s: float, now_ms: int) -> ConnectorSample:
        event, values, session = seen.event, seen.values, seen.session
        age_ms = seen.age_ms(now_s)
        number = event.number if event else lambda _: None
        return ConnectorSample(
            connector=seen.entity.id,
            status=_status(event),
            reachable=event is not None and event.reachable and age_ms <= event.lifetime_ms * 3,
            age_ms=age_ms,
            sampled_at_ms=max(0, now_ms - age_ms),
            current_a=values.current_a if values else ZERO,
            power_w=values.power_w if values else ZERO,
            reactive_power_var=values.reactive_var if values else ZERO,
            voltage_v=values.voltage_v if values else ZERO,
            limit_a=number("actual_limit_current_a"),
            fallback_a=number("fallback_current_a"),
            watchdog_s=number("watchdog_timeout_s"),
            session_id=session.session_id if session else None,
            session_energy_wh=session.energy_wh if session else 0.0,
            plugged_at_ms=session.plugged_at_ms if session else 0,
        )

    @staticmethod
    def _asset_sample(seen: Seen, now_s: float) -> AssetSample:
        values = seen.values
        return AssetSample(
            asset=seen.entity.id,
            kind=seen.entity.kind,
            reachable=seen.event is not None and seen.event.reachable,
            age_ms=seen.age_ms(now_s),
            power_w=values.power_w if values else ZERO,
            reactive_power_var=values.reactive_var if values else ZERO,
        )

    def _state(self, node: _Node, now_s: float, now_ms: int) -> CollectorState:
        collector = node.collector
        own = collector.root_phases
        power = to_own_frame(PhaseVector(*node.measured[:3]), own)
        reactive = to_own_frame(PhaseVector(*node.measured[3:]), own)
        known = node.age_ms < NEVER_MS
        free = sum(1 for s in node.connectors if _status(s.event) is Status.AVAILABLE)
        reserve_a = max(
            collector.file.fixed_reserve_a, MIN_CURRENT_A * min(free, collector.file.dynamic_reserve_connectors)
        )
        current = PhaseVector(
            *(math.copysign(math.hypot(p, q) / NOMINAL_VOLTAGE_V, p) for p, q in zip(power, reactive, strict=True))
        )
        fresh = node.age_ms <= 3000
        return CollectorState(
            collector=collector.id,
            measured_at_ms=max(0, now_ms - min(node.age_ms, now_ms)),
            lifetime_ms=SNAPSHOT_LIFETIME_MS,
            virtual=node.meter is None,
            quality=Quality.GOOD if node.valid and fresh else Quality.STALE if node.valid else Quality.COMM_FAIL,
            current_a=current if known else None,
            power_w=power if known else None,
            reactive_power_var=reactive if known else None,
            sums=self._sums(node),
            free_connectors=free,
            reserve_a=reserve_a,
            limit_a=PhaseVector(*(max(0.0, rated - reserve_a) for rated in collector.rated_a)),
        )

    @staticmethod
    def _sums(node: _Node) -> Sums:
        """SPC-16, own frame."""
        own = node.collector.root_phases
        ac, pv = [0.0] * 6, [0.0] * 6
        for seen in node.connectors:
            _add(ac, seen.newest)
        for seen in node.below_assets:
            if seen.entity.kind is AssetKind.PV:
                _add(pv, seen.newest)
        ucl = None
        if node.valid:
            ucl = to_own_frame(PhaseVector(*(node.measured[p] - ac[p] - pv[p] for p in range(3))), own)
        return Sums(
            ucl_w=ucl, pv_w=to_own_frame(PhaseVector(*pv[:3]), own), ac_w=to_own_frame(PhaseVector(*ac[:3]), own),
            dc_w=ZERO, bess_w=ZERO, wind_w=ZERO, chp_w=ZERO, heat_w=ZERO,
        )  # fmt: skip

    # -- construction

    def _node(self, collector: Collector) -> _Node:
        tree = self.site.tree
        below = set(tree.below(collector.id))
        hanging = [s for s in self._seen.values() if s.entity.collector and tree.index[s.entity.collector] in below]
        assets = [s for s in hanging if s.entity.kind not in (AssetKind.AC_CONNECTOR, AssetKind.METER)]
        virtual = collector.file.virtual
        return _Node(
            collector=collector,
            meter=self._seen.get(collector.file.meter) if collector.file.meter else None,
            connectors=[s for s in hanging if s.entity.kind is AssetKind.AC_CONNECTOR],
            own_assets=[s for s in assets if s.entity.collector == collector.id],
            below_assets=assets,
            children=[n.index for n in tree.nodes if n.parent == collector.index],
            unmetered_w=virtual.unmetered_load_a * NOMINAL_VOLTAGE_V if virtual else 0.0,
        )


def _status(event: Measurement | None) -> Status | None:
    text = event.text("status") if event else None
    if text is None:
        return None
    return Status(text)


def _less(whole: Powers, parts: list[Powers]) -> Powers:
    out = list(whole)
    for part in parts:
        for i in range(6):
            out[i] -= part[i]
    return out


def _add(into: Powers, part: Powers) -> None:
    for i in range(6):
        into[i] += part[i]
