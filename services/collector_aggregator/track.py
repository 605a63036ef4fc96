"""What is known of one entity: newest sample, recent past, what a device said of itself. Pure.

**What a connector may have drawn at an instant** (`drawn`) is what is subtracted from a meter's sample of that instant:

- exactly at one of its samples: that sample;
- between two samples: per phase the larger one. The step lies somewhere between them, and a step is not load of others;
- after its newest sample: that sample and what fits under the effective setpoint (algorithms.md, UCL: a rise that fits
  is theirs; it is booked already);
- silent (older than three polls): its last value alone; and when its watchdog and reaction time have passed, at most
  the fallback value it had shown, because then no more than that is booked for it.
"""

from __future__ import annotations

from bisect import bisect_right
from math import isfinite
from typing import Any, Final

from busbar.config.site import Entity
from busbar.domain.charging import Status
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import Measurement, Session
from collector_aggregator.samples import NO_POWER, Reader, Sample, Six

HISTORY_S: Final = 120.0
NEVER_MS: Final = 10**9

_STATUS: Final = {status.value: status for status in Status}
_READ_BACK: Final = ((0, "actual_limit_current_a"), (1, "fallback_current_a"), (2, "watchdog_timeout_s"))
_ABSENT: Final[Any] = object()
"""Not among the points: the device was not asked for it this time."""


