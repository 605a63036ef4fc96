"""`busbar limit`: power limits of collectors at run time, by source (SPC-7); the tightest of all sources holds."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import orjson
import typer

from busbar.cli.common import DEFAULT_NATS, Exit, end, load, site_path
from busbar.cli.times import duration_s, instant, local_text, utc

if TYPE_CHECKING:
    from busbar.bus import Bus
    from busbar.clock import Clock
    from busbar.config.site import Site
    from busbar.events import CollectorLimit

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Power limits of collectors of a running site.")

CONNECT_S: Final = 3.0
SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

_SiteOption = Annotated[Path | None, typer.Option(help="Site file that runs; default examples/demo.yaml.")]
_NatsOption = Annotated[str, typer.Option(help="Address of nats-server.")]
_SourceOption = Annotated[str, typer.Option(help="Who sets it; each source has one limit a collector.")]


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_limit(
    collector: Annotated[str, typer.Argument(help="Id of the collector.")],
    rest: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    import_w: Annotated[float | None, typer.Option(help="At most so much consumption in W; 0 is a limit.")] = None,
    export_w: Annotated[float | None, typer.Option(help="At most so much injection in W, without sign.")] = None,
    source: _SourceOption = "cli",
    for_: Annotated[str | None, typer.Option("--for", help="How long, as 30m or 2h; default until released.")] = None,
    until: Annotated[str | None, typer.Option(help="Until 14:30 today, or ISO 8601; site's time zone.")] = None,
    site: _SiteOption = None,
    nats: _NatsOption = DEFAULT_NATS,
) -> None:
    """Set this source's limit; a direction that is not named has none. Replaces what this source set before."""
    from busbar.events import CollectorLimit

    _refuse_rest(rest or [])
    for option, value in (("--import-w", import_w), ("--export-w", export_w)):
        if value is not None and not (math.isfinite(value) and value >= 0.0):
            end(f"{option} {value:g} is no limit: give a power of 0 W or more, without sign; the option says which way")
    if import_w is None and export_w is None:
        end("no limit given: name --import-w, --export-w or both; `busbar limit release` ends a limit")
    if for_ is not None and until is not None:
        end("--for and --until say the same: give one of them")
    loaded = _load(site, collector, source)
    lasts_s = None if for_ is None else duration_s(for_, "--for")

    async def send(bus: Bus, clock: Clock) -> None:
        now_ms = clock.utc_ms()
        until_ms = now_ms + round(1000.0 * lasts_s) if lasts_s is not None else _until_ms(loaded, until, now_ms)
        limit = CollectorLimit(
            collector=collector, source=source, import_limit_w=import_w, export_limit_w=export_w, until_ms=until_ms,
            published_at_ms=now_ms, author="busbar limit",
        )  # fmt: skip
        await _store(bus, limit)
        lasts = f"until {local_text(until_ms, _zone(loaded))}" if until_ms is not None else "until released"
        print(f"{collector}: import {_watts(import_w)}, export {_watts(export_w)} by {source}, {lasts}")

    _with_bus(loaded, nats, send)


@app.command()
def release(
    collector: Annotated[str, typer.Argument(help="Id of the collector.")],
    source: _SourceOption = "cli",
    site: _SiteOption = None,
    nats: _NatsOption = DEFAULT_NATS,
) -> None:
    """End this source's limit; those of other sources stand."""
    from busbar.events import CollectorLimit

    loaded = _load(site, collector, source)

    async def send(bus: Bus, clock: Clock) -> None:
        known = {(row.limit.collector, row.limit.source) for row in await _stored(bus, clock.utc_ms())}
        if (collector, source) not in known:
            end(f"{collector} has no limit by {source}: `busbar limit show` lists what stands", Exit.FAILED)
        limit = CollectorLimit(
            collector=collector, source=source, released=True, published_at_ms=clock.utc_ms(), author="busbar limit"
        )
        await _store(bus, limit)
        print(f"{collector}: limit by {source} released")

    _with_bus(loaded, nats, send)


