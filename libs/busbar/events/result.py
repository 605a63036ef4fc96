"""What became of a setpoint (FC-8)."""

from __future__ import annotations

from enum import StrEnum

from busbar.events.base import Event, UtcMs


class Outcome(StrEnum):
    APPLIED = "Applied"
    CLAMPED = "Clamped"
    """The device took less than asked (a cable, its own limit)."""
    REFUSED = "Refused"
    UNVERIFIED = "Unverified"
    """Written, but the read-back did not (yet) show it."""


class SetpointResult(Event):
    asset: str
    driver: str
    epoch: int
    seq: int
    outcome: Outcome
    requested_a: float | None
    """None for an asset that is set in W."""
    applied_a: float | None
    """Read back from the device; None where nothing could be read."""
    requested_w: float | None = None
    applied_w: float | None = None
    requested_phases: int | None = None
    """1 or 3, of a connector that is switched (SPC-20); None: nobody asks."""
    applied_phases: int | None = None
    """Read back from the device."""
    phases_outcome: Outcome | None = None
    stage: str
    """Stage of the driver: fresh, hold or fallback (failure.md)."""
    detail: str = ""
    measured_at_ms: UtcMs
