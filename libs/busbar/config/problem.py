"""What is wrong with a site file: one finding with its place, the value found and the remedy (SC-1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Level(StrEnum):
    ERROR = "error"
    """The file is refused."""
    WARNING = "warning"
    """The file is accepted; a person should look."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `path` as in `collectors[2].rated_current_a`, `line` counted from 1 (0: of no line)."""

    level: Level
    code: str
    """Stable short name, e.g. `unknown_field`."""
    path: str
    message: str
    """What is wrong, in words."""
    remedy: str
    """What would be right."""
    value: str = ""
    """The value found, shortened; empty where something is missing."""
    entity: str = ""
    """Id of the entity it is about."""
    line: int = 0

    def __str__(self) -> str:
        place = self.path or "file"
        where = f"{place} ({self.entity})" if self.entity else place
        line = f"line {self.line}: " if self.line else ""
        value = f" (found {self.value})" if self.value else ""
        return printable(f"{line}{where}: {self.message}{value}. Remedy: {self.remedy}.")


class SiteError(Exception):
    """A site file that is refused, with everything that is wrong with it; nothing of it was applied."""

    def __init__(self, source: str | Path, problems: Iterable[Problem]) -> None:
        self.source = str(source)
        self.problems = tuple(problems)
        self.errors = tuple(p for p in self.problems if p.level is Level.ERROR)
        count = len(self.errors)
        lines = "\n".join(f"  {problem}" for problem in self.errors)
        super().__init__(f"{self.source}: {count} error{'s' * (count != 1)}\n{lines}")


def error(code: str, path: str, message: str, remedy: str, *, value: object = "", entity: str = "") -> Problem:
    return Problem(Level.ERROR, code, path, message, remedy, shorten(value), entity)


def warning(code: str, path: str, message: str, remedy: str, *, value: object = "", entity: str = "") -> Problem:
    return Problem(Level.WARNING, code, path, message, remedy, shorten(value), entity)


def printable(text: str) -> str:
    """One line, whatever ids and keys a file made up."""
    return "".join(c if c.isprintable() else "?" for c in text)


def shorten(value: object, limit: int = 60) -> str:
    """A value as a person may read it in one line."""
    text = value if isinstance(value, str) else repr(value)
    text = printable(text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
