"""The events made of what was calculated: snapshot (root frame) and collector states (own frames). Pure.

Made of our own values, so nothing is checked again (`Event.trusted`): every field is given here, also those with a
default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import hypot
from operator import itemgetter
from typing import Final

from busbar.config.site import Collector, Site
from busbar.domain.quality import Quality
from busbar.domain.topology import to_own_frame
from busbar.events import AssetSample, CollectorSample, CollectorState, ConnectorSample, Sums
from busbar.units import MIN_CURRENT_A, ZERO, Phase, PhaseVector
from collector_aggregator.nodes import ALLOCATED, Node
from collector_aggregator.samples import Six, Three, phases_of
from collector_aggregator.track import NEVER_MS, Track

_NO_SUMS: Final[dict[str, PhaseVector | None]] = {name: field.default for name, field in Sums.model_fields.items()}


def lifetime_ms(site: Site) -> int:
    """Snapshots and states live for three cycles, at least 5 s."""
    return max(5000, 3 * site.options.cycle_ms)


def collector_sample(node: Node) -> CollectorSample:
    measured, background = node.measured, node.background
    return CollectorSample.trusted(
        collector=node.collector.id,
        valid=node.valid,
        age_ms=node.age_ms,
        power_w=phases_of(measured[:3]),
        reactive_power_var=phases_of(measured[3:]),
        background_w=phases_of(background[:3]),
        background_var=phases_of(background[3:]),
        generation_w=phases_of(node.generation_w),
    )


def connector_sample(track: Track, now_ms: int) -> ConnectorSample:
    newest, session = track.newest, track.session
    if session is not None and session.ended_at_ms is not None:
        session = None
    age_ms, powers = track.age_ms, track.powers
    limit_a, fallback_a, watchdog_s = track.read_back
    return ConnectorSample.trusted(
        connector=track.entity.id,
        status=track.status,
        reachable=track.live,
        age_ms=age_ms,
        sampled_at_ms=max(0, now_ms - age_ms) if newest is not None else 0,
        current_a=phases_of(newest.current_a) if newest is not None else ZERO,
        power_w=phases_of(powers[:3]),
        reactive_power_var=phases_of(powers[3:]),
        voltage_v=phases_of(newest.voltage_v) if newest is not None else ZERO,
        limit_a=limit_a,
        fallback_a=fallback_a,
        watchdog_s=watchdog_s,
        phases=_phases(track) if track.entity.phase_dwell_s is not None else None,
        session_id=session.session_id if session is not None else None,
        session_energy_wh=session.energy_wh if session is not None else 0.0,
        plugged_at_ms=session.plugged_at_ms if session is not None else 0,
    )


def at_voltage(sample: ConnectorSample, voltage_v: Three) -> ConnectorSample:
    """A DC connector measures power alone: its currents are those at the voltage of the meter above."""
    currents = [hypot(p, q) / v for p, q, v in zip(sample.power_w, sample.reactive_power_var, voltage_v, strict=True)]
    return sample.model_copy(update={"current_a": PhaseVector(*currents), "voltage_v": phases_of(voltage_v)})


def _phases(track: Track) -> int | None:
    """Of a connector that may be switched, by its newest telemetry: 1 or 3, for nothing else can be."""
    return {1.0: 1, 3.0: 3}.get(track.said("phases") or 0.0)


def asset_sample(track: Track, now_ms: int) -> AssetSample:
    age_ms, powers = track.age_ms, track.powers
    return AssetSample.trusted(
        asset=track.entity.id,
        kind=track.entity.kind,
        reachable=track.reachable_event and age_ms <= track.lifetime_ms,
        age_ms=age_ms,
        power_w=phases_of(powers[:3]),
        reactive_power_var=phases_of(powers[3:]),
        sampled_at_ms=max(0, now_ms - age_ms) if track.newest is not None else 0,
        setpoint_w=track.said("setpoint_power_w"),
        soc_percent=track.said("soc_percent"),
        max_charge_w=track.said("max_charge_power_w"),
        max_discharge_w=track.said("max_discharge_power_w"),
        available_power_w=track.said("available_power_w"),
        frequency_hz=track.said("frequency_hz"),
    )


class Portrait:
    """Makes the states of one collector; what never changes of them is worked out once."""

    def __init__(self, node: Node, life_ms: int, fast_a: float) -> None:
        """`fast_a`: what a free DC connector counts in a reserve."""
        self._node = node
        self._life_ms = life_ms
        self._turned = _turner(node.collector.root_phases)
        self._fast_a = fast_a
        self._reserved: dict[tuple[int, int], tuple[float, PhaseVector]] = {}

    def state(self, now_ms: int) -> CollectorState:
        """What is measured or calculated from measurements; worst cases that are only assumed are left out."""
        node, turned = self._node, self._turned
        oldest_ms, fresh = _oldest(node)
        known = oldest_ms < NEVER_MS
        seen = _minus(node.measured, node.assumed) if node.meter is None else node.measured
        reserve_a, limit_a = self._reserve()
        return CollectorState.trusted(
            collector=node.collector.id,
            measured_at_ms=max(0, now_ms - oldest_ms) if known else 0,
            lifetime_ms=self._life_ms,
            virtual=node.meter is None,
            quality=_quality(node.valid, fresh),
            current_a=phases_of(turned(_signed_current(node, seen))) if known else None,
            power_w=phases_of(turned(seen[:3])) if known else None,
            reactive_power_var=phases_of(turned(seen[3:])) if known else None,
            sums=_sums(node, turned),
            free_connectors=node.free,
            reserve_a=reserve_a,
            limit_a=limit_a,
        )

    def _reserve(self) -> tuple[float, PhaseVector]:
        """Reserve, and rating less reserve, by number of free connectors: worked out once for each."""
        free = (self._node.free, self._node.free_dc)
        known = self._reserved.get(free)
        if known is None:
            known = self._reserved[free] = _reserved(self._node.collector, *free, self._fast_a)
        return known


def _reserved(collector: Collector, free: int, free_dc: int, fast_a: float) -> tuple[float, PhaseVector]:
    """SPC-5; DC connectors first, for they need more."""
    file = collector.file
    fast = min(free_dc, file.dynamic_reserve_connectors)
    slow = min(free, file.dynamic_reserve_connectors) - fast
    reserve_a = max(file.fixed_reserve_a, fast * fast_a + slow * MIN_CURRENT_A)
    a, b, c = collector.rated_a
    return reserve_a, PhaseVector(max(0.0, a - reserve_a), max(0.0, b - reserve_a), max(0.0, c - reserve_a))


def _oldest(node: Node) -> tuple[int, bool]:
    """Age of the oldest input, and whether every one is younger than three of its polls."""
    oldest_ms, fresh = 0, True
    for track in node.inputs:
        age_ms = track.age_ms
        oldest_ms = age_ms if age_ms > oldest_ms else oldest_ms
        if age_ms > track.lifetime_ms:
            fresh = False
    return oldest_ms, fresh


def _quality(valid: bool, fresh: bool) -> Quality:
    """FC-7: stale when an input is older than three of its polls, invalid at the fallback timeout."""
    if not valid:
        return Quality.COMM_FAIL
    return Quality.GOOD if fresh else Quality.STALE


def _turner(own: Sequence[Phase]) -> Callable[[Three], Three]:
    """From the root's frame to the collector's own; phases that it does not have are 0."""
    if len(own) == 3:
        return itemgetter(*own)
    return lambda values: to_own_frame(phases_of(values), own)


def _signed_current(node: Node, seen: Six) -> Three:
    """RMS, with the sign of the active power: the meter's own value, else of the powers."""
    newest = node.meter.newest if node.meter is not None else None
    if newest is not None:
        a, b, c = newest.current_a
    else:
        u, v, w = node.voltage_v
        a, b, c = hypot(seen[0], seen[3]) / u, hypot(seen[1], seen[4]) / v, hypot(seen[2], seen[5]) / w
    return (-a if seen[0] < 0.0 else a, -b if seen[1] < 0.0 else b, -c if seen[2] < 0.0 else c)


def _sums(node: Node, turned: Callable[[Three], Three]) -> Sums:
    """SPC-16, own frame. UCL_SUM is None where a part of the difference is not known."""
    b, s = node.background, node.assumed
    x, y, z = b[0] - s[0], b[1] - s[1], b[2] - s[2]
    found = dict(_NO_SUMS)
    for name, values in node.sums.items():
        found[name] = phases_of(turned(values))
        if name not in ALLOCATED:
            x, y, z = x - values[0], y - values[1], z - values[2]
    if node.valid and node.parts_known and not node.guessed:
        found["ucl_w"] = phases_of(turned((x, y, z)))
    return Sums.trusted(**found)


def _minus(whole: Six, part: Six) -> Six:
    a, b, c, x, y, z = whole
    p, q, r, u, v, w = part
    return (a - p, b - q, c - r, x - u, y - v, z - w)
