"""`busbar power-test`: find out what a charge point and the vehicle at it can take (SPC-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from busbar.cli.common import DEFAULT_NATS, Exit, end, load, site_path
from busbar.cli.standing import (
    AuthorOption,
    Ends,
    ForOption,
    JsonOption,
    Kind,
    NatsOption,
    Row,
    SiteOption,
    SourceOption,
    UntilOption,
    checked,
    event_data,
    holding,
    put,
    with_bus,
    zone_of,
)
from busbar.cli.times import left_text, local_text
from busbar.domain.limits import POWER_TEST_LONGEST_MS, POWER_TEST_MS

if TYPE_CHECKING:
    from busbar.bus import Bus
    from busbar.clock import Clock
    from busbar.config.site import Site
    from busbar.events import Event, FoundPower, PowerTestResult
    from busbar.subjects import Subject

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Find what a charge point and the vehicle at it can take."
)

_AUTHOR = "busbar power-test"
_STATES = {
    "waiting": "waits for room, or for the device",
    "running": "runs",
    "done": "done",
    "no_vehicle": "no vehicle: plug one in for the rest",
    "no_current": "the vehicle took no current",
    "no_room": "not enough room for more",
    "vehicle_left": "the vehicle left",
    "stopped": "stopped by hand",
    "expired": "its time was up",
}
_UNDER_WAY = ("waiting", "running")
_ConnectorArgument = Annotated[str, typer.Argument(help="Id of the connector.")]


@app.command()
def start(
    connector: _ConnectorArgument,
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    for_: ForOption = None,
    until: UntilOption = None,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """Start a test, in place of one that runs there: the setpoint goes up step by step, within all fuses and limits.

    It ends by itself once all is found, and after 15 minutes where neither --for nor --until says otherwise."""
    from busbar.events import PowerTest

    loaded = checked(KIND, site, connector, source, author)
    given = for_ is not None or until is not None
    ends = Ends(loaded, for_ if given else f"{POWER_TEST_MS // 60_000}m", until)

    def make(now_ms: int) -> tuple[Event, str]:
        until_ms = ends.at_ms(now_ms)
        if until_ms is None or until_ms - now_ms > POWER_TEST_LONGEST_MS:
            option = "--for" if for_ is not None else "--until"
            most = left_text(POWER_TEST_LONGEST_MS)
            end(f"{option} {for_ or until}: a power test lasts {most} at most: give less, most need 5 minutes")
        event = PowerTest(
            connector=connector, source=source, until_ms=until_ms, published_at_ms=now_ms, author=author
        )  # fmt: skip
        words = f"power test by {source}, at most {ends.words(until_ms)}"
        return event, f"{connector}: {words}; `busbar power-test show` follows it"

    put(KIND, loaded, nats, make)


@app.command()
def stop(
    connector: _ConnectorArgument,
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """End a test, whoever started it: the rules hold again from where it stands."""
    loaded = checked(KIND, site, connector, source, author)

    async def send(bus: Bus, clock: Clock) -> None:
        from busbar.subjects import POWER_TEST, POWER_TEST_RESULT

        now_ms = clock.utc_ms()
        orders: list[Any] = holding([r.event for r in await bus.last(POWER_TEST)], now_ms)
        results: list[Any] = [r.event for r in await bus.last(POWER_TEST_RESULT)]
        if connector not in under_way(orders, results):
            end(f"{connector} has no power test: `busbar power-test show` lists what runs", Exit.FAILED)
        await bus.store(POWER_TEST, _release(connector, source, now_ms, author), connector)
        print(f"{connector}: power test stopped")

    with_bus("power-test", loaded, nats, send)


@app.command()
def show(site: SiteOption = None, nats: NatsOption = DEFAULT_NATS, json: JsonOption = False) -> None:
    """List the tests that run, and what the last one of each connector found."""
    loaded = load(site_path(site))

    async def read(bus: Bus, clock: Clock) -> None:
        from busbar.subjects import POWER_TEST, POWER_TEST_RESULT

        now_ms = clock.utc_ms()
        ordered = holding([r.event for r in await bus.last(POWER_TEST)], now_ms)
        rows = table(loaded, ordered, [r.event for r in await bus.last(POWER_TEST_RESULT)], now_ms)
        if json:
            print(orjson.dumps([row.data for row in rows], option=orjson.OPT_INDENT_2).decode())
        elif rows:
            _print(rows)
        else:
            print("no power test was ordered")

    with_bus("power-test", loaded, nats, read)


def under_way(orders: list[Any], results: list[Any]) -> set[str]:
    """Connectors whose test was ordered and is not over."""
    over = {(one.connector, one.source, one.ordered_at_ms) for one in results if one.state not in _UNDER_WAY}
    return {one.connector for one in orders if (one.connector, one.source, one.published_at_ms) not in over}


def table(site: Site, orders: list[Any], results: list[Any], now_ms: int) -> list[Row]:
    """By connector: how far it is, or what was found. What the allocator has not taken up yet is `ordered`."""
    told = {(one.connector, one.source, one.ordered_at_ms) for one in results}
    waiting = [one for one in orders if (one.connector, one.source, one.published_at_ms) not in told]
    instead = {one.connector for one in waiting}
    rows = [
        Row(one.connector, one.source, ("ordered: the allocator has not taken it up", "", "", ""), one.until_ms,
            event_data(one, state="ordered"))
        for one in waiting
    ]  # fmt: skip
    rows += [_row(site, one, now_ms) for one in results if one.connector not in instead]
    return sorted(rows, key=lambda row: row.name)


def _row(site: Site, one: PowerTestResult, now_ms: int) -> Row:
    ends = left_text(one.until_ms - now_ms) if one.state in _UNDER_WAY else ""
    step = "" if one.asked_current_a is None else f", {one.asked_current_a:g} A"
    step = f", {one.asked_power_w:g} W" if one.asked_power_w is not None else step
    at = local_text(one.ordered_at_ms, zone_of(site))[:16]
    state = _STATES[one.state.value] + step + (f", {ends} left" if ends else "")
    cells = (state, _found(one.vehicle), _found(one.charge_point), at)
    return Row(one.connector, one.source, cells, one.until_ms, event_data(one))


def _found(found: FoundPower | None) -> str:
    """`6 to 16 A on L1, 1.4 to 3.7 kW`."""
    if found is None:
        return "unknown"
    amperes = "" if found.min_current_a is None else f"{found.min_current_a:g} to {found.max_current_a or 0.0:.4g} A"
    amperes += f" on {' '.join(found.phases)}, " if amperes else ""
    kilowatts = f"{(found.min_power_w or 0.0) / 1000:.1f} to {(found.max_power_w or 0.0) / 1000:.1f} kW"
    source = "" if found.measured else " (its package says)"
    return amperes + kilowatts + (" at least" if found.at_least else "") + source


def _print(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(KIND.entity, "source", *KIND.columns)
    for row in rows:
        shown.add_row(row.name, row.source, *row.cells)
    Console().print(shown)


def _names(site: Site) -> list[str]:
    return [entity.id for entity in site.connectors]


def _subject() -> Subject:
    from busbar.subjects import POWER_TEST

    return POWER_TEST


def _release(name: str, source: str, now_ms: int, author: str) -> Event:
    from busbar.events import PowerTest

    return PowerTest(connector=name, source=source, released=True, published_at_ms=now_ms, author=author)


def _rows(site: Site, orders: list[Any], now_ms: int) -> list[Row]:
    return table(site, orders, [], now_ms)


KIND = Kind(
    "power-test", "connector", ("state", "vehicle", "charge point", "ordered"), _subject, _names, _rows, _release,
    tokens=lambda name, _source: (name,),
)  # fmt: skip
