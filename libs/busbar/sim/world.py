"""What nature and people do to one site: who comes, the sun, the loads, the grid's voltage and frequency.

Everything is decided by the site, the day, the seed and real data; nothing here knows what control does. Ask with
rising time. `Physics` reads it once a second (motor starts more often).
"""

from __future__ import annotations

from datetime import date, time

from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.sim.almanac import Almanac
from busbar.sim.chance import Wander, stream
from busbar.sim.load import BuildingLoad, UnmeteredLoad
from busbar.sim.plant import Triple
from busbar.sim.sessions import Schedule, stage
from busbar.sim.weather import Sun
from busbar.units import NOMINAL_VOLTAGE_V

MIDNIGHT = time()


class World:
    """Twin time 0 is `start_local` of `day` on the site's wall clock.

    `staged`: begin with vehicles in every state (sessions.stage) instead of those the data has there at that time.
    """

    def __init__(self, site: Site, day: date, seed: int, start_local: time = MIDNIGHT, staged: bool = False) -> None:
        connectors = [connector.id for connector in site.connectors]
        self.almanac = Almanac(day, start_local, site.file.site.timezone)
        self.schedule = Schedule(connectors, self.almanac, seed, stage(connectors, seed) if staged else ())
        self.suns: dict[str, Sun] = {}
        self.loads: dict[str, BuildingLoad] = {}
        for entity in site.entities.values():
            if entity.kind is AssetKind.PV:
                self.suns[entity.id] = Sun(self.almanac, seed, entity.id)
            elif entity.kind is AssetKind.LOAD:
                phases = len(entity.root_phases)
                self.loads[entity.id] = BuildingLoad(self.almanac, seed, entity.id, entity.max_current_a, phases)
        self.unmetered: dict[str, UnmeteredLoad] = {}
        for collector in site.collectors:
            virtual = collector.file.virtual
            worst_a = virtual.unmetered_load_a if virtual else collector.file.unmetered_load_a
            if worst_a > 0.0:
                self.unmetered[collector.id] = UnmeteredLoad(seed, collector.id, worst_a, len(collector.root_phases))
        self.frequency_hz = 50.0
        self.source_v: Triple = [NOMINAL_VOLTAGE_V] * 3
        self._frequency = Wander(stream(seed, "frequency"), 0.015, 60.0)
        self._common = Wander(stream(seed, "voltage"), 1.5, 600.0)
        self._phases = [Wander(stream(seed, "voltage", str(k)), 0.6, 120.0) for k in range(3)]

    def second(self, dt_s: float) -> None:
        """Voltage and frequency of the grid, `dt_s` later."""
        self.frequency_hz = 50.0 + self._frequency.step(dt_s)
        common_v = NOMINAL_VOLTAGE_V + 2.0 + self._common.step(dt_s)
        for k, phase in enumerate(self._phases):
            self.source_v[k] = common_v + phase.step(dt_s)
