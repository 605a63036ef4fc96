"""A PV inverter: what the sun gives, under the limit that its electronics were told."""

from __future__ import annotations

import math
from typing import Final

from busbar.sim.plant import PvPort
from busbar.sim.weather import Sun

_FALL_PER_S: Final = 0.4
"""Of rated power; inverters curtail within about 2 s and recover more slowly."""
_RISE_PER_S: Final = 0.1
_REACTIVE: Final = 0.01
"""Capacitive filter, of rated power, while it feeds in."""
_APPARENT: Final = 1.1
"""Rating in VA over that in W: room for reactive power at full sun."""
_RECONNECT_S: Final = 60.0
"""Observation time after the supply is back (EN 50549-1)."""


class Inverter:
    """Physics' side of a `PvPort`. Feeds in equally on all its phases, or not at all where one of them is dead."""

    __slots__ = ("_asked_var", "_held_w", "_limit", "_phases", "_sun", "_sunny", "_wait_s", "port")

    def __init__(self, port: PvPort, sun: Sun, phases: int) -> None:
        self.port = port
        self._sun = sun
        self._phases = phases
        self._limit = port.limit_fraction
        self._sunny = 0.0
        self._held_w = 0.0
        self._wait_s = 0.0
        self._asked_var = port.asked_var

    def shine(self, now_s: float, dt_s: float) -> None:
        """Once a second: the sun moves on."""
        self._sunny = self._sun.at(now_s, dt_s)
        self._wait_s = max(0.0, self._wait_s - dt_s)
        self._apply()

    def follow(self, dt_s: float) -> bool:
        """Slide towards the limit; True where power changed."""
        limit, wanted = self._limit, self.port.limit_fraction
        if limit == wanted and self.port.asked_var == self._asked_var:
            return False
        self._asked_var = self.port.asked_var
        self._limit = (
            max(wanted, limit - _FALL_PER_S * dt_s) if limit > wanted else min(wanted, limit + _RISE_PER_S * dt_s)
        )
        self._apply()
        return True

    def book(self, hours: float) -> None:
        self.port.energy_export_wh -= self._held_w * hours
        self._held_w = sum(self.port.power_w)

    def supply_changed(self) -> None:
        if not all(self.port.voltage_v[: self._phases]):
            self._wait_s = _RECONNECT_S
        self._apply()

    def _apply(self) -> None:
        port = self.port
        live = self._wait_s <= 0.0 and all(port.voltage_v[: self._phases])
        port.available_w = self._sunny * port.rated_power_w if live else 0.0
        share = min(self._sunny, self._limit) if live else 0.0
        power_w = -share * port.rated_power_w / self._phases
        reactive_var = self._reactive_var(share * port.rated_power_w) / self._phases if power_w else 0.0
        for k in range(self._phases):
            port.power_w[k] = power_w
            port.reactive_var[k] = reactive_var
            port.current_a[k] = math.hypot(power_w, reactive_var) / port.voltage_v[k] if power_w else 0.0

    def _reactive_var(self, given_w: float) -> float:
        """As asked, as far as the rating leaves room beside `given_w`; else what its filter does."""
        port = self.port
        if port.asked_var is None:
            return -_REACTIVE * port.rated_power_w
        room_var = math.sqrt(max(0.0, (_APPARENT * port.rated_power_w) ** 2 - given_w**2))
        return min(max(port.asked_var, -room_var), room_var)
