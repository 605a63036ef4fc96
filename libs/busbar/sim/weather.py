"""The sun over the site: Belgium's measured PV output of the same day and quarter, with clouds of its own.

The country's output is smooth, one roof's is not: on top of the interpolated quarter hours comes a slow haze and, now
and then, a cloud that takes most of the light for a minute or two. Data: `data/SOURCES.md`.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from busbar.sim.almanac import Almanac
from busbar.sim.chance import Wander, stream
from busbar.sim.sessions import DATA

QUARTER_S: Final = 900.0
_CLOUD_EDGE_S: Final = 12.0
_LOCAL_GAIN: Final = 1.1
"""A single well-aimed field against the mean of a country's."""


@lru_cache(maxsize=1)
def _days() -> Mapping[str, tuple[float, ...]]:
    """96 quarters by month and day (UTC), as part of the rated power. Read once; immutable."""
    with gzip.open(DATA / "elia_pv_2020.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return {row[0]: tuple(int(value) / 1000.0 for value in row[1:]) for row in csv.reader(file)}


def measured(when: datetime) -> float:
    """Mean of the quarter hour that holds `when`, as part of rated power."""
    utc = when.astimezone(UTC)
    return _days()[f"{utc.month:02d}-{utc.day:02d}"][utc.hour * 4 + utc.minute // 15]


class Sun:
    """What one PV system could produce now, as part of its rated power (0..1)."""

    def __init__(self, almanac: Almanac, seed: int, pv_id: str) -> None:
        self._almanac = almanac
        self._rng = stream(seed, "cloud", pv_id)
        self._haze = Wander(stream(seed, "haze", pv_id), 0.04, 180.0)
        self._quarter_end_s = float("-inf")
        self._from_s = 0.0
        self._low = self._high = 0.0
        self._cloud_from_s = self._rng.uniform(0.0, 1200.0)
        self._cloud_to_s = self._cloud_from_s
        self._depth = 0.0

    def at(self, now_s: float, dt_s: float) -> float:
        """Ask with rising time, `dt_s` after the last time."""
        if now_s >= self._quarter_end_s:
            self._turn_page(now_s)
        base = self._low + (self._high - self._low) * (now_s - self._from_s) / QUARTER_S
        haze = self._haze.step(dt_s)
        if base <= 0.0:
            return 0.0
        return max(0.0, min(1.0, base * _LOCAL_GAIN * (1.0 + haze) * (1.0 - self._shade(now_s))))

    def _turn_page(self, now_s: float) -> None:
        """Quarter values are means: they stand at the middles, straight lines between them."""
        since_s = self._almanac.utc(now_s).timestamp() - QUARTER_S / 2.0
        page_s = since_s - since_s % QUARTER_S + QUARTER_S / 2.0
        self._from_s = now_s - (since_s % QUARTER_S)
        self._quarter_end_s = self._from_s + QUARTER_S
        self._low = measured(datetime.fromtimestamp(page_s, UTC))
        self._high = measured(datetime.fromtimestamp(page_s + QUARTER_S, UTC))

    def _shade(self, now_s: float) -> float:
        """Part of the light that the present cloud takes; its edges take some seconds to pass."""
        if now_s > self._cloud_to_s + _CLOUD_EDGE_S:
            self._cloud_from_s = now_s + self._rng.expovariate(1.0 / 1500.0)
            self._cloud_to_s = self._cloud_from_s + self._rng.uniform(20.0, 240.0)
            self._depth = self._rng.uniform(0.1, 0.7)
        inside = min(now_s - self._cloud_from_s, self._cloud_to_s + _CLOUD_EDGE_S - now_s) / _CLOUD_EDGE_S
        return self._depth * max(0.0, min(1.0, inside))
