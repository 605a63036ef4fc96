"""Why the connectors below one collector got what they got (SPC-17)."""

from __future__ import annotations

from busbar.events.base import Event, UtcMs
from busbar.units import PhaseVector


class PausedConnector(Event):
    connector: str
    rank: int
    need: float
    """Its key in the order of admission: energy charged x maximum power (the highest is paused first)."""


class Decision(Event):
    """One collector in one allocation cycle; currents in the collector's own frame."""

    collector: str
    snapshot: int
    epoch: int
    published_at_ms: UtcMs
    lifetime_ms: int
    limit_a: PhaseVector
    reserve_a: float
    background_a: PhaseVector
    """Active current of what is not allocated, after filter and credit."""
    booked_a: PhaseVector
    headroom_a: PhaseVector
    paused: tuple[PausedConnector, ...] = ()
    bound_by: str | None = None
    """The fallback, stale input or fuse that limits everything below; None when nothing does."""
