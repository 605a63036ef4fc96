"""Small sites for tests of the physics: built from short rows, offers set by hand, no devices, calm grid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time
from typing import Any

from busbar.config.model import SiteFile
from busbar.config.site import Site, compile_site
from busbar.sim.physics import Physics
from busbar.sim.plant import EvsePort
from busbar.sim.sessions import Visit
from busbar.sim.twin import build_plant
from busbar.sim.world import World

DAY = date(2019, 9, 11)
ALL = ["L1", "L2", "L3"]


def collector(name: str, parent: str | None = None, rated: float = 100.0, **more: Any) -> dict[str, Any]:
    return {"id": name, "parent": parent, "rated_current_a": rated, "virtual": {"unmetered_load_a": 0}, **more}


def metered(name: str, meter: str, parent: str | None = None, rated: float = 100.0, **more: Any) -> dict[str, Any]:
    return {"id": name, "parent": parent, "rated_current_a": rated, "meter": meter, **more}


def charger(name: str, where: str, phases: Sequence[str] = ALL, max_current_a: float = 32.0) -> dict[str, Any]:
    outlet = {"id": name, "collector": where, "phases": list(phases), "max_current_a": max_current_a}
    return {"kind": "ac_charge_point", "id": f"cp-{name}", "device": "dev", "connectors": [outlet]}


def meter(name: str, phases: Sequence[str] = ALL, turned: bool = False) -> dict[str, Any]:
    return {"kind": "meter", "id": name, "device": "dev", "phases": list(phases), "reversed": turned}


def site_of(collectors: list[dict[str, Any]], assets: list[dict[str, Any]]) -> Site:
    device = {"id": "dev", "package": "any", "host": "127.0.0.1", "simulated": True}
    file = {"format": "busbar-site/1", "site": {"id": "t"}, "collectors": collectors, "devices": [device]}
    return compile_site(SiteFile.model_validate({**file, "assets": assets}))


class CalmWorld(World):
    """Nobody comes by itself and the grid's voltage stands still: what happens is what the test does."""

    def __init__(self, site: Site, seed: int = 1, start_local: time = time(12)) -> None:
        super().__init__(site, DAY, seed, start_local)
        self.schedule._queue.clear()

    def second(self, dt_s: float) -> None:
        """Nothing moves."""


class Bench:
    """Physics with the electronics in the tester's hands."""

    def __init__(self, site: Site, seed: int = 1, world: World | None = None) -> None:
        self.site = site
        self.plant = build_plant(site, seed)
        self.world = world or CalmWorld(site, seed)
        self.physics = Physics(site, self.plant, self.world, seed)
        self.steps = 0
        self.dt_s = 0.2

    def plug(self, name: str, phases: int = 3, need_wh: float = 20_000.0, session: str = "", **more: Any) -> EvsePort:
        now_s = self.now_s
        session = session or f"s-{name}"
        self.physics.plug(Visit(name, session, now_s, now_s + 6e5, need_wh, need_wh, phases=phases, **more))
        return self.plant.evses[name]

    @property
    def now_s(self) -> float:
        return self.steps * self.dt_s

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / self.dt_s)):
            self.steps += 1
            self.physics.step(self.dt_s, self.steps * self.dt_s)

    def currents(self, name: str) -> list[float]:
        """Of a collector, by conductor of the grid connection."""
        index = self.site.tree.index[name]
        return self.physics.wires.current_a[3 * index : 3 * index + 3]

    def powers(self, name: str) -> list[float]:
        index = self.site.tree.index[name]
        return self.physics.wires.power_w[3 * index : 3 * index + 3]
