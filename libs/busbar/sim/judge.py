"""The verdict on a run, from physical currents and nothing else (algorithms.md, What must never be false, 8).

Rule for every protected collector and phase: the current is above the rating for at most 10 s at a time and 60 s a day,
never above 1.3 times the rating, and uses at most half of the fuse's time-current curve. The same times hold for a
power limit in VA or W of the collector, in both directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from busbar.config.site import Collector, Site
from busbar.domain.fuse import FuseThermal
from busbar.units import Phase

MAX_RUN_S: Final = 10.0
MAX_DAY_S: Final = 60.0
MAX_RATIO: Final = 1.3
MAX_CURVE_USED: Final = 0.5
_DAY_S: Final = 86400.0


class Watch:
    """One limit of one collector over the whole run: `what` is the collector's own phase, or VA or W."""

    __slots__ = (
        "_day",
        "_run_s",
        "_today_s",
        "collector",
        "limit",
        "longest_s",
        "peak",
        "total_s",
        "what",
        "worst_day_s",
    )

    def __init__(self, collector: str, what: str, limit: float) -> None:
        self.collector = collector
        self.what = what
        self.limit = limit
        self.peak = 0.0
        self.total_s = self.longest_s = self.worst_day_s = 0.0
        self._run_s = self._today_s = 0.0
        self._day = 0

    @property
    def running(self) -> bool:
        return self._run_s > 0.0

    def hold(self, value: float, duration_s: float, now_s: float) -> None:
        """`value` held for `duration_s`, up to `now_s`."""
        if value > self.limit:
            day = int(now_s / _DAY_S)
            if day != self._day:
                self._day, self._today_s = day, 0.0
            self._run_s += duration_s
            self._today_s += duration_s
            self.total_s += duration_s
            self.longest_s = max(self.longest_s, self._run_s)
            self.worst_day_s = max(self.worst_day_s, self._today_s)
        else:
            self._run_s = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the verdict."""

    collector: str
    what: str
    limit: float
    peak: float
    above_s: float
    longest_s: float
    worst_day_s: float
    curve_used: float
    protected: bool
    opened: bool

    @property
    def ratio(self) -> float:
        return self.peak / self.limit

    @property
    def ok(self) -> bool:
        return not self.protected or (
            not self.opened
            and self.longest_s <= MAX_RUN_S + 1e-6
            and self.worst_day_s <= MAX_DAY_S + 1e-6
            and self.ratio <= MAX_RATIO
            and self.curve_used <= MAX_CURVE_USED
        )

    def __str__(self) -> str:
        unit = "A" if self.what.startswith("L") else self.what
        return (
            f"{self.collector} {self.what}: peak {self.peak:.1f} of {self.limit:g} {unit} ({self.ratio:.2f}), "
            f"above for {self.above_s:.1f} s, longest {self.longest_s:.1f} s, "
            f"{self.curve_used:.1%} of the curve{', OPENED' if self.opened else ''}: {'ok' if self.ok else 'VIOLATED'}"
        )


class Judge:
    """Fed by physics with currents and the time they held; cheap where nothing is above its limit."""

    def __init__(self, site: Site) -> None:
        self._collectors = site.collectors
        size = 3 * len(site.collectors)
        self.peak_a = [0.0] * size
        self.thermal: list[FuseThermal | None] = [None] * size
        self._rated_a = [math.inf] * size
        self._watches: list[Watch | None] = [None] * size
        self._opened = [False] * size
        for collector in site.collectors:
            for own, root in enumerate(collector.root_phases):
                at = 3 * collector.index + root
                self._rated_a[at] = collector.rated_a[own]
                self._watches[at] = Watch(collector.id, f"L{own + 1}", collector.rated_a[own])
                self.thermal[at] = FuseThermal(collector.file.fuse)
        self._powers = [
            (collector.index, Watch(collector.id, what, limit))
            for collector in site.collectors
            for what, limit in (("VA", collector.file.power_limit_va), ("W", collector.file.power_limit_w))
            if limit is not None
        ]
        self.busy = False
        """Something is above its rating: physics must report every step."""
        self._warm: list[int] = []
        """Flat indexes that are above their rating or still remember it."""

    def see(self, current_a: list[float], power_w: list[float], reactive_var: list[float]) -> None:
        """New values begin to hold."""
        peaks, rated = self.peak_a, self._rated_a
        self.busy = False
        for at, value in enumerate(current_a):
            if value > peaks[at]:  # noqa: PLR1730 - a third of the cost of max() in the hottest loop
                peaks[at] = value
            if value > rated[at]:
                self.busy = True
                if at not in self._warm:
                    self._warm.append(at)
        for index, watch in self._powers:
            value = _power(watch.what, 3 * index, power_w, reactive_var)
            watch.peak = max(watch.peak, value)

    def hold(
        self, current_a: list[float], power_w: list[float], reactive_var: list[float], duration_s: float, now_s: float
    ) -> list[int]:
        """The values held for `duration_s`; flat indexes of the fuses that open by it."""
        for index, watch in self._powers:
            if watch.running or watch.peak > watch.limit:
                watch.hold(_power(watch.what, 3 * index, power_w, reactive_var), duration_s, now_s)
        if not self._warm:
            return []
        opening: list[int] = []
        for at in self._warm:
            watch_, thermal = self._watches[at], self.thermal[at]
            if watch_ is None or thermal is None:
                continue
            watch_.hold(current_a[at], duration_s, now_s)
            if thermal.carry(current_a[at] / self._rated_a[at], duration_s) and not self._opened[at]:
                self._opened[at] = True
                opening.append(at)
        self._warm = [at for at in self._warm if current_a[at] > self._rated_a[at] or self._cooling(at)]
        return opening

    def reset(self, at: int) -> None:
        """The fuse at a flat index was replaced; that it opened stays in the verdict."""
        thermal = self.thermal[at]
        if thermal is not None:
            thermal.reset()
        self._opened[at] = False

    def findings(self) -> list[Finding]:
        """All lines, collectors in tree order, own phases first."""
        out: list[Finding] = []
        for collector in self._collectors:
            out.extend(self._finding(collector, root) for root in collector.root_phases)
            for index, watch in self._powers:
                if index == collector.index:
                    out.append(_of_watch(watch, watch.peak, 0.0, not collector.file.monitored_only, False))
        return out

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings())

    def _cooling(self, at: int) -> bool:
        thermal = self.thermal[at]
        return thermal is not None and thermal.used > 0.0

    def _finding(self, collector: Collector, root: Phase) -> Finding:
        at = 3 * collector.index + root
        watch, thermal = self._watches[at], self.thermal[at]
        assert watch is not None and thermal is not None  # noqa: S101, PT018 - made for every phase it has
        opened = thermal.worst >= 1.0
        return _of_watch(watch, self.peak_a[at], thermal.worst, not collector.file.monitored_only, opened)


def _of_watch(watch: Watch, peak: float, curve_used: float, protected: bool, opened: bool) -> Finding:
    return Finding(
        watch.collector, watch.what, watch.limit, peak, watch.total_s, watch.longest_s, watch.worst_day_s, curve_used,
        protected, opened,
    )  # fmt: skip


def _power(what: str, base: int, power_w: list[float], reactive_var: list[float]) -> float:
    p = power_w[base] + power_w[base + 1] + power_w[base + 2]
    if what == "W":
        return abs(p)
    return math.hypot(p, reactive_var[base] + reactive_var[base + 1] + reactive_var[base + 2])