@app.command()
def show(
    site: _SiteOption = None,
    nats: _NatsOption = DEFAULT_NATS,
    json: Annotated[bool, typer.Option("--json", help="Result for programs.")] = False,
) -> None:
    """List the limits of all sources; `<` marks the tightest of a collector, in each direction."""
    loaded = load(site_path(site))

    async def read(bus: Bus, clock: Clock) -> None:
        rows = await _stored(bus, clock.utc_ms())
        if json:
            print(orjson.dumps([row.as_data() for row in rows], option=orjson.OPT_INDENT_2).decode())
        elif rows:
            _print(rows, _zone(loaded))
        else:
            print("no limits beside those of the site file")

    _with_bus(loaded, nats, read)


@dataclass
class Row:
    """One stored limit that stands, and in which directions it is the tightest of its collector."""

    limit: CollectorLimit
    tightest: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        return self.limit.model_dump(mode="json", exclude={"released"}) | {"tightest": list(self.tightest)}


def standing(limits: list[CollectorLimit], now_ms: int) -> list[Row]:
    """Those that hold now, by collector and source, the tightest marked; equal ones are marked all."""
    held = [x for x in limits if not x.released and (x.until_ms is None or now_ms < x.until_ms)]
    lowest: dict[tuple[str, str], float] = {}
    for limit in held:
        for way, value in _ways(limit):
            key = (limit.collector, way)
            lowest[key] = min(value, lowest.get(key, math.inf))
    rows = [
        Row(limit, tuple(way for way, value in _ways(limit) if value == lowest[limit.collector, way])) for limit in held
    ]
    return sorted(rows, key=lambda row: (row.limit.collector, row.limit.source))


def _ways(limit: CollectorLimit) -> list[tuple[str, float]]:
    ways = (("import", limit.import_limit_w), ("export", limit.export_limit_w))
    return [(way, value) for way, value in ways if value is not None]


def _refuse_rest(rest: list[str]) -> None:
    for text in rest:
        if re.fullmatch(r"[+-]?[\d.,]+", text):
            end(f"{text!r} says no direction: give --import-w or --export-w with a power of 0 W or more")
        end(f"unknown argument {text!r}: see `busbar limit set --help`")


def _load(site: Path | None, collector: str, source: str) -> Site:
    loaded = load(site_path(site))
    known = [c.id for c in loaded.collectors]
    if collector not in known:
        some = ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
        end(f"{loaded.id} has no collector {collector!r}: name one of {some}")
    if not SOURCE.fullmatch(source):
        end(f"--source {source!r}: use letters, digits, - and _, at most 63, no sign first")
    return loaded


def _until_ms(site: Site, until: str | None, now_ms: int) -> int | None:
    if until is None:
        return None
    zone = _zone(site)
    at_ms = round(instant(until, "--until", zone, utc(now_ms)).timestamp() * 1000.0)
    if at_ms <= now_ms:
        end(f"--until {until} is past: at the site it is {local_text(now_ms, zone)}; give the day as well")
    return at_ms


def _zone(site: Site) -> ZoneInfo:
    return ZoneInfo(site.file.site.timezone)


def _with_bus(site: Site, nats: str, work: Callable[[Bus, Clock], Coroutine[Any, Any, None]]) -> None:
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
        end("interrupted: `busbar limit show` says what stands", Exit.FAILED)


async def _store(bus: Bus, limit: CollectorLimit) -> None:
    from busbar.subjects import LIMIT

    await bus.store(LIMIT, limit, limit.source, limit.collector)


async def _stored(bus: Bus, now_ms: int) -> list[Row]:
    from busbar.events import CollectorLimit
    from busbar.subjects import LIMIT

    found = [received.event for received in await bus.last(LIMIT)]
    return standing([event for event in found if isinstance(event, CollectorLimit)], now_ms)


def _print(rows: list[Row], zone: ZoneInfo) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("collector", "source", "import", "export", "until")
    for row in rows:
        limit = row.limit
        marks = {way: " <" if way in row.tightest else "" for way in ("import", "export")}
        lasts = local_text(limit.until_ms, zone) if limit.until_ms is not None else "released"
        table.add_row(
            limit.collector, limit.source, _watts(limit.import_limit_w) + marks["import"],
            _watts(limit.export_limit_w) + marks["export"], lasts,
        )  # fmt: skip
    Console().print(table)


def _watts(value: float | None) -> str:
    return "none" if value is None else f"{value:g} W"
