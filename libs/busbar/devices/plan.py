"""From a package to what one entity polls and writes: groups of blocks, commands, watchdog. Compiled once, immutable.

How registers are joined into blocks is `busbar.devices.planner`; what the bytes mean `busbar.devices.codec`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from busbar.devices.codec import Memory, Reader
from busbar.devices.commands import CommandPlan, WatchdogPlan, command_plan, watchdog_plan
from busbar.devices.derived import Derivation
from busbar.devices.digest import package_digest
from busbar.devices.package import DevicePackage, Group, Point, Range
from busbar.devices.planner import Span, Window, plan_spans, split_span
from busbar.devices.readers import published
from busbar.devices.transport import Table
from busbar.devices.wire import Placed
from busbar.domain.kinds import AssetKind, vocabulary_name
from busbar.domain.quality import Quality

FAST: Final = "fast"
STALE_PERIODS: Final = 3
_TURNED: Final = re.compile(r"(reactive_)?power(_factor)?(_l[123])?")
_SWAPPED: Final = {"import": "export", "export": "import"}
_OTHERS: Final = tuple(k for k in AssetKind if k not in (AssetKind.AC_CONNECTOR, AssetKind.DC_CONNECTOR))
KINDS: Final = {
    "ac_charger": (AssetKind.AC_CONNECTOR,),
    "dc_charger": (AssetKind.DC_CONNECTOR,),
    "meter": _OTHERS,
    "pv_inverter": (AssetKind.PV,),
    "wind_turbine": (AssetKind.WIND,),
    "chp": (AssetKind.CHP,),
    "battery": (AssetKind.BATTERY,),
    "heat_pump": (AssetKind.HEAT_PUMP,),
    "e_boiler": (AssetKind.E_BOILER,),
    "thermal_storage": (AssetKind.THERMAL_STORAGE,),
}
"""What a device of a class can be the device of; a meter can stand for anything that is no charger."""


@dataclass(frozen=True, slots=True)
class Block:
    """One read request and what its reply means."""

    table: Table
    unit: int
    address: int
    count: int
    group: str
    names: tuple[str, ...]
    """Vocabulary names of the points that it publishes."""
    optional: bool
    """True where a device may refuse it: every point of it is absent on some firmware."""
    _span: Span = field(repr=False, compare=False)
    _reader: Reader = field(repr=False, compare=False)
    _derived: tuple[Derivation, ...] = field(repr=False, compare=False)

    def decode(
        self, data: bytes, points: dict[str, float | str | None], quality: dict[str, Quality], memory: Memory
    ) -> None:
        """Put the block's values into `points`; into `quality` what is not good (entries of good points are removed).

        A point that is not available is None with quality `na`. `memory` belongs to the entity and is kept from poll
        to poll: a reply with the same bytes as the last one costs only a dict update. Raises ValueError where `data`
        has the wrong length.
        """
        self._reader.decode(data, points, quality, memory)
        for derivation in self._derived:
            derivation.apply(points, quality)


@dataclass(frozen=True)
class GroupPlan:
    """Blocks that are polled together, in order; derived values need them all, in this order."""

    name: str
    period_ms: int
    stale_after_ms: int
    max_age_for_control_ms: int
    once: bool
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class DevicePlan:
    """Everything a driver needs for one entity of a device."""

    package: DevicePackage
    package_id: str
    """`id@version#hash`, for events."""
    kind: AssetKind
    instance: int
    unit: int
    """Unit id of the instance's own points."""
    groups: Mapping[str, GroupPlan]
    commands: Mapping[str, CommandPlan]
    watchdog: WatchdogPlan | None
    reaction_s: float
    writable: bool
    """False: the package is unproven; read-only unless forced."""

    @property
    def fast(self) -> GroupPlan:
        """What control needs."""
        return self.groups[FAST]

    def command(self, name: str) -> CommandPlan:
        """Raises KeyError where the device cannot do it."""
        return self.commands[name]

    def absent(self, points: Mapping[str, float | str | None]) -> bool:
        """True where the device itself says (group identity) that it has fewer instances than this one."""
        instances = self.package.device.instances
        count = points.get(instances.count_point) if instances and instances.count_point else None
        return isinstance(count, float | int) and self.instance > count


def compile_plan(
    package: DevicePackage,
    *,
    unit_id: int | None,
    instance: int,
    kind: AssetKind,
    reversed: bool = False,  # noqa: A002 - the site file's word
    period_ms: int | None = None,
) -> DevicePlan:
    """Plan one entity. `unit_id`: the site's, None for the package's; `period_ms`: the site's for the fast group
    (`Entity.poll_ms`), None for the package's. `reversed`: the meter's transformers point the wrong way: powers change
    sign, import and export counters change places. Raises ValueError on an instance, kind or unit id that the package
    does not have, and for a SunSpec package that was not discovered.
    """
    _check(package, instance, kind)
    base_unit = package.transport.unit_id if unit_id is None else unit_id
    placed = place(package, base_unit, instance, turned=reversed)
    windows = tuple(_window(package, r, base_unit, instance) for r in package.ranges)
    groups = {
        name: _group(package, (name, group), placed, windows, period_ms if name == FAST else None)
        for name, group in package.groups.items()
    }
    limit = package.transport.max_write_registers
    derived = {name: vocabulary_name(name, rule.unit) for name, rule in package.derived.items()}
    return DevicePlan(
        package, package_digest(package), kind, instance, _unit(package, "instance", None, base_unit, instance),
        groups, {name: command_plan(name, c, placed, limit, derived) for name, c in package.commands.items()},
        watchdog_plan(package.watchdog, placed) if package.watchdog else None,
        package.device.reaction_s, package.proven,
    )  # fmt: skip


