"""`busbar replay`: the recorded decisions once more, bit for bit; what differs is shown (OPS-3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import orjson
import typer

from busbar.cli.common import Exit, end
from busbar.cli.times import instant, local_text, utc

if TYPE_CHECKING:
    from busbar.config.site import Site
    from busbar.record.file import Entry, Reader
    from busbar.record.replay import Core, Replayed

SHOWN = 50
"""Differences that are printed; `--json` has them all."""


@dataclass
class _At:
    """Keeps the last cycle at or before an instant, with its bounds."""

    text: str
    zone: ZoneInfo
    at_ms: int | None = None
    entry: Entry | None = None
    rows: dict[str, Any] | None = None
    """By connector, of the replay; None where it was skipped."""
    first_ms: int = 0

    def look(self, entry: Entry, core: Core | None) -> None:
        if self.at_ms is None:
            self.first_ms = entry.trace.published_at_ms
            self.at_ms = round(instant(self.text, "--at", self.zone, utc(self.first_ms)).timestamp() * 1000.0)
        if entry.trace.published_at_ms <= self.at_ms:
            self.entry = entry
            self.rows = {row.connector: row for row in core.allocated()} if core else None


def replay(
    file: Annotated[Path, typer.Argument(help="Recording made by `busbar record`.")],
    at: Annotated[
        str | None, typer.Option(help="Show all decisions in words at this time: 14:30:05 or ISO 8601, site's time.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Result for programs.")] = False,
) -> None:
    """Decide a recording again and compare. Exit: 0 all the same, 1 something differs, 2 no usable recording."""
    from busbar.record.file import Reader, RecordError
    from busbar.record.replay import replay as play

    try:
        reader = Reader(file)
        site = reader.site()
        shown = _At(at, ZoneInfo(site.file.site.timezone)) if at is not None else None
        found = play(site, reader.entries(), shown.look if shown else None)
    except RecordError as error:
        end(str(error))
    if not found.cycles:
        end(f"{file}: nothing to replay: no cycle with its state and snapshot {reader.torn and f'({reader.torn})'}")
    if shown is not None and shown.entry is None:
        end(f"--at {at}: the recording begins later, at {local_text(shown.first_ms, shown.zone)}")
    if json:
        print(orjson.dumps(_as_data(reader, found, shown), option=orjson.OPT_INDENT_2).decode())
    else:
        if shown is not None:
            _show_at(shown)
        _show(reader, found, site)
    raise typer.Exit(int(Exit.FAILED if found.differences else Exit.DONE))


def _as_data(reader: Reader, found: Replayed, shown: _At | None) -> dict[str, Any]:
    data = asdict(found) | {"version": reader.header.version, "fingerprint": reader.header.fingerprint}
    data["torn"] = reader.torn
    if shown is not None and shown.entry is not None:
        data["at"] = {"at_ms": shown.entry.trace.published_at_ms, "connectors": _rows_at(shown)}
        data["at"]["assets"] = [point.model_dump(mode="json") for point in shown.entry.trace.powers or ()]
    return data


def _show(reader: Reader, found: Replayed, site: Site) -> None:
    zone = ZoneInfo(site.file.site.timezone)
    for note in [reader.torn, *found.holes[:SHOWN]]:
        if note:
            print(f"note: {note}")
    for item in found.differences[:SHOWN]:
        who = item.connector or "all"
        print(f"{local_text(item.at_ms, zone)} {who}: recorded {item.recorded}; replayed {item.replayed}")
    if len(found.differences) > SHOWN:
        print(f"... and {len(found.differences) - SHOWN} more: --json lists all")
    span = f"{local_text(found.first_ms, zone)} to {local_text(found.last_ms, zone)} {zone.key}"
    skipped = f", {found.skipped} skipped (no state or snapshot)" if found.skipped else ""
    verdict = f"{len(found.differences)} differences" if found.differences else "every decision is the same"
    print(f"{site.id}, {span}: {found.cycles} cycles replayed{skipped}: {verdict}")


def _rows_at(shown: _At) -> list[dict[str, Any]]:
    from busbar.record.words import words

    rows, bounds = [], shown.rows or {}
    for point in shown.entry.trace.setpoints if shown.entry else ():
        own = bounds.get(point.connector)
        rows.append(
            {
                "connector": point.connector, "setpoint_a": point.current_a, "low_a": own.low_a if own else None,
                "high_a": own.high_a if own else None, "bound": own.bound if own else None,
                "code": str(point.reason.code), "also": [str(one.code) for one in point.reason.also],
                "why": words(point.reason),
            }
        )  # fmt: skip
    return rows


def _show_at(shown: _At) -> None:
    from rich.console import Console
    from rich.table import Table

    from busbar.record.words import words

    assert shown.entry is not None  # noqa: S101 - replay has looked
    trace = shown.entry.trace
    title = f"cycle {trace.seq} at {local_text(trace.published_at_ms, shown.zone)} {shown.zone.key}"
    table = Table("connector", "A", "low", "high", "why", title=title, title_justify="left")
    for row in _rows_at(shown):
        table.add_row(row["connector"], *(_number(row[key]) for key in ("setpoint_a", "low_a", "high_a")), row["why"])
    console = Console()
    console.print(table)
    for point in trace.powers or ():
        console.print(f"{point.asset}: {point.power_w:g} W: {words(point.reason)}", markup=False)
    for word, events in (
        ("limit", trace.limits), ("target", trace.targets), ("mode", trace.modes), ("advice", trace.advice),
    ):  # fmt: skip
        for event in events:
            console.print(f"{word}: {event.model_dump_json(exclude_none=True)}", markup=False)
    for fallback in trace.fallbacks:
        console.print(f"fallback: {fallback.entity}: {fallback.cause}", markup=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
