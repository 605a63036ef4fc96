"""`busbar advice`: what an optimiser would propose for an asset, by hand (SPC-9, SPC-13)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from busbar.cli.common import DEFAULT_NATS, end
from busbar.cli.mode import settable
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
from busbar.cli.times import left_text, local_text
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import ADVICE_SILENCE_MS, ADVICE_VALID_MS, BATTERY_ADVICE_MS
from busbar.domain.precedence import newest_given

if TYPE_CHECKING:
    from busbar.config.site import Entity, Site
    from busbar.events import Advice, Event
    from busbar.subjects import Subject

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Advised powers of connectors and other assets.")

_AUTHOR = "busbar advice"


@app.command("set")
def set_advice(
    asset: Annotated[str, typer.Argument(help="Id of the connector or asset.")],
    power_w: Annotated[float | None, typer.Option(help="From now on; production is negative.")] = None,
    at: AtOption = None,
    slots: SlotsOption = None,
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    for_: ForOption = None,
    until: UntilOption = None,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """Set this source's advice; of a connector the most it may take: 0 pauses it, a little means 6 A.

    It ends after 60 minutes, or 20 in which it is not repeated; a battery's after 100 s."""
    from busbar.events import Advice, AdviceSlot

    if power_w is not None and not math.isfinite(power_w):
        end(f"--power-w {power_w:g} is no power: give a number of W")
    loaded = checked(KIND, site, asset, source, author)
    valid_ms = _valid_ms(loaded.entities[asset])
    ends, series = Ends(loaded, for_, until), Series(at, slots, zone_of(loaded))
    if power_w is None and not series:
        end("no advice given: name --power-w, or a series with --at or --slots")

    def make(now_ms: int) -> tuple[Event, str]:
        entries = [AdviceSlot(start_ms=start, power_w=watts) for start, watts, _ in series.slots(now_ms)]
        if power_w is not None:
            entries.insert(0, AdviceSlot(start_ms=now_ms, power_w=power_w))
        until_ms = ends.at_ms(now_ms) or now_ms + valid_ms
        if until_ms > now_ms + valid_ms:
            end(f"an advice for {asset} is good for {left_text(valid_ms)} at most: give a shorter --for, and repeat it")
        if not any(slot.start_ms < until_ms for slot in entries):
            end(f"the series begins when the advice has ended ({local_text(until_ms, zone_of(loaded))}): begin earlier")
        advice = Advice(
            asset=asset, source=source, slots=tuple(entries), until_ms=until_ms, published_at_ms=now_ms, author=author
        )
        repeat = f"; repeat it within {left_text(ADVICE_SILENCE_MS)}" if valid_ms > ADVICE_SILENCE_MS else ""
        return advice, f"{asset}: {now_text(advice, now_ms)} by {source}, {ends.words(until_ms)}{repeat}"

    put(KIND, loaded, nats, make)


@app.command()
def release(
    asset: Annotated[str, typer.Argument(help="Id of the connector or asset.")],
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """End this source's advice; that of other sources stands."""
    release_(KIND, checked(KIND, site, asset, source, author), nats, asset, source, author)


@app.command()
def show(site: SiteOption = None, nats: NatsOption = DEFAULT_NATS, json: JsonOption = False) -> None:
    """List the advice of all sources; `<` marks what holds: of an asset the newest given."""
    show_(KIND, site, nats, json=json)


def now_w(advice: Advice, now_ms: int) -> float | None:
    """Power that is advised at a wall time; None before the first slot."""
    begun = [slot for slot in advice.slots if slot.start_ms <= now_ms]
    return max(begun, key=lambda slot: slot.start_ms).power_w if begun else None


def now_text(advice: Advice, now_ms: int) -> str:
    power_w = now_w(advice, now_ms)
    return "nothing yet" if power_w is None else watts(power_w)


def spoken_until_ms(advice: Advice) -> int:
    """When it ends, if nothing new comes."""
    return min(advice.until_ms, advice.published_at_ms + min(ADVICE_VALID_MS, ADVICE_SILENCE_MS))


def standing(site: Site, stored: list[Advice], now_ms: int) -> list[Row]:
    """By asset and source, without what has fallen silent."""
    advices = [advice for advice in stored if now_ms < spoken_until_ms(advice)]
    newest: dict[str, tuple[int, str]] = {}
    for advice in advices:
        given = newest_given(advice.published_at_ms, advice.source)
        newest[advice.asset] = max(given, newest.get(advice.asset, given))
    return [
        _row(advice, newest_given(advice.published_at_ms, advice.source) == newest[advice.asset], now_ms, zone_of(site))
        for advice in sorted(advices, key=lambda advice: (advice.asset, advice.source))
    ]


def _row(advice: Advice, holds: bool, now_ms: int, zone: ZoneInfo) -> Row:
    cells = (now_text(advice, now_ms) + (" <" if holds else ""), next_text(advice.slots, now_ms, zone, watts))
    ends_ms = spoken_until_ms(advice)
    data = event_data(advice, holds=holds, now_w=now_w(advice, now_ms), ends_ms=ends_ms)
    return Row(advice.asset, advice.source, cells, ends_ms, data)


def _valid_ms(entity: Entity) -> int:
    return BATTERY_ADVICE_MS if entity.kind is AssetKind.BATTERY else ADVICE_VALID_MS


def _subject() -> Subject:
    from busbar.subjects import ADVICE

    return ADVICE


def _release(name: str, source: str, now_ms: int, author: str) -> Event:
    from busbar.events import Advice

    return Advice(
        asset=name, source=source, slots=(), until_ms=now_ms, released=True, published_at_ms=now_ms, author=author
    )


KIND = Kind("advice", "asset", ("now", "next"), _subject, settable, standing, _release)
