"""Quality of a value (FC-7): all but good and stale are invalid for control."""

from __future__ import annotations

from enum import StrEnum


class Quality(StrEnum):
    GOOD = "good"
    STALE = "stale"
    NA = "na"
    OUT_OF_RANGE = "out_of_range"
    SUSPECT = "suspect"
    COMM_FAIL = "comm_fail"

    @property
    def usable(self) -> bool:
        """True where control may use the value (stale values only ever lower something)."""
        return self in (Quality.GOOD, Quality.STALE)
