"""Was this driver started twice? Pure. Two masters on one device write against each other, so it must be noticed.

Every start of an instance has its own boot (`Heartbeat.boot`). Two beats of another boot, after our own start and
within a few seconds, mean that the other one lives. The younger of the two has to go; the older goes on, with an alarm.
Until `QUIET_S` after its start a driver reads its devices but writes nothing: so long it may be the one that has to go.
"""

from __future__ import annotations

from typing import Final

QUIET_S: Final = 2.5
FORGET_S: Final = 10.0
BEATS: Final = 2


class StartedTwiceError(RuntimeError):
    """Another instance of this driver was there before; the process ends so that devices have one master."""


def boot_key(boot: str) -> tuple[int, str]:
    """Order of starts: by UTC milliseconds after the last colon, then by name."""
    _, _, started = boot.rpartition(":")
    return int(started) if started.isdecimal() else 0, boot


class Twins:
    """Heartbeats under our own name."""

    def __init__(self) -> None:
        self._beats: dict[str, list[float]] = {}

    def heard(self, boot: str, own_boot: str, now_s: float) -> None:
        """A beat of our own service and instance; one without a boot says nothing."""
        if boot and own_boot and boot != own_boot:
            self._beats.setdefault(boot, []).append(now_s)

    def others(self, now_s: float) -> list[str]:
        """Boots of others that are alive, oldest first."""
        self._beats = {
            boot: kept for boot, times in self._beats.items() if (kept := [t for t in times if now_s - t < FORGET_S])
        }
        return sorted((boot for boot, times in self._beats.items() if len(times) >= BEATS), key=boot_key)
