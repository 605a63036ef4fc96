"""The published contracts (DG-5, API-3): `proto/` is generated from the registries and diffed in CI.

Generated: a JSON Schema per event, the AsyncAPI document of the bus, the schemas of the site file and of device
packages, and the table of subjects. Not generated: `proto/golden/`, one event a type fixed by hand; every later version
must still read it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from busbar.config.model import SiteFile
from busbar.devices.package import DevicePackage
from busbar.events import CommandReply, Event
from busbar.subjects import ROOT, SUBJECTS, Delivery, Subject

VERSION: Final = "1.0.0"
"""Of the contract: within 1 fields are only added."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_REPLY: Final = "command.reply"

_DELIVERY: Final = {
    Delivery.CORE: "core: newest wins, nothing stored",
    Delivery.LAST: "core, last value kept in memory",
    Delivery.CONTROL: "stream, last value kept on disk",
    Delivery.OUTBOX: "stream on disk, bulk",
    Delivery.OUTBOX_TX: "stream on disk, one each",
    Delivery.REQUEST: "request and reply",
}
_TOKENS: Final = {
    "site": "id of the site",
    "driver": "id of the driver shard",
    "asset": "id of a connector, or of an asset that is no charger",
    "collector": "id of a collector",
    "connector": "id of a connector",
    "source": "who set it: page, cli, gateway, pcu or schedule",
    "entity": "what it is about: asset, collector, rule or service",
    "service": "name of a service",
    "instance": "which copy of the service",
    "event_id": "deterministic id of the transaction step",
    "rtu": "id of the grid operator's unit",
    "verb": "what is asked for",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One file of `proto/` that is not as it should be, and what to do."""

    file: str
    what: str
    remedy: str


def events() -> dict[str, type[Event]]:
    """Every event that travels, by name, in alphabetical order."""
    found = {subject.event.__name__: subject.event for subject in SUBJECTS}
    found[CommandReply.__name__] = CommandReply
    return dict(sorted(found.items()))


def generate() -> dict[str, str]:
    """All generated files: path below `proto/` and text. The same code always gives the same bytes."""
    files = {f"schema/{name}.json": _text(_event_schema(event)) for name, event in events().items()}
    files["asyncapi.json"] = _text(asyncapi())
    files["site.schema.json"] = site_schema_text()
    files["device-package.schema.json"] = _text(_schema(DevicePackage, "Busbar device package"))
    files["README.md"] = _readme()
    return files


def site_schema_text() -> str:
    """JSON Schema of the site file, as published."""
    return _text(_schema(SiteFile, "Busbar site file"))


def write(folder: Path) -> None:
    """Write the generated files; what was generated once and is no more is removed."""
    files = generate()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    for stale in _stale(folder, files):
        stale.unlink()


def differences(folder: Path) -> list[Difference]:
    """What in `folder` differs from what the code says, golden events included."""
    files = generate()
    found = [
        Difference(name, "missing" if not (folder / name).is_file() else "out of date", "run `make proto` and commit")
        for name, text in files.items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text
    ]
    found += [
        Difference(str(path.relative_to(folder)), "no longer generated", "run `make proto` and commit")
        for path in _stale(folder, files)
    ]
    return found + list(_golden_differences(folder))


def _golden_differences(folder: Path) -> Iterator[Difference]:
    for name, event in events().items():
        path = folder / "golden" / f"{name}.json"
        if not path.is_file():
            yield Difference(f"golden/{name}.json", "missing", "write one by hand: a typical event, every field filled")
            continue
        raw = path.read_bytes()
        try:
            parsed = event.model_validate_json(raw)
        except ValidationError as exc:
            reason = f"no longer readable: {exc.errors(include_url=False)[0]['msg']}"
            yield Difference(f"golden/{name}.json", reason, "within v1 fields are only added, with a default")
            continue
        if _lost(json.loads(raw), json.loads(parsed.model_dump_json())):
            yield Difference(f"golden/{name}.json", "changes when read and written again", "within v1 nothing changes")


def _lost(old: Any, new: Any) -> bool:
    """Whether anything of `old` is missing or other in `new`; added fields are no loss."""
    if isinstance(old, dict) and isinstance(new, dict):
        return any(key not in new or _lost(value, new[key]) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) != len(new) or any(_lost(a, b) for a, b in zip(old, new, strict=True))
    return bool(old != new)


def _stale(folder: Path, files: Mapping[str, str]) -> list[Path]:
    return [path for path in sorted(folder.glob("schema/*.json")) if str(path.relative_to(folder)) not in files]


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    return {"$schema": DIALECT, **_tidy(model.model_json_schema()), "title": title}


def _event_schema(event: type[Event]) -> dict[str, Any]:
    return _schema(event, event.__name__)


def _tidy(node: Any) -> Any:
    """Without the titles that pydantic makes of field names: they say nothing."""
    if isinstance(node, dict):
        return {
            key: {name: _tidy(below) for name, below in value.items()} if key in _BY_NAME else _tidy(value)
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_tidy(below) for below in node] if isinstance(node, list) else node


_BY_NAME: Final = frozenset({"properties", "$defs", "mapping"})


def asyncapi() -> dict[str, Any]:
    """The bus as an AsyncAPI 3.0 document: a channel a subject, an operation a publisher."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Busbar",
            "version": VERSION,
            "description": "Events between the services of one site, over NATS. Consumption is positive, production "
            "negative. Times are integer milliseconds of UTC. Readers ignore fields they do not know.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {**{subject.noun: _channel(subject) for subject in SUBJECTS}, _REPLY: _reply_channel()},
        "operations": dict(pair for subject in SUBJECTS for pair in _operations(subject)),
        "components": {"messages": {name: _message(event) for name, event in events().items()}},
    }


