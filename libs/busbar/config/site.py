"""The compiled site: what services run on. Built once from a checked site file; immutable; no I/O.

Everything is resolved: the tree with rotations multiplied out, every entity with its driver, device and phases in the
grid connection's frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from busbar.config.assets import (
    AcChargePoint,
    ChargePoint,
    Connector,
    DcChargePoint,
    DcConnector,
    Flexible,
    Load,
    Meter,
    rated_power_w,
)
from busbar.config.model import Asset, CollectorFile, Controller, Device, Options, SiteFile
from busbar.config.packages import PackageFacts
from busbar.domain.kinds import AssetKind
from busbar.domain.topology import NodeSpec, Tree, to_root_frame
from busbar.units import THREE_PHASE_V, Phase, PhaseVector, uniform


@dataclass(frozen=True, slots=True)
class Collector:
    """One fused node. Ratings stand in the collector's *own* frame; `root_phases` moves them to the root's."""

    id: str
    name: str
    file: CollectorFile
    index: int
    level: int
    parent: str | None
    root_phases: tuple[Phase, ...]
    rated_a: PhaseVector
    path: tuple[int, ...]

    @property
    def root_rated_a(self) -> tuple[float, ...]:
        """Rating per conductor of the grid connection; 0 for one that it does not have."""
        return tuple(to_root_frame(self.rated_a, self.root_phases))


@dataclass(frozen=True, slots=True)
class Entity:
    """What has telemetry of its own: a connector, or an asset that is no charger (requirements.md, Entities).

    `phases` are its collector's conductors in its own order, `root_phases` the grid connection's. A meter's frame is
    that of the collector it measures (`collector` is then that collector); a meter that measures no collector has None.
    """

    id: str
    name: str
    kind: AssetKind
    collector: str | None
    device: str | None
    driver: str | None
    instance: int
    phases: tuple[Phase, ...]
    root_phases: tuple[Phase, ...]
    max_current_a: float
    """Per phase; of a DC connector its power at 230 V."""
    weight: float
    poll_ms: int
    rated_power_w: float
    """Largest active power as a magnitude, in its main direction; 0 where the file does not say."""
    reversed: bool
    min_current_a: float = 0.0
    """Least at which the site file lets a connector charge; of a DC connector its power at 230 V."""
    charge_point: ChargePoint | None = None
    priority: int = 0
    phase_dwell_s: float | None = None
    """Least time between two switches between one and three phases; None: it is not switched (SPC-20)."""
    flexible: Flexible | None = None
    """The entry of the file, where the allocator sets its power."""

    @property
    def dc(self) -> bool:
        """A DC connector: set in W."""
        return self.kind is AssetKind.DC_CONNECTOR


@dataclass(frozen=True)
class Site:
    """A site ready to run."""

    id: str
    name: str
    file: SiteFile
    fingerprint: str
    tree: Tree
    collectors: tuple[Collector, ...]
    """Depth first: `collectors[i].index == i`."""
    entities: Mapping[str, Entity]
    """By id, in file order: connectors of charge points in place, then as listed."""
    devices: Mapping[str, Device]
    controllers: tuple[Controller, ...]
    options: Options
    packages: Mapping[str, PackageFacts] = field(default_factory=dict)
    """Facts of the device packages in use, by the name that the site file gives; empty where compiled without."""

    def collector(self, collector_id: str) -> Collector:
        return self.collectors[self.tree.index[collector_id]]

    @property
    def connectors(self) -> tuple[Entity, ...]:
        """AC and DC connectors in file order."""
        return tuple(e for e in self.entities.values() if e.charge_point is not None)

    @property
    def flexible(self) -> tuple[Entity, ...]:
        """Assets other than connectors whose power the allocator sets, in file order."""
        return tuple(e for e in self.entities.values() if e.flexible is not None)

    def of_driver(self, driver: str) -> tuple[Entity, ...]:
        """All entities that one driver shard polls."""
        return tuple(e for e in self.entities.values() if e.driver == driver)

    def below(self, collector_id: str) -> tuple[Entity, ...]:
        """All entities (meters excluded) that hang on the collector or anything under it."""
        inside = set(self.tree.below(collector_id))
        return tuple(
            e
            for e in self.entities.values()
            if e.kind is not AssetKind.METER and e.collector and self.tree.index[e.collector] in inside
        )


def fingerprint(file: SiteFile) -> str:
    """Digest of the site file's meaning: independent of comments, key order and defaults left out."""
    canonical = orjson.dumps(file.model_dump(mode="json", exclude_defaults=True), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:16]


