"""What of a site file can be checked even though some entries are broken (SC-1: every error at once).

Entries that are well formed stand here as models with their path; a broken entry still lends its id, so that what
refers to it is not reported as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from busbar.config.assets import ChargePoint, Connector, DcConnector, Hanging, Meter
from busbar.config.model import Asset, CollectorFile, Controller, Device, FallbackRule, Options, SiteFile, SiteInfo
from busbar.config.packages import PackageFacts
from busbar.config.problem import Problem
from busbar.config.shape import shape_problems
from busbar.config.text import join

T = TypeVar("T")
DEFAULT_CONTROLLERS: tuple[Controller, ...] = tuple(SiteFile.model_fields["controllers"].default)


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """One entry of the file and where it stands."""

    path: str
    it: T


@dataclass(frozen=True, slots=True)
class Named:
    """An id in the file: of what kind, and where its entry stands."""

    kind: str
    path: str


@dataclass(frozen=True)
class Draft:
    """The well-formed part of a site file."""

    file: SiteFile | None
    """The whole; None where some entry is broken."""
    site: SiteInfo | None = None
    options: Options = field(default_factory=Options)
    collectors: tuple[Item[CollectorFile], ...] = ()
    devices: tuple[Item[Device], ...] = ()
    assets: tuple[Item[Asset], ...] = ()
    controllers: tuple[Item[Controller], ...] = ()
    rules: tuple[Item[FallbackRule], ...] = ()
    broken: frozenset[str] = frozenset()
    """Sections with a broken entry: nothing is concluded from what is missing there."""
    ids: Mapping[str, tuple[Named, ...]] = field(default_factory=dict)
    packages: Mapping[str, PackageFacts] = field(default_factory=dict)
    services: frozenset[str] = frozenset()

    def named(self, *kinds: str) -> list[str]:
        return [name for name, uses in self.ids.items() if any(use.kind in kinds for use in uses)]

    def collector(self, name: str | None) -> Item[CollectorFile] | None:
        return self._collectors.get(name)

    def device(self, name: str | None) -> Item[Device] | None:
        return self._devices.get(name)

    @cached_property
    def _collectors(self) -> Mapping[str | None, Item[CollectorFile]]:
        return {item.it.id: item for item in reversed(self.collectors)}

    @cached_property
    def _devices(self) -> Mapping[str | None, Item[Device]]:
        return {item.it.id: item for item in reversed(self.devices)}

    def facts(self, device: str | None) -> PackageFacts | None:
        item = self.device(device)
        return self.packages.get(item.it.package) if item else None

    def connectors(self) -> Iterator[tuple[Item[Connector | DcConnector], ChargePoint]]:
        for item in self.assets:
            if isinstance(item.it, ChargePoint):
                outlets: Sequence[Connector | DcConnector] = item.it.connectors
                for number, connector in enumerate(outlets):
                    yield Item(f"{item.path}.connectors[{number}]", connector), item.it

    def hanging(self) -> Iterator[Item[Connector | DcConnector | Hanging]]:
        """Everything that hangs on a collector by its own `collector` field."""
        for connector, _ in self.connectors():
            yield Item(connector.path, connector.it)
        for item in self.assets:
            if not isinstance(item.it, ChargePoint | Meter):
                yield Item(item.path, item.it)

    def chain(self, name: str | None) -> list[CollectorFile]:
        """The collector and all above it, the root last; ends early at an unknown parent or a loop."""
        out: list[CollectorFile] = []
        while (item := self.collector(name)) and item.it not in out:
            out.append(item.it)
            name = item.it.parent
        return out


def make_draft(data: object) -> tuple[Draft, list[Problem]]:
    """Validate the values of a file: what is well formed, and every error of shape."""
    try:
        file = SiteFile.model_validate(data, strict=True)
    except ValidationError as exc:
        problems = shape_problems(data, exc)
        if not isinstance(data, Mapping):
            return Draft(None), problems
        bad = {details["loc"][:2] for details in exc.errors(include_url=False, include_context=False)}
        return _partial(data, bad), problems
    sections: dict[str, Any] = {name: _items(name, getattr(file, name)) for name in _SECTIONS}
    return Draft(file, file.site, file.options, **_fields(sections), ids=_ids(data)), []


_SECTIONS: Mapping[str, TypeAdapter[Any]] = {
    "collectors": TypeAdapter(CollectorFile),
    "devices": TypeAdapter(Device),
    "assets": TypeAdapter(Asset),
    "controllers": TypeAdapter(Controller),
    "fallback_rules": TypeAdapter(FallbackRule),
}


def _items(section: str, entries: list[Any]) -> tuple[Item[Any], ...]:
    return tuple(Item(join(section, index), entry) for index, entry in enumerate(entries))


def _partial(data: Mapping[str, Any], bad: set[tuple[str | int, ...]]) -> Draft:
    sections: dict[str, tuple[Item[Any], ...]] = {}
    for name, adapter in _SECTIONS.items():
        entries = data.get(name, [])
        sections[name] = tuple(
            Item(join(name, index), adapter.validate_python(entry, strict=True))
            for index, entry in enumerate(entries if isinstance(entries, list) else [])
            if (name, index) not in bad
        )
    if "controllers" not in data:
        sections["controllers"] = _items("controllers", list(DEFAULT_CONTROLLERS))
    broken = frozenset(str(loc[0]) for loc in bad if loc)
    site = None if "site" in broken else SiteInfo.model_validate(data["site"], strict=True)
    whole = "options" not in broken and isinstance(data.get("options"), Mapping)
    options = Options.model_validate(data["options"], strict=True) if whole else Options()
    return Draft(None, site, options, **_fields(sections), broken=broken, ids=_ids(data))


def _fields(sections: Mapping[str, tuple[Item[Any], ...]]) -> dict[str, Any]:
    return {"rules" if name == "fallback_rules" else name: items for name, items in sections.items()}


def _ids(data: object) -> Mapping[str, tuple[Named, ...]]:
    """Every id of the file as it is written, broken entries included."""
    found: dict[str, list[Named]] = {}

    def note(entry: object, kind: str, path: str) -> None:
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str):
            found.setdefault(entry["id"], []).append(Named(kind, path))

    assert isinstance(data, Mapping)  # noqa: S101 - make_draft has said so
    for section, kind in (("collectors", "collector"), ("devices", "device"), ("fallback_rules", "fallback rule")):
        for path, entry in _entries(data, "", section):
            note(entry, kind, path)
    for path, entry in _entries(data, "", "assets"):
        note(entry, str(entry.get("kind", "asset")) if isinstance(entry, Mapping) else "asset", path)
        for below, connector in _entries(entry, path, "connectors"):
            note(connector, "connector", below)
    for path, entry in _entries(_with_controllers(data), "", "controllers"):
        note(entry, "controller", path)
        for below, shard in _entries(_with_drivers(entry), path, "drivers"):
            note(shard, "driver", below)
    return {name: tuple(uses) for name, uses in found.items()}


def _entries(holder: object, path: str, name: str) -> list[tuple[str, object]]:
    entries = holder.get(name) if isinstance(holder, Mapping) else None
    below = join(path, name)
    return [(join(below, i), entry) for i, entry in enumerate(entries)] if isinstance(entries, list) else []


def _with_controllers(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return data if "controllers" in data else {"controllers": _dump(DEFAULT_CONTROLLERS)}


def _with_drivers(entry: object) -> object:
    if isinstance(entry, Mapping) and "drivers" not in entry:
        return {**entry, "drivers": _dump(Controller.model_fields["drivers"].default)}
    return entry


def _dump(models: Any) -> list[dict[str, Any]]:
    return [model.model_dump() for model in models if isinstance(model, BaseModel)]
