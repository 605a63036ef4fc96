"""YAML text to plain data with the line of every value; hostile text is refused before anything is built (FC-5).

Refused: aliases (a few lines can expand to gigabytes), tags, duplicate keys (the second would silently win), more than
20 levels, more than 1 MiB, several documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import yaml

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 20
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Path = tuple[str | int, ...]


class TextError(ValueError):
    """The text is no acceptable YAML; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True)
class Document:
    """Plain data and where it stands."""

    data: Any
    lines: dict[Path, int] = field(repr=False)

    def line(self, path: Path) -> int:
        """Line of the value, or of the nearest thing around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str) -> Document:
    """Raises TextError."""
    if len(text.encode()) > MAX_BYTES:
        raise TextError(1, f"longer than {MAX_BYTES} bytes")
    try:
        _inspect(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Path, int] = {}
            data = _build(loader, node, (), lines) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise TextError(_line(mark), f"no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise TextError(1, f"no YAML: {error}") from error
    return Document(data, lines)


def _line(mark: Any) -> int:
    return mark.line + 1 if mark is not None else 1


def _inspect(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = _line(event.start_mark)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise TextError(line, "anchors and aliases are not allowed")
        if getattr(event, "tag", None):
            raise TextError(line, "tags are not allowed")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise TextError(line, f"more than {MAX_DEPTH} levels")


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, _line(node.start_mark))
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, i), lines) for i, item in enumerate(node.value)]
    try:
        return loader.construct_object(node)
    except ValueError as error:
        raise TextError(_line(node.start_mark), f"{node.value!r}: {error}") from error


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    """Keys are texts as written: `0: available` is the key "0", `no: x` the key "no"."""
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = _line(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
            raise TextError(line, "a key must be a plain word")
        key = str(key_node.value)
        if key in result:
            raise TextError(line, f"the key {key!r} stands here twice")
        lines[(*path, key)] = line
        result[key] = _build(loader, value_node, (*path, key), lines)
    return result