class Track:
    """One entity. History is kept for meters of collectors and for connectors only; it holds at most twice
    `HISTORY_S`, then the older part goes."""

    __slots__ = (
        "_asked_last_a", "_at_s", "_event", "_late", "_read_from", "_reader", "_samples", "_told", "asked_a", "before",
        "entity", "kept", "live", "newest", "reachable_event", "read_back", "session", "status",
    )  # fmt: skip

    def __init__(self, entity: Entity, kept: bool) -> None:
        self.entity = entity
        self.kept = kept
        self.newest: Sample | None = None
        self.before: Sample | None = None
        self.reachable_event = False
        self.status: Status | None = None
        """Last one seen; None: never, or unknown to us."""
        self.read_back: list[float | None] = [None, None, None]
        """Limit in force, fallback value, watchdog time: as last shown by a device that could be reached."""
        self.session: Session | None = None
        self.asked_a = 0.0
        """Highest setpoint that the device may be following since its newest sample."""
        self.live = False
        """In the last `prepare`: reached, and not silent."""
        self._asked_last_a = 0.0
        self._told = False
        self._event: Measurement | None = None
        self._read_from: tuple[object, object] = (None, None)
        """Dictionaries that the newest sample was read from."""
        self._reader = Reader(entity.root_phases)
        self._at_s: list[float] = []
        self._samples: list[Sample] = []
        self._late: Six = NO_POWER

    @property
    def heard(self) -> bool:
        """Anything was heard of it, be it that it does not answer."""
        return self._event is not None

    # -- inputs

    def take(self, event: Measurement, at_s: float) -> Sample | None:
        """Returns the new sample; None where the event holds no usable one, or is not newer."""
        newest = self.newest
        if newest is not None and at_s <= newest.at_s:
            return None
        self._event = event
        self.reachable_event = event.reachable
        if self.entity.kind is AssetKind.AC_CONNECTOR and event.reachable:
            self._hear(event)
        read = self._read_from
        if newest is not None and event.points is read[0] and event.quality is read[1] and event.reachable:
            sample: Sample | None = newest._replace(at_s=at_s)  # read again, unchanged: a driver shares what it decoded
        else:
            sample = self._reader.read(event, at_s)
        if sample is not None:
            self._read_from = (event.points, event.quality)
            self.before, self.newest = newest, sample
            self.asked_a = self._asked_last_a
            if self.kept:
                self._keep(sample)
        return sample

    def _hear(self, event: Measurement) -> None:
        points, quality = event.points, event.quality
        text = points.get("status", _ABSENT)
        if text is not _ABSENT:
            self.status = _STATUS.get(text) if isinstance(text, str) and "status" not in quality else None
        read_back = self.read_back
        for index, name in _READ_BACK:
            value = points.get(name, _ABSENT)
            if value is _ABSENT:
                continue
            if name not in quality:
                read_back[index] = value if isinstance(value, float | int) and isfinite(value) else None
            elif quality[name] is not Quality.STALE:
                read_back[index] = None

    def _keep(self, sample: Sample) -> None:
        times = self._at_s
        times.append(sample.at_s)
        self._samples.append(sample)
        if times[0] < sample.at_s - 2.0 * HISTORY_S:
            old = bisect_right(times, sample.at_s - HISTORY_S)
            del times[:old], self._samples[:old]

    def ask(self, current_a: float) -> None:
        """A setpoint was published: until the next sample the device may follow it, or one of those before."""
        self._asked_last_a, self._told = current_a, True
        self.asked_a = max(self.asked_a, current_a)

    # -- what is known

    def age_ms(self, now_s: float) -> int:
        return NEVER_MS if self.newest is None else max(0, round((now_s - self.newest.at_s) * 1000.0))

    @property
    def lifetime_ms(self) -> int:
        """Age after which its values are stale: three polls (FC-7)."""
        return self._event.lifetime_ms if self._event is not None else 3 * self.entity.poll_ms

    @property
    def powers(self) -> Six:
        return self.newest.powers if self.newest is not None else NO_POWER

    def at(self, when_s: float) -> Sample | None:
        """Newest sample at or before `when_s`; the oldest known where there is none."""
        newest, before = self.newest, self.before
        if newest is None or newest.at_s <= when_s or before is None:
            return newest
        if before.at_s <= when_s or not self.kept:
            return before
        return self._samples[max(0, bisect_right(self._at_s, when_s) - 1)]

    # -- for the background

    def prepare(self, now_s: float, reaction_s: float) -> None:
        """Once a cycle, before `drawn`."""
        newest = self.newest
        if newest is None:
            self.live = False
            return
        age_s = now_s - newest.at_s
        self.live = self.reachable_event and age_s * 1000.0 <= self.lifetime_ms and age_s <= HISTORY_S
        self._late = self._following(newest) if self.live else self._silent(newest, age_s, reaction_s)

    def _following(self, newest: Sample) -> Six:
        limit_a = self.read_back[0]
        if limit_a is None:  # not shown: what it was told is booked for it, and where we know of nothing, anything is
            limit_a = self.asked_a if self._told else self.entity.max_current_a
        effective_a = max(self.asked_a, limit_a)
        powers, amps, volts = list(newest.powers), newest.current_a, newest.voltage_v
        for root in self.entity.root_phases:
            rise_a = effective_a - amps[root]
            if rise_a > 0.0:
                powers[root] += rise_a * volts[root]
        return (powers[0], powers[1], powers[2], powers[3], powers[4], powers[5])

    def _silent(self, newest: Sample, age_s: float, reaction_s: float) -> Six:
        _, fallback_a, watchdog_s = self.read_back
        powers = newest.powers
        if fallback_a is None or watchdog_s is None or age_s < watchdog_s + reaction_s:
            return powers
        a, b, c = (min(p, fallback_a * u) for p, u in zip(powers[:3], newest.voltage_v, strict=True))
        return (a, b, c, powers[3], powers[4], powers[5])

    def drawn(self, when_s: float) -> Six:
        """What it may have drawn at `when_s` (module docstring)."""
        newest = self.newest
        if newest is None:
            return NO_POWER
        if newest.at_s <= when_s:
            return newest.powers if newest.at_s == when_s else self._late
        before = self.before
        if before is None or when_s < self._at_s[0]:
            return newest.powers if before is None else self._samples[0].powers
        if before.at_s <= when_s:
            then, after = before, newest
        else:
            index = bisect_right(self._at_s, when_s)
            then, after = self._samples[index - 1], self._samples[index]
        p, n = then.powers, after.powers
        if then.at_s == when_s or p is n:
            return p
        return (max(p[0], n[0]), max(p[1], n[1]), max(p[2], n[2]), p[3], p[4], p[5])
