"""An upper bound set because something is silent (failure.md); it never raises anything."""

from __future__ import annotations

from busbar.events.base import Event, UtcMs


class Fallback(Event):
    """Repeated each second while active; ends by `active: false` or its own lifetime."""

    entity: str
    """The rule, meter or service that fell silent; the last token of the subject."""
    active: bool
    cause: str
    """In words: what is silent, since when."""
    assets: tuple[str, ...]
    """The connectors it bounds."""
    max_current_a: float
    """0 = disable; else the value of the rule."""
    since_ms: UtcMs
    published_at_ms: UtcMs
    lifetime_ms: int
