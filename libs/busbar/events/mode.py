"""How an asset is to be run (SPC-9, SPC-13): by hand, by the rules, or by advice."""

from __future__ import annotations

import math
from enum import StrEnum

from pydantic import model_validator

from busbar.events.base import Event, UtcMs


class Mode(StrEnum):
    RULE = "rule"
    """As fast as the rules allow; advice is ignored."""
    MANUAL = "manual"
    """A setpoint by hand: not ramped, but cut by every limit."""
    ADVICE = "advice"
    """Follows advice while there is some; else by the rules. The default."""


class AssetMode(Event):
    """Stands until released or until its own end; the newest of all sources wins (one subject an asset)."""

    asset: str
    source: str
    mode: Mode
    current_a: float | None = None
    """The setpoint by hand of an AC connector: 0 or at least 6 A."""
    power_w: float | None = None
    """The setpoint by hand of any other asset: consumption positive."""
    until_ms: UtcMs | None = None
    released: bool = False
    published_at_ms: UtcMs
    author: str = ""

    @model_validator(mode="after")
    def _by_hand(self) -> AssetMode:
        given = [value for value in (self.current_a, self.power_w) if value is not None]
        if not all(math.isfinite(value) for value in given):
            raise ValueError("a setpoint by hand must be a finite number")
        if not self.released and (self.mode is Mode.MANUAL) != (len(given) == 1):
            raise ValueError("mode manual has one setpoint, `current_a` or `power_w`; the other modes have none")
        return self
