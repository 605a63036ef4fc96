"""Pieces that the simulated devices share: reaction time, the control pilot, three-phase arithmetic."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from busbar.domain.charging import Status
from busbar.sim.plant import DcPort, EvsePort, Triple
from busbar.units import MIN_CURRENT_A


class Delayed:
    """A value that takes effect a reaction time after it was set; changes queue and none is skipped.

    (A timer that each new value restarts would never fire under a controller that adjusts every second.)
    """

    def __init__(self, value: float, reaction_s: float) -> None:
        self.value = value
        self._reaction_s = reaction_s
        self._queue: deque[tuple[float, float]] = deque()

    def set(self, value: float, now_s: float) -> None:
        newest = self._queue[-1][1] if self._queue else self.value
        if value != newest:
            self._queue.append((now_s + self._reaction_s, value))

    def force(self, value: float) -> None:
        """At once, and nothing older follows."""
        self._queue.clear()
        self.value = value

    @property
    def pending(self) -> bool:
        """Something has been set that has not taken effect yet."""
        return bool(self._queue)

    def at(self, now_s: float) -> float:
        queue = self._queue
        while queue and queue[0][0] <= now_s:
            self.value = queue.popleft()[1]
        return self.value


def pilot_state(port: EvsePort) -> str:
    """IEC 61851-1 state with its digit: 1 without, 2 with a current offer. A, E and F come without digit."""
    if port.fault:
        return "E"
    if not port.available:
        return "F"
    if not port.plugged:
        return "A"
    letter = "C" if port.wants_current else "B"
    return letter + ("2" if port.offered_a >= MIN_CURRENT_A else "1")


def offer(port: EvsePort, limit_a: float) -> None:
    """Set the pilot's duty cycle to `limit_a`, or off where nothing may be offered."""
    usable = port.plugged and port.available and not port.fault and limit_a >= MIN_CURRENT_A
    port.offered_a = limit_a if usable else 0.0


def outlet_status(port: DcPort, limit_w: float, aborted: bool) -> Status:
    """What a DC outlet says of itself. `limit_w`: in force; `aborted`: the session of this vehicle was broken off."""
    if port.fault:
        return Status.FAULTED
    if limit_w <= 0.0:
        return Status.UNAVAILABLE
    if not port.plugged:
        return Status.AVAILABLE
    if aborted or port.full:
        return Status.FINISHING
    return Status.CHARGING if port.ready else Status.PREPARING_EV


def apparent_va(voltage_v: Triple, current_a: Triple) -> tuple[float, float, float]:
    return voltage_v[0] * current_a[0], voltage_v[1] * current_a[1], voltage_v[2] * current_a[2]


def power_factor(power_w: float, apparent: float) -> float:
    """Signed like the power; 1 where nothing flows."""
    return power_w / apparent if apparent > 0.01 else 1.0


def neutral_a(current_a: Sequence[float]) -> float:
    """RMS current of the neutral with the three line currents 120 degrees apart."""
    a, b, c = current_a
    return math.sqrt(max(0.0, a * a + b * b + c * c - a * b - b * c - c * a))


def text(value: str, registers: int) -> bytes:
    """ASCII, two characters a register, padded with zeros, cut to size."""
    return value.encode("ascii", "replace")[: 2 * registers].ljust(2 * registers, b"\0")


class PhaseCounters:
    """Energy of each phase, integrated from power, import and export apart; starts with a third of `total_wh`."""

    def __init__(self, import_wh: float = 0.0, export_wh: float = 0.0) -> None:
        self.import_wh: Triple = [import_wh / 3.0] * 3
        self.export_wh: Triple = [export_wh / 3.0] * 3

    def add(self, power_w: Triple, dt_s: float) -> None:
        hours = dt_s / 3600.0
        for phase in (0, 1, 2):
            energy = power_w[phase] * hours
            if energy >= 0.0:
                self.import_wh[phase] += energy
            else:
                self.export_wh[phase] -= energy
