"""A battery system: what is stored, what it can take and give, under the setpoint that its electronics were told.

Power follows the setpoint within about a second, as far as the cells allow: charging tapers off over the last tenth,
discharge over the last twentieth. Each way costs 5 %; the electronics draw a little day and night. A trip takes all
power away at once, until somebody resets it.
"""

from __future__ import annotations

import math
from typing import Final

from busbar.sim.plant import BatteryPort
from busbar.units import clamp

EFFICIENCY: Final = 0.95
"""Each way, at the terminals."""
STANDBY_SHARE: Final = 0.002
STANDBY_W: Final = 20.0
_SLEW_PER_S: Final = 1.0
"""Of the larger rating."""
_FULL_FROM: Final = 0.9
_EMPTY_FROM: Final = 0.05
_SLOWEST: Final = 0.02
"""Part of the rating with which the last of it still goes in."""
_RECONNECT_S: Final = 60.0
"""Observation time after the supply is back (EN 50549-1)."""


class Storage:
    """Physics' side of a `BatteryPort`. Works equally on all its phases, or not at all where one of them is dead."""

    __slots__ = ("_held_w", "_phases", "_rated_w", "_standby_w", "_wait_s", "port", "power_w")

    def __init__(self, port: BatteryPort, phases: int) -> None:
        self.port = port
        self.power_w = 0.0
        """Into (positive) or out of the converter; standby comes on top."""
        self._phases = phases
        self._rated_w = max(port.max_charge_w, port.max_discharge_w)
        self._standby_w = STANDBY_W + STANDBY_SHARE * self._rated_w
        self._held_w = 0.0
        self._wait_s = 0.0
        self._apply()

    def second(self, dt_s: float, frequency_hz: float) -> None:
        """Once a second: what changes slowly."""
        self.port.frequency_hz = frequency_hz
        self._wait_s = max(0.0, self._wait_s - dt_s)
        self._apply()

    def follow(self, dt_s: float) -> bool:
        """Slide towards what is wanted and possible; True where power changed."""
        wanted_w, power_w = self._wanted_w(), self.power_w
        if wanted_w == power_w:
            return False
        step_w = _SLEW_PER_S * self._rated_w * dt_s
        self.power_w = 0.0 if not self._works else clamp(wanted_w, power_w - step_w, power_w + step_w)
        self._apply()
        return True

    def book(self, hours: float) -> None:
        """The power of the last settlement held for `hours`; then today's begins to hold."""
        port, held_w = self.port, self._held_w
        energy_wh = held_w * hours
        into_wh = energy_wh * EFFICIENCY if held_w > 0.0 else energy_wh / EFFICIENCY
        port.stored_wh = clamp(port.stored_wh + into_wh, 0.0, port.capacity_wh)
        total_wh = energy_wh + (self._standby_w if self._live else 0.0) * hours
        if total_wh > 0.0:
            port.energy_import_wh += total_wh
        else:
            port.energy_export_wh -= total_wh
        self._held_w = self.power_w

    def supply_changed(self) -> None:
        if not self._live:
            self._wait_s, self.power_w = _RECONNECT_S, 0.0
        self._apply()

    def trip(self, tripped: bool) -> None:
        """A fault of the battery, or its reset."""
        self.port.tripped = tripped
        if tripped:
            self.power_w = 0.0
        self._apply()

    @property
    def _live(self) -> bool:
        return all(self.port.voltage_v[: self._phases])

    @property
    def _works(self) -> bool:
        return self._live and self._wait_s <= 0.0 and not self.port.tripped

    def _wanted_w(self) -> float:
        port = self.port
        if not self._works:
            return 0.0
        filled = port.stored_wh / port.capacity_wh
        take = min(1.0, max(_SLOWEST, (1.0 - filled) / (1.0 - _FULL_FROM))) if filled < 1.0 else 0.0
        give = min(1.0, max(_SLOWEST, filled / _EMPTY_FROM)) if filled > 0.0 else 0.0
        return clamp(port.setpoint_w, -give * port.max_discharge_w, take * port.max_charge_w)

    def _apply(self) -> None:
        port = self.port
        total_w = self.power_w + self._standby_w if self._live else 0.0
        for k in range(self._phases):
            port.power_w[k] = total_w / self._phases
            port.current_a[k] = math.fabs(port.power_w[k]) / port.voltage_v[k] if total_w else 0.0