def _channel(subject: Subject) -> dict[str, Any]:
    return {
        "address": subject.template,
        "description": subject.about,
        "messages": _messages(subject.event),
        "parameters": {token: {"description": _TOKENS[token]} for token in ("site", *subject.tokens)},
        "x-delivery": subject.delivery.value,
    }


def _reply_channel() -> dict[str, Any]:
    return {
        "address": None,
        "description": "where a request asks for its reply (the reply subject of NATS)",
        "messages": _messages(CommandReply),
    }


def _messages(event: type[Event]) -> dict[str, Any]:
    return {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"}}


def _operations(subject: Subject) -> Iterator[tuple[str, dict[str, Any]]]:
    for publisher in subject.publishers:
        who = "any-service" if publisher == "*" else publisher
        operation: dict[str, Any] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{subject.noun}"},
            "summary": f"{who} publishes {subject.about}",
            "messages": [{"$ref": f"#/channels/{subject.noun}/messages/{subject.event.__name__}"}],
        }
        if subject.delivery is Delivery.REQUEST:
            operation["reply"] = {
                "channel": {"$ref": f"#/channels/{_REPLY}"},
                "messages": [{"$ref": f"#/channels/{_REPLY}/messages/{CommandReply.__name__}"}],
            }
        yield f"{who}.{subject.noun}", operation


def _message(event: type[Event]) -> dict[str, Any]:
    about = " ".join((event.__doc__ or "").split()).partition(". ")[0].rstrip(".")
    schema = {"schemaFormat": "application/schema+json;version=draft-2020-12",
              "schema": {"$ref": f"schema/{event.__name__}.json"}}  # fmt: skip
    return {"name": event.__name__, **({"summary": about} if about else {}), "payload": schema}


def _readme() -> str:
    rows = [
        f"| `{s.template.removeprefix(ROOT + '.{site}.')}` | [{s.event.__name__}](schema/{s.event.__name__}.json) "
        f"| {s.about} | {', '.join('any' if p == '*' else p for p in s.publishers)} | {_DELIVERY[s.delivery]} |"
        for s in SUBJECTS
    ]
    return _README.format(root=ROOT, rows="\n".join(rows))


_README: Final = """# The contract

Generated by `make proto` from `libs/busbar`; do not edit. Only `golden/` is written by hand: one event of each type
that every later version must still read.

| file | what |
|---|---|
| [asyncapi.json](asyncapi.json) | the bus as an AsyncAPI 3.0 document |
| [schema/](schema) | a JSON Schema (2020-12) per event |
| [site.schema.json](site.schema.json) | the site file |
| [device-package.schema.json](device-package.schema.json) | device packages |
| [golden/](golden) | golden events |

Within v1 fields are only added, with a default; readers ignore fields they do not know.

## Subjects

All begin with `{root}.{{site}}.`; a token in braces is an id.

| subject | event | about | published by | carried by |
|---|---|---|---|---|
{rows}
"""
