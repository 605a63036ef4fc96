"""What an optimiser proposes for one asset (SPC-9, SPC-13); may be ignored for safety."""

from __future__ import annotations

from busbar.events.base import Event, UtcMs


class AdviceSlot(Event):
    start_ms: UtcMs
    power_w: float


class Advice(Event):
    asset: str
    source: str
    slots: tuple[AdviceSlot, ...]
    until_ms: UtcMs
    """At most 60 minutes ahead for chargers, 100 s for a battery."""
    released: bool = False
    published_at_ms: UtcMs
    author: str = ""
