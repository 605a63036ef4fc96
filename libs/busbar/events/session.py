"""One vehicle at one connector, from plug to unplug."""

from __future__ import annotations

from enum import StrEnum

from busbar.domain.charging import Status
from busbar.events.base import Event, UtcMs


class SessionPhase(StrEnum):
    PLUGGED = "Plugged"
    STARTED = "Started"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    ENDED = "Ended"


class Session(Event):
    """Opened at plug-in, changed as the device changes, closed at unplug; the last value is kept."""

    session_id: str
    """Deterministic: connector and time of plug-in, so that a restarted driver re-derives the same id."""
    connector: str
    driver: str
    phase: SessionPhase
    status: Status
    plugged_at_ms: UtcMs
    started_at_ms: UtcMs | None = None
    """First current."""
    ended_at_ms: UtcMs | None = None
    energy_wh: float = 0.0
    """Charged in this session; never falls within it."""
    meter_start_wh: float | None = None
    meter_wh: float | None = None
    badge: str | None = None
    """Upper-case hex; personal (SEC-1)."""
    measured_at_ms: UtcMs
