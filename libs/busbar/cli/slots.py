"""A series on the command line, `--at 14:00=50kW`, or a file: each power holds until the next one begins (SPC-8).

A file is CSV with the columns `start` and `power_w`, or JSON, a list of objects with these keys. `start` is what `--at`
takes, or milliseconds of UTC since 1970; `power_w` is a number.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import orjson
import typer

from busbar.cli.common import end
from busbar.cli.times import instant, local_text, utc

AtOption = Annotated[
    list[str] | None, typer.Option("--at", metavar="TIME=POWER", help="From then on: 14:00=50kW; repeat for a series.")
]
SlotsOption = Annotated[Path | None, typer.Option("--slots", help="Series as a file: .csv or .json (start, power_w).")]

MOST_SLOTS: Final = 1440
"""A day by the minute."""
_POWER: Final = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(|W|kW|MW)\s*")
_WATTS: Final = {"": 1.0, "W": 1.0, "kW": 1e3, "MW": 1e6}
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)


class Series:
    """What `--at` and `--slots` say together. Ends the command where it cannot be read."""

    def __init__(self, at: list[str] | None, file: Path | None, zone: ZoneInfo) -> None:
        self._zone = zone
        self._said = [_option(text) for text in at or []] + (_file(file) if file is not None else [])
        if len(self._said) > MOST_SLOTS:
            end(f"{len(self._said)} entries of a series: give at most {MOST_SLOTS}, a day by the minute")
        starts = [start for start, _, _ in self.slots(0)]
        for (start, _, where), after in zip(self.slots(0), starts[1:], strict=False):
            if start == after:
                end(f"{where}: another entry starts at the same time: leave one of them out")

    def __bool__(self) -> bool:
        return bool(self._said)

    def slots(self, now_ms: int) -> list[tuple[int, float, str]]:
        """Start in ms of UTC, power in W and where it stands, in order; times without a day are of the site's today."""
        day = utc(now_ms) if now_ms else _LONG_AGO
        return sorted(
            (_start_ms(start, where, self._zone, day), power_w, where) for start, power_w, where in self._said
        )


def power_w(text: str, where: str) -> float:
    """Watts of `50kW`, `-3.5 kW`, `5000W` or `5000`. Ends the command where it is no power."""
    found = _POWER.fullmatch(text)
    if found is None:
        end(f"{where}: {text!r} is no power: write a number with W, kW or MW, as 50kW or -3500W")
    return float(found[1]) * _WATTS[found[2]]


def _option(text: str) -> tuple[str | int, float, str]:
    start, equals, power = text.rpartition("=")
    if not equals:
        end(f"--at {text!r}: write TIME=POWER, as 14:00=50kW")
    return start, power_w(power, f"--at {text}"), f"--at {text}"


def _start_ms(start: str | int, where: str, zone: ZoneInfo, day: datetime) -> int:
    return start if isinstance(start, int) else round(instant(start, where, zone, day).timestamp() * 1000.0)


def _file(path: Path) -> list[tuple[str | int, float, str]]:
    if path.suffix not in {".csv", ".json"}:
        end(f"--slots {path}: name a file that ends in .csv or .json")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        end(f"--slots {path}: cannot be read: {getattr(error, 'strerror', None) or error}")
    found = [_entry(row, where) for where, row in (_csv if path.suffix == ".csv" else _json)(path, text)]
    if not found:
        end(f"--slots {path}: no entry in it: give at least one start with its power_w")
    return found


def _csv(path: Path, text: str) -> Iterable[tuple[str, Any]]:
    rows = csv.DictReader(io.StringIO(text))
    if not {"start", "power_w"} <= set(rows.fieldnames or ()):
        end(f"--slots {path}: line 1: name the columns `start,power_w`, not {','.join(rows.fieldnames or ())!r}")
    return [(f"{path}: line {rows.line_num}", row) for row in rows]


def _json(path: Path, text: str) -> Iterable[tuple[str, Any]]:
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        end(f"--slots {path}: no JSON: {error}")
    if not isinstance(rows, list):
        end(f'--slots {path}: give a list, as [{{"start": "14:00", "power_w": 50000}}]')
    return [(f"{path}: entry {number}", row) for number, row in enumerate(rows, start=1)]


def _entry(row: Any, where: str) -> tuple[str | int, float, str]:
    """Of a file. Numbers may stand as text, as CSV has them."""
    if not isinstance(row, dict) or row.get("start") is None or row.get("power_w") is None:
        end(f"{where}: `start` and `power_w` are both needed")
    start, power = row["start"], row["power_w"]
    if isinstance(start, str) and re.fullmatch(r"\d{10,15}", start.strip()):
        start = int(start)
    if isinstance(start, bool) or not isinstance(start, str | int) or (isinstance(start, int) and start < 0):
        end(f"{where}: start {start!r} is no time: write 14:30, ISO 8601, or milliseconds of UTC")
    try:
        watts = math.nan if isinstance(power, bool) else float(power)
    except (TypeError, ValueError):
        watts = math.nan
    if not math.isfinite(watts):
        end(f"{where}: power_w {power!r} is no power: write a number in W")
    return start, watts, where


def next_text(slots: Iterable[Any], now_ms: int, zone: ZoneInfo, shown: Callable[[float], str]) -> str:
    """The entry that begins next, of the slots of an event: `import 5000 W at 14:00`; empty where none does."""
    coming = sorted((slot.start_ms, slot.power_w) for slot in slots if slot.start_ms > now_ms)
    return f"{shown(coming[0][1])} at {local_text(coming[0][0], zone)[:16]}" if coming else ""
