"""`busbar target`: a power to be reached at a collector, by source (SPC-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from busbar.cli.common import DEFAULT_NATS, end
from busbar.cli.limit import collectors, magnitude, refuse_rest
from busbar.cli.slots import AtOption, Series, SlotsOption, next_text
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
    put,
    watts,
    zone_of,
)
from busbar.cli.standing import release as release_
from busbar.cli.standing import show as show_
from busbar.cli.times import local_text
from busbar.domain.precedence import target_rank

if TYPE_CHECKING:
    from busbar.config.site import Site
    from busbar.events import CollectorTarget, Event
    from busbar.subjects import Subject

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Powers to be reached at collectors.")

_AUTHOR = "busbar target"


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_target(
    collector: Annotated[str, typer.Argument(help="Id of the collector.")],
    rest: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    import_w: Annotated[float | None, typer.Option(help="Consumption to be reached in W; now, without --at.")] = None,
    export_w: Annotated[float | None, typer.Option(help="Injection to be reached in W, without sign.")] = None,
    at: AtOption = None,
    slots: SlotsOption = None,
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    for_: ForOption = None,
    until: UntilOption = None,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """Set this source's target. In a series consumption is positive and injection negative, as --at 14:00=-20kW."""
    from busbar.events import CollectorTarget
    from busbar.events.limit import PowerSlot

    refuse_rest(rest or [], "target")
    for option, value in (("--import-w", import_w), ("--export-w", export_w)):
        magnitude(option, value, "is no target")
    if import_w is not None and export_w is not None:
        end("--import-w and --export-w contradict each other: a target is one power")
    loaded = checked(KIND, site, collector, source, author)
    ends, series = Ends(loaded, for_, until), Series(at, slots, zone_of(loaded))
    first_w = import_w if import_w is not None else None if export_w is None else -export_w
    if first_w is None and not series:
        end("no target given: name --import-w or --export-w, or a series with --at or --slots")

    def make(now_ms: int) -> tuple[Event, str]:
        entries = [PowerSlot(start_ms=start, power_w=power) for start, power, _ in series.slots(now_ms)]
        begun = [slot.power_w for slot in entries if slot.start_ms <= now_ms]
        before_w = first_w if first_w is not None else begun[-1] if begun else None
        if before_w is None:
            first = local_text(entries[0].start_ms, zone_of(loaded))
            end(f"what holds until {first}? Name --import-w or --export-w as well")
        until_ms = ends.at_ms(now_ms)
        target = CollectorTarget(
            collector=collector, source=source, power_w=before_w, slots=tuple(entries), until_ms=until_ms,
            published_at_ms=now_ms, author=author,
        )  # fmt: skip
        return target, f"{collector}: {signed(now_w(target, now_ms))} by {source}, {ends.words(until_ms)}"

    put(KIND, loaded, nats, make)


@app.command()
def release(
    collector: Annotated[str, typer.Argument(help="Id of the collector.")],
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """End this source's target; those of other sources stand."""
    release_(KIND, checked(KIND, site, collector, source, author), nats, collector, source, author)


@app.command()
def show(site: SiteOption = None, nats: NatsOption = DEFAULT_NATS, json: JsonOption = False) -> None:
    """List the targets of all sources; `<` marks the one that holds: grid operator, then optimisers, then people."""
    show_(KIND, site, nats, json=json)


def now_w(target: CollectorTarget, now_ms: int) -> float:
    """Power that is to be reached at a wall time."""
    begun = [slot for slot in target.slots if slot.start_ms <= now_ms]
    return max(begun, key=lambda slot: slot.start_ms).power_w if begun else target.power_w


def signed(power_w: float) -> str:
    """`import 5000 W` or `export 5000 W`."""
    return f"export {watts(-power_w)}" if power_w < 0.0 else f"import {watts(power_w)}"


def standing(site: Site, targets: list[CollectorTarget], now_ms: int) -> list[Row]:
    """By collector and source."""
    first: dict[str, tuple[int, str]] = {}
    for target in targets:
        rank = target_rank(target.source)
        first[target.collector] = min(rank, first.get(target.collector, rank))
    return [
        _row(target, target_rank(target.source) == first[target.collector], now_ms, zone_of(site))
        for target in sorted(targets, key=lambda target: (target.collector, target.source))
    ]


def _row(target: CollectorTarget, holds: bool, now_ms: int, zone: ZoneInfo) -> Row:
    power_w = now_w(target, now_ms)
    cells = (signed(power_w) + (" <" if holds else ""), next_text(target.slots, now_ms, zone, signed))
    data = event_data(target, holds=holds, now_w=power_w)
    return Row(target.collector, target.source, cells, target.until_ms, data)


def _subject() -> Subject:
    from busbar.subjects import TARGET

    return TARGET


def _release(name: str, source: str, now_ms: int, author: str) -> Event:
    from busbar.events import CollectorTarget

    return CollectorTarget(
        collector=name, source=source, power_w=0.0, released=True, published_at_ms=now_ms, author=author
    )


KIND = Kind("target", "collector", ("now", "next"), _subject, collectors, standing, _release)
