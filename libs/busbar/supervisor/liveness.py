"""Which service hangs: it lives as a process, but its heart does not beat or its cycle does not advance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STUCK_S: Final = 15.0
"""Well above the longest cycle and the 3 s at which others notice; a restart costs a few seconds itself."""


@dataclass(slots=True)
class _Pulse:
    cycles: int
    changed_s: float


class Liveness:
    """Watches heartbeats by `service.instance`. A service that never beat is not judged: it may wait for its bus."""

    def __init__(self, stuck_s: float = STUCK_S) -> None:
        self._stuck_s = stuck_s
        self._pulses: dict[str, _Pulse] = {}

    def beat(self, name: str, cycles: int, now_s: float) -> None:
        pulse = self._pulses.get(name)
        if pulse is None:
            self._pulses[name] = _Pulse(cycles, now_s)
        elif pulse.cycles != cycles:
            pulse.cycles, pulse.changed_s = cycles, now_s

    def forget(self, name: str | None = None) -> None:
        """Start anew: the service was restarted; None: the bus was away, so nobody could be heard."""
        if name is None:
            self._pulses.clear()
        else:
            self._pulses.pop(name, None)

    def stuck(self, now_s: float) -> list[str]:
        return [name for name, pulse in self._pulses.items() if now_s - pulse.changed_s > self._stuck_s]
