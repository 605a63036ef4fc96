"""What a schema cannot see: references, ranges, overlaps, what a charger must state, golden vectors (devices.md 10-20).

Every rule yields findings instead of raising, so that a package is refused with all its problems at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from busbar.devices.derived import ARGUMENTS
from busbar.devices.package import Command, DevicePackage, Point, Step
from busbar.devices.wire import integer_range, resolution

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, at a path of the package."""

    path: Path
    reason: str
    remedy: str


Rule = Callable[[DevicePackage], Iterator[Finding]]

CHARGERS: Final = ("ac_charger", "dc_charger")
GENERATORS: Final = ("pv_inverter", "wind_turbine", "chp", "battery")
FAST: Final = "fast"
SET_POWER: Final = "set_power"
_POWERS: Final = ("W", "var")
_TABLE_WRITES: Final = {"holding": (6, 16), "coil": (5, 15)}


def lint(package: DevicePackage) -> list[Finding]:
    """All problems, in the order of the rules below. Vectors need plans: `busbar.devices.vectors`."""
    return [finding for rule in RULES for finding in rule(package)]


def _groups(package: DevicePackage) -> Iterator[Finding]:
    if FAST not in package.groups:
        yield Finding(("groups",), "no group 'fast'", "name the group that control needs 'fast'")
    for name, point in package.points.items():
        if point.group not in package.groups:
            yield Finding(("points", name, "group"), "no such group", f"use one of {', '.join(package.groups)}")
    if package.sunspec:
        for name, bind in package.sunspec.bind.items():
            if bind.group not in package.groups:
                path = ("sunspec", "bind", name, "group")
                yield Finding(path, "no such group", f"use one of {', '.join(package.groups)}")


def _points(package: DevicePackage) -> Iterator[Finding]:
    if not package.points and package.sunspec is None:
        yield Finding(("points",), "no points", "describe at least one, or bind SunSpec models")
    if package.sunspec and package.points:
        yield Finding(("points",), "fixed points beside SunSpec bindings", "use one of the two")
    for name, point in package.points.items():
        for reason, remedy in _point(package, point):
            yield Finding(("points", name), reason, remedy)


def _point(package: DevicePackage, point: Point) -> Iterator[tuple[str, str]]:
    bits = point.table in ("coil", "discrete")
    if bits and point.type != "bool":
        yield f"a {point.table} is one bit, not {point.type}", "use type bool"
    if point.table in ("input", "discrete") and point.access != "r":
        yield f"the table {point.table} cannot be written", "use access r"
    if point.address + point.registers - 1 > 65535 and not bits:
        yield "reaches beyond address 65535", "correct the address or the type"
    if point.scope == "instance" and package.device.instances is None:
        yield "scope instance in a device without instances", "declare device.instances"
    if point.valid is not None and point.valid[0] >= point.valid[1]:
        yield "valid: the first number is not below the second", "write [low, high]"
    yield from _kind_of_value(point)


def _kind_of_value(point: Point) -> Iterator[tuple[str, str]]:
    """Fields that fit the type."""
    limits = integer_range(point.type)
    whole = limits is not None
    if (point.enum or point.bits or point.mask is not None or point.shift) and not whole:
        yield "enum, bits, mask and shift need a whole number", "use an integer type"
    if point.is_text and (point.valid or point.max_step or point.scale_point or point.counter):
        yield "a text has no valid range, step, scale or counter", "remove them"
    if (point.enum or point.map or point.bits) and (point.scale_point or point.unit):
        yield "a name has no scale factor and no unit", "remove them"
    if point.mask is not None and limits is not None and point.mask > limits[1] - limits[0]:
        yield f"mask {point.mask:#x} is wider than {point.type}", "correct the mask"
    for value in point.na:
        if not _possible(point, value):
            yield f"na: {value!r} cannot be a raw {point.type}", "give the raw value, before scaling"
    names = {*point.enum, *point.enum.values()}
    for key in (*point.enum, *point.map):
        if whole and not key.lstrip("-").isdecimal() and (key in point.enum or key not in names):
            yield f"{key!r} cannot be a raw {point.type}", "use the raw number, or a name of the enum, as the key"


def _possible(point: Point, value: float | str) -> bool:
    """True where the raw value can occur; a signed one may be written as its bit pattern."""
    if isinstance(value, str) or point.is_text:
        return isinstance(value, str) and point.is_text
    limits = integer_range(point.type)
    if limits is None:
        return True
    return value == int(value) and limits[0] <= value <= max(limits[1], limits[1] - limits[0])


def _scale_points(package: DevicePackage) -> Iterator[Finding]:
    for name, point in package.points.items():
        if point.scale_point is None:
            continue
        path = ("points", name, "scale_point")
        factor = package.points.get(point.scale_point)
        if factor is None:
            yield Finding(path, "no such point", "declare it with type sunssf")
        elif factor.type != "sunssf":
            yield Finding(path, f"is of type {factor.type}", "a scale factor has type sunssf")
        elif (factor.table, factor.scope, factor.unit_id) != (point.table, point.scope, point.unit_id):
            yield Finding(path, "is not in the same table, scope and unit", "they must come in one reply")


