"""Physical truth of a site and what its devices would say of it: powers in the grid connection's frame, telemetry in
each device's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from busbar.config.model import SiteFile
from busbar.config.site import Entity, Site, compile_site
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import CollectorSample, ConnectorSample, Measurement, SiteSnapshot
from collector_aggregator.core import Aggregator
from unit.site_files import FACTS
from unit.site_strategies import sites

Six = list[float]
U = 230.0


def site_of(data: Any) -> Site:
    """Compiled without the check: ratings and plan do not matter here."""
    return compile_site(SiteFile.model_validate(data), FACTS)


def measurement(
    entity: Entity, points: Mapping[str, float | str | None], quality: Mapping[str, Quality] | None = None,
    reachable: bool = True, seq: int = 1,
) -> Measurement:  # fmt: skip
    return Measurement(
        asset=entity.id, driver="modbus-1", kind=entity.kind, seq=seq, measured_at_ms=seq,
        lifetime_ms=3 * entity.poll_ms, reachable=reachable, points=dict(points), quality=dict(quality or {}),
    )  # fmt: skip


def electrical(entity: Entity, powers: Sequence[float]) -> dict[str, float | str | None]:
    """Everything a good meter says, from root-frame powers."""
    points: dict[str, float | str | None] = {}
    for own, root in enumerate(entity.root_phases):
        p, q = powers[root], powers[3 + root]
        points |= {
            f"voltage_l{own + 1}_v": U, f"current_l{own + 1}_a": math.hypot(p, q) / U,
            f"power_l{own + 1}_w": p, f"reactive_power_l{own + 1}_var": q,
        }  # fmt: skip
    points["power_w"] = sum(powers[:3])
    points["reactive_power_var"] = sum(powers[3:])
    return points


@dataclass
class World:
    """What flows. `draws` holds root-frame powers by entity; meters see the sum of what hangs below."""

    site: Site
    draws: dict[str, Six]
    aggregator: Aggregator = field(init=False)

    def __post_init__(self) -> None:
        self.aggregator = Aggregator(self.site, 0)

    def below(self, collector: str, *kinds: AssetKind) -> Six:
        """True sum below a collector, of some kinds or of all."""
        found = [0.0] * 6
        for entity in self.site.below(collector):
            if not kinds or entity.kind in kinds:
                found = [a + b for a, b in zip(found, self.draws[entity.id], strict=True)]
        return found

    def others(self, collector: str) -> Six:
        """True background: all but connectors."""
        return self.below(collector, AssetKind.LOAD, AssetKind.PV)

    def seen_by(self, entity: Entity) -> Six:
        if entity.kind is AssetKind.METER:
            return self.below(entity.collector) if entity.collector else [0.0] * 6
        return self.draws[entity.id]

    def say(self, entity_id: str, at_s: float, **extra: float | str | None) -> bool:
        """The entity is polled."""
        entity = self.site.entities[entity_id]
        points = electrical(entity, self.seen_by(entity)) | extra
        return self.aggregator.observe(measurement(entity, points), at_s)

    def say_all(self, at_s: float) -> None:
        for entity in self.site.entities.values():
            if entity.device:
                self.say(entity.id, at_s)

    def snapshot(self, now_s: float) -> SiteSnapshot:
        return self.aggregator.snapshot(now_s, round(now_s * 1000))

    def collectors(self, now_s: float) -> dict[str, CollectorSample]:
        return {c.collector: c for c in self.snapshot(now_s).collectors}

    def connectors(self, now_s: float) -> dict[str, ConnectorSample]:
        return {c.connector: c for c in self.snapshot(now_s).connectors}


def on(phases: Sequence[int], active: Sequence[float], reactive: Sequence[float] = (0.0, 0.0, 0.0)) -> Six:
    """Powers of something on some conductors of the grid connection."""
    found = [0.0] * 6
    for own, root in enumerate(phases):
        found[root] += active[own]
        found[3 + root] += reactive[own]
    return found


@st.composite
def metered_sites(draw: st.DrawFn) -> Any:
    """Random trees with rotations and taps; any collector may have a meter, the root has one."""
    data = draw(sites())
    for collector in data["collectors"][1:]:
        if draw(st.booleans()):
            name = collector["id"]
            del collector["virtual"]
            collector["meter"] = f"m-{name}"
            data["devices"].append({"id": f"dm-{name}", "package": "eastron-sdm630", "host": "10.0.2.1"})
            phases = ["L1", "L2", "L3"][: len(collector["phases"])]
            data["assets"].append({"kind": "meter", "id": f"m-{name}", "device": f"dm-{name}", "phases": phases})
    return data


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A random site with random flows: consumption, generation, reactive power of both signs."""
    site = site_of(draw(metered_sites()))
    watts = {
        AssetKind.AC_CONNECTOR: st.floats(0, 7000),
        AssetKind.LOAD: st.floats(0, 5000),
        AssetKind.PV: st.floats(-7000, 0),
    }
    draws = {}
    for entity in site.entities.values():
        if entity.kind is not AssetKind.METER:
            n = len(entity.root_phases)
            active = [draw(watts[entity.kind]) for _ in range(n)]
            reactive = [draw(st.floats(-2000, 2000)) for _ in range(n)]
            draws[entity.id] = on(entity.root_phases, active, reactive)
    return World(site, draws)