def _check(package: DevicePackage, instance: int, kind: AssetKind) -> None:
    name = package.package.id
    if package.needs_discovery:
        raise ValueError(f"{name}: its points must first be found on the device (sunspec.discover)")
    if kind not in KINDS[package.device.kind]:
        raise ValueError(f"{name} is for {package.device.kind}, not for {kind}")
    instances = package.device.instances
    low, high = (instances.min, instances.max) if instances else (1, 1)
    if not low <= instance <= high:
        raise ValueError(f"{name} has instances {low}..{high}, not {instance}")


def place(package: DevicePackage, base_unit: int, instance: int, *, turned: bool = False) -> dict[str, Placed]:
    """Every point of one instance at its address on the wire."""
    return {
        key: Placed(
            key,
            vocabulary_name(_name(key, turned), point.unit),
            point,
            point.table,
            _unit(package, point.scope, point.unit_id, base_unit, instance),
            point.address + _shift(package, point.scope, instance),
            point.word_order or package.transport.word_order,
            _sign(key, point, turned),
        )
        for key, point in package.points.items()
    }


def _name(key: str, turned: bool) -> str:
    if not turned:
        return key
    return "_".join(_SWAPPED.get(part, part) for part in key.split("_")) if key.startswith("energy_") else key


def _sign(key: str, point: Point, turned: bool) -> int:
    return -point.sign if turned and _TURNED.fullmatch(key) else point.sign


def _unit(package: DevicePackage, scope: str, fixed: int | None, base_unit: int, instance: int) -> int:
    if fixed is not None:
        return fixed
    instances = package.device.instances
    if scope == "instance" and instances is not None and instances.unit_stride:
        return instances.unit_base + instance * instances.unit_stride
    return base_unit


def _shift(package: DevicePackage, scope: str, instance: int) -> int:
    instances = package.device.instances
    return instances.base + instance * instances.stride if scope == "instance" and instances else 0


def _window(package: DevicePackage, declared: Range, base_unit: int, instance: int) -> Window:
    shift = _shift(package, declared.scope, instance)
    unit = _unit(package, declared.scope, declared.unit_id, base_unit, instance)
    return Window(declared.table, unit, declared.start + shift, declared.end + shift + 1, declared.whole)


def _group(
    package: DevicePackage,
    group: tuple[str, Group],
    placed: Mapping[str, Placed],
    windows: Sequence[Window],
    period_ms: int | None,
) -> GroupPlan:
    name, declared = group
    wanted = [p for p in placed.values() if p.point.group == name and not p.point.internal and p.point.access != "w"]
    transport = package.transport
    spans = plan_spans(wanted, placed, windows, transport.max_gap, transport.max_read_registers)
    derived = _derivations(package, placed, spans)
    blocks = tuple(_block(span, name, tuple(derived[i])) for i, span in enumerate(spans))
    period = declared.period_ms if period_ms is None else period_ms
    own = None if period_ms is None else STALE_PERIODS * period
    return GroupPlan(
        name,
        period,
        own or declared.stale_after_ms or STALE_PERIODS * period,
        own or declared.max_age_for_control_ms or STALE_PERIODS * period,
        declared.once,
        blocks,
    )


def _derivations(package: DevicePackage, placed: Mapping[str, Placed], spans: Sequence[Span]) -> list[list[Derivation]]:
    """For each span what can be derived once it and those before it were read."""
    ready: list[list[Derivation]] = [[] for _ in spans]
    where = {p.key: i for i, span in enumerate(spans) for p in span.points}
    for name, rule in package.derived.items():
        positions = [where[a] for a in rule.args if a in where]
        if positions:
            ready[max(positions)].append(Derivation(name, rule, [placed[a].name for a in rule.args]))
    return ready


def _block(span: Span, group: str, derived: tuple[Derivation, ...]) -> Block:
    reader = Reader(span.start, span.count, span.points, group)
    shown = [p for p in span.points if not p.point.internal]
    names = tuple(dict.fromkeys([n for p in shown for n in published(p)] + [d.name for d in derived]))
    optional = all(p.point.optional for p in shown)
    return Block(span.table, span.unit, span.start, span.count, group, names, optional, span, reader, derived)


def split_block(block: Block) -> list[Block]:
    """Smaller blocks for a device that answered exception 2 to `block`; [block] itself where it cannot be split.

    Derived values go with the last of them: the driver marks the points of a block that is refused again as not
    available, and what is derived from them follows.
    """
    spans = split_span(block._span)
    if len(spans) == 1 and spans[0] == block._span:
        return [block]
    last = len(spans) - 1
    return [_block(span, block.group, block._derived if i == last else ()) for i, span in enumerate(spans)]