def _overlaps(package: DevicePackage) -> Iterator[Finding]:
    """Two points on the same registers must be the same type at the same address (bits of one register)."""
    by_place: dict[tuple[str, str, int | None], list[tuple[int, int, str, str]]] = {}
    for name, p in package.points.items():
        width = 1 if p.table in ("coil", "discrete") else p.registers
        spot = (p.address, p.address + width, name, p.type)
        by_place.setdefault((p.table, p.scope, p.unit_id), []).append(spot)
    for spots in by_place.values():
        for (start, end, first, kind), (start2, _end2, second, kind2) in pairwise(sorted(spots)):
            if start2 < end and (start, kind) != (start2, kind2):
                yield Finding(("points", second), f"overlaps {first}", "correct one of the addresses or types")


def _ranges(package: DevicePackage) -> Iterator[Finding]:
    limit = package.transport.max_read_registers
    for i, r in enumerate(package.ranges):
        if r.end < r.start:
            yield Finding(("ranges", i), "ends before it starts", "end is the last register")
        if r.whole and r.end - r.start + 1 > limit:
            yield Finding(("ranges", i), f"whole, but longer than {limit} registers", "shorten it or drop whole")
        if r.scope == "instance" and package.device.instances is None:
            yield Finding(("ranges", i), "scope instance in a device without instances", "declare device.instances")


def _names(package: DevicePackage) -> Iterator[Finding]:
    """References of derived values, detection, instances, watchdog and commands."""
    for name, rule in package.derived.items():
        yield from _derived(package, name, rule.op, rule.args)
    for i, detect in enumerate(package.detect):
        point = package.points.get(detect.point)
        if point is None or not (point.is_text or point.enum):
            yield Finding(("detect", i, "point"), "no text point of this name", "name a declared text point")
    instances = package.device.instances
    if instances is not None:
        count = instances.count_point
        if count is not None and count not in package.points:
            yield Finding(("device", "instances", "count_point"), "no such point", "declare it")
        if instances.min > instances.max:
            yield Finding(("device", "instances"), "min is above max", "exchange them")
        if instances.max > instances.min and not (instances.stride or instances.unit_stride):
            yield Finding(("device", "instances"), "all instances are at one place", "give stride or unit_stride")


def _derived(package: DevicePackage, name: str, op: str, args: list[str]) -> Iterator[Finding]:
    path = ("derived", name)
    groups = {name: entry.group for name, entry in package.points.items()}
    groups |= {name: bind.group for name, bind in package.sunspec.bind.items()} if package.sunspec else {}
    missing = [a for a in args if a not in groups]
    for arg in missing:
        yield Finding((*path, "args"), f"{arg}: no such point", "derive from declared points")
    together = [
        a for i, a in enumerate(args) if not (op in ("limit_of", "part_of") and i == 1)
    ]  # a rating hardly ever changes
    if not missing and len({groups[a] for a in together}) > 1:
        yield Finding((*path, "args"), "from several groups", "derive from points that are polled together")
    if ARGUMENTS.get(op, len(args)) != len(args):
        yield Finding((*path, "args"), f"{op} takes {ARGUMENTS[op]}", "correct the list")


def _commands(package: DevicePackage) -> Iterator[Finding]:
    for name, command in package.commands.items():
        for path, reason, remedy in _command(package, command):
            yield Finding(("commands", name, *path), reason, remedy)


def _known(package: DevicePackage, name: str) -> bool:
    return name in package.points or (package.sunspec is not None and name in package.sunspec.bind)


def _command(package: DevicePackage, command: Command) -> Iterator[tuple[Path, str, str]]:
    if command.range[0] > command.range[1]:
        yield ("range",), "low is above high", "write [low, high]"
    if command.pause is not None and not (command.zero == "forbidden" and command.pause < command.range[0]):
        yield ("pause",), "is for a device that forbids 0, and lies below range", "correct zero, range or pause"
    yield from _share(package, command)
    before: Point | None = None
    for i, step in enumerate(command.steps):
        point = package.points.get(step.write)
        path = ("steps", i)
        if not _known(package, step.write):
            yield (*path, "write"), "no such point", "write a declared point"
        yield from _by_model(package, step, path)
        if point is None:
            continue
        if "w" not in point.access:
            yield (*path, "write"), f"{step.write} is read-only", "give it access rw, or write another point"
        if step.fc is not None and step.fc not in _TABLE_WRITES.get(point.table, ()):
            yield (*path, "fc"), f"does not write the table {point.table}", "6 and 16 write holding, 5 and 15 coils"
        if step.fc in (5, 6) and (point.registers > 1 or step.join):
            yield (*path, "fc"), "writes one register only", "use 16"
        if step.join and (before is None or before.address + before.registers != point.address):
            yield (*path, "join"), "is not adjacent to the step before", "join only registers that follow each other"
        if command.step is not None and step.value is None and step.arg is None:
            yield from _granular(command, point)
        before = point
    if command.verify is not None and not (
        _known(package, command.verify.point) or command.verify.point in package.derived
    ):
        yield ("verify", "point"), "no such point", "verify by a declared point"


