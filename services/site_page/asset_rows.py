"""Everything but connectors and meters, as plain values: what it does, what it is told and why (SPC-17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from busbar.bus import Received
from busbar.config.assets import power_range_w
from busbar.config.site import Entity, Site
from busbar.events import Measurement, Setpoint, SetpointResult
from site_page.words import age_words, reason_words


@dataclass(frozen=True, slots=True)
class AssetRow:
    """One load, generator or battery. Powers with our signs: production and discharge negative."""

    id: str
    name: str
    kind: str
    fresh: bool
    power_kw: float | None
    soc_percent: float | None
    state: str
    """Why there is no fresh value, or what the driver does in place of setpoints; empty when all is well."""
    told: str
    """The setpoint in words; empty where nobody sets it."""
    why: str


class Heard(NamedTuple):
    """The newest of each about one asset, whatever its age."""

    received: Received[Measurement] | None
    setpoint: Received[Setpoint] | None
    result: Received[SetpointResult] | None


def asset_row(entity: Entity, site: Site, heard: Heard, now_s: float) -> AssetRow:
    """At the receiver's monotonic time `now_s`."""
    received, setpoint, result = heard
    sample = received.event if received else None
    fresh = received is not None and received.event.reachable and _alive(received, now_s)
    obeyed = setpoint.event if setpoint is not None and _alive(setpoint, now_s) else None
    power_w = sample.number("power_w") if sample else None
    return AssetRow(
        id=entity.id,
        name=entity.name,
        kind=entity.kind.value,
        fresh=fresh,
        power_kw=None if power_w is None else power_w / 1000.0,
        soc_percent=sample.number("soc_percent") if sample else None,
        state=_state(received, fresh, result, now_s),
        told=_told(entity, obeyed),
        why=reason_words(obeyed.reason, site) if obeyed else "",
    )


def _alive(received: Received[Measurement] | Received[Setpoint], now_s: float) -> bool:
    return received.age_ms(now_s) <= received.event.lifetime_ms


def _state(
    received: Received[Measurement] | None, fresh: bool, result: Received[SetpointResult] | None, now_s: float
) -> str:
    if received is None:
        return "no value yet"
    if not fresh:
        return f"does not answer ({age_words(received.age_ms(now_s))})"
    stage = result.event.stage if result else "fresh"
    return "" if stage == "fresh" else stage


def _told(entity: Entity, setpoint: Setpoint | None) -> str:
    if setpoint is None or setpoint.power_w is None or entity.flexible is None:
        return ""
    power_w, kw = setpoint.power_w, f"{abs(setpoint.power_w) / 1000.0:.1f} kW"
    lowest_w, highest_w = power_range_w(entity.flexible)
    if highest_w <= 0.0:  # a generator: how far it may go
        return "free" if power_w <= lowest_w else f"at most {kw}" if power_w else "off"
    if power_w == 0.0:
        return "rest"
    return f"{'charge' if lowest_w < 0.0 else 'draw'} {kw}" if power_w > 0.0 else f"discharge {kw}"
