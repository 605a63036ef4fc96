"""Facts of the assets that are set in W, made once from the compiled site; by asset, sorted by id.

What one W of an asset takes of each row stands in `share` (A x 4V): a flat row index is `channel * V + collector`,
channels 0..2 are W on the grid connection's conductors, channel 3 is W of all of them. An asset loads its conductors
equally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.config.assets import Battery, Chp, EBoiler, Flexible, HeatPump, Pv, ThermalStorage, Wind
from busbar.domain.limits import REACTION_TIME_S

if TYPE_CHECKING:
    from busbar.config.site import Entity, Site
    from spc_allocator.rows import Bools, Floats, Ints

RELEASED_AT_ONCE: Final = 0.1
"""A generator is released by at most so much of its rating within the time in which a mistake would be seen and
mended: a poll, a cycle, the device's reaction."""
Heating = HeatPump | EBoiler | ThermalStorage


class Assets:
    """All of them; `count` 0: the site has none."""

    def __init__(self, site: Site) -> None:
        self.entities: tuple[Entity, ...] = tuple(sorted(site.flexible, key=lambda entity: entity.id))
        self.files: tuple[Flexible, ...] = tuple(e.flexible for e in self.entities if e.flexible is not None)
        self.ids = tuple(entity.id for entity in self.entities)
        self.index = {name: at for at, name in enumerate(self.ids)}
        self.count = len(self.entities)
        self.batteries = [at for at, file in enumerate(self.files) if isinstance(file, Battery)]
        self.heats = [at for at, file in enumerate(self.files) if isinstance(file, Heating)]
        self.is_battery = self._kind(Battery)
        self.is_heat = self._kind(HeatPump, EBoiler, ThermalStorage)
        self.is_chp = self._kind(Chp)
        self.is_renewable = self._kind(Pv, Wind)
        self.generates: Bools = self.is_renewable | self.is_chp
        self.most_in_w: Floats = np.array([_consumes_w(file) for file in self.files], dtype=float)
        self.most_out_w: Floats = np.array([_produces_w(file) for file in self.files], dtype=float)
        always = np.array([isinstance(file, Heating) and file.follows == "always" for file in self.files], dtype=bool)
        self.runs_by_itself: Bools = always
        """Heat that is only ever turned down."""
        self.free_w: Floats = np.where(self.generates, -self.most_out_w, np.where(always, self.most_in_w, 0.0))
        """Setpoint where nothing bounds it and nothing is asked of it."""
        self.wired: Floats = np.array([_per_conductor(e) for e in self.entities], dtype=float).reshape(-1, 3).T.copy()
        """3 x A: part of its power on each conductor of the grid connection."""
        self.under: Floats = np.zeros((self.count, len(site.collectors)))
        """A x V: 1 where the asset hangs below the collector."""
        self.paths = tuple(site.tree.path(e.collector) if e.collector else () for e in self.entities)
        for at, path in enumerate(self.paths):
            self.under[at, list(path)] = 1.0
        channels = np.vstack((self.wired, np.ones((1, self.count))))
        shares = channels.T[:, :, None] * self.under[:, None, :]
        self.share: Floats = shares.reshape(self.count, 4 * len(site.collectors))
        reaction_s = [_reaction_s(site, entity) for entity in self.entities]
        self.reaction_ms: Ints = np.array([1000 * s for s in reaction_s], dtype=np.int64)
        self.stale_ms: Ints = np.array([3 * e.poll_ms for e in self.entities], dtype=np.int64)
        wait_s = self.reaction_ms / 1000.0 + self.stale_ms / 3000.0 + site.options.cycle_ms / 1000.0
        self.release_w_per_s: Floats = RELEASED_AT_ONCE * self.most_out_w / wait_s

    def _kind(self, *kinds: type) -> Bools:
        return np.array([isinstance(file, kinds) for file in self.files], dtype=bool)


def _consumes_w(file: Flexible) -> float:
    if isinstance(file, Battery):
        return file.max_charge_w
    return file.rated_power_w if isinstance(file, Heating) else 0.0


def _produces_w(file: Flexible) -> float:
    if isinstance(file, Battery):
        return file.max_discharge_w
    return 0.0 if isinstance(file, Heating) else file.rated_power_w


def _per_conductor(entity: Entity) -> list[float]:
    return [1.0 / len(entity.root_phases) if phase in entity.root_phases else 0.0 for phase in range(3)]


def _reaction_s(site: Site, entity: Entity) -> float:
    facts = site.packages.get(site.devices[entity.device].package) if entity.device else None
    return facts.reaction_s if facts else REACTION_TIME_S
