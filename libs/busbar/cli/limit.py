"""`busbar limit`: power limits of collectors at run time, by source (SPC-7); the tightest of all sources holds."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from busbar.cli.common import DEFAULT_NATS, end
from busbar.cli.standing import (
    OF_SITE,
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
)
from busbar.cli.standing import release as release_
from busbar.cli.standing import show as show_

if TYPE_CHECKING:
    from busbar.config.site import Site
    from busbar.events import CollectorLimit, Event
    from busbar.subjects import Subject

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Power limits of collectors of a running site.")

_AUTHOR = "busbar limit"


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_limit(
    collector: Annotated[str, typer.Argument(help="Id of the collector.")],
    rest: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    import_w: Annotated[float | None, typer.Option(help="At most so much consumption in W; 0 is a limit.")] = None,
    export_w: Annotated[float | None, typer.Option(help="At most so much injection in W, without sign.")] = None,
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    for_: ForOption = None,
    until: UntilOption = None,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """Set this source's limit; a direction that is not named has none. Replaces what this source set before.

    It holds until released, where neither --for nor --until is given."""
    from busbar.events import CollectorLimit

    refuse_rest(rest or [], "limit")
    for option, value in (("--import-w", import_w), ("--export-w", export_w)):
        magnitude(option, value, "is no limit")
    if import_w is None and export_w is None:
        end("no limit given: name --import-w, --export-w or both; `busbar limit release` ends a limit")
    loaded = checked(KIND, site, collector, source, author)
    ends = Ends(loaded, for_, until)

    def make(now_ms: int) -> tuple[Event, str]:
        until_ms = ends.at_ms(now_ms)
        limit = CollectorLimit(
            collector=collector, source=source, import_limit_w=import_w, export_limit_w=export_w, until_ms=until_ms,
            published_at_ms=now_ms, author=author,
        )  # fmt: skip
        words = f"{collector}: import {watts(import_w)}, export {watts(export_w)} by {source}, {ends.words(until_ms)}"
        return limit, words

    put(KIND, loaded, nats, make)


@app.command()
def release(
    collector: Annotated[str, typer.Argument(help="Id of the collector.")],
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """End this source's limit; those of other sources stand."""
    release_(KIND, checked(KIND, site, collector, source, author), nats, collector, source, author)


@app.command()
def show(site: SiteOption = None, nats: NatsOption = DEFAULT_NATS, json: JsonOption = False) -> None:
    """List the limits of all sources and of the site file; `<` marks the tightest of a collector, in each direction."""
    show_(KIND, site, nats, json=json)


def magnitude(option: str, value: float | None, wrong: str) -> None:
    """A power without sign. Ends the command where it has one or is no number."""
    if value is not None and not (math.isfinite(value) and value >= 0.0):
        end(f"{option} {value:g} {wrong}: give a power of 0 W or more, without sign; the option says which way")


def refuse_rest(rest: list[str], noun: str) -> None:
    """Words that are no option: a bare number says no direction."""
    for text in rest:
        if re.fullmatch(r"[+-]?[\d.,]+", text):
            end(f"{text!r} says no direction: give --import-w or --export-w with a power of 0 W or more")
        end(f"unknown argument {text!r}: see `busbar {noun} set --help`")


def standing(site: Site, limits: list[CollectorLimit], _now_ms: int) -> list[Row]:
    """By collector and source, the tightest marked in each direction; equal ones are marked all."""
    held = [*limits, *of_site_file(site)]
    lowest: dict[tuple[str, str], float] = {}
    for limit in held:
        for way, value in _ways(limit):
            key = (limit.collector, way)
            lowest[key] = min(value, lowest.get(key, math.inf))
    order = {collector.id: collector.index for collector in site.collectors}
    held.sort(key=lambda limit: (order.get(limit.collector, len(order)), limit.source))
    return [_row(limit, [way for way, w in _ways(limit) if w == lowest[limit.collector, way]]) for limit in held]


def of_site_file(site: Site) -> list[CollectorLimit]:
    """The static limits, as if their source were `site`; one in VA bounds the power in W too."""
    from busbar.events import CollectorLimit

    found = []
    for collector in site.collectors:
        file = collector.file
        both = [value for value in (file.power_limit_w, file.power_limit_va) if value is not None]
        outward = both if file.export_limit_w is None else [*both, file.export_limit_w]
        if outward:
            found.append(
                CollectorLimit(
                    collector=collector.id, source=OF_SITE, import_limit_w=min(both, default=None),
                    export_limit_w=min(outward), published_at_ms=0, author="site file",
                )
            )  # fmt: skip
    return found


def _row(limit: CollectorLimit, tightest: list[str]) -> Row:
    values = {"import": limit.import_limit_w, "export": limit.export_limit_w}
    cells = tuple(watts(value) + (" <" if way in tightest else "") for way, value in values.items())
    return Row(limit.collector, limit.source, cells, limit.until_ms, event_data(limit, tightest=tightest))


def _ways(limit: CollectorLimit) -> list[tuple[str, float]]:
    ways = (("import", limit.import_limit_w), ("export", limit.export_limit_w))
    return [(way, value) for way, value in ways if value is not None]


def _subject() -> Subject:
    from busbar.subjects import LIMIT

    return LIMIT


def _release(name: str, source: str, now_ms: int, author: str) -> Event:
    from busbar.events import CollectorLimit

    return CollectorLimit(collector=name, source=source, released=True, published_at_ms=now_ms, author=author)


def collectors(site: Any) -> list[str]:
    """Ids of the collectors of a site."""
    return [collector.id for collector in site.collectors]


KIND = Kind("limit", "collector", ("import", "export"), _subject, collectors, standing, _release)
