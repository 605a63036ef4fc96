"""A small closed loop around the allocator's core, in virtual seconds: devices that obey after a while, vehicles that
take what they want of it, fuses that add up real currents. Physics and allocator share no code but the site's tree.

Judging is by physical currents, never by the allocator's sums (algorithms.md, What must never be false, 8).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from busbar.config.model import SiteFile
from busbar.config.packages import PackageFacts
from busbar.config.site import Entity, Site, compile_site
from busbar.domain.charging import Status
from busbar.domain.limits import ADVICE_SILENCE_MS, ADVICE_VALID_MS, POWER_TEST_MS
from busbar.events import (
    Advice,
    AdviceSlot,
    AssetMode,
    CollectorLimit,
    CollectorSample,
    ConnectorSample,
    Fallback,
    Mode,
    PowerTest,
    Reason,
    SiteSnapshot,
)
from busbar.units import PhaseVector
from spc_allocator.core import Decided, decide
from spc_allocator.inputs import Inputs
from spc_allocator.rows import Network
from spc_allocator.state import AllocatorState

T0_MS = 1_700_000_100_000
"""On no quarter of an hour: 1,700,000,100 s is 900 x 1,888,889 exactly, so t = 0 of a world is put 60 s after it."""
U = 230.0


def site_of(
    collectors: Sequence[Mapping[str, Any]], connectors: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any] | None = None, packages: Mapping[str, PackageFacts] | None = None,
    assets: Sequence[Mapping[str, Any]] = (),
) -> Site:  # fmt: skip
    """A site from the short form of the ledgers: collectors as in a site file (metered where nothing is said),
    connectors `{id, collector, phases, max_a, weight, priority, package}`, each its own charge point, one with `max_w`
    (and `min_w`) a DC outlet; `packages`: facts; `assets`: others as in a site file, without their device."""
    files, meters = [], []
    for collector in collectors:
        entry = {"phases": ["L1", "L2", "L3"], **collector}
        if "meter" not in entry and "virtual" not in entry:
            entry["meter"] = f"m-{entry['id']}"
            own = ["L1", "L2", "L3"][: len(entry["phases"])]
            meters.append({"kind": "meter", "id": entry["meter"], "device": "d", "phases": own})
        files.append(entry)
    points = [
        _dc_point(c) if "max_w" in c else {
            "kind": "ac_charge_point", "id": f"cp-{c['id']}", "device": f"d-{c['package']}" if "package" in c else "d",
            "watchdog_s": c.get("watchdog_s", 30),
            "book_at_max_when_lost": c.get("book_at_max_when_lost", False),
            "connectors": [
                {
                    "id": c["id"], "collector": c["collector"], "phases": c.get("phases", ["L1", "L2", "L3"]),
                    "max_current_a": c.get("max_a", 32), "weight": c.get("weight", 1.0),
                    "priority": c.get("priority", 0),
                    "surplus": c.get("surplus", "off"), "phase_switching": c.get("phase_switching", "off"),
                    "phase_dwell_s": c.get("phase_dwell_s", 600.0),
                }
            ],
        }
        for c in connectors
    ]  # fmt: skip
    body = {
        "format": "busbar-site/1", "site": {"id": "test"}, "collectors": files,
        "devices": [
            {"id": name, "package": package, "host": "127.0.0.1", "simulated": True}
            for name, package in [("d", "none"), *((f"d-{package}", package) for package in packages or {})]
        ],
        "assets": [*meters, *points, *({"device": "d", **asset} for asset in assets)], "options": dict(options or {}),
    }  # fmt: skip
    return compile_site(SiteFile.model_validate(body), packages)


def _dc_point(c: Mapping[str, Any]) -> dict[str, Any]:
    outlet = {"id": c["id"], "collector": c["collector"], "max_power_w": c["max_w"], "min_power_w": c.get("min_w"),
              "weight": c.get("weight", 1.0), "priority": c.get("priority", 0)}  # fmt: skip
    return {"kind": "dc_charge_point", "id": f"cp-{c['id']}", "device": f"d-{c['package']}" if "package" in c else "d",
            "book_at_max_when_lost": c.get("book_at_max_when_lost", False), "connectors": [outlet]}  # fmt: skip


@dataclass
class Vehicle:
    """Uses the first `phases` conductors of its connector."""

    phases: int = 3
    max_a: float = 32.0
    energy_wh: float = 0.0
    """Charged before the world begins; grows with what it draws."""
    full_wh: float = math.inf
    wakes: bool = True
    """False: after a pause it never takes current again, unless offered 8 A."""
    sleeps_on: int = 0
    """After a pause it wakes only when its release was toggled so often."""
    overdraws_a: float = 0.0
    """Draws so much more than it is offered."""
    slept: bool = False
    number: int = 0


@dataclass
class Outlet:
    """One connector with its device. A DC one is set, and draws, in amperes at 230 V: 690 W are one."""

    entity: Entity
    vehicle: Vehicle | None = None
    limit_a: float = 0.0
    """In force in the device."""
    pending: list[tuple[float, float]] = field(default_factory=list)
    """Writes under way: (takes effect at, value)."""
    reachable: bool = True
    obeys: bool = True
    out: bool = False
    most_a: float = math.inf
    """The device allows no more (a cable)."""
    last_seen_s: float = 0.0
    plugged_at_s: float = 0.0
    sample: ConnectorSample | None = None
    current_a: float = 0.0
    poll_s: float = 0.0
    """A new sample only so often: between two of them the last one is told, with its age."""
    sampled_at_s: float = 0.0
    missing: bool = False
    """The snapshot does not name it at all."""
    stray_a: float = 0.0
    """Flows on every conductor whatever the device is told (a welded contactor)."""
    sessions: int = 0
    toggles: int = 0
    """How often its release was taken back."""
    phases: int = 3
    """What it is switched to."""
    shows_phases: int | None = 3
    """Its register; None: cannot be read."""
    relay_s: float = 5.0
    """What its register shows is done so much later; nothing flows meanwhile."""
    relay_at_s: float | None = None
    takes_phases: bool = True
    switches: list[tuple[float, float]] = field(default_factory=list)
    """When it was switched, and what flowed when it was told."""

    @property
    def used(self) -> int:
        """Conductors on which its vehicle draws."""
        return self._used(self.phases)

    @property
    def may_use(self) -> int:
        """The same, and those that it will draw from when a switch under way is done."""
        return self._used(max(self.phases, self.shows_phases or 3))

    def _used(self, switched: int) -> int:
        if self.vehicle is None:
            return 0
        return 3 if self.entity.dc else min(self.vehicle.phases, len(self.entity.root_phases), switched)

    def takes(self, phase: int, volts: Sequence[float]) -> float:
        """Amperes on a conductor of the grid connection for one of its setpoint."""
        return U / volts[phase] if self.entity.dc else 1.0

    def root_currents(self, volts: Sequence[float]) -> list[float]:
        out = [0.0, 0.0, 0.0]
        for index, phase in enumerate(self.entity.root_phases):
            out[phase] = ((self.current_a if index < self.used else 0.0) + self.stray_a) * self.takes(phase, volts)
        return out


class World:
    """One site with its allocator. `run_to(t)` goes on second by second; what was told is in `told` and `why`."""

    def __init__(
        self, site: Site, *, latency_s: float = 1.0, reaction_s: float = 2.0, check: bool = False,
        settle_s: float = 30.0,
    ) -> None:  # fmt: skip
        """`settle_s`: so long it runs empty before t = 0."""
        self.site = site
        self.net = Network(site)
        self.check = check
        self.latency_s, self.reaction_s = latency_s, reaction_s
        self.now_s = -settle_s
        self.state = AllocatorState.fresh(self.net, self.now_ms)
        self.outlets = {e.id: Outlet(e) for e in site.connectors}
        self.load_a: dict[str, list[float]] = {c.id: [0.0, 0.0, 0.0] for c in site.collectors}
        """Load at each collector, in its own frame."""
        self.generation_a: dict[str, list[float]] = {c.id: [0.0, 0.0, 0.0] for c in site.collectors}
        """At most 0."""
        self.reactive_a: dict[str, list[float]] = {c.id: [0.0, 0.0, 0.0] for c in site.collectors}
        self.volts = [U, U, U]
        """Of the grid connection's conductors, everywhere."""
        self.blind: dict[str, float] = {}
        """Collectors without a reading, since when."""
        self.limits: dict[tuple[str, str], CollectorLimit] = {}
        self.fallbacks: dict[str, Fallback] = {}
        self.modes: dict[str, AssetMode] = {}
        self.advices: dict[tuple[str, str], Advice] = {}
        self.tests: dict[str, PowerTest] = {}
        self.by_hand_at_s: dict[str, float] = {}
        """When each was last run by hand, or tested."""
        self.told: dict[str, float] = {}
        self.last: Decided | None = None
        self.history: list[tuple[float, dict[str, float]]] = []
        self.overload_s: dict[str, float] = {c.id: 0.0 for c in site.collectors}
        """Longest time in one go above the rating."""
        self._over: dict[str, float] = {c.id: 0.0 for c in site.collectors}
        self.worst_ratio = 0.0
        self.number = 0
        self.allocating = True
        self.use_guard = False
        self.run_to(0.0)

    @property
    def now_ms(self) -> int:
        return T0_MS + 60_000 + round(self.now_s * 1000)

    @property
    def why(self) -> dict[str, Reason]:
        """Of what was told last."""
        return self.last.why() if self.last else {}

    def must_run(self, connector: str) -> bool:
        """Its device cannot be told 0 A."""
        return bool(self.net.devices.must_run[self.net.slot[connector]])

    def pause_a(self, connector: str) -> float:
        """What it is told instead of 0, which it is booked with."""
        return float(self.net.devices.pause_a[self.net.slot[connector]])

    def step_a(self, connector: str) -> float:
        """Setpoints are whole multiples of it."""
        return float(self.net.devices.step_a[self.net.slot[connector]])

    def minimum_a(self, connector: str) -> float:
        """Smallest current that its device can be told, beside 0."""
        return float(self.net.devices.minimum_a[self.net.slot[connector]])

    # -- what happens on the site

    def plug(self, connector: str, vehicle: Vehicle | None = None) -> Vehicle:
        outlet = self.outlets[connector]
        outlet.vehicle = vehicle or Vehicle()
        outlet.sessions += 1
        outlet.plugged_at_s, outlet.current_a = self.now_s, 0.0
        return outlet.vehicle

    def unplug(self, connector: str) -> None:
        self.outlets[connector].vehicle = None

    def limit(self, collector: str, source: str = "page", import_w: float | None = None, export_w: float | None = None,
              ) -> None:  # fmt: skip
        self.limits[source, collector] = CollectorLimit(
            collector=collector, source=source, import_limit_w=import_w, export_limit_w=export_w, published_at_ms=0
        )

    def fall_back(self, entity: str, assets: Sequence[str], max_current_a: float) -> None:
        self.fallbacks[entity] = Fallback(
            entity=entity, active=True, cause="test", assets=tuple(assets), max_current_a=max_current_a,
            since_ms=0, published_at_ms=0, lifetime_ms=10**9,
        )  # fmt: skip

    def mode(self, asset: str, mode: str, current_a: float | None = None, source: str = "page") -> None:
        dc = self.outlets[asset].entity.dc and current_a is not None
        self.modes[asset] = AssetMode(
            asset=asset, source=source, mode=Mode(mode), published_at_ms=self.now_ms,
            current_a=None if dc else current_a, power_w=3.0 * U * (current_a or 0.0) if dc else None,
        )  # fmt: skip

    def advise(self, asset: str, *slots: tuple[float, float], source: str = "gateway") -> None:
        """`slots`: (seconds from now, W)."""
        self.advices[source, asset] = Advice(
            asset=asset, source=source, until_ms=self.now_ms + ADVICE_VALID_MS, published_at_ms=self.now_ms,
            slots=tuple(AdviceSlot(start_ms=self.now_ms + round(1000 * at_s), power_w=w) for at_s, w in slots),
        )  # fmt: skip

    def power_test(self, connector: str, source: str = "page", lasts_ms: int = POWER_TEST_MS) -> None:
        self.tests[connector] = PowerTest(
            connector=connector, source=source, published_at_ms=self.now_ms, until_ms=self.now_ms + lasts_ms
        )

    def inputs(self) -> Inputs:
        """What is said from outside. Each advice has come when it was given."""
        advice = tuple(a for a in self.advices.values() if self.now_ms - a.published_at_ms < ADVICE_SILENCE_MS)
        return Inputs(
            tuple(self.limits.values()), tuple(self.fallbacks.values()), 0, modes=tuple(self.modes.values()),
            advice=advice, utc_ms=self.now_ms,
            power_tests=tuple(t for t in self.tests.values() if self.now_ms < (t.until_ms or 0)),
        )  # fmt: skip

    # -- time

    def run_to(self, until_s: float) -> None:
        while self.now_s < until_s:
            self.step()

    def step(self) -> None:
        self.now_s += 1.0
        for outlet in self.outlets.values():
            self._device(outlet)
        self._judge()
        if self.allocating:
            self.allocate()

    def allocate(self, guard: Sequence[str] = ()) -> Decided:
        raw = self.over_rating() if self.use_guard else []
        shown = self.snapshot([*guard, *raw])
        self.by_hand_at_s |= {name: self.now_s for name, one in self.modes.items() if one.mode is Mode.MANUAL}
        decided = decide(self.net, self.state, shown, self.inputs(), self.now_ms, check=self.check)
        self.state, self.last = decided.state, decided
        trials = self.state.trials.of if self.state.trials else {}
        self.by_hand_at_s |= {self.net.ids[slot]: self.now_s for slot, one in trials.items() if one.under_way}
        self.told = decided.told()
        self.history.append((self.now_s, self.told))
        for name, value in self.told.items():
            outlet = self.outlets[name]
            written = outlet.pending[-1][1] if outlet.pending else outlet.limit_a
            if outlet.reachable and outlet.obeys and value != written:
                outlet.pending.append((self.now_s + self.latency_s, value))
        for outlet, count in zip(map(self.outlets.__getitem__, self.net.ids), decided.phases(), strict=True):
            self._switch(outlet, count)
        return decided

    def _switch(self, outlet: Outlet, count: int | None) -> None:
        """The device is told its phases, shows them at once, and does it when its relay is ready."""
        if count is None or outlet.shows_phases in (None, count) or not (outlet.reachable and outlet.takes_phases):
            return
        outlet.switches.append((self.now_s, outlet.current_a))
        outlet.shows_phases, outlet.relay_at_s = count, self.now_s + outlet.relay_s

    def _device(self, outlet: Outlet) -> None:
        while outlet.pending and outlet.pending[0][0] <= self.now_s:
            limit_a = min(outlet.pending.pop(0)[1], outlet.most_a)
            outlet.toggles += limit_a == 0.0 < outlet.limit_a
            outlet.limit_a = limit_a
        if outlet.relay_at_s is not None:
            outlet.current_a = 0.0
            if self.now_s >= outlet.relay_at_s:
                outlet.relay_at_s, outlet.phases = None, outlet.shows_phases or outlet.phases
            return
        vehicle = outlet.vehicle
        if vehicle is None or outlet.out:
            outlet.current_a = 0.0
            return
        able = outlet.limit_a >= 6.0 or outlet.entity.dc  # one that is paused and cannot do 0 draws its pause value
        wanted = min(outlet.limit_a, vehicle.max_a, outlet.entity.max_current_a) if able else 0.0
        if vehicle.energy_wh >= vehicle.full_wh or (vehicle.slept and not vehicle.wakes and outlet.limit_a < 8.0):
            wanted = 0.0
        if vehicle.slept and outlet.limit_a >= 6.0 and outlet.toggles < vehicle.sleeps_on:
            wanted = 0.0
        vehicle.slept = (vehicle.slept or outlet.limit_a < 6.0) and wanted == 0.0
        wanted += vehicle.overdraws_a if wanted else 0.0
        change = wanted - outlet.current_a
        slope = max(32.0, outlet.entity.max_current_a) / self.reaction_s
        outlet.current_a += max(-slope, min(slope, change))
        vehicle.energy_wh += outlet.current_a * U * outlet.used / 3600.0

    # -- physics

    def flow_a(self, collector: str) -> tuple[list[float], list[float]]:
        """Active and reactive current through a collector's fuse, root frame."""
        active, reactive = [0.0] * 3, [0.0] * 3
        inside = self.site.tree.below(collector)
        for index in inside:
            node = self.site.collectors[index]
            for own, root in enumerate(node.root_phases):
                active[root] += self.load_a[node.id][own] + self.generation_a[node.id][own]
                reactive[root] += self.reactive_a[node.id][own]
        for outlet in self.outlets.values():
            if self.site.tree.index[outlet.entity.collector or ""] in inside:
                active = [a + b for a, b in zip(active, outlet.root_currents(self.volts), strict=True)]
        return active, reactive

    def over_rating(self) -> list[str]:
        over = []
        for collector in self.site.collectors:
            active, reactive = self.flow_a(collector.id)
            rated = collector.root_rated_a
            if any(math.hypot(active[p], reactive[p]) > rated[p] + 1e-6 for p in collector.root_phases):
                over.append(collector.id)
        return over

    def _judge(self) -> None:
        over = self.over_rating()
        for collector in self.site.collectors:
            name = collector.id
            self._over[name] = self._over[name] + 1.0 if name in over else 0.0
            self.overload_s[name] = max(self.overload_s[name], self._over[name])
            active, reactive = self.flow_a(name)
            for p in collector.root_phases:
                ratio = math.hypot(active[p], reactive[p]) / collector.root_rated_a[p]
                self.worst_ratio = max(self.worst_ratio, ratio)

    # -- what the aggregator would say

    def snapshot(self, guard: Sequence[str] = ()) -> SiteSnapshot:
        self.number += 1
        return SiteSnapshot(
            number=self.number, taken_at_ms=self.now_ms, published_at_ms=self.now_ms, lifetime_ms=3000,
            fingerprint=self.site.fingerprint, guard=tuple(dict.fromkeys(guard)),
            collectors=tuple(self._collector(c.id) for c in self.site.collectors),
            connectors=tuple(self._connector(o) for o in self.outlets.values() if not o.missing),
        )  # fmt: skip

    def _collector(self, name: str) -> CollectorSample:
        active, reactive = self.flow_a(name)
        background, generation = list(active), [0.0] * 3
        inside = self.site.tree.below(name)
        for outlet in self.outlets.values():
            if self.site.tree.index[outlet.entity.collector or ""] in inside:
                background = [a - b for a, b in zip(background, outlet.root_currents(self.volts), strict=True)]
        for index in inside:
            node = self.site.collectors[index]
            for own, root in enumerate(node.root_phases):
                generation[root] += self.generation_a[node.id][own]
        since = self.blind.get(name)
        age_ms = 100 if since is None else round((self.now_s - since) * 1000)
        return CollectorSample(
            collector=name, valid=age_ms <= 30_000, age_ms=age_ms, power_w=self._watts(active),
            reactive_power_var=self._watts(reactive), background_w=self._watts(background),
            background_var=self._watts(reactive), generation_w=self._watts(generation),
        )  # fmt: skip

    def _watts(self, amperes: Sequence[float]) -> PhaseVector:
        return PhaseVector(*(a * v for a, v in zip(amperes, self.volts, strict=True)))

    def _connector(self, outlet: Outlet) -> ConnectorSample:
        if not outlet.reachable and outlet.sample:
            gone_ms = round((self.now_s - outlet.last_seen_s) * 1000)
            return outlet.sample.model_copy(update={"reachable": False, "status": None, "age_ms": gone_ms})
        outlet.last_seen_s = self.now_s
        if outlet.sample and self.now_s - outlet.sampled_at_s < outlet.poll_s:
            return outlet.sample.model_copy(update={"age_ms": round((self.now_s - outlet.sampled_at_s) * 1000)})
        outlet.sampled_at_s = self.now_s
        vehicle = outlet.vehicle
        currents = outlet.root_currents(self.volts)
        outlet.sample = ConnectorSample(
            connector=outlet.entity.id, status=_status(outlet), reachable=True, age_ms=0, sampled_at_ms=self.now_ms,
            current_a=PhaseVector(*currents), power_w=self._watts(currents), reactive_power_var=PhaseVector(),
            voltage_v=PhaseVector(*self.volts), limit_a=outlet.limit_a, fallback_a=6.0, watchdog_s=30.0,
            phases=outlet.shows_phases if outlet.entity.phase_dwell_s is not None else None,
            session_id=f"{outlet.entity.id}-{outlet.sessions}" if vehicle else None,
            session_energy_wh=vehicle.energy_wh if vehicle else 0.0,
            plugged_at_ms=self.now_ms - round((self.now_s - outlet.plugged_at_s) * 1000) if vehicle else 0,
        )  # fmt: skip
        return outlet.sample


def _status(outlet: Outlet) -> Status:
    if outlet.out:
        return Status.FAULTED
    if outlet.vehicle is None:
        return Status.AVAILABLE
    if outlet.limit_a < 6.0 and not outlet.entity.dc:
        return Status.SUSPENDED_EVSE
    return Status.CHARGING if outlet.current_a > 0.0 else Status.SUSPENDED_EV
