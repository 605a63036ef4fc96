"""Faults of a running twin as a file: what is wrong now with devices, connectors and fuses.

    devices:                     # any field of busbar.sim.faults.Faults; a device not named is in good order
      charx: {silent: true}
      sdm-row-b: {latency_s: 0.4, drop_every: 5}
    connectors: [a1]             # with a vehicle or cable fault (state E)
    batteries: [battery]         # tripped: no power until they are taken out of the list
    open_fuses: [row-b]          # switched off by hand; taken out of the list: switched on, a blown fuse replaced
    restarts: {alfen-1: 1}       # power-cycles a device each time the number changes

Everything wrong with a file is reported at once and nothing of it applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from busbar.sim.faults import HEALTHY, Faults
from busbar.sim.twin import Twin


class SwitchError(Exception):
    """The file is refused; the text says everything that is wrong with it."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    devices: dict[str, dict[str, Any]] = {}
    connectors: list[str] = []
    batteries: list[str] = []
    open_fuses: list[str] = []
    restarts: dict[str, int] = {}


_FAULTS: Final = TypeAdapter(Faults)
_KNOWN: Final = tuple(Faults.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Switches:
    """What is wrong now; the default: nothing."""

    devices: Mapping[str, Faults] = field(default_factory=dict)
    connectors: tuple[str, ...] = ()
    batteries: tuple[str, ...] = ()
    open_fuses: tuple[str, ...] = ()
    restarts: Mapping[str, int] = field(default_factory=dict)


def parse_switches(text: str, twin: Twin) -> Switches:
    """Read a file for this twin. Raises SwitchError."""
    try:
        file = _File.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise SwitchError(f"no YAML: {error}") from error
    except ValidationError as error:
        raise SwitchError(_sentences(error)) from error
    problems = [
        *_unknown("device", [*file.devices, *file.restarts], twin.devices),
        *_unknown("connector", file.connectors, _connectors(twin)),
        *_unknown("battery", file.batteries, twin.plant.batteries),
        *_unknown("collector", file.open_fuses, twin.site.tree.index),
    ]
    devices: dict[str, Faults] = {}
    for name, fields in file.devices.items():
        if unknown := sorted(set(fields) - set(_KNOWN)):
            problems.append(f"{name}: there is no fault {', '.join(unknown)}; there are: {', '.join(_KNOWN)}")
            continue
        try:
            devices[name] = _FAULTS.validate_python(fields)
        except ValidationError as error:
            problems.append(f"{name}: {_sentences(error)}")
    if problems:
        raise SwitchError("; ".join(problems))
    connectors, batteries, open_fuses = (tuple(n) for n in (file.connectors, file.batteries, file.open_fuses))
    return Switches(devices, connectors, batteries, open_fuses, file.restarts)


def apply_switches(twin: Twin, before: Switches, after: Switches) -> list[str]:
    """Carry out the difference; returns it in words."""
    told: list[str] = []
    for name, device in twin.devices.items():
        faults = after.devices.get(name, HEALTHY)
        if faults != before.devices.get(name, HEALTHY):
            device.faults = faults
            told.append(f"{name}: {faults_text(faults)}")
        if after.restarts.get(name, 0) != before.restarts.get(name, 0):
            device.restart()
            told.append(f"{name}: power-cycled")
    for name in _connectors(twin):
        failed = name in after.connectors
        if failed != (name in before.connectors):
            twin.physics.fail(name, failed)
            told.append(f"{name}: {'faulted' if failed else 'fault gone'}")
    for name in twin.plant.batteries:
        tripped = name in after.batteries
        if tripped != (name in before.batteries):
            twin.physics.trip(name, tripped)
            told.append(f"{name}: {'tripped' if tripped else 'reset'}")
    for collector in twin.site.collectors:
        is_open = collector.id in after.open_fuses
        if is_open != (collector.id in before.open_fuses):
            (twin.open_fuse if is_open else twin.reset_fuse)(collector.id)
            told.append(f"{collector.id}: switched {'off' if is_open else 'on'}")
    return told


def _connectors(twin: Twin) -> tuple[str, ...]:
    return (*twin.plant.evses, *twin.plant.dc_outlets)


def faults_text(faults: Faults) -> str:
    """Only what differs from a device in good order."""
    wrong = [f"{name}={getattr(faults, name)}" for name in _KNOWN if getattr(faults, name) != getattr(HEALTHY, name)]
    return ", ".join(wrong) or "in good order"


def _unknown(kind: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    there = list(known)
    return [f"there is no simulated {kind} '{n}'; there are: {', '.join(there)}" for n in names if n not in there]


def _sentences(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
