"""What an asset is told, and why (SPC-17)."""

from __future__ import annotations

from enum import StrEnum

from busbar.events.base import Event, UtcMs


class ReasonCode(StrEnum):
    """The bound that made a setpoint. Causal: relaxing it by one step moves the setpoint."""

    ROW = "row"
    """A fuse: collector, phase and side."""
    POWER_LIMIT = "power_limit"
    """A limit in W or VA, with its source."""
    RAMP = "ramp"
    CAP = "cap"
    """At most 5 A above the measured current."""
    DEVICE = "device"
    CABLE = "cable"
    VEHICLE = "vehicle"
    MANUAL = "manual"
    ADVICE = "advice"
    PAUSED = "paused"
    """Not all minima fit: paused with a rank."""
    START_BUDGET = "start_budget"
    FALLBACK = "fallback"
    STALE = "stale"
    """A value needed to raise anything is too old."""
    UNREACHABLE = "unreachable"
    NO_VEHICLE = "no_vehicle"
    """Free connector: its standing value."""
    OUT_OF_SERVICE = "out_of_service"
    STARTING = "starting"
    """The allocator has just taken over and keeps what the device does."""


class Reason(Event):
    code: ReasonCode
    collector: str | None = None
    phase: str | None = None
    """Conductor of that collector: L1, L2 or L3."""
    side: str | None = None
    """`import` or `export`."""
    source: str | None = None
    """Who set the limit, advice, fallback or manual value."""
    rank: int | None = None
    """1 = the first to be paused."""
    value: float | None = None
    """The bound's value, in the unit of the setpoint."""


class Setpoint(Event):
    """Repeated each cycle; a driver obeys it for its lifetime, holds, then falls back (failure.md)."""

    asset: str
    driver: str
    epoch: int
    seq: int
    """Grows within an epoch per asset; a driver obeys nothing that is not newer."""
    published_at_ms: UtcMs
    lifetime_ms: int
    current_a: float | None = None
    """Maximum current per phase for a connector: 0 or at least 6 A."""
    power_w: float | None = None
    """Power for an asset that is set in W."""
    reason: Reason
    snapshot: int
    """Number of the snapshot it was decided on."""
