"""What assets that are set in W do when nobody sets them: part of the fallback plan (`plan`, FB-3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from busbar.config.assets import Battery, Chp, Pv, Wind, power_range_w
from busbar.config.packages import PackageFacts
from busbar.config.site import Collector, Entity, Site
from busbar.domain.kinds import AssetKind
from busbar.units import NOMINAL_VOLTAGE_V


def silent_current_a(entity: Entity, site: Site, facts: Mapping[str, PackageFacts]) -> float:
    """Worst case per phase that is drawn while nobody sets it: a load its own; a battery 0 where its watchdog stops it,
    else its charging power; heat its rating; generators nothing."""
    if entity.kind is AssetKind.LOAD:
        return entity.max_current_a
    asset = entity.flexible
    if asset is None or (isinstance(asset, Battery) and _stops(entity, site, facts)):
        return 0.0
    return power_range_w(asset)[1] / NOMINAL_VOLTAGE_V / len(entity.phases)


def _stops(entity: Entity, site: Site, facts: Mapping[str, PackageFacts]) -> bool:
    package = facts.get(site.devices[entity.device].package) if entity.device else None
    return package is None or package.on_silence == "zero"


def standing_power_w(site: Site) -> dict[str, float]:
    """Fallback of every battery (0 W) and every generator whose power is set, in W (`plan`)."""
    shares = {collector.id: _share(site, collector) for collector in site.collectors}
    found: dict[str, float] = {}
    for entity in site.flexible:
        if isinstance(entity.flexible, Battery):
            found[entity.id] = 0.0
        elif isinstance(entity.flexible, Pv | Wind) and entity.collector is not None:
            path = (site.collectors[i].id for i in site.tree.path(entity.collector))
            found[entity.id] = -entity.rated_power_w * min(shares[name] for name in path) + 0.0
    return found


def _share(site: Site, collector: Collector) -> float:
    """Part of the rating (0 to 1) that all generators below may give so that this collector bears it."""
    below = [e for e in site.below(collector.id) if isinstance(e.flexible, Pv | Wind | Chp)]
    share = 1.0
    for room_w, generators in _rooms(collector, below):
        fixed_w = sum(_on(e, generators) for e in below if isinstance(e.flexible, Chp))
        limited_w = sum(_on(e, generators) for e in below if not isinstance(e.flexible, Chp))
        if limited_w > 0.0:
            share = min(share, max(0.0, room_w - fixed_w) / limited_w)
    return share


def _rooms(collector: Collector, below: list[Entity]) -> Iterator[tuple[float, int | None]]:
    """(largest injection in W, root phase or None for all together) of each limit of the collector."""
    if not below:
        return
    file = collector.file
    for limit_w in (file.export_limit_w, file.power_limit_w, file.power_limit_va):
        if limit_w is not None:
            yield limit_w, None
    if not file.monitored_only:
        for phase in collector.root_phases:
            yield collector.root_rated_a[phase] * NOMINAL_VOLTAGE_V, int(phase)


def _on(entity: Entity, phase: int | None) -> float:
    """What a generator gives at its rating: all of it, or on one conductor."""
    if phase is None:
        return entity.rated_power_w
    return entity.rated_power_w / len(entity.root_phases) if phase in entity.root_phases else 0.0
