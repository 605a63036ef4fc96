"""What `busbar limit`, `target`, `mode`, `advice` and `power-test` share: something said by a source about a collector
or an asset, which stands in the stream CONTROL until its end or its release, with its author and time.

A command is a `Kind` (what is said, and how it is shown) with a `set` of its own; `show` and `release` are here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import orjson
import typer

from busbar.cli.common import Exit, end, load, site_path
from busbar.cli.times import duration_s, instant, left_text, local_text, utc

if TYPE_CHECKING:
    from busbar.bus import Bus
    from busbar.clock import Clock
    from busbar.config.site import Site
    from busbar.events import Event
    from busbar.subjects import Subject

CONNECT_S: Final = 3.0
SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
OF_SITE: Final = "site"
"""Source of what the site file says; nobody else may call himself so."""
LONGEST_AUTHOR: Final = 100

SiteOption = Annotated[Path | None, typer.Option(help="Site file that runs; default examples/demo.yaml.")]
NatsOption = Annotated[str, typer.Option(help="Address of nats-server.")]
SourceOption = Annotated[str, typer.Option(help="Who says it; each source has its own.")]
AuthorOption = Annotated[str, typer.Option(help="Kept with it, for whoever asks later who did this.")]
ForOption = Annotated[str | None, typer.Option("--for", help="How long, as 30m or 2h.")]
UntilOption = Annotated[str | None, typer.Option(help="Until 14:30 today, or ISO 8601; site's time zone.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Result for programs.")]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `show`."""

    name: str
    source: str
    cells: tuple[str, ...]
    """What it says, in the kind's own columns; `<` marks what holds."""
    until_ms: int | None
    data: dict[str, Any] = field(default_factory=dict)
    """The same for programs."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is said. The callables import late, so that a command starts fast."""

    noun: str
    entity: str
    """`collector`, `asset` or `connector`."""
    columns: tuple[str, ...]
    subject: Callable[[], Subject]
    names: Callable[[Site], list[str]]
    rows: Callable[[Site, list[Any], int], list[Row]]
    """From the events that stand and the wall time."""
    release: Callable[[str, str, int, str], Event]
    """The event that ends it: of a name and a source, at a time, by an author."""
    tokens: Callable[[str, str], tuple[str, ...]] = lambda name, source: (source, name)
    """Of the subject, for a name and a source."""


def holding(events: Sequence[Any], now_ms: int) -> list[Any]:
    """Those that are neither released nor over."""
    return [event for event in events if not event.released and (event.until_ms is None or now_ms < event.until_ms)]


def put(kind: Kind, site: Site, nats: str, make: Callable[[int], tuple[Event, str]]) -> None:
    """Store what `make` gives for the wall time, and print its words."""

    async def send(bus: Bus, clock: Clock) -> None:
        event, words = make(clock.utc_ms())
        await bus.store(kind.subject(), event, *kind.tokens(_name_of(kind, event), event.source))  # type: ignore[attr-defined]
        print(words)

    with_bus(kind.noun, site, nats, send)


def release(kind: Kind, site: Site, nats: str, name: str, source: str, author: str) -> None:
    """End what a source said of `name`; those of other sources stand."""

    async def send(bus: Bus, clock: Clock) -> None:
        now_ms = clock.utc_ms()
        events = holding(await _stored(bus, kind), now_ms)
        if kind.tokens(name, source) not in [kind.tokens(_name_of(kind, e), e.source) for e in events]:
            by = f" by {source}" if source in kind.tokens(name, source) else ""
            end(f"{name} has no {kind.noun}{by}: `busbar {kind.noun} show` lists what stands", Exit.FAILED)
        await bus.store(kind.subject(), kind.release(name, source, now_ms, author), *kind.tokens(name, source))
        print(f"{name}: {kind.noun} released" + (f" ({source})" if source in kind.tokens(name, source) else ""))

    with_bus(kind.noun, site, nats, send)


