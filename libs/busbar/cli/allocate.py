"""`busbar allocate`: one decision on a snapshot by hand, with its bounds: for a question, a script, a bug report."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from busbar.cli.common import end, load, site_path

if TYPE_CHECKING:
    from busbar.config.site import Site
    from busbar.record.file import Entry
    from busbar.record.replay import Core


def allocate(
    snapshot: Annotated[
        Path, typer.Argument(help="Snapshot as JSON, or lines of a recording; - reads standard input.", allow_dash=True)
    ],
    site: Annotated[Path | None, typer.Option(help="Site file; default: the recording's, else the demo's.")] = None,
    table: Annotated[bool, typer.Option("--table", help="A table for people instead of JSON.")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="ASSET", help="Say of one connector or other asset why, in words.")
    ] = None,
) -> None:
    """Decide on each snapshot given, in order, and print one line of JSON each. Exit: 0 decided, 2 bad input.

    A line of a recording brings time, limits, modes, advice and, where it has one, the state; without one the state of
    the line before goes on, and the first starts fresh: then nothing rises, it keeps what the devices do.
    """
    from busbar.record.file import RecordError

    if table and explain is not None:
        end("--table and --explain are two forms of the same: give one of them")
    given = load(site_path(site)) if site is not None else None
    decided = 0
    try:
        for shown in _decisions(snapshot, given):
            decided += 1
            _print(shown, table, explain)
    except RecordError as error:
        end(str(error))
    if not decided:
        end(f"{snapshot}: no snapshot in it: give a SiteSnapshot as JSON, or lines of a recording")


@dataclass(frozen=True, slots=True)
class _Decision:
    """One cycle, decided."""

    entry: Entry
    state: str
    """What it began with: `given`, `carried` from the line before, or `fresh`."""
    rows: list[Any]
    assets: list[Any]

    def as_data(self) -> dict[str, Any]:
        trace = self.entry.trace
        return {
            "snapshot": trace.snapshot, "now_ms": trace.now_ms, "state": self.state,
            "connectors": [_row(row) for row in self.rows], "assets": [_asset(row) for row in self.assets],
        }  # fmt: skip


def _decisions(path: Path, given: Site | None) -> Iterator[_Decision]:
    from busbar.record.file import RecordError
    from busbar.record.replay import allocator

    core: Core | None = None
    site = given
    for where, data in _documents(path):
        if isinstance(data, dict) and "format" in data:
            site = _site_of(data, where, path, given)
            continue
        entry = _entry(data, where)
        if site is None:
            site = load(site_path(None))
        if entry.snapshot is None:
            raise RecordError(f"{where}: its snapshot was lost when it was recorded: take another line")
        _check_site(entry, site, where)
        state = "carried" if core else "fresh"
        core = core or allocator(site, entry.trace.now_ms)
        if entry.state is not None:
            state = "given"
            try:
                core.restore(entry.state)
            except ValueError as error:
                raise RecordError(f"{where}: state: {error}") from error
        core.decide(entry.snapshot, entry.trace)
        yield _Decision(entry, state, core.allocated(), core.allocated_w())


def _documents(path: Path) -> Iterator[tuple[str, Any]]:
    """A file that is one JSON document, else one a line; with where it stands."""
    from busbar.record.file import RecordError

    name = "standard input" if str(path) == "-" else str(path)
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise RecordError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        yield name, orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    else:
        return
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            document = orjson.loads(line) if line.strip() else None
        except orjson.JSONDecodeError as error:
            raise RecordError(f"{name}: line {number}: no JSON: {error}") from error
        if document is not None:
            yield f"{name}: line {number}", document


def _entry(data: Any, where: str) -> Entry:
    from busbar.record.file import entry_of, entry_of_snapshot

    bare = isinstance(data, dict) and "cycle" not in data
    return entry_of_snapshot(data, where) if bare else entry_of(data, where)


def _site_of(data: dict[str, Any], where: str, path: Path, given: Site | None) -> Site:
    from busbar.record.file import header_of, site_in

    header = header_of(data, where)
    return given or site_in(header, where, path.parent)


def _check_site(entry: Entry, site: Site, where: str) -> None:
    """A changed site file is a what-if and said; one without any of the connectors is a mistake."""
    from busbar.record.file import RecordError

    assert entry.snapshot is not None  # noqa: S101 - the caller has looked
    if entry.snapshot.fingerprint == site.fingerprint:
        return
    known = {connector.id for connector in site.connectors}
    if not any(sample.connector in known for sample in entry.snapshot.connectors):
        raise RecordError(f"{where}: site {site.id} has no connector of this snapshot: name its site file with --site")
    print(f"busbar allocate: {where}: made for site file {entry.snapshot.fingerprint}, decided for "
          f"{site.fingerprint}", file=sys.stderr)  # fmt: skip


def _row(row: Any) -> dict[str, Any]:
    from busbar.record.words import words

    return {
        "connector": row.connector, "setpoint_a": row.setpoint_a, "low_a": row.low_a, "high_a": row.high_a,
        "bound": row.bound, "code": str(row.reason.code), "also": [str(one.code) for one in row.reason.also],
        "why": words(row.reason),
    }  # fmt: skip


def _asset(row: Any) -> dict[str, Any]:
    from busbar.record.words import words

    return {
        "asset": row.asset, "setpoint_w": row.setpoint_w, "reactive_power_var": row.reactive_power_var,
        "code": str(row.reason.code), "why": words(row.reason),
    }  # fmt: skip


def _print(shown: _Decision, table: bool, explain: str | None) -> None:
    if table:
        _print_table(shown)
    elif explain is not None:
        _print_words(shown, explain)
    else:
        print(orjson.dumps(shown.as_data()).decode())


def _print_table(shown: _Decision) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"snapshot {shown.entry.trace.snapshot}, state {shown.state}"
    made = Table("connector", "A", "low", "high", "bound", "why", title=title, title_justify="left")
    for row in shown.as_data()["connectors"]:
        numbers = (f"{row[key]:g}" for key in ("setpoint_a", "low_a", "high_a"))
        made.add_row(row["connector"], *numbers, row["bound"], row["why"])
    console = Console()
    console.print(made)
    if shown.assets:
        others = Table("asset", "W", "var", "why")
        for row in shown.as_data()["assets"]:
            var = row["reactive_power_var"]
            others.add_row(row["asset"], f"{row['setpoint_w']:g}", "-" if var is None else f"{var:g}", row["why"])
        console.print(others)


def _print_words(shown: _Decision, name: str) -> None:
    data = shown.as_data()
    rows, assets = ({row[key]: row for row in data[f"{key}s"]} for key in ("connector", "asset"))
    if name in assets:
        print(f"{name}: {assets[name]['setpoint_w']:g} W: {assets[name]['why']}; state {shown.state}")
        return
    if name not in rows:
        end(f"--explain {name}: no asset that this site sets: name one of {', '.join([*rows, *assets][:20])}")
    row = rows[name]
    print(f"{name}: {row['setpoint_a']:g} A: {row['why']}")
    print(f"  at least {row['low_a']:g} A, at most {row['high_a']:g} A by {row['bound']}; state {shown.state}")
