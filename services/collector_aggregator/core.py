"""The site at one instant (algorithms.md, Quantities and UCL; SPC-15, SPC-16; FC-7). Pure: values and `now` in and out.

- Everything stands in the grid connection's frame and is summed as P and Q per phase, never as amperes (`samples`).
- The background of a collector is what is not allocated: its meter less the connectors below, at one common instant, so
  that no step of a vehicle shows up as load of others (`nodes`, `track`). It is raw: the allocator filters it.
- A virtual collector is the sum of its parts and the worst case of what has no meter (`nodes`).
- Never seen, or silent for the collector's timeout, is *invalid*; never "no limit", never a frozen value.
- A meter above a limit makes a snapshot at once, one for each excess (`guard`).
- Snapshots are numbered, one after the other, also over a restart.

Nothing is queued: per entity the newest sample counts, one that is not newer is dropped.
"""

from __future__ import annotations

from typing import Final

from busbar.config.plan import dc_reserve_a
from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.events import CollectorState, Measurement, Session, Setpoint, SiteSnapshot
from busbar.units import THREE_PHASE_V
from collector_aggregator import picture
from collector_aggregator.guard import Guard
from collector_aggregator.nodes import CONNECTORS, build, reaction_s
from collector_aggregator.track import Track

MARGIN: Final = 100_000_000
"""More numbers than one run uses up: three years at one a second."""


def first_number(now_ms: int, before: int | None) -> int:
    """Number before the first snapshot of a run that starts now; `before`: that of the last run, where it is known.

    UTC in ms outruns one number a second by far; a clock that was set back does not lead back."""
    return now_ms if before is None else max(now_ms, before + MARGIN)


class Aggregator:
    """Keeps the newest of everything; makes snapshots."""

    def __init__(self, site: Site, first: int) -> None:
        meters = {c.file.meter for c in site.collectors if c.file.meter}
        self._site = site
        self._number = first
        self._epoch = 0
        """Highest seen in a setpoint."""
        self._tracks = {
            e.id: Track(e, e.id in meters or e.kind in CONNECTORS) for e in site.entities.values()
        }  # fmt: skip
        tracks = list(self._tracks.values())
        self._nodes = build(site, tracks)
        self._metered = [(n, n.meter) for n in self._nodes if n.meter is not None]
        self._upwards = self._nodes[::-1]
        """Children before their parents."""
        self._guard = Guard(self._nodes, site)
        self._meters = frozenset(meters)
        self._connectors = [(t, reaction_s(site, t.entity)) for t in tracks if t.entity.kind in CONNECTORS]
        self._dc = [
            (index, self._nodes[site.tree.index[t.entity.collector]])
            for index, (t, _) in enumerate(self._connectors)
            if t.entity.dc and t.entity.collector
        ]
        """Where DC connectors stand among them, and the collector of each."""
        self._others = [t for t in tracks if t.entity.kind not in CONNECTORS]
        self._assets = [t for t in self._others if t.entity.kind is not AssetKind.METER]
        self._life_ms = picture.lifetime_ms(site)
        fast_a = dc_reserve_a(site)
        self._portraits = [picture.Portrait(node, self._life_ms, fast_a) for node in self._nodes]

    # -- inputs

    def observe(self, event: Measurement, at_s: float) -> bool:
        """A measurement that was true at monotonic `at_s`. True: a limit is exceeded, a snapshot is due at once."""
        track = self._tracks.get(event.asset)
        if track is None or not track.take(event, at_s):
            return False
        return event.asset in self._meters and self._guard.measured(event.asset, at_s)

    def session(self, event: Session, stored: bool = False) -> None:
        """A live one replaces what is known; a stored one only what is older."""
        track = self._tracks.get(event.connector)
        if track is None:
            return
        known = track.session
        if stored and known is not None and known.measured_at_ms >= event.measured_at_ms:
            return
        track.session = event

    def setpoint(self, event: Setpoint) -> None:
        """What a connector may be following before its next sample shows it; not that of an allocator that lost its
        place: no driver obeys it (FB-4)."""
        if event.epoch < self._epoch:
            return
        self._epoch = event.epoch
        track = self._tracks.get(event.asset)
        if track is not None and event.current_a is not None:
            track.ask(event.current_a)
        elif track is not None and track.entity.dc and event.power_w is not None:
            track.ask(event.power_w / THREE_PHASE_V)

    # -- outputs

    @property
    def complete(self) -> bool:
        """Every entity that is polled was heard of since the start, be it that it does not answer."""
        return all(track.heard for track in self._tracks.values() if track.entity.driver is not None)

    @property
    def urgent(self) -> bool:
        """A limit is exceeded that no snapshot has told yet."""
        return self._guard.pending

    def snapshot(self, now_s: float, now_ms: int) -> SiteSnapshot:
        """The next numbered snapshot."""
        self._calculate(now_s)
        self._guard.cycle(now_s)
        self._number += 1
        connectors = [picture.connector_sample(t, now_ms) for t, _ in self._connectors]
        for index, node in self._dc:
            connectors[index] = picture.at_voltage(connectors[index], node.voltage_v)
        return SiteSnapshot.trusted(
            number=self._number,
            taken_at_ms=now_ms,
            published_at_ms=now_ms,
            lifetime_ms=self._life_ms,
            fingerprint=self._site.fingerprint,
            guard=self._guard.take(),
            collectors=tuple([picture.collector_sample(n) for n in self._nodes]),
            connectors=tuple(connectors),
            assets=tuple([picture.asset_sample(t, now_ms) for t in self._assets]),
        )

    def states(self, now_ms: int) -> list[CollectorState]:
        """Every collector as of the last snapshot, depth first."""
        return [portrait.state(now_ms) for portrait in self._portraits]

    def _calculate(self, now_s: float) -> None:
        for track in self._others:
            track.grow_old(now_s)
        for track, reaction in self._connectors:
            track.prepare(now_s, reaction)
        for node, meter in self._metered:
            node.calculate_metered(meter)
        for node, _ in self._metered:
            node.leave_over()
        for node in self._upwards:
            if node.meter is None:
                node.calculate_virtual()
            node.add_up()
