"""SunSpec: walk the model chain of a device and turn bindings into points with addresses and scale factors.

Every model says its number and its length, so the chain is found at run time: base address, marker `SunS`, then models
one after the other until number 0xFFFF. `walk` is pure: it yields what it wants to read and is sent the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from busbar.devices.digest import package_digest
from busbar.devices.package import Bind, Command, DevicePackage, Point, Range, Watchdog, register_count
from busbar.devices.problems import PackageError, Problem
from busbar.devices.transport import DeviceRefusedError, Transport
from busbar.devices.yamltext import parse

_MARKER: Final = b"SunS"
_END: Final = 0xFFFF
_MAX_MODELS: Final = 64
_NOT_HERE: Final = (1, 2, 3)
"""Modbus exceptions that mean: there are no such registers."""
_ABSENT: Final[dict[str, list[int | float | str]]] = {
    "i16": [-0x8000], "sunssf": [-0x8000], "u16": [0xFFFF], "i32": [-0x80000000], "u32": [0xFFFFFFFF],
    "i64": [-0x8000000000000000], "u64": [0xFFFFFFFFFFFFFFFF], "acc32": [0, 0xFFFFFFFF],
    "acc64": [0, 0xFFFFFFFFFFFFFFFF],
}  # fmt: skip
"""What a device shows for a point that it does not have, by type; floats show NaN, texts nothing. For accumulators the
standard says 0; all ones is impossible."""


class ChainError(ValueError):
    """No usable SunSpec chain."""


class _ModelPoint(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    offset: int
    type: str
    sf: str | None = None
    states: dict[str, str] = {}
    access: str = "r"


class _ModelTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    length: int
    points: dict[str, _ModelPoint]


class _Tables(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str = Field(pattern=r"^sunspec-models/1$")
    models: dict[int, _ModelTable]


@cache
def _tables() -> Mapping[int, _ModelTable]:
    text = Path(__file__).with_name("sunspec_models.yaml").read_text(encoding="utf-8")
    return _Tables.model_validate(parse(text).data).models


@dataclass(frozen=True, slots=True)
class ModelAt:
    """One model of a device: `address` of its ID register, `length` after the two header registers."""

    id: int
    address: int
    length: int


Chain = tuple[ModelAt, ...]
Walk = Generator[tuple[int, int], bytes | None, Chain]


def walk(bases: Sequence[int]) -> Walk:
    """Yields (address, count); wants to be sent the bytes, or None where the device has no such registers. Returns the
    chain. Raises ChainError where there is no marker, or the chain does not end.
    """
    for base in bases:
        if (yield base, 2) == _MARKER:
            return (yield from _models(base + 2))
    raise ChainError(f"no SunSpec marker at {', '.join(map(str, bases))}")


def _models(address: int) -> Walk:
    found: list[ModelAt] = []
    while address <= 0xFFFE:
        header = yield address, 2
        if header is None:
            break
        number, length = struct.unpack(">HH", header)
        if number == _END:
            break
        if len(found) == _MAX_MODELS:
            raise ChainError(f"more than {_MAX_MODELS} models: the chain does not end")
        found.append(ModelAt(number, address, length))
        address += 2 + length
    if not found:
        raise ChainError("a SunSpec marker, but no model behind it")
    return tuple(found)


def walk_image(image: Mapping[int, int], bases: Sequence[int]) -> Chain:
    """The chain in an image of registers. Raises ChainError."""
    steps = walk(bases)
    address, count = next(steps)
    while True:
        wanted = range(address, address + count)
        present = all(a in image for a in wanted)
        try:
            address, count = steps.send(struct.pack(f">{count}H", *(image[a] for a in wanted)) if present else None)
        except StopIteration as done:
            chain: Chain = done.value
            return chain


async def discover(transport: Transport, unit: int, package: DevicePackage) -> DevicePackage:
    """The package with concrete points for this device; a package without `sunspec` comes back as it is.

    Do it once a connect, before `compile_plan`. Raises TransportError, DeviceRefusedError; PackageError where the
    device has no SunSpec chain or lacks a point that is not optional.
    """
    if package.sunspec is None:
        return package
    steps = walk(package.sunspec.base)
    try:
        address, count = next(steps)
        while True:
            address, count = steps.send(await _read(transport, unit, address, count))
    except StopIteration as done:
        return _resolved(package, unit, done.value)
    except ChainError as error:
        raise _refused(package, unit, error) from error


async def _read(transport: Transport, unit: int, address: int, count: int) -> bytes | None:
    try:
        return await transport.read("holding", unit, address, count)
    except DeviceRefusedError as error:
        if error.code in _NOT_HERE:
            return None
        raise


def _resolved(package: DevicePackage, unit: int, chain: Chain) -> DevicePackage:
    try:
        return resolve(package, chain)
    except ChainError as error:
        raise _refused(package, unit, error) from error


def _refused(package: DevicePackage, unit: int, error: ChainError) -> PackageError:
    remedy = "check unit id and that SunSpec is enabled on the device, or use the vendor's own package"
    return PackageError([Problem(package.package.id, 1, "sunspec", f"unit {unit}", str(error), remedy)])


def resolve(package: DevicePackage, chain: Chain) -> DevicePackage:
    """Bindings to points, in the first model of each binding that the device has. Raises ChainError."""
    if package.sunspec is None:
        return package
    by_id = {m.id: m for m in reversed(chain)}
    points: dict[str, Point] = {}
    used: dict[int, ModelAt] = {}
    home: dict[str, str] = {}
    """Model of each point."""
    missing: list[str] = []
    for name, bind in package.sunspec.bind.items():
        place = _place(bind, by_id)
        if place is None:
            missing.extend([] if bind.optional else [f"{name} ({', '.join(bind.from_)})"])
            continue
        model, point = place
        used[model.id] = model
        home[name] = str(model.id)
        points |= _points(name, bind, model, point)
    if missing:
        raise ChainError(f"the device has no {', '.join(missing)}; its models: {', '.join(str(m.id) for m in chain)}")
    derived = {n: rule for n, rule in package.derived.items() if set(rule.args) <= points.keys()}
    there = points.keys() | derived.keys()
    commands = {n: _fitted(c, home) for n, c in package.commands.items() if _names(c) <= there}
    resolved = package.model_copy(
        update={
            "sunspec": None,
            "points": points,
            "derived": derived,
            "ranges": [Range(table="holding", start=m.address, end=m.address + m.length + 1) for m in used.values()],
            "commands": commands,
            "watchdog": package.watchdog if commands and _watchdog_names(package.watchdog) <= points.keys() else None,
        }
    )
    resolved._digest = package_digest(package)
    return resolved


def _place(bind: Bind, by_id: Mapping[int, ModelAt]) -> tuple[ModelAt, _ModelPoint] | None:
    """The first of the binding's points that the device can have: model present and long enough."""
    for source in bind.from_:
        number, _, name = source.partition(":")
        model = by_id.get(int(number))
        point = known_point(int(number), name)
        if model is not None and point is not None:
            end = point.offset + register_count(point.type)
            if end <= model.length + 2:
                return model, point
    return None


