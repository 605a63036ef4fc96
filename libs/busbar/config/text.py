"""From the bytes of a site file to plain values, with the line of every value (SC-1).

YAML by the rules of its version 1.2 (JSON is a part of it): `on`, `yes` and `12:30` are text, `1e3` is a number. What a
site file never needs is refused with its line: tags, anchors and aliases, several documents, double keys, keys that
are no text, numbers that are not finite, more than 4 MiB, nesting deeper than 16.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from busbar.config.problem import Problem, error

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 16
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)|[-+]?(Infinity|NaN|nan|inf)")
_SURROGATES: Final = re.compile(r"\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}", re.IGNORECASE)
"""An escaped backslash (left alone), or an escaped pair of surrogates."""


@dataclass
class Document:
    """Plain values of a file, and the line (from 1) of everything in it by path, as `collectors[2].id`."""

    data: object = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: str) -> int:
        """Line of the path, or of the nearest thing around it that stands in the file."""
        while path not in self.lines and path:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)


def join(path: str, key: str | int) -> str:
    """Path of a child: `collectors` and 2 give `collectors[2]`, then `id` gives `collectors[2].id`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def read_document(path: Path) -> Document:
    """Read a file; whatever is wrong with it stands in `problems`, never in an exception."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as exc:
        return _failed("unreadable", f"the file cannot be read: {exc.strerror or exc}", "give the path of a site file")
    if len(raw) > MAX_BYTES:
        return _failed("too_large", "the file is larger than 4 MiB", "a full site needs less than 1 MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        return _failed("not_utf8", "the file is not UTF-8 text", "save it as UTF-8", value=raw[exc.start], line=line)
    return parse_document(text, as_json=path.suffix.lower() == ".json")


def parse_document(text: str, *, as_json: bool = False) -> Document:
    """Parse YAML or JSON text; whatever is wrong with it stands in `problems`."""
    if not text.strip():
        return _failed("empty", "the file is empty", "begin with `format: busbar-site/1`")
    if as_json:
        try:
            json.loads(text)
        except (ValueError, RecursionError) as exc:
            line = exc.lineno if isinstance(exc, json.JSONDecodeError) else 0
            return _failed("syntax", f"this is not JSON: {exc}", "correct the place, or name the file .yaml", line=line)
        text = _as_yaml(text)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except _Stop:
        builder.document.data = None
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        what = getattr(exc, "problem", None) or getattr(exc, "reason", None) or str(exc)
        line = mark.line + 1 if mark else 0
        builder.document.data = None
        builder.document.problems.append(
            _problem(
                "syntax", f"this is not YAML: {what}", "correct the place; check indentation and quotes", line=line
            )
        )
    return builder.document


def _as_yaml(text: str) -> str:
    """JSON text that YAML reads alike: no tabs between tokens, no pairs of surrogates."""
    plain = text.replace("\t", " ")
    return _SURROGATES.sub(lambda m: m[0] if m[0] == r"\\" else json.loads(f'"{m[0]}"'), plain)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _failed(code: str, message: str, remedy: str, *, value: object = "", line: int = 0) -> Document:
    return Document(problems=[_problem(code, message, remedy, value=value, line=line)])


def _problem(code: str, message: str, remedy: str, *, path: str = "", value: object = "", line: int = 0) -> Problem:
    found = error(code, path, message, remedy, value=value)
    return Problem(found.level, found.code, found.path, found.message, found.remedy, found.value, "", line)


@dataclass
class _Open:
    """A list or mapping whose end has not come; `key` is the mapping's key that waits for its value."""

    value: list[object] | dict[str, object]
    path: str
    key: str | None = None


class _Stop(Exception):  # noqa: N818 - a signal, the problem is noted already
    """Parsing ends here."""


class _Builder:
    """Builds the values from parser events, without recursion and without resolving anything that can grow."""

    def __init__(self) -> None:
        self.document = Document()
        self._stack: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._document_start(event)
            case yaml.AliasEvent():
                self._note(event, "alias", "anchors and aliases (& and *) are not accepted", "write the value out")
                self._add(event, None)
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.SequenceStartEvent():
                self._start(event, [])
            case yaml.MappingStartEvent():
                self._start(event, {})
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._stack.pop()

    def _note(self, event: yaml.Event, code: str, message: str, remedy: str, value: object = "") -> None:
        line = _line(event)
        self.document.problems.append(
            _problem(code, message, remedy, path=self._path(), value=value, line=line),
        )

    def _path(self) -> str:
        """Path of the value that comes next."""
        if not self._stack:
            return ""
        top = self._stack[-1]
        if isinstance(top.value, list):
            return join(top.path, len(top.value))
        return top.path if top.key is None else join(top.path, top.key)

    def _document_start(self, event: yaml.Event) -> None:
        self._documents += 1
        if self._documents > 1:
            self._note(event, "documents", "the file holds more than one document", "keep one site in a file")

    def _start(self, event: yaml.CollectionStartEvent, value: list[object] | dict[str, object]) -> None:
        self._decorations(event)
        path = self._path()
        if len(self._stack) >= MAX_DEPTH:
            self._note(event, "too_deep", f"nested deeper than {MAX_DEPTH} levels", "a site file needs six at most")
            raise _Stop
        if self._is_key():
            self._note(event, "key", "a key must be text", "use the name of a field")
            raise _Stop
        self._add(event, value)
        self._stack.append(_Open(value, path))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._decorations(event)
        if self._is_key():
            self._key(event)
            return
        self._add(event, self._plain(event) if event.implicit[0] else event.value)

    def _key(self, event: yaml.ScalarEvent) -> None:
        top = self._stack[-1]
        assert isinstance(top.value, dict)  # noqa: S101 - _is_key has said so
        key: str = event.value
        if key in top.value:
            first = self.document.lines.get(join(top.path, key), 0)
            self._note(event, "double_key", f"the field {key!r} stands here twice (first in line {first})", "keep one")
        top.key = key

    def _is_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _add(self, event: yaml.Event, value: object) -> None:
        self.document.lines.setdefault(self._path(), _line(event))
        if not self._stack:
            if self._documents == 1:
                self.document.data = value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is not None:
            top.value[top.key], top.key = value, None

    def _decorations(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag not in (None, "!"):
            self._note(event, "tag", "YAML tags (!) are not accepted", "write the plain value", event.tag)
        if event.anchor is not None:
            self._note(event, "alias", "anchors and aliases (& and *) are not accepted", "write the value out")

    def _plain(self, event: yaml.ScalarEvent) -> object:
        text: str = event.value
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _INT.fullmatch(text) and len(text) <= 18:
            return int(text)
        number = float(text) if _FLOAT.fullmatch(text) else None
        if _NOT_FINITE.fullmatch(text) or (number is not None and not math.isfinite(number)):
            self._note(event, "not_finite", "this number is not finite", "write an ordinary number", text)
            return 0.0
        return text if number is None else number
