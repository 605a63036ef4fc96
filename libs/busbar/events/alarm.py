"""Something a person should know about (OPS-5)."""

from __future__ import annotations

from enum import StrEnum

from busbar.events.base import Event, UtcMs


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Alarm(Event):
    """Raised when it begins, published again with `active: false` when it is over."""

    entity: str
    """Asset, collector or service it is about."""
    code: str
    """Stable short name, e.g. `meter_silent`."""
    severity: Severity
    active: bool
    text: str
    """One sentence: what happened, to what, and the remedy."""
    service: str
    raised_at_ms: UtcMs
    published_at_ms: UtcMs
