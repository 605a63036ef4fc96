"""`busbar mode`: how an asset is run: by hand, by the rules, or by advice (SPC-9, SPC-13)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from busbar.cli.common import DEFAULT_NATS, end
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
)
from busbar.cli.standing import release as release_
from busbar.cli.standing import show as show_
from busbar.units import MIN_CURRENT_A

if TYPE_CHECKING:
    from busbar.config.site import Entity, Site
    from busbar.events import AssetMode, Event
    from busbar.subjects import Subject

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="How connectors and other assets are run: manual, rule, advice."
)

_AUTHOR = "busbar mode"
_MODES = ("rule", "manual", "advice")


@app.command("set")
def set_mode(
    asset: Annotated[str, typer.Argument(help="Id of the connector or asset.")],
    mode: Annotated[
        str, typer.Argument(help="rule: as the rules allow; manual: by hand; advice: by advice where there is some.")
    ],
    current_a: Annotated[float | None, typer.Option(help="By hand, a connector: 0 (off) or at least 6 A.")] = None,
    power_w: Annotated[float | None, typer.Option(help="By hand, any other asset: consumption positive.")] = None,
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    for_: ForOption = None,
    until: UntilOption = None,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """Set the mode; it replaces the one before, whoever set it. No mode lifts a fuse or a limit.

    It holds until released, where neither --for nor --until is given; released is `advice`, the default."""
    from busbar.events import AssetMode, Mode

    if mode not in _MODES:
        end(f"there is no mode {mode!r}: name one of {', '.join(_MODES)}")
    loaded = checked(KIND, site, asset, source, author)
    _check_by_hand(loaded.entities[asset], mode, current_a, power_w)
    ends = Ends(loaded, for_, until)

    def make(now_ms: int) -> tuple[Event, str]:
        until_ms = ends.at_ms(now_ms)
        event = AssetMode(
            asset=asset, source=source, mode=Mode(mode), current_a=current_a, power_w=power_w, until_ms=until_ms,
            published_at_ms=now_ms, author=author,
        )  # fmt: skip
        return event, f"{asset}: {' '.join(_words(event))} by {source}, {ends.words(until_ms)}"

    put(KIND, loaded, nats, make)


@app.command()
def release(
    asset: Annotated[str, typer.Argument(help="Id of the connector or asset.")],
    source: SourceOption = "cli",
    author: AuthorOption = _AUTHOR,
    site: SiteOption = None,
    nats: NatsOption = DEFAULT_NATS,
) -> None:
    """End the mode, whoever set it: the asset is run by advice where there is some, else by the rules."""
    release_(KIND, checked(KIND, site, asset, source, author), nats, asset, source, author)


@app.command()
def show(site: SiteOption = None, nats: NatsOption = DEFAULT_NATS, json: JsonOption = False) -> None:
    """List the modes that were set; what is not listed is run by advice where there is some, else by the rules."""
    show_(KIND, site, nats, json=json)


def _check_by_hand(entity: Entity, mode: str, current_a: float | None, power_w: float | None) -> None:
    """Ends the command where the setpoint by hand is missing, of the wrong kind, or out of bounds."""
    connector = entity.charge_point is not None and not entity.dc
    option, value, other = ("--current-a", current_a, power_w) if connector else ("--power-w", power_w, current_a)
    if mode != "manual":
        if current_a is not None or power_w is not None:
            end(f"mode {mode} takes no setpoint: leave --current-a and --power-w out, or name mode manual")
        return
    if other is not None or value is None:
        end(f"{entity.id} is set by hand with {option}: give it, and no other setpoint")
    if connector:
        if not (value == 0.0 or MIN_CURRENT_A <= value <= entity.max_current_a):
            end(f"--current-a {value:g}: give 0 (off) or {MIN_CURRENT_A:g} to {entity.max_current_a:g} A")
    elif not math.isfinite(value) or abs(value) > entity.rated_power_w:
        end(f"--power-w {value:g}: give at most {entity.rated_power_w:g} W, consumption positive, production negative")


def standing(_site: Site, modes: list[AssetMode], _now_ms: int) -> list[Row]:
    """By asset: each has one."""
    return [
        Row(mode.asset, mode.source, _words(mode), mode.until_ms, event_data(mode, holds=True))
        for mode in sorted(modes, key=lambda mode: mode.asset)
    ]


def _words(mode: AssetMode) -> tuple[str, ...]:
    by_hand = f"{mode.current_a:g} A" if mode.current_a is not None else watts(mode.power_w)
    return mode.mode.value, by_hand if mode.mode.value == "manual" else ""


def settable(site: Site) -> list[str]:
    """Ids of connectors and of everything else that the allocator sets."""
    return [entity.id for entity in (*site.connectors, *site.flexible)]


def _subject() -> Subject:
    from busbar.subjects import MODE

    return MODE


def _release(name: str, source: str, now_ms: int, author: str) -> Event:
    from busbar.events import AssetMode, Mode

    return AssetMode(asset=name, source=source, mode=Mode.ADVICE, released=True, published_at_ms=now_ms, author=author)


KIND = Kind(
    "mode", "asset", ("mode", "by hand"), _subject, settable, standing, _release, tokens=lambda name, _source: (name,)
)
