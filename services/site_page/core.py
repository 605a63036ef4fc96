"""What the page shows, as plain values made from the newest events: no HTML, no clock, no bus.

The page is honest: a value older than its lifetime is marked stale, one never seen is shown as a dash, and what a
service says about itself is shown beside how long ago it said so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from busbar.bus import Received
from busbar.config.assets import Battery
from busbar.config.site import Collector, Entity, Site
from busbar.domain.charging import Status
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import HEARTBEAT_TIMEOUT_S
from busbar.events import (
    Alarm,
    CollectorState,
    Decision,
    Event,
    Fallback,
    Heartbeat,
    Measurement,
    Session,
    Setpoint,
    SetpointResult,
)
from busbar.units import PhaseVector
from site_page.asset_rows import AssetRow, Heard, asset_row
from site_page.words import STATUS, age_words, reason_words

LOG_LINES = 40
HISTORY_S = 900
PHASES = ("L1", "L2", "L3")
FUSES = {
    "gG": "gG", "mcb_b": "MCB B", "mcb_c": "MCB C", "mcb_d": "MCB D", "adjustable": "adjustable",
    "electronic": "electronic",
}  # fmt: skip


@dataclass
class Newest:
    """The newest event per entity: one value each, never a backlog."""

    telemetry: dict[str, Received[Measurement]] = field(default_factory=dict)
    collectors: dict[str, Received[CollectorState]] = field(default_factory=dict)
    setpoints: dict[str, Received[Setpoint]] = field(default_factory=dict)
    results: dict[str, Received[SetpointResult]] = field(default_factory=dict)
    decisions: dict[str, Received[Decision]] = field(default_factory=dict)
    sessions: dict[str, Received[Session]] = field(default_factory=dict)
    fallbacks: dict[str, Received[Fallback]] = field(default_factory=dict)
    beats: dict[str, Received[Heartbeat]] = field(default_factory=dict)
    alarms: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LOG_LINES))


@dataclass(frozen=True, slots=True)
class LogLine:
    at_ms: int
    level: str
    """`info`, `warning`, `error`, `critical`."""
    who: str
    text: str


@dataclass(frozen=True, slots=True)
class PhaseLoad:
    """One conductor of one collector: what flows against what may."""

    name: str
    current_a: float | None
    limit_a: float
    rated_a: float

    @property
    def share(self) -> float:
        """Part of the rating in use, 0 to 1 and above."""
        return abs(self.current_a or 0.0) / self.rated_a if self.rated_a else 0.0

    @property
    def limit_share(self) -> float:
        return self.limit_a / self.rated_a if self.rated_a else 0.0

    @property
    def level(self) -> str:
        """`ok`, `near` (above 90 % of the limit) or `over` (above the limit)."""
        if self.current_a is None:
            return "unknown"
        load = abs(self.current_a)
        if load > self.rated_a:
            return "over"
        return "near" if load > 0.9 * self.limit_a else "ok"


@dataclass(frozen=True, slots=True)
class CollectorRow:
    id: str
    name: str
    level: int
    fuse: str
    source: str
    """How it is known: measured, calculated, or for how long it is not."""
    fresh: bool
    phases: tuple[PhaseLoad, ...]
    power_kw: float | None
    reserve_a: float
    bound_by: str


@dataclass(frozen=True, slots=True)
class ConnectorRow:
    id: str
    name: str
    collector: str
    status: str
    state: str
    """CSS-safe state: free, plugged, charging, idle, paused, fault, unknown."""
    fresh: bool
    power_kw: float | None
    currents: tuple[float | None, ...]
    setpoint_a: float | None
    setpoint_kw: float | None
    """Of a DC connector, which is set in W; None otherwise."""
    limit_a: float | None
    limit_kw: float | None
    why: str
    stage: str
    energy_kwh: float | None
    since_ms: int | None


@dataclass(frozen=True, slots=True)
class ServiceRow:
    name: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class SiteView:
    name: str
    grid_kw: float | None
    charging_kw: float
    pv_kw: float
    battery_kw: float | None
    """None: the site has no battery."""
    soc_percent: float | None
    """Of all batteries together, by capacity; None while one is not known."""
    load_kw: float
    charging: int
    plugged: int
    connectors: int
    collector_rows: tuple[CollectorRow, ...]
    connector_rows: tuple[ConnectorRow, ...]
    asset_rows: tuple[AssetRow, ...]
    service_rows: tuple[ServiceRow, ...]
    alarms: tuple[Alarm, ...]
    log: tuple[LogLine, ...]


def site_view(site: Site, newest: Newest, now_s: float) -> SiteView:
    """Everything on the page at the receiver's monotonic time `now_s`."""
    connectors = tuple(_connector_row(site, entity, newest, now_s) for entity in site.connectors)
    assets = tuple(
        asset_row(entity, site, _heard(entity, newest), now_s)
        for entity in site.entities.values()
        if entity.charge_point is None and entity.kind is not AssetKind.METER
    )
    batteries = [row for row in assets if row.kind == AssetKind.BATTERY]
    collectors = tuple(_collector_row(collector, newest, now_s) for collector in site.collectors)
    return SiteView(
        name=site.name,
        grid_kw=collectors[0].power_kw if collectors[0].fresh else None,
        charging_kw=sum(row.power_kw or 0.0 for row in connectors if row.fresh),
        pv_kw=sum(row.power_kw or 0.0 for row in assets if row.kind == AssetKind.PV and row.fresh),
        battery_kw=sum(row.power_kw or 0.0 for row in batteries if row.fresh) if batteries else None,
        soc_percent=_filled(site, batteries),
        load_kw=sum(row.power_kw or 0.0 for row in assets if row.kind == AssetKind.LOAD and row.fresh),
        charging=sum(row.state == "charging" for row in connectors),
        plugged=sum(row.state in ("charging", "plugged", "idle", "paused") for row in connectors),
        connectors=len(connectors),
        collector_rows=collectors,
        connector_rows=connectors,
        asset_rows=assets,
        service_rows=_service_rows(newest, now_s),
        alarms=tuple(sorted(newest.alarms.values(), key=lambda alarm: (-alarm.raised_at_ms, alarm.entity, alarm.code))),
        log=tuple(reversed(newest.log)),
    )


