"""What an optimiser proposes for one asset (SPC-9, SPC-13); may be ignored for safety."""

from __future__ import annotations

import math

from pydantic import model_validator

from busbar.events.base import Event, UtcMs


class AdviceSlot(Event):
    start_ms: UtcMs
    power_w: float
    """Consumption positive; for an AC connector the most that it is to take: 0 or less pauses it."""


class Advice(Event):
    asset: str
    source: str
    slots: tuple[AdviceSlot, ...]
    """Each holds until the next one begins; nothing is advised before the first."""
    until_ms: UtcMs
    """At most 60 minutes ahead for chargers, 100 s for a battery."""
    released: bool = False
    published_at_ms: UtcMs
    author: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> Advice:
        if not self.released and not self.slots:
            raise ValueError("an advice needs a slot: give one with its `start_ms` and `power_w`, or release it")
        if not all(math.isfinite(slot.power_w) for slot in self.slots):
            raise ValueError("power_w of a slot must be a finite number")
        return self
