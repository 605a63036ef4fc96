"""What an asset that has fallen silent counts for where no meter sees it: never more generation, never less load. Pure.

Silent generation counts 0: nothing may rest on it. A load counts with its worst case. So does a battery that may be
charging, until its own watchdog has stopped it (verified time and 0 W, FB-3); its discharge counts 0 at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from busbar.config.assets import Battery, power_range_w
from busbar.config.site import Entity, Site
from busbar.units import NOMINAL_VOLTAGE_V, Phase
from collector_aggregator.samples import NO_POWER, Six


class Silence(NamedTuple):
    """One asset."""

    worst: Six
    over_ms: float
    """Age from which it draws nothing any more by itself."""

    def at(self, age_ms: int) -> Six:
        return self.worst if age_ms < self.over_ms else NO_POWER


def silence_of(entity: Entity, site: Site) -> Silence:
    """From what the site file and the device package say."""
    asset = entity.flexible
    if asset is None:
        return Silence(watts_on(entity.root_phases, entity.max_current_a * NOMINAL_VOLTAGE_V), inf)
    per_phase_w = power_range_w(asset)[1] / len(entity.root_phases)
    package = site.packages.get(site.devices[entity.device].package) if entity.device else None
    over_ms = inf
    if isinstance(asset, Battery) and package is not None and package.on_silence == "zero":
        over_ms = (asset.watchdog_s + package.reaction_s) * 1000.0
    return Silence(watts_on(entity.root_phases, per_phase_w), over_ms)


def watts_on(phases: Sequence[Phase], watts: float) -> Six:
    """So much active power on each of these conductors."""
    a, b, c = (watts if phase in phases else 0.0 for phase in Phase)
    return (a, b, c, 0.0, 0.0, 0.0)
