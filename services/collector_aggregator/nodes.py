"""One collector: what is measured, what of it is not allocated (background), and how far both can be trusted. Pure.

**Metered**: background = its meter less what the connectors below may have drawn (`Track.drawn`), at an instant of the
meter. Two instants are tried: the meter's sample at the *common instant* (the oldest of the newest samples of all live
inputs) and its newest one. Both can only be too low where a connector has just moved, so per phase the larger counts:
steps of vehicles never show up as load of others, and a rise that no connector can explain counts in the same cycle.

**Virtual** (SPC-15): what hangs here, the backgrounds of the collectors below, and the stated worst case of what has no
meter. A load without a meter is what the nearest metered collector above has left over, at most its own worst case; the
worst case itself where that meter, or another part, is silent (`silence`).
Connectors do not make a collector invalid: what a silent one may draw is booked by the allocator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from busbar.config.site import Collector, Entity, Site
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import REACTION_TIME_S
from busbar.units import NOMINAL_VOLTAGE_V
from collector_aggregator.samples import NO_POWER, Sample, Six, Three
from collector_aggregator.silence import silence_of, watts_on
from collector_aggregator.track import NEVER_MS, Track

CONNECTORS: Final = (AssetKind.AC_CONNECTOR, AssetKind.DC_CONNECTOR)
SUM_OF: Final = {
    AssetKind.PV: "pv_w", AssetKind.AC_CONNECTOR: "ac_w", AssetKind.DC_CONNECTOR: "dc_w",
    AssetKind.BATTERY: "bess_w", AssetKind.WIND: "wind_w", AssetKind.CHP: "chp_w",
    AssetKind.HEAT_PUMP: "heat_w", AssetKind.E_BOILER: "heat_w", AssetKind.THERMAL_STORAGE: "heat_w",
}  # fmt: skip
"""Kinds with a sum of their own (SPC-16); what is left is UCL."""
ALLOCATED: Final = ("ac_w", "dc_w")
"""Sums that are no part of the background."""
GENERATORS: Final = (AssetKind.PV, AssetKind.WIND, AssetKind.CHP)


_NOMINAL_V: Final[Three] = (NOMINAL_VOLTAGE_V, NOMINAL_VOLTAGE_V, NOMINAL_VOLTAGE_V)


class Node:
    """One collector with what hangs on it; built once, calculated each cycle."""

    def __init__(self, collector: Collector, tracks: Sequence[Track], site: Site) -> None:
        index = site.tree.index
        below = site.tree.below(collector.id)
        hanging = [t for t in tracks if t.entity.collector and index[t.entity.collector] in below]
        assets = [t for t in hanging if t.entity.kind is not AssetKind.METER and t.entity.kind not in CONNECTORS]
        lost = collector.file.on_lost_meter
        self.collector = collector
        self.timeout_ms = lost.timeout_s * 1000.0
        self.meter = next((t for t in tracks if t.entity.id == collector.file.meter), None)
        self.connectors = [t for t in hanging if t.entity.kind in CONNECTORS]
        self.own = [t for t in hanging if t.entity.collector == collector.id and t.entity.kind is not AssetKind.METER]
        self.own_assets = [t for t in assets if t.entity.collector == collector.id]
        self.silences = {t.entity.id: silence_of(t.entity, site) for t in self.own_assets}
        self.own_kinds = [(SUM_OF[t.entity.kind], t) for t in self.own if t.entity.kind in SUM_OF]
        self.assets = assets
        self.children: list[Node] = []
        self.parent: Node | None = None
        self.metered_above: Node | None = None
        """The nearest metered collector, itself included."""
        self.unmetered_load: Track | None = None
        """The load without a meter in this metered collector's region: at most one (SPC-15)."""
        self.unmetered = _worst_case(collector)
        self.inputs: list[Track] = []
        """What its measured power is made of: its meter, or every measured part down to the next meters."""
        # calculated
        self.measured: Six = NO_POWER
        self.background: Six = NO_POWER
        self.generation_w: Three = (0.0, 0.0, 0.0)
        """Part of the background that is generation or discharge; never positive."""
        self.assumed: Six = NO_POWER
        """Part of both that nobody measures: worst cases. Not in what is reported."""
        self.guessed = False
        """A load without a meter stands in it with its worst case, because what it draws cannot be told."""
        self.valid = False
        self.age_ms = NEVER_MS
        self.sums: dict[str, Three] = {}
        """Active power by kind, SPC-16 (`SUM_OF`)."""
        self.parts_known = False
        """Nothing of a kind with a sum is silent below."""
        self.free = 0
        """Live connectors below without a vehicle."""
        self.free_dc = 0
        """DC ones among them."""
        self._left_over: Six | None = None

    @property
    def voltage_v(self) -> Three:
        """Measured at the nearest meter above, else 230 V."""
        above = self.metered_above
        newest = above.meter.newest if above is not None and above.meter is not None else None
        return newest.voltage_v if newest is not None else _NOMINAL_V

    # -- metered

    def calculate_metered(self, meter: Track) -> None:
        self.age_ms = meter.age_ms
        self.valid = meter.age_ms < self.timeout_ms
        newest = meter.newest
        if newest is None:
            return
        self.measured = newest.powers
        common_s = meter.newest_s
        for track in self.connectors:
            if track.newest_s < common_s and track.live:
                common_s = track.newest_s
        aligned = meter.at(common_s) or newest
        background = self._less(aligned)
        if aligned is not newest:
            background = _larger(background, self._less(newest))
        self.background = background
        a = b = c = 0.0
        for track in self.assets:
            p = track.powers
            if p[0] < 0.0:
                a += p[0]
            if p[1] < 0.0:
                b += p[1]
            if p[2] < 0.0:
                c += p[2]
        self._generates(a, b, c)

    def _generates(self, a: float, b: float, c: float) -> None:
        """What generators gave last; and whatever the background itself gives back is generation too."""
        p, q, r, _, _, _ = self.background
        self.generation_w = (p if p < a else a, q if q < b else b, r if r < c else c)

    def _less(self, meter: Sample) -> Six:
        """The meter's sample less what connectors may have drawn then."""
        at_s = meter.at_s
        a, b, c, x, y, z = meter.powers
        for track in self.connectors:
            p, q, r, u, v, w = track.late if track.newest_s < at_s else track.drawn(at_s)
            a -= p
            b -= q
            c -= r
            x -= u
            y -= v
            z -= w
        return (a, b, c, x, y, z)

    def leave_over(self) -> None:
        """What the load without a meter draws: the background less all that is measured in this meter's region."""
        self._left_over = None
        load = self.unmetered_load
        if load is None or not self.valid:
            return
        rest = list(self.background)
        for known in self._region():
            if known is None:
                return
            for i in range(6):
                rest[i] -= known[i]
        most = watts_on(load.entity.root_phases, load.entity.max_current_a * NOMINAL_VOLTAGE_V)
        left = [min(max(0.0, rest[i]), most[i]) for i in range(3)]
        turned = [min(max(-most[i], rest[3 + i]), most[i]) for i in range(3)]
        self._left_over = (*left, *turned)  # type: ignore[assignment]  # three and three

    def _region(self) -> Iterable[Six | None]:
        """Every measured part below this meter and not below another; None: one is silent."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            for track in node.own_assets:
                if track.entity.device is not None:
                    yield track.powers if track.age_ms < self.timeout_ms else None
            for child in node.children:
                if child.meter is None:
                    waiting.append(child)
                else:
                    yield child.background if child.valid else None

    # -- virtual

    def calculate_virtual(self) -> None:
        """After all metered collectors and after the children."""
        sums = assumed = self.unmetered
        generation: Three = (0.0, 0.0, 0.0)
        age_ms, valid, guessed = 0, True, False
        for track in self.own_assets:
            known, age = self._known(track)
            generates = track.entity.kind in GENERATORS
            if known is None:
                known = self.silences[track.entity.id].at(age)
                guessed = guessed or not generates
                assumed = _plus(assumed, known)
            sums = _plus(sums, known)
            generation = _giving(generation, known)
            if not generates and age > age_ms:
                age_ms = age
        for child in self.children:
            sums = _plus(sums, child.background)
            generation = _giving(generation, child.generation_w)
            if child.meter is None:
                assumed = _plus(assumed, child.assumed)
            guessed = guessed or child.guessed
            age_ms, valid = max(age_ms, child.age_ms), valid and child.valid
        self.background, self.assumed, self.guessed = sums, assumed, guessed
        self._generates(*generation)
        self.age_ms, self.valid = age_ms, valid and age_ms < self.timeout_ms
        for track in self.connectors:
            sums = _plus(sums, track.powers)
        self.measured = sums

    def _known(self, track: Track) -> tuple[Six | None, int]:
        """What an asset here draws, and how old that is; None where it is silent."""
        if track.entity.device is not None:
            return (track.powers if track.age_ms < self.timeout_ms else None), track.age_ms
        above = self.metered_above
        if above is None:
            return None, NEVER_MS
        return above._left_over, above.age_ms

    # -- sums

    def add_up(self) -> None:
        """Sums by kind, free connectors; after the children. A silent asset counts 0: not all parts are known then."""
        sums: dict[str, Three] = {}
        known, free, free_dc = True, 0, 0
        for child in self.children:
            known = known and child.parts_known
            free += child.free
            free_dc += child.free_dc
            for name, part in child.sums.items():
                into = sums.get(name)
                sums[name] = part if into is None else (into[0] + part[0], into[1] + part[1], into[2] + part[2])
        for name, track in self.own_kinds:
            if track.free:
                free += 1
                free_dc += track.entity.dc
            if track.age_ms < self.timeout_ms:
                a, b, c, _, _, _ = track.powers
                into = sums.get(name)
                sums[name] = (a, b, c) if into is None else (into[0] + a, into[1] + b, into[2] + c)
            else:
                known = False
        self.sums, self.parts_known, self.free, self.free_dc = sums, known, free, free_dc

    # -- for the guard

    def flowing(self) -> Six:
        """Newest measured powers, for the guard: own meter, else the newest of all parts."""
        if self.meter is not None:
            return self.meter.powers
        sums = NO_POWER
        for track in self.inputs:
            sums = _plus(sums, track.powers)
        return sums


def build(site: Site, tracks: Sequence[Track]) -> list[Node]:
    """All collectors, depth first."""
    nodes = [Node(collector, tracks, site) for collector in site.collectors]
    for node, spec in zip(nodes, site.tree.nodes, strict=True):
        if spec.parent is not None:
            node.parent = nodes[spec.parent]
            nodes[spec.parent].children.append(node)
        node.metered_above = node if node.meter is not None else node.parent and node.parent.metered_above
    for node in reversed(nodes):  # children come after their parents
        if node.meter is not None:
            node.inputs = [node.meter]
        else:
            node.inputs = [t for t in node.own if t.entity.device is not None]
            node.inputs += [t for child in node.children for t in child.inputs]
    for track in tracks:
        if track.entity.kind is AssetKind.LOAD and track.entity.device is None and track.entity.collector:
            metered = nodes[site.tree.index[track.entity.collector]].metered_above
            if metered is not None:
                metered.unmetered_load = track
    return nodes


def reaction_s(site: Site, entity: Entity) -> float:
    """Declared by the device's package (FC-2)."""
    device = site.devices.get(entity.device) if entity.device else None
    facts = site.packages.get(device.package) if device else None
    return facts.reaction_s if facts else REACTION_TIME_S


def _worst_case(collector: Collector) -> Six:
    virtual = collector.file.virtual
    return watts_on(collector.root_phases, (virtual.unmetered_load_a if virtual else 0.0) * NOMINAL_VOLTAGE_V)


def _larger(one: Six, other: Six) -> Six:
    """Per phase the one with the larger active power; its reactive power goes with it."""
    a, b, c, x, y, z = one
    p, q, r, u, v, w = other
    if p > a:
        a, x = p, u
    if q > b:
        b, y = q, v
    if r > c:
        c, z = r, w
    return (a, b, c, x, y, z)


def _plus(one: Six, other: Six) -> Six:
    a, b, c, x, y, z = one
    p, q, r, u, v, w = other
    return (a + p, b + q, c + r, x + u, y + v, z + w)


def _giving(given: Three, powers: Sequence[float]) -> Three:
    """With what is produced."""
    a, b, c = given
    p, q, r = powers[:3]
    return (a + p if p < 0.0 else a, b + q if q < 0.0 else b, c + r if r < 0.0 else c)
