"""Does a device do what its setpoint register says? Pure. An echo is no verification (devices.md 10).

Where the only read-back is the register that was written, the measured power speaks. It may be anywhere between 0 and
any setpoint that was in force within the device's reaction time; beyond that, further from 0 or in the other direction,
by more than the tolerance, the device does not obey. Less is no offence: the battery is full, the sun is low; what its
own electronics draw is inside the tolerance.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from field_driver_modbus.keeper import Problem

_SHARE: Final = 0.05
_LEAST_W: Final = 200.0
_MARGIN_S: Final = 5.0
"""After the reaction time: ramps, and a poll."""


class _Allowed(NamedTuple):
    low_w: float
    high_w: float
    until_s: float


class Obedience:
    """One device with a rating (W) and a reaction time (s)."""

    def __init__(self, rated_w: float, reaction_s: float) -> None:
        self._tolerance_w = max(_LEAST_W, _SHARE * rated_w)
        self._patience_s = reaction_s + _MARGIN_S
        self.problem: Problem | None = None
        self.forget()

    def forget(self) -> None:
        """The connection is gone: what the device was doing is not known."""
        self._setpoint_w: float | None = None
        self._before: list[_Allowed] = []

    def observe(self, setpoint_w: float | None, power_w: float | None, now_s: float) -> None:
        """A poll: the setpoint in force and the measured power; None: not known, which proves nothing."""
        if setpoint_w is None or power_w is None:
            return
        if setpoint_w != self._setpoint_w:
            self._before.append(self._allowed(self._setpoint_w, now_s + self._patience_s))
            self._setpoint_w = setpoint_w
        self._before = [allowed for allowed in self._before if allowed.until_s >= now_s]
        allowed = [*self._before, self._allowed(setpoint_w, math.inf)]
        low_w = min(a.low_w for a in allowed) - self._tolerance_w
        high_w = max(a.high_w for a in allowed) + self._tolerance_w
        if low_w <= power_w <= high_w:
            self.problem = None
        elif self.problem is None:
            self.problem = Problem(
                f"told {setpoint_w:g} W, which its register repeats, it does {power_w:g} W: check that it may be "
                "controlled by Modbus and that nothing else controls it"
            )

    @staticmethod
    def _allowed(setpoint_w: float | None, until_s: float) -> _Allowed:
        """Between 0 and the setpoint; anything where none was known."""
        if setpoint_w is None:
            return _Allowed(-math.inf, math.inf, until_s)
        return _Allowed(min(0.0, setpoint_w), max(0.0, setpoint_w), until_s)
