"""Limits and targets of a collector at run time (SPC-7, SPC-8), each source with its own."""

from __future__ import annotations

import math

from pydantic import model_validator

from busbar.events.base import Event, UtcMs


class CollectorLimit(Event):
    """Stands until released or until its own end; null is no limit, **0 is a real limit** (failure.md)."""

    collector: str
    source: str
    import_limit_w: float | None = None
    export_limit_w: float | None = None
    """As a magnitude: 0 = no injection."""
    until_ms: UtcMs | None = None
    released: bool = False
    published_at_ms: UtcMs
    author: str = ""

    @model_validator(mode="after")
    def _magnitudes(self) -> CollectorLimit:
        for name in ("import_limit_w", "export_limit_w"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite power of 0 W or more, not {value}; null means no limit")
        return self


class PowerSlot(Event):
    """One entry of a series: from `start_ms` on."""

    start_ms: UtcMs
    power_w: float


class CollectorTarget(Event):
    """A power to be reached: consumption positive, injection negative; a series where `slots` are given."""

    collector: str
    source: str
    power_w: float
    """Holds until the first slot begins."""
    slots: tuple[PowerSlot, ...] = ()
    """Minute-based series: each holds until the next one begins."""
    until_ms: UtcMs | None = None
    released: bool = False
    published_at_ms: UtcMs
    author: str = ""

    @model_validator(mode="after")
    def _finite(self) -> CollectorTarget:
        if not all(math.isfinite(power_w) for power_w in (self.power_w, *(slot.power_w for slot in self.slots))):
            raise ValueError("power_w of a target and of its slots must be a finite number")
        return self
