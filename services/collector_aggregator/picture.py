"""The events made of what was calculated: snapshot (root frame) and collector states (own frames). Pure.

Made of our own values, so nothing is checked again (`Event.trusted`): every field is given here, also those with a
default.
"""

from __future__ import annotations

import math
from typing import Final

from busbar.config.site import Site
from busbar.domain.quality import Quality
from busbar.domain.topology import to_own_frame
from busbar.events import AssetSample, CollectorSample, CollectorState, ConnectorSample, Sums
from busbar.units import MIN_CURRENT_A, ZERO, PhaseVector
from collector_aggregator.nodes import ALLOCATED, Node
from collector_aggregator.samples import Six, Three
from collector_aggregator.track import NEVER_MS, Track

_NO_SUMS: Final = {name: ZERO for name in Sums.model_fields if name != "ucl_w"}


def lifetime_ms(site: Site) -> int:
    """Snapshots and states live for three cycles, at least 5 s."""
    return max(5000, 3 * site.options.cycle_ms)


def collector_sample(node: Node) -> CollectorSample:
    return CollectorSample.trusted(
        collector=node.collector.id,
        valid=node.valid,
        age_ms=node.age_ms,
        power_w=_active(node.measured),
        reactive_power_var=_reactive(node.measured),
        background_w=_active(node.background),
        background_var=_reactive(node.background),
        generation_w=PhaseVector._make(node.generation_w),
    )


def connector_sample(track: Track, now_s: float, now_ms: int) -> ConnectorSample:
    newest, session = track.newest, track.session
    if session is not None and session.ended_at_ms is not None:
        session = None
    age_ms = track.age_ms(now_s)
    limit_a, fallback_a, watchdog_s = track.read_back
    return ConnectorSample.trusted(
        connector=track.entity.id,
        status=track.status,
        reachable=track.live,
        age_ms=age_ms,
        sampled_at_ms=max(0, now_ms - age_ms) if newest is not None else 0,
        current_a=PhaseVector._make(newest.current_a) if newest is not None else ZERO,
        power_w=_active(track.powers),
        reactive_power_var=_reactive(track.powers),
        voltage_v=PhaseVector._make(newest.voltage_v) if newest is not None else ZERO,
        limit_a=limit_a,
        fallback_a=fallback_a,
        watchdog_s=watchdog_s,
        session_id=session.session_id if session is not None else None,
        session_energy_wh=session.energy_wh if session is not None else 0.0,
        plugged_at_ms=session.plugged_at_ms if session is not None else 0,
    )


def asset_sample(track: Track, now_s: float) -> AssetSample:
    age_ms = track.age_ms(now_s)
    return AssetSample.trusted(
        asset=track.entity.id,
        kind=track.entity.kind,
        reachable=track.reachable_event and age_ms <= track.lifetime_ms,
        age_ms=age_ms,
        power_w=_active(track.powers),
        reactive_power_var=_reactive(track.powers),
    )


def collector_state(node: Node, now_s: float, now_ms: int, life_ms: int) -> CollectorState:
    """What is measured or calculated from measurements; worst cases that are only assumed are left out."""
    collector = node.collector
    own = collector.root_phases
    oldest_ms = max((t.age_ms(now_s) for t in node.inputs), default=0)
    known = oldest_ms < NEVER_MS
    seen = _minus(node.measured, node.assumed) if node.meter is None else node.measured
    free = sum(1 for t in node.connectors if t.live and t.status is not None and t.status.free)
    reserve_a = max(
        collector.file.fixed_reserve_a, MIN_CURRENT_A * min(free, collector.file.dynamic_reserve_connectors)
    )
    a, b, c = (max(0.0, rated_a - reserve_a) for rated_a in collector.rated_a)
    return CollectorState.trusted(
        collector=collector.id,
        measured_at_ms=max(0, now_ms - oldest_ms) if known else 0,
        lifetime_ms=life_ms,
        virtual=node.meter is None,
        quality=_quality(node, now_s),
        current_a=to_own_frame(_signed_current(node, seen), own) if known else None,
        power_w=to_own_frame(_active(seen), own) if known else None,
        reactive_power_var=to_own_frame(_reactive(seen), own) if known else None,
        sums=_sums(node),
        free_connectors=free,
        reserve_a=reserve_a,
        limit_a=PhaseVector(a, b, c),
    )


def _quality(node: Node, now_s: float) -> Quality:
    """FC-7: stale when an input is older than three of its polls, invalid at the fallback timeout."""
    if not node.valid:
        return Quality.COMM_FAIL
    fresh = all(t.age_ms(now_s) <= t.lifetime_ms for t in node.inputs)
    return Quality.GOOD if fresh else Quality.STALE


def _signed_current(node: Node, seen: Six) -> PhaseVector:
    """RMS, with the sign of the active power: the meter's own value, else of the powers."""
    newest = node.meter.newest if node.meter is not None else None
    amps: Three | None = newest.current_a if newest is not None else None
    out = []
    for phase in range(3):
        size = amps[phase] if amps else math.hypot(seen[phase], seen[3 + phase]) / node.voltage_v(phase)
        out.append(-size if seen[phase] < 0.0 else size)
    return PhaseVector._make(out)


def _sums(node: Node) -> Sums:
    """SPC-16, own frame. UCL_SUM is None where a part of the difference is not known."""
    own = node.collector.root_phases
    rest = [b - s for b, s in zip(node.background[:3], node.assumed[:3], strict=True)]
    for name, values in node.sums.items():
        if name not in ALLOCATED:
            for phase in range(3):
                rest[phase] -= values[phase]
    known = node.valid and node.parts_known and not node.guessed
    sums = dict(_NO_SUMS)
    for name, values in node.sums.items():
        sums[name] = to_own_frame(PhaseVector._make(values), own)
    return Sums.trusted(ucl_w=to_own_frame(PhaseVector._make(rest), own) if known else None, **sums)


def _minus(whole: Six, part: Six) -> Six:
    a, b, c, x, y, z = (w - p for w, p in zip(whole, part, strict=True))
    return (a, b, c, x, y, z)


def _active(powers: Six) -> PhaseVector:
    return PhaseVector(powers[0], powers[1], powers[2])


def _reactive(powers: Six) -> PhaseVector:
    return PhaseVector(powers[3], powers[4], powers[5])