def known_point(model: int, name: str) -> _ModelPoint | None:
    """The point in the model tables that come with Busbar, or None."""
    table = _tables().get(model)
    return table.points.get(name) if table else None


def _points(name: str, bind: Bind, model: ModelAt, source: _ModelPoint) -> dict[str, Point]:
    """The point and, where it has one, its scale factor (of its own, so that it is read with it)."""
    factor = f"sf_{model.id}_{source.sf.lower()}" if source.sf else None
    found = {
        name: Point(
            table="holding", address=model.address + source.offset, type=source.type, group=bind.group, unit=bind.unit,
            word_order="big", scale_point=factor, sign=bind.sign, enum=source.states,
            na=_ABSENT.get(source.type, []), valid=bind.valid, max_step=bind.max_step, counter=bind.counter,
            access="rw" if source.access == "rw" else "r", optional=bind.optional,
        )
    }  # fmt: skip
    if factor is not None and source.sf is not None:
        scale = known_point(model.id, source.sf)
        if scale is None:
            raise ChainError(f"model {model.id} has no {source.sf}")
        found[factor] = Point(
            table="holding", address=model.address + scale.offset, type="sunssf", group=bind.group, word_order="big",
            internal=True,
        )  # fmt: skip
    return found


def _fitted(command: Command, home: Mapping[str, str]) -> Command:
    """The command with the values that fit the models of this device."""
    if not any(step.by_model for step in command.steps):
        return command
    steps = [
        step.model_copy(update={"value": step.by_model[home[step.write]], "by_model": {}}) if step.by_model else step
        for step in command.steps
    ]
    return command.model_copy(update={"steps": steps})


def _names(command: Command) -> set[str]:
    named = {s.write for s in command.steps} | ({command.verify.point} if command.verify else set())
    return named | ({command.share.of} if command.share else set())


def _watchdog_names(watchdog: Watchdog | None) -> set[str]:
    if watchdog is None:
        return set()
    named = (watchdog.timeout_point, watchdog.fallback_point, watchdog.remaining_point)
    return {name for name in named if name is not None}
