"""Size limits (SC-3, fixed) and timeouts (requirements.md, Timing): one table each, the only place they stand."""

from __future__ import annotations

from typing import Final

MAX_LEVELS_BELOW_ROOT: Final = 5

PER_CONTROLLER: Final = {
    "protected_collectors": 20,
    "monitored_collectors": 200,
    "charge_points": 50,
    "batteries": 5,
    "pv_systems": 5,
}
PER_SITE: Final = {
    "protected_collectors": 200,
    "charge_points": 1000,
    "batteries": 10,
    "pv_systems": 25,
}

METER_POLL_MS: Final = 200
"""Collector meters: 5 Hz."""
CHARGER_POLL_MS: Final = 1000
CYCLE_MS: Final = 1000
"""One allocation cycle; setpoints are repeated each cycle."""
SETPOINT_LIFETIME_MS: Final = 5000
"""Driver: fresh until here, then hold (never raise) until the fallback timeout, then fallback (failure.md)."""
FALLBACK_TIMEOUT_S: Final = 30.0
MAX_AGE_TO_RAISE_MS: Final = 3000
"""A value older than this raises nothing on its path (3 x the poll interval on slower transports)."""
HEARTBEAT_PERIOD_S: Final = 1.0
HEARTBEAT_TIMEOUT_S: Final = 3.0
UNKNOWN_CLOCK_LIFE_MS: Final = 2000
"""Life that remains at most of an event whose sender's clock offset is unknown (failure.md, Ages)."""
REACTION_TIME_S: Final = 15.0
"""Default time from a write to the changed current; a device package may state another (FC-2)."""
ADVICE_VALID_MS: Final = 60 * 60_000
"""Of an advice, from when it was given (SPC-9)."""
ADVICE_SILENCE_MS: Final = 20 * 60_000
"""Without new advice for so long it has ended (SPC-9)."""
BATTERY_ADVICE_MS: Final = 100_000
"""Of an advice for a battery (SPC-13)."""
POWER_TEST_MS: Final = 15 * 60_000
"""A power test ends by itself after so long, where nothing else is said (SPC-10)."""
POWER_TEST_LONGEST_MS: Final = 60 * 60_000
