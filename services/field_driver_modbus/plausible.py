"""Does the device talk nonsense? Pure.

A value outside its range is never used for control, but nobody would learn why the site stands back. Three polls in a
row with such values raise the alarm, five without end it: one broken reply alarms nobody, garbage does not flicker.
"""

from __future__ import annotations

from typing import Final

from busbar.domain.quality import Quality
from busbar.events import Severity
from field_driver_modbus.keeper import Problem, Qualities

BAD_POLLS: Final = 3
GOOD_POLLS: Final = 5
_SHOWN: Final = 3
_IMPOSSIBLE: Final = (Quality.OUT_OF_RANGE, Quality.SUSPECT)


class Plausibility:
    """One entity; `judge` after each fast poll."""

    def __init__(self) -> None:
        self.problem: Problem | None = None
        self._bad = 0
        self._good = 0

    def judge(self, quality: Qualities) -> None:
        wrong = [name for name, value in quality.items() if value in _IMPOSSIBLE] if quality else None
        if not wrong:
            self._bad, self._good = 0, self._good + 1
            if self._good >= GOOD_POLLS:
                self.problem = None
            return
        self._bad, self._good = self._bad + 1, 0
        if self._bad >= BAD_POLLS and self.problem is None:
            names = ", ".join(sorted(wrong)[:_SHOWN]) + (", ..." if len(wrong) > _SHOWN else "")
            self.problem = Problem(
                f"{len(wrong)} values cannot be true and are not used ({names}): check the device's wiring, and that "
                "its package fits model and firmware",
                Severity.WARNING,
            )
