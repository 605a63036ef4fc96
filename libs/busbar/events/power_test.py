"""The power test (SPC-10): that one is to run at a connector, and what came of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import model_validator

from busbar.domain.limits import POWER_TEST_LONGEST_MS
from busbar.events.base import Event, UtcMs


class PowerTest(Event):
    """An order: runs once, and no longer than until its end or release. A newer one of the connector begins anew."""

    connector: str
    source: str
    until_ms: UtcMs | None = None
    """A test that nobody ends ends here; null only where it is released."""
    released: bool = False
    published_at_ms: UtcMs
    author: str = ""

    @model_validator(mode="after")
    def _ends(self) -> PowerTest:
        if self.released:
            return self
        if self.until_ms is None or not 0 < self.until_ms - self.published_at_ms <= POWER_TEST_LONGEST_MS:
            minutes = POWER_TEST_LONGEST_MS // 60_000
            raise ValueError(f"until_ms must be at most {minutes} minutes after published_at_ms: a test ends by itself")
        return self


class PowerTestState(StrEnum):
    WAITING = "waiting"
    """For the device, or for room for the smallest current."""
    RUNNING = "running"
    DONE = "done"
    """All that it can find is found."""
    NO_VEHICLE = "no_vehicle"
    """What the device itself says is all: the rest needs a vehicle."""
    NO_CURRENT = "no_current"
    """The vehicle took no current at any setpoint."""
    NO_ROOM = "no_room"
    """Fuses, limits or others left no room for the next step: what was found is the least."""
    VEHICLE_LEFT = "vehicle_left"
    STOPPED = "stopped"
    """By hand."""
    EXPIRED = "expired"


class FoundPower(Event):
    """Smallest and largest power that was found. Currents are per phase; null for DC, and what was not found."""

    min_current_a: float | None = None
    max_current_a: float | None = None
    min_power_w: float | None = None
    max_power_w: float | None = None
    phases: tuple[str, ...] = ()
    """Of the connector's own conductors."""
    at_least: bool = False
    """The maximum may be more: it could not be tried."""
    measured: bool = True
    """False: what the device's package and the site file say."""


class PowerTestResult(Event):
    """How far a test is, or what came of the last one. Kept with the connector; a vehicle's part is of its session."""

    connector: str
    source: str
    author: str
    ordered_at_ms: UtcMs
    until_ms: UtcMs
    state: PowerTestState
    asked_current_a: float | None = None
    """The step that is tried now; null when it is over, and for DC."""
    asked_power_w: float | None = None
    """The same for DC."""
    session_id: str | None = None
    vehicle: FoundPower | None = None
    charge_point: FoundPower | None = None
    published_at_ms: UtcMs
    lifetime_ms: int