def compile_site(file: SiteFile, packages: Mapping[str, PackageFacts] | None = None) -> Site:
    """Resolve a site file that `busbar.config.check` accepted. Raises ValueError on one that it would not."""
    tree = Tree.build([NodeSpec(c.id, c.parent, _phases(c.phases)) for c in file.collectors])
    collectors = {c.id: c for c in file.collectors}
    compiled = tuple(_collector(tree, collectors[node.id], node.index) for node in tree.nodes)
    devices = {d.id: d for d in file.devices}
    metered = {c.meter: c.id for c in file.collectors if c.meter}
    drivers: dict[str, str] = {
        shard.protocol: shard.id for c in reversed(file.controllers) for shard in reversed(c.drivers)
    }
    entities: dict[str, Entity] = {}
    for asset in file.assets:
        for entity in _entities(asset, tree, devices, metered, drivers):
            entities[entity.id] = entity
    return Site(
        file.site.id, file.site.name or file.site.id, file, fingerprint(file), tree, compiled, entities, devices,
        tuple(file.controllers), file.options, packages or {},
    )  # fmt: skip


def _phases(names: Sequence[str]) -> tuple[Phase, ...]:
    return tuple(Phase[name] for name in names)


def _collector(tree: Tree, file: CollectorFile, index: int) -> Collector:
    node = tree.nodes[index]
    rated = file.rated_current_a
    rated_a = PhaseVector(*rated) if isinstance(rated, list) else uniform(rated)
    return Collector(
        file.id, file.name or file.id, file, index, node.level, file.parent, node.root_phases, rated_a, node.path
    )


def _entities(
    asset: Asset, tree: Tree, devices: dict[str, Device], metered: dict[str, str], drivers: dict[str, str]
) -> list[Entity]:
    device = devices.get(asset.device) if asset.device else None
    driver = (device.driver or drivers.get("modbus")) if device else None
    if isinstance(asset, AcChargePoint):
        return [_connector(asset, connector, tree, driver) for connector in asset.connectors]
    if isinstance(asset, DcChargePoint):
        return [_dc_connector(asset, connector, tree, driver) for connector in asset.connectors]
    collector = metered.get(asset.id) if isinstance(asset, Meter) else asset.collector
    phases = _phases(asset.phases)
    root = tree.in_root_frame(collector, phases) if collector else phases
    return [
        Entity(
            id=asset.id, name=asset.name or asset.id, kind=AssetKind(asset.kind), collector=collector,
            device=asset.device, driver=driver, instance=1, phases=phases, root_phases=root,
            max_current_a=asset.max_current_a if isinstance(asset, Load) else 0.0, weight=1.0,
            poll_ms=asset.poll_ms, rated_power_w=0.0 if isinstance(asset, Meter | Load) else rated_power_w(asset),
            reversed=asset.reversed if isinstance(asset, Meter) else False,
            flexible=None if isinstance(asset, Meter | Load) else asset,
        )
    ]  # fmt: skip


def _connector(asset: AcChargePoint, connector: Connector, tree: Tree, driver: str | None) -> Entity:
    phases = _phases(connector.phases)
    return Entity(
        id=connector.id, name=connector.name or connector.id, kind=AssetKind.AC_CONNECTOR,
        collector=connector.collector, device=asset.device, driver=driver, instance=connector.instance,
        phases=phases, root_phases=tree.in_root_frame(connector.collector, phases),
        max_current_a=connector.max_current_a, weight=connector.weight, poll_ms=1000, rated_power_w=0.0,
        reversed=False, charge_point=asset, priority=connector.priority,
        phase_dwell_s=connector.phase_dwell_s if connector.phase_switching == "auto" else None,
    )  # fmt: skip


def _dc_connector(asset: DcChargePoint, connector: DcConnector, tree: Tree, driver: str | None) -> Entity:
    phases = tuple(Phase)
    return Entity(
        id=connector.id, name=connector.name or connector.id, kind=AssetKind.DC_CONNECTOR,
        collector=connector.collector, device=asset.device, driver=driver, instance=connector.instance,
        phases=phases, root_phases=tree.in_root_frame(connector.collector, phases),
        max_current_a=connector.max_power_w / THREE_PHASE_V, weight=connector.weight, poll_ms=1000,
        rated_power_w=connector.max_power_w, reversed=False,
        min_current_a=(connector.min_power_w or 0.0) / THREE_PHASE_V, charge_point=asset, priority=connector.priority,
    )  # fmt: skip
