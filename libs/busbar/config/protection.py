"""What the fuses bear while control cannot help: the time of holding, and the fixed reserve (failure.md, SPC-5).

**Hold.** When setpoints cease, drivers hold the last ones until `options.fallback_timeout_s`. If all generation is lost
in that moment, a fuse that was filled up carries per phase at most the least of

- rating - fixed reserve + all generation below (that much may have been handed on),
- 1.25 x rating (no more generation is credited than leaves that, algorithms.md),
- everything below at its maximum (loads, unmetered loads, connectors, batteries that charge).

A battery that discharges is generation: it may be lost in an instant as well. Above the rating, the time until devices
have gone down (hold, then the slowest device's reaction) may be at most half of what the fuse's curve allows: fuses are
warm, curves have tolerances. The hold of each asset is the shortest of its path.
Below 5 s nothing can be gained, a setpoint lives that long: then the fuse is refused.

**Fixed reserve.** All that is not controlled below may rise from nothing to its worst case while a fuse is full up to
its fixed reserve. Until control has acted (one poll of the meter, a cycle, the slowest reaction below) the fuse
carries the excess; half of its curve must allow that, else the check warns and says which reserve would do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from busbar.config.assets import Battery, power_range_w
from busbar.config.packages import PackageFacts
from busbar.config.site import Collector, Entity, Site
from busbar.domain.fuse import clearing_time_s, largest_ratio
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import REACTION_TIME_S, SETPOINT_LIFETIME_MS
from busbar.units import NOMINAL_VOLTAGE_V

CURVE_SHARE: Final = 0.5
"""Part of a fuse's time that may be used up."""
CREDIT_RATIO: Final = 1.25
"""Total loss of the credited generation leaves at most this multiple of the rating."""
_SHORTEST_HOLD_S: Final = SETPOINT_LIFETIME_MS / 1000


@dataclass(frozen=True, slots=True)
class Exposure:
    """One protected collector with something controlled below, in root phases, worst case per phase in A."""

    collector: Collector
    rated_a: tuple[float, ...]
    controlled_a: tuple[float, ...]
    """Connectors, and batteries that charge."""
    uncontrolled_a: tuple[float, ...]
    generation_a: tuple[float, ...]
    reaction_s: float
    """Slowest device below."""

    def held_ratio(self) -> float:
        """Largest current over rating while setpoints are held and generation is lost."""
        reserve = self.collector.file.fixed_reserve_a
        return max(
            min(
                rated - reserve + self.generation_a[phase],
                CREDIT_RATIO * rated,
                self.controlled_a[phase] + self.uncontrolled_a[phase],
            )
            / rated
            for phase, rated in enumerate(self.rated_a)
            if rated
        )

    def hold_s(self) -> float:
        """How long setpoints may be held; infinite where the fuse stays within its rating."""
        return CURVE_SHARE * clearing_time_s(self.collector.file.fuse, self.held_ratio()) - self.reaction_s

    def needed_reserve_a(self, detection_s: float) -> float:
        """Smallest fixed reserve with which the fuse bears a sudden rise of what is not controlled."""
        bearable = largest_ratio(self.collector.file.fuse, (detection_s + self.reaction_s) / CURVE_SHARE)
        excess = (
            min(self.uncontrolled_a[phase], rated) - (bearable - 1.0) * rated
            for phase, rated in enumerate(self.rated_a)
            if rated
        )
        return max(0.0, *excess)


@dataclass(frozen=True)
class Protection:
    """Hold per asset (s), and the exposure of each protected collector with something controlled below."""

    hold_s: Mapping[str, float]
    exposures: tuple[Exposure, ...]


def protection(site: Site, packages: Mapping[str, PackageFacts]) -> Protection:
    exposures = tuple(_exposures(site, packages))
    hold = {exposure.collector.index: exposure.hold_s() for exposure in exposures}
    most = site.options.fallback_timeout_s
    return Protection(
        {
            asset.id: max(_SHORTEST_HOLD_S, min(most, *(hold.get(i, most) for i in _path(site, asset))))
            for asset in (*site.connectors, *site.flexible)
        },
        exposures,
    )


def too_short(exposure: Exposure) -> bool:
    """Whether the fuse does not even bear a setpoint's own lifetime."""
    return exposure.hold_s() < _SHORTEST_HOLD_S


def detection_s(site: Site, collector: Collector) -> float:
    """Time until control knows of a rise: a poll of the nearest meter at or above, and a cycle."""
    meters = [site.collectors[i].file.meter for i in collector.path]
    meter = site.entities.get(next((name for name in meters if name), ""))
    return (meter.poll_ms if meter else 1000) / 1000 + site.options.cycle_ms / 1000


def _exposures(site: Site, packages: Mapping[str, PackageFacts]) -> Iterator[Exposure]:
    sums = [{kind: [0.0, 0.0, 0.0] for kind in ("controlled", "uncontrolled", "generation")} for _ in site.collectors]
    reaction = [0.0 for _ in site.collectors]
    for entity in site.entities.values():
        for kind, current_a in _worst_a(entity):
            for index in _path(site, entity):
                for phase in entity.root_phases:
                    sums[index][kind][phase] += current_a
                if kind == "controlled":
                    reaction[index] = max(reaction[index], _reaction_s(site, entity, packages))
    for collector in site.collectors:
        virtual = collector.file.virtual
        unmetered = virtual.unmetered_load_a if virtual else collector.file.unmetered_load_a
        for index in collector.path:
            for phase in collector.root_phases:
                sums[index]["uncontrolled"][phase] += unmetered
    for collector in site.collectors:
        below = sums[collector.index]
        if collector.file.monitored_only or not any(below["controlled"]):
            continue
        yield Exposure(
            collector, collector.root_rated_a, tuple(below["controlled"]), tuple(below["uncontrolled"]),
            tuple(below["generation"]), reaction[collector.index],
        )  # fmt: skip


def _worst_a(entity: Entity) -> Iterator[tuple[str, float]]:
    """What an entity may draw or feed per phase, and which sum it belongs to."""
    if entity.charge_point is not None:
        yield "controlled", entity.max_current_a
    elif entity.kind is AssetKind.LOAD:
        yield "uncontrolled", entity.max_current_a
    elif entity.flexible is not None:
        lowest_w, highest_w = power_range_w(entity.flexible)
        per_phase = NOMINAL_VOLTAGE_V * len(entity.phases)
        yield "generation", -lowest_w / per_phase
        yield "controlled" if isinstance(entity.flexible, Battery) else "uncontrolled", highest_w / per_phase


def _reaction_s(site: Site, entity: Entity, packages: Mapping[str, PackageFacts]) -> float:
    facts = packages.get(site.devices[entity.device].package) if entity.device else None
    return facts.reaction_s if facts else REACTION_TIME_S


def _path(site: Site, entity: Entity) -> tuple[int, ...]:
    return site.tree.path(entity.collector) if entity.collector else ()