def show(kind: Kind, site: Path | None, nats: str, *, json: bool) -> None:
    """List what all sources say, and what the site file does."""
    loaded = load(site_path(site))

    async def read(bus: Bus, clock: Clock) -> None:
        now_ms = clock.utc_ms()
        rows = kind.rows(loaded, holding(await _stored(bus, kind), now_ms), now_ms)
        if json:
            print(orjson.dumps([row.data for row in rows], option=orjson.OPT_INDENT_2).decode())
        elif rows:
            _print(kind, rows, zone_of(loaded), now_ms)
        else:
            print(f"no {kind.noun} stands")

    with_bus(kind.noun, loaded, nats, read)


def checked(kind: Kind, site: Path | None, name: str, source: str = "cli", author: str = "") -> Site:
    """The site, where it knows the name. Ends the command otherwise, and where source or author cannot be."""
    loaded = load(site_path(site))
    known = kind.names(loaded)
    if name not in known:
        some = ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
        remedy = f"name one of {some}" if known else f"its site file has none that `busbar {kind.noun}` acts on"
        end(f"{loaded.id} has no {kind.entity} {name!r}: {remedy}")
    if not SOURCE.fullmatch(source) or source == OF_SITE:
        end(f"--source {source!r}: use letters, digits, - and _, at most 63, no sign first, and not {OF_SITE!r}")
    if len(author) > LONGEST_AUTHOR or not author.isprintable():
        end(f"--author {author[:20]!r}...: use at most {LONGEST_AUTHOR} printable characters")
    return loaded


class Ends:
    """When something set now is to end: `--for` or `--until`, at most one of them."""

    def __init__(self, site: Site, for_: str | None, until: str | None) -> None:
        if for_ is not None and until is not None:
            end("--for and --until say the same: give one of them")
        self._zone, self._until = zone_of(site), until
        self._lasts_s = None if for_ is None else duration_s(for_, "--for")

    def at_ms(self, now_ms: int) -> int | None:
        """Wall time; None: until released. Ends the command where it is past."""
        if self._lasts_s is not None:
            return now_ms + round(1000.0 * self._lasts_s)
        if self._until is None:
            return None
        at_ms = round(instant(self._until, "--until", self._zone, utc(now_ms)).timestamp() * 1000.0)
        if at_ms <= now_ms:
            end(
                f"--until {self._until} is past: at the site it is {local_text(now_ms, self._zone)}; "
                "give the day as well"
            )
        return at_ms

    def words(self, until_ms: int | None) -> str:
        return f"until {local_text(until_ms, self._zone)}" if until_ms is not None else "until released"


def zone_of(site: Site) -> ZoneInfo:
    return ZoneInfo(site.file.site.timezone)


def event_data(event: Any, **more: Any) -> dict[str, Any]:
    """An event for programs."""
    data: dict[str, Any] = event.model_dump(mode="json", exclude={"released"})
    return data | more


def watts(value: float | None) -> str:
    return "none" if value is None else f"{value:g} W"


def with_bus(noun: str, site: Site, nats: str, work: Callable[[Bus, Clock], Coroutine[Any, Any, None]]) -> None:
    """Run `work` with a connection. Ends the command where there is none."""
    from busbar.bus import BusError
    from busbar.bus.nats import NatsBus
    from busbar.loops import live_clock, run_live, speed_from_env

    try:
        speed = speed_from_env()
    except ValueError as error:
        end(str(error))

    async def main() -> None:
        clock = live_clock(speed)
        bus = await NatsBus.connect(nats, site.id, "cli", clock, timeout_s=CONNECT_S)
        try:
            await work(bus, clock)
        finally:
            await bus.close()

    try:
        run_live(main, speed)
    except BusError as error:
        end(str(error), Exit.FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        end(f"interrupted: `busbar {noun} show` says what stands", Exit.FAILED)


async def _stored(bus: Bus, kind: Kind) -> list[Any]:
    return [received.event for received in await bus.last(kind.subject())]


def _name_of(kind: Kind, event: Any) -> str:
    return str(getattr(event, kind.entity))


def _print(kind: Kind, rows: list[Row], zone: ZoneInfo, now_ms: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(kind.entity, "source", *kind.columns, "until", "left")
    for row in rows:
        lasts = ("always" if row.source == OF_SITE else "released", "")
        if row.until_ms is not None:
            lasts = (local_text(row.until_ms, zone), left_text(row.until_ms - now_ms))
        table.add_row(row.name, row.source, *row.cells, *lasts)
    Console().print(table)
