"""Which service was started twice? Pure.

Each start of a service has its own boot in its heartbeats. A restart changes it once, to one never heard; two that live
speak by turns, so one that was heard before comes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

FORGET_S: Final = 10.0
_REMEMBERED: Final = 16


@dataclass
class _Starts:
    boots: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """In the order of their first beat."""
    newest: str = ""
    back_s: float | None = None
    """When one that was not the newest spoke again."""


class Doubles:
    """Heartbeats by service name."""

    def __init__(self) -> None:
        self._starts: dict[str, _Starts] = {}
        self._twice: set[str] = set()

    def heard(self, name: str, boot: str, now_s: float) -> None:
        """A beat; one without a boot says nothing."""
        if not boot:
            return
        starts = self._starts.setdefault(name, _Starts())
        if boot != starts.newest:
            if boot in starts.boots:
                starts.back_s = now_s
                self._twice.add(name)
            else:
                starts.boots.append(boot)
            starts.newest = boot

    def twice(self, name: str) -> bool:
        return name in self._twice

    def judged(self, now_s: float) -> list[tuple[str, bool]]:
        """Every name that was ever started twice, sorted, and whether it still is."""
        told = []
        for name, starts in sorted(self._starts.items()):
            if starts.back_s is None:
                continue
            lives = now_s - starts.back_s < FORGET_S
            if not lives:
                self._twice.discard(name)
            told.append((name, lives))
        return told
