"""`World` with batteries, PV, CHP and heat: simple physics of each, that share no code with the allocator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from busbar.config.assets import Battery, Chp, Pv, Wind
from busbar.config.site import Entity, Site
from busbar.events import (
    AssetMode,
    AssetSample,
    CollectorSample,
    CollectorTarget,
    Mode,
    Reason,
    SiteSnapshot,
)
from busbar.units import PhaseVector
from scenarios.world import U, World, site_of
from spc_allocator.core import Decided
from spc_allocator.flexible.finish import Flexed
from spc_allocator.inputs import Inputs

GENERATORS = (Pv, Wind, Chp)


def battery(name: str, collector: str = "grid", **entry: Any) -> dict[str, Any]:
    return {"kind": "battery", "id": name, "collector": collector, "capacity_wh": 20_000, "max_charge_w": 10_000,
            "max_discharge_w": 10_000, **entry}  # fmt: skip


def pv(name: str, collector: str = "grid", **entry: Any) -> dict[str, Any]:
    return {"kind": "pv", "id": name, "collector": collector, "rated_power_w": 20_000, **entry}


def heater(name: str, collector: str = "grid", kind: str = "e_boiler", **entry: Any) -> dict[str, Any]:
    return {"kind": kind, "id": name, "collector": collector, "rated_power_w": 6000, **entry}


@dataclass
class Thing:
    """One asset with its device."""

    entity: Entity
    wish_w: float = 0.0
    """What the sun gives, or what a heat demand would draw; as a magnitude."""
    soc_percent: float | None = 50.0
    power_w: float = 0.0
    setpoint_w: float = 0.0
    pending: list[tuple[float, float]] = field(default_factory=list)
    reachable: bool = True
    obeys: bool = True
    poll_s: float = 1.0
    says_available: bool = False
    frequency_hz: float | None = None
    sample: AssetSample | None = None
    sampled_at_s: float = -math.inf
    socs: list[float] = field(default_factory=list)

    def move(self, now_s: float) -> None:
        """One second."""
        while self.pending and self.pending[0][0] <= now_s:
            self.setpoint_w = self.pending.pop(0)[1]
        file, rated = self.entity.flexible, self.entity.rated_power_w
        if isinstance(file, GENERATORS):
            goal, up, down = -min(self.wish_w, max(0.0, -self.setpoint_w)), 0.4 * rated, 0.2 * rated
        elif isinstance(file, Battery):
            goal, up, down = self.setpoint_w, 0.6 * rated, 0.6 * rated
        else:
            goal, up, down = min(self.wish_w, self.setpoint_w), rated, rated
        self.power_w += max(-down, min(up, goal - self.power_w))
        if isinstance(file, Battery) and self.soc_percent is not None:
            self.soc_percent += self.power_w / 36.0 / file.capacity_wh
            self.socs.append(self.soc_percent)

    def root_w(self) -> list[float]:
        each = self.power_w / len(self.entity.root_phases)
        return [each if phase in self.entity.root_phases else 0.0 for phase in range(3)]


class FlexWorld(World):
    """`things` by id; `target` and `by_hand` speak from outside."""

    def __init__(self, site: Site, **world: Any) -> None:
        self.things = {e.id: Thing(e) for e in site.flexible}
        self.targets: dict[str, CollectorTarget] = {}
        for thing in self.things.values():
            thing.setpoint_w = -thing.entity.rated_power_w if isinstance(thing.entity.flexible, GENERATORS) else 0.0
        super().__init__(site, **world)

    def target(self, collector: str, power_w: float, source: str = "gateway") -> None:
        self.targets[collector] = CollectorTarget(
            collector=collector, source=source, power_w=power_w, published_at_ms=0
        )

    def by_hand(self, asset: str, power_w: float) -> None:
        self.modes[asset] = AssetMode(
            asset=asset, source="page", mode=Mode.MANUAL, power_w=power_w, published_at_ms=0
        )  # fmt: skip

    @property
    def flexed(self) -> Flexed:
        assert self.last
        assert self.last.flexible
        return self.last.flexible

    @property
    def watts(self) -> dict[str, float]:
        """Setpoints in W."""
        assert self.last
        return self.last.told_w()

    def because(self, asset: str) -> Reason:
        return self.flexed.why[self.net.assets.index[asset]]

    def net_w(self, collector: str = "grid") -> float:
        return sum(self.flow_a(collector)[0]) * U

    # -- the world, with assets in it

    def inputs(self) -> Inputs:
        return replace(super().inputs(), targets=tuple(self.targets.values()))

    def step(self) -> None:
        for thing in self.things.values():
            thing.move(self.now_s + 1.0)
        super().step()

    def allocate(self, guard: Sequence[str] = ()) -> Decided:
        decided = super().allocate(guard)
        for name, power_w in decided.told_w().items():
            thing = self.things[name]
            written = thing.pending[-1][1] if thing.pending else thing.setpoint_w
            if thing.reachable and thing.obeys and power_w != written:
                thing.pending.append((self.now_s + self.latency_s, power_w))
        return decided

    def flow_a(self, collector: str) -> tuple[list[float], list[float]]:
        active, reactive = super().flow_a(collector)
        inside = self.site.tree.below(collector)
        for thing in self.things.values():
            if self.site.tree.index[thing.entity.collector or ""] in inside:
                active = [a + w / U for a, w in zip(active, thing.root_w(), strict=True)]
        return active, reactive

    def _collector(self, name: str) -> CollectorSample:
        sample = super()._collector(name)
        inside, given = self.site.tree.below(name), list(sample.generation_w)
        for thing in self.things.values():
            if self.site.tree.index[thing.entity.collector or ""] in inside:
                given = [a + min(0.0, w) for a, w in zip(given, thing.root_w(), strict=True)]
        return sample.model_copy(update={"generation_w": PhaseVector(*given)})

    def snapshot(self, guard: Sequence[str] = ()) -> SiteSnapshot:
        snapshot = super().snapshot(guard)
        return snapshot.model_copy(update={"assets": tuple(self._asset(t) for t in self.things.values())})

    def _asset(self, thing: Thing) -> AssetSample:
        if (thing.reachable and self.now_s - thing.sampled_at_s >= thing.poll_s) or thing.sample is None:
            thing.sampled_at_s = self.now_s
            thing.sample = AssetSample(
                asset=thing.entity.id, kind=thing.entity.kind, reachable=True, age_ms=0,
                power_w=PhaseVector(*thing.root_w()), reactive_power_var=PhaseVector(), sampled_at_ms=self.now_ms,
                setpoint_w=thing.setpoint_w, soc_percent=thing.soc_percent, frequency_hz=thing.frequency_hz,
                available_power_w=thing.wish_w if thing.says_available else None,
            )  # fmt: skip
        age_ms = round((self.now_s - thing.sampled_at_s) * 1000.0)
        return thing.sample.model_copy(update={"age_ms": age_ms, "reachable": thing.reachable})


def flexible_site(
    assets: Sequence[Mapping[str, Any]], connectors: Sequence[Mapping[str, Any]] = (),
    collectors: Sequence[Mapping[str, Any]] = ({"id": "grid", "rated_current_a": 100},), **options: Any,
) -> Site:  # fmt: skip
    return site_of(collectors, connectors, options, assets=assets)
