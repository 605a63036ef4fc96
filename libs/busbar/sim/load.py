"""Loads that nobody controls: a building with its own meter, and what hangs on a collector without one.

A building follows measured profiles (half office, half manufacturing, VDI 4657; `data/SOURCES.md`) of the same weekday
nearest to the same day of the year, with appliances switching on one phase and motors starting on three. Scaled so that
it peaks at two thirds of `max_current_a`; it never exceeds that, because the site file says it does not. Powers are
those at 230 V; physics scales them with the voltage, so that the worst case holds as a current.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from busbar.sim.almanac import Almanac
from busbar.sim.chance import Wander, stream
from busbar.sim.plant import Triple
from busbar.sim.sessions import DATA
from busbar.units import NOMINAL_VOLTAGE_V

PROFILES: Final = ("vdi4657_office_m", "vdi4657_manufacturing")
_PEAK: Final = 0.66
_QUARTER_S: Final = 900.0
_FACTOR: Final = 0.995
"""Stay under the stated worst case by this."""


@lru_cache(maxsize=2)
def _profile(name: str) -> Mapping[date, tuple[float, ...]]:
    """96 quarters by local day, as part of the year's largest. Read once; immutable."""
    with gzip.open(DATA / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = {date.fromisoformat(row[0]): [float(value) for value in row[1:]] for row in csv.reader(file)}
    peak = max(max(values) for values in rows.values())
    return {day: tuple(value / peak for value in values) for day, values in rows.items()}


def profile_day(name: str, day: date) -> tuple[float, ...]:
    """The quarters of the profile's day with the same weekday nearest to the same day of the year."""
    days = _profile(name)
    year = next(iter(days)).year
    same = date(year, day.month, 28 if (day.month, day.day) == (2, 29) else day.day)
    found = same + timedelta((day.weekday() - same.weekday() + 3) % 7 - 3)
    if found.year != year:
        found += timedelta(7 if found.year < year else -7)
    return days[found]


class BuildingLoad:
    """A metered building: power and reactive power per own phase."""

    def __init__(self, almanac: Almanac, seed: int, load_id: str, max_current_a: float, phases: int) -> None:
        self.next_s = 0.0
        """When `update` should be called again at the latest, for a step shorter than a second."""
        self._almanac = almanac
        self._limit_va = max_current_a * NOMINAL_VOLTAGE_V * _FACTOR
        self._phases = phases
        self._rng = stream(seed, "load", load_id)
        self._swings = [Wander(stream(seed, "swing", load_id, str(k)), 0.03, 20.0) for k in range(phases)]
        self._shares = [self._rng.uniform(0.92, 1.08) for _ in range(phases)]
        self._tan = math.tan(math.acos(self._rng.uniform(0.93, 0.98)))
        self._page_end_s = float("-inf")
        self._page_from_s = 0.0
        self._low = self._high = 0.0
        self._appliances: list[tuple[float, int, float]] = []
        """(ends at, phase, W)"""
        self._next_appliance_s = self._rng.expovariate(1.0 / 300.0)
        self._motor_s = self._rng.expovariate(1.0 / 1800.0)
        self._inrush_end_s = self._motor_end_s = float("-inf")
        self._motor_w = 0.0

    def update(self, now_s: float, dt_s: float, power_w: Triple, reactive_var: Triple) -> None:
        """Write the load at `now_s`; `dt_s` since the last call."""
        if now_s >= self._page_end_s:
            self._turn_page(now_s)
        share = self._low + (self._high - self._low) * (now_s - self._page_from_s) / _QUARTER_S
        base_w = self._limit_va * _PEAK * share
        self._switch(now_s)
        motor_w, motor_var = self._motor(now_s)
        for k in range(self._phases):
            p = base_w * self._shares[k] * (1.0 + self._swings[k].step(dt_s)) + motor_w
            q = base_w * self._tan + motor_var
            for _, phase, watts in self._appliances:
                if phase == k:
                    p += watts
            excess = math.hypot(p, q) / self._limit_va
            if excess > 1.0:
                p, q = p / excess, q / excess
            power_w[k], reactive_var[k] = p, q
        self._plan(now_s)

    def _turn_page(self, now_s: float) -> None:
        local = self._almanac.local(now_s)
        into_s = (local.minute % 15) * 60.0 + local.second + local.microsecond / 1e6
        self._page_from_s = now_s - into_s
        self._page_end_s = self._page_from_s + _QUARTER_S
        self._low = self._value(now_s - into_s)
        self._high = self._value(self._page_end_s)

    def _value(self, at_s: float) -> float:
        local = self._almanac.local(at_s + 1.0)
        quarter = local.hour * 4 + local.minute // 15
        return sum(profile_day(name, local.date())[quarter] for name in PROFILES) / len(PROFILES)

    def _switch(self, now_s: float) -> None:
        """Kettles, heaters, compressors: single-phase, some minutes each; more of them while the building works."""
        if self._appliances:
            self._appliances = [entry for entry in self._appliances if entry[0] > now_s]
        if now_s >= self._next_appliance_s:
            watts = min(self._rng.choice((800.0, 1200.0, 2000.0)), 0.2 * self._limit_va)
            phase = self._rng.randrange(self._phases)
            self._appliances.append((now_s + self._rng.uniform(60.0, 600.0), phase, watts))
            self._next_appliance_s = now_s + self._rng.expovariate(1.0 / 420.0)

    def _motor(self, now_s: float) -> tuple[float, float]:
        """A motor: for about a second five times its current at a poor power factor, then minutes at its rating."""
        if now_s >= self._motor_s:
            self._motor_w = 0.04 * self._limit_va * self._rng.uniform(0.6, 1.4)
            self._inrush_end_s = now_s + self._rng.uniform(0.6, 1.4)
            self._motor_end_s = now_s + self._rng.uniform(60.0, 900.0)
            self._motor_s = self._motor_end_s + self._rng.expovariate(1.0 / 1800.0)
        if now_s < self._inrush_end_s:
            return 1.5 * self._motor_w, 4.8 * self._motor_w
        if now_s < self._motor_end_s:
            return self._motor_w, 0.6 * self._motor_w
        return 0.0, 0.0

    def _plan(self, now_s: float) -> None:
        self.next_s = self._inrush_end_s if now_s < self._inrush_end_s else self._motor_s


class UnmeteredLoad:
    """What hangs on a collector without a meter: slow, and always inside the worst case the site file states."""

    def __init__(self, seed: int, collector: str, worst_a: float, phases: int) -> None:
        self._worst_va = worst_a * NOMINAL_VOLTAGE_V * _FACTOR
        self._phases = phases
        self._walks = [Wander(stream(seed, "unmetered", collector, str(k)), 0.15, 600.0) for k in range(phases)]

    def update(self, dt_s: float, power_w: Triple, reactive_var: Triple) -> None:
        for k in range(self._phases):
            apparent_va = self._worst_va * max(0.05, min(1.0, 0.5 + self._walks[k].step(dt_s)))
            power_w[k], reactive_var[k] = apparent_va * 0.95, apparent_va * 0.31
