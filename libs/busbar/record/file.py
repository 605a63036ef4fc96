"""A recording as a file: JSON lines, compressed where its name ends in `.gz`.

The first line is the header: format, version, the site file and its fingerprint. Each further line is one cycle:
`cycle` (what the allocator published), `snapshot` (null where it was lost on the way) and, where it was sent, `state`.
Each line is flushed: a recorder that is killed leaves all but perhaps its last line.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, Final, cast

import orjson
from pydantic import ValidationError

from busbar import __version__
from busbar.config.load import check_text
from busbar.config.packages import catalogue
from busbar.config.site import Site
from busbar.events import CycleTrace, Event, SiteSnapshot

FORMAT: Final = "busbar-record/1"


class RecordError(ValueError):
    """A recording that cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Header:
    version: str
    """Of Busbar when it was recorded."""
    fingerprint: str
    site: str
    """The site file's text."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded cycle."""

    trace: CycleTrace
    snapshot: SiteSnapshot | None
    state: bytes | None = None
    """Checkpoint of the state that the cycle began with, as JSON."""


class Writer:
    """Creates a recording. Raises OSError, FileExistsError where there is one: it is not overwritten."""

    def __init__(self, path: Path, site: Site, text: str) -> None:
        raw = path.open("xb")
        self._raw = raw
        self._out: BufferedIOBase | IO[bytes] = gzip.GzipFile(fileobj=raw, mode="wb") if zipped(path) else raw
        self.cycles = 0
        header = {"format": FORMAT, "version": __version__, "fingerprint": site.fingerprint, "site": text}
        self._line(orjson.dumps(header))

    def add(self, entry: Entry) -> None:
        line: dict[str, Any] = {"cycle": _json(entry.trace), "snapshot": entry.snapshot and _json(entry.snapshot)}
        if entry.state is not None:
            line["state"] = orjson.Fragment(entry.state)
        self._line(orjson.dumps(line))
        self.cycles += 1

    def close(self) -> None:
        self._out.close()
        self._raw.close()

    def _line(self, line: bytes) -> None:
        self._out.write(line + b"\n")
        self._out.flush()
        self._raw.flush()


class Reader:
    """Reads a recording line by line. `torn` is told where the last line is not whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = ""
        self._lines = self._read()
        first = next(self._lines, None)
        if first is None:
            raise RecordError(f"{path}: empty: no recording")
        self.header = header_of(self._parse(1, first), f"{path}: line 1")

    def site(self) -> Site:
        """The site as it was recorded. Raises RecordError where it cannot be made again exactly."""
        return site_in(self.header, str(self.path), self.path.parent)

    def entries(self) -> Iterator[Entry]:
        """All whole lines, in order. Raises RecordError for a bad one that is not the last."""
        bad: RecordError | None = None
        for number, line in enumerate(self._lines, start=2):
            if bad is not None:
                raise bad
            try:
                data = self._parse(number, line)
            except RecordError as error:
                bad = error  # torn if it is the last one
                continue
            yield entry_of(data, f"{self.path}: line {number}")
        if bad is not None:
            self.torn = f"the last line is torn and was skipped ({bad})"

    def _read(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as raw:
                yield from cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if zipped(self.path) else raw
        except EOFError:
            self.torn = "the file ends within its compressed data: the recorder was killed; all whole lines are used"
        except (gzip.BadGzipFile, zlib.error) as error:
            raise RecordError(f"{self.path}: no readable gzip file: {error}") from error
        except OSError as error:
            raise RecordError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _parse(self, number: int, line: bytes) -> Any:
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise RecordError(f"{self.path}: line {number}: no JSON: {error}") from error


def header_of(data: Any, where: str) -> Header:
    """The first line. Raises RecordError."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise RecordError(f"{where}: format is {found!r}, this version reads {FORMAT!r}")
    try:
        return Header(*(_text(data, key) for key in ("version", "fingerprint", "site")))
    except KeyError as error:
        raise RecordError(f"{where}: header without text in {error}") from error


def site_in(header: Header, where: str, folder: Path) -> Site:
    """The site as it was recorded; its own device packages are looked for in `folder`. Raises RecordError."""
    checked = check_text(header.site, f"site file in {where}", catalogue(folder))
    if checked.site is None:
        problems = "; ".join(str(problem) for problem in checked.errors)
        raise RecordError(f"{where}: the site file in it is refused: {problems}")
    if checked.site.fingerprint != header.fingerprint:
        raise RecordError(
            f"{where}: its site is {header.fingerprint}, read here it is {checked.site.fingerprint}: "
            f"replay it with busbar {header.version}, this is {__version__}"
        )
    return checked.site


def entry_of_snapshot(data: Any, where: str) -> Entry:
    """A cycle on a bare snapshot, at its own time, without limits or fallbacks. Raises RecordError naming the field."""
    try:
        snapshot = SiteSnapshot.model_validate_json(orjson.dumps(data))
    except ValidationError as error:
        raise RecordError(f"{where}: {_first(error)}") from error
    trace = CycleTrace(
        fingerprint=snapshot.fingerprint, epoch=0, seq=0, whole_state=False, snapshot=snapshot.number,
        snapshot_published_at_ms=snapshot.published_at_ms, now_ms=snapshot.taken_at_ms, snapshot_age_ms=0, limits=(),
        fallbacks=(), setpoints=(), digest="", published_at_ms=snapshot.published_at_ms,
        lifetime_ms=snapshot.lifetime_ms,
    )  # fmt: skip
    return Entry(trace, snapshot)


def entry_of(data: Any, where: str) -> Entry:
    """One line. Raises RecordError naming the field."""
    if not isinstance(data, dict) or not isinstance(data.get("cycle"), dict):
        raise RecordError(f"{where}: no cycle: give a line of a recording that is not its header")
    state = data.get("state")
    try:
        return Entry(
            CycleTrace.model_validate_json(orjson.dumps(data["cycle"])),
            None if data.get("snapshot") is None else SiteSnapshot.model_validate_json(orjson.dumps(data["snapshot"])),
            None if state is None else orjson.dumps(state),
        )
    except ValidationError as error:
        raise RecordError(f"{where}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def zipped(path: Path) -> bool:
    return path.suffix == ".gz"


def _json(event: Event) -> orjson.Fragment:
    return orjson.Fragment(event.model_dump_json())


def _text(data: dict[str, Any], key: str) -> str:
    if not isinstance(data.get(key), str):
        raise KeyError(key)
    return str(data[key])