def _by_model(package: DevicePackage, step: Step, path: Path) -> Iterator[tuple[Path, str, str]]:
    if not step.by_model:
        return
    bind = package.sunspec.bind.get(step.write) if package.sunspec else None
    models = {source.partition(":")[0] for source in bind.from_} if bind else set()
    if models != step.by_model.keys():
        found = ", ".join(sorted(models)) or "none"
        yield (*path, "by_model"), f"does not name the models of the point ({found})", "give one value for each"


def _share(package: DevicePackage, command: Command) -> Iterator[tuple[Path, str, str]]:
    if command.share is None:
        return
    if not _known(package, command.share.of):
        yield ("share", "of"), "no such point", "name a declared point"
    if command.share.factor == 0:
        yield ("share", "factor"), "is 0", "write -100 for percent of a production, or 100"


def _granular(command: Command, point: Point) -> Iterator[tuple[Path, str, str]]:
    """A command's step must be a whole number of what the registers can carry."""
    unit = resolution(point)
    if unit and command.step is not None and abs(command.step / unit - round(command.step / unit)) > 1e-6:
        yield ("step",), f"is no multiple of {unit:g}, the register's resolution", "round more coarsely"


def _charger(package: DevicePackage) -> Iterator[Finding]:
    """A charger states what FC-2 makes mandatory, and what happens when its controller falls silent (devices.md 16)."""
    if package.device.kind not in CHARGERS:
        return
    watchdog = package.watchdog
    if watchdog is None:
        yield Finding(("watchdog",), "missing", "state mechanism, timeout and fallback of the charger")
    status = package.points.get("status")
    if status is None or not status.map:
        yield Finding(
            ("points", "status"), "missing, or without map", "map the device's states to the canonical twelve"
        )
    command = "set_current" if package.device.kind == "ac_charger" else SET_POWER
    if command not in package.commands:
        yield Finding(("commands",), f"no command {command}", "describe how the charger is limited")
    elif package.commands[command].verify is None:
        yield Finding(("commands", command), "no verify", "name the point that shows the limit in force")


def _watchdog(package: DevicePackage) -> Iterator[Finding]:
    watchdog = package.watchdog
    if watchdog is None:
        return
    named = {"timeout_point": watchdog.timeout_point, "fallback_point": watchdog.fallback_point,
             "remaining_point": watchdog.remaining_point}  # fmt: skip
    for field, name in named.items():
        if name is not None and not _known(package, name):
            yield Finding(("watchdog", field), "no such point", "name a declared point")
    if watchdog.mechanism != "none" and watchdog.timeout_point is None and watchdog.timeout_s is None:
        yield Finding(("watchdog",), "no time", "give timeout_point or timeout_s")
    if package.device.kind in CHARGERS and watchdog.fallback_point is None and watchdog.fallback_value is None:
        yield Finding(("watchdog",), "no fallback", "give fallback_point or fallback_value (maybe 'unknown')")
    beat = watchdog.heartbeat
    if (beat is not None) != (watchdog.mechanism == "heartbeat_register"):
        yield Finding(("watchdog",), "heartbeat and mechanism disagree", "give both or neither")
    if beat is not None and (beat.point not in package.points or "w" not in package.points[beat.point].access):
        yield Finding(("watchdog", "heartbeat", "point"), "no writable point of this name", "name one with access rw")


def _signs(package: DevicePackage) -> Iterator[Finding]:
    """A class that generates states the sign of every power, and proves it by a vector (devices.md 17)."""
    if package.device.kind not in GENERATORS:
        return
    entries: dict[str, tuple[Path, str, bool]] = {
        name: (("points", name), p.unit, "sign" in p.model_fields_set) for name, p in package.points.items()
    }
    if package.sunspec:
        entries |= {
            name: (("sunspec", "bind", name), b.unit, "sign" in b.model_fields_set)
            for name, b in package.sunspec.bind.items()
        }
    for name, (path, unit, stated) in entries.items():
        if unit in _POWERS and name.split("_")[0] in ("power", "reactive", "dc") and not stated:
            yield Finding(path, "no sign", "state sign: -1 where the device shows production positive, else sign: 1")
    if not any(v.expect.get("power_w") for v in package.vectors):
        yield Finding(("vectors",), "no vector with power_w", "add one of a device that runs: signs must be proven")


RULES: Final[tuple[Rule, ...]] = (
    _groups, _points, _scale_points, _overlaps, _ranges, _names, _commands, _charger, _watchdog, _signs,
)  # fmt: skip