def _heard(entity: Entity, newest: Newest) -> Heard:
    name = entity.id
    return Heard(newest.telemetry.get(name), newest.setpoints.get(name), newest.results.get(name))


def _filled(site: Site, rows: Sequence[AssetRow]) -> float | None:
    stored = capacity_wh = 0.0
    for row in rows:
        battery = site.entities[row.id].flexible
        if not isinstance(battery, Battery) or row.soc_percent is None or not row.fresh:
            return None
        stored += row.soc_percent * battery.capacity_wh
        capacity_wh += battery.capacity_wh
    return stored / capacity_wh if capacity_wh else None


def _fresh(received: Received[Event] | None, lifetime_ms: float, now_s: float) -> bool:
    return received is not None and received.age_ms(now_s) <= lifetime_ms


def _collector_row(collector: Collector, newest: Newest, now_s: float) -> CollectorRow:
    received = newest.collectors.get(collector.id)
    state = received.event if received else None
    fresh = received is not None and _fresh(received, received.event.lifetime_ms, now_s)
    return CollectorRow(
        id=collector.id,
        name=collector.name,
        level=collector.level,
        fuse=f"{collector.rated_a.l1:g} A {FUSES[collector.file.fuse]}",
        source=_source_words(received, fresh, now_s),
        fresh=fresh and state is not None and state.quality.usable,
        phases=_phase_loads(collector, state),
        power_kw=state.power_w.total / 1000.0 if state and state.power_w else None,
        reserve_a=state.reserve_a if state else 0.0,
        bound_by=_bound_words(collector, newest, now_s),
    )


def _source_words(received: Received[CollectorState] | None, fresh: bool, now_s: float) -> str:
    if received is None:
        return "no value yet"
    if not fresh:
        return f"no value for {age_words(received.age_ms(now_s))}"
    how = "calculated" if received.event.virtual else "measured"
    return how if received.event.quality == "good" else f"{how}, {received.event.quality.value.replace('_', ' ')}"


def _bound_words(collector: Collector, newest: Newest, now_s: float) -> str:
    received = newest.decisions.get(collector.id)
    if received is None or not _fresh(received, received.event.lifetime_ms, now_s):
        return ""
    return received.event.bound_by or ""


def _phase_loads(collector: Collector, state: CollectorState | None) -> tuple[PhaseLoad, ...]:
    count = len(collector.root_phases)
    currents = state.current_a if state else None
    limits = state.limit_a if state else collector.rated_a
    return tuple(
        PhaseLoad(PHASES[i], currents[i] if currents else None, limits[i], collector.rated_a[i]) for i in range(count)
    )


def _connector_row(site: Site, entity: Entity, newest: Newest, now_s: float) -> ConnectorRow:
    received = newest.telemetry.get(entity.id)
    sample = received.event if received else None
    fresh = sample is not None and received is not None and sample.reachable and _fresh(
        received, sample.lifetime_ms, now_s
    )  # fmt: skip
    status = _status(sample)
    setpoint = newest.setpoints.get(entity.id)
    obeyed = setpoint if setpoint and _fresh(setpoint, setpoint.event.lifetime_ms, now_s) else None
    result = newest.results.get(entity.id)
    session = newest.sessions.get(entity.id)
    running = session.event if session and session.event.ended_at_ms is None else None
    return ConnectorRow(
        id=entity.id,
        name=entity.name,
        collector=site.collector(entity.collector).name if entity.collector else "",
        status=_status_words(status, sample, received, fresh, now_s),
        state=_state(status, fresh),
        fresh=fresh,
        power_kw=_kw(sample, "power_w"),
        currents=tuple(sample.number(f"current_l{i}_a") if sample else None for i in range(1, len(entity.phases) + 1)),
        setpoint_a=obeyed.event.current_a if obeyed else None,
        setpoint_kw=_thousandth(obeyed.event.power_w) if obeyed else None,
        limit_a=sample.number("actual_limit_current_a") if sample else None,
        limit_kw=_kw(sample, "setpoint_power_w") if entity.dc else None,
        why=reason_words(obeyed.event.reason, site, dc=entity.dc) if obeyed else _silence_words(newest, now_s),
        stage=result.event.stage if result else "",
        energy_kwh=running.energy_wh / 1000.0 if running else None,
        since_ms=running.plugged_at_ms if running else None,
    )


def _status(sample: Measurement | None) -> Status | None:
    text = sample.text("status") if sample else None
    try:
        return Status(text) if text else None
    except ValueError:
        return None


def _status_words(
    status: Status | None, sample: Measurement | None, received: Received[Measurement] | None, fresh: bool, now_s: float
) -> str:
    if sample is None or received is None:
        return "No value yet"
    if not fresh:
        return f"Does not answer ({age_words(received.age_ms(now_s))})"
    return STATUS[status] if status else f"Unknown state {sample.points.get('status_raw')!r}"


_STATES: Mapping[Status, str] = {
    Status.AVAILABLE: "free",
    Status.PREPARING_EV: "plugged",
    Status.CHARGING: "charging",
    Status.SUSPENDED_EV: "idle",
    Status.FINISHING: "idle",
    Status.SUSPENDED_EVSE: "paused",
}


def _state(status: Status | None, fresh: bool) -> str:
    if status is None or not fresh:
        return "unknown"
    return _STATES.get(status, "fault" if status.out_of_service else "plugged")


def _silence_words(newest: Newest, now_s: float) -> str:
    beat = newest.beats.get("spc-allocator")
    if beat is None:
        return "no setpoint: the allocator has not been seen"
    age_ms = beat.age_ms(now_s)
    if age_ms > HEARTBEAT_TIMEOUT_S * 1000:
        return f"no setpoint: the allocator is silent for {age_words(age_ms)}; the charger holds, then falls back"
    return "no setpoint yet"


def _kw(sample: Measurement | None, name: str) -> float | None:
    return _thousandth(sample.number(name) if sample else None)


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000.0


def _service_rows(newest: Newest, now_s: float) -> tuple[ServiceRow, ...]:
    rows = []
    for name, received in sorted(newest.beats.items()):
        beat, age_ms = received.event, received.age_ms(now_s)
        if age_ms > HEARTBEAT_TIMEOUT_S * 1000:
            rows.append(ServiceRow(name, "dead", f"silent for {age_words(age_ms)}"))
        else:
            rows.append(ServiceRow(name, beat.state.value, beat.detail or f"cycle {beat.cycle_ms:.0f} ms"))
    return tuple(rows)


@dataclass
class History:
    """The last quarter of an hour of each collector's currents, one point a second, for the charts; the oldest go."""

    times_ms: deque[int] = field(default_factory=lambda: deque(maxlen=HISTORY_S))
    currents: dict[str, deque[PhaseVector | None]] = field(default_factory=dict)

    def add(self, at_ms: int, newest: Newest, site: Site, now_s: float) -> None:
        """Append one instant; a collector without a fresh value gets a gap."""
        self.times_ms.append(at_ms)
        for collector in site.collectors:
            received = newest.collectors.get(collector.id)
            fresh = received is not None and _fresh(received, received.event.lifetime_ms, now_s)
            value = received.event.current_a if received and fresh else None
            self.currents.setdefault(collector.id, deque(maxlen=HISTORY_S)).append(value)

    def series(self, collector_id: str) -> list[list[float | None]]:
        """`[times_s, l1, l2, l3]`, oldest first, as uPlot wants them."""
        points = self.currents.get(collector_id, deque())
        times: list[float | None] = [at / 1000.0 for at in self.times_ms]
        rows = [[None if p is None else round(p[i], 2) for p in points] for i in range(3)]
        return [times, *rows]


__all__ = ["History", "LogLine", "Newest", "SiteView", "site_view"]
