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
from collections.abc import Mapping
from math import isfinite
from operator import attrgetter
from typing import Any, Final

from busbar.config.site import Entity
from busbar.domain.charging import Status
from busbar.domain.quality import Quality
from busbar.events import Measurement, Session
from busbar.units import THREE_PHASE_V, Phase
from collector_aggregator.samples import NO_POWER, Reader, Sample, Six, sample_of

HISTORY_S: Final = 120.0
NEVER_MS: Final = 10**9
_NEVER_S: Final = float("-inf")

_AT_S: Final = attrgetter("at_s")
_STATUS: Final = {status.value: status for status in Status}
_READ_BACK: Final = ("actual_limit_current_a", "fallback_current_a", "watchdog_timeout_s")
_READ_BACK_DC: Final = ("setpoint_power_w", "fallback_power_w", "watchdog_timeout_s")
"""The same of a DC connector, in W: they count in amperes at 230 V (`busbar.units.THREE_PHASE_V`)."""
_ABSENT: Final[Any] = object()
"""Not among the points: the device was not asked for it this time."""
_NOTHING: Final = (_ABSENT,) * (1 + len(_READ_BACK))


class Track:
    """One entity. History is kept for meters of collectors and for connectors only; it holds at most twice
    `HISTORY_S`, then the older part goes."""

    __slots__ = (
        "_asked_last_a", "_before", "_before_s", "_event", "_heard", "_heard_quality", "_is_connector", "_per_a",
        "_read_from", "_reader", "_samples", "_says", "_told", "_wired", "age_ms", "asked_a", "entity", "free", "kept",
        "late", "lifetime_ms", "live", "newest", "newest_s", "powers", "reachable_event", "read_back", "session",
        "status",
    )  # fmt: skip

    def __init__(self, entity: Entity, kept: bool) -> None:
        self.entity = entity
        self.kept = kept
        self.newest: Sample | None = None
        self.newest_s = _NEVER_S
        """Time of the newest sample."""
        self.powers: Six = NO_POWER
        """Of the newest sample."""
        self.lifetime_ms = 3 * entity.poll_ms
        """Age after which its values are stale: three polls (FC-7)."""
        self.reachable_event = False
        self.status: Status | None = None
        """Last one seen; None: never, or unknown to us."""
        self.read_back: list[float | None] = [None, None, None]
        """Limit in force, fallback value, watchdog time: as last shown by a device that could be reached."""
        self.session: Session | None = None
        self.asked_a = 0.0
        """Highest setpoint that the device may be following since its newest sample."""
        # as of the last `grow_old` or `prepare`
        self.age_ms = NEVER_MS
        self.live = False
        """Reached, and not silent."""
        self.free = False
        """A live connector without a vehicle."""
        self.late: Six = NO_POWER
        """What it may draw after its newest sample."""
        self._asked_last_a = 0.0
        self._told = False
        self._event: Measurement | None = None
        self._read_from: tuple[object, object] = (None, None)
        """Dictionaries that the newest sample was read from."""
        self._heard: tuple[object, ...] = ()
        self._heard_quality: Mapping[str, Quality] = {}
        self._is_connector = entity.charge_point is not None
        self._says = ("status", *(_READ_BACK_DC if entity.dc else _READ_BACK))
        self._per_a = (THREE_PHASE_V, THREE_PHASE_V, 1.0) if entity.dc else (1.0, 1.0, 1.0)
        self._wired = tuple([phase in entity.root_phases for phase in Phase])
        self._reader = Reader(entity.root_phases)
        self._before: Sample | None = None
        self._before_s = _NEVER_S
        self._samples: list[Sample] = []

    @property
    def heard(self) -> bool:
        """Anything was heard of it, be it that it does not answer."""
        return self._event is not None

    # -- inputs

    def take(self, event: Measurement, at_s: float) -> bool:
        """True: it holds a new sample; not where nothing in it is usable, or it is not newer."""
        if at_s <= self.newest_s:
            return False
        self._event = event
        self.lifetime_ms = event.lifetime_ms
        self.reachable_event = event.reachable
        if not event.reachable:
            return False
        points, quality, newest = event.points, event.quality, self.newest
        if self._is_connector:
            self._hear(points, quality)
        read = self._read_from
        if newest is not None and points is read[0] and quality is read[1]:  # a driver shares what has not changed
            sample = sample_of((at_s, newest.powers, newest.current_a, newest.voltage_v))
        else:
            read_now = self._reader.read(event, at_s)
            if read_now is None:
                return False
            sample = read_now
            self._read_from = (points, quality)
        self._before, self._before_s = newest, self.newest_s
        self.newest, self.newest_s, self.powers = sample, at_s, sample.powers
        self.asked_a = self._asked_last_a
        if self.kept:
            samples = self._samples
            samples.append(sample)
            if samples[0].at_s < at_s - 2.0 * HISTORY_S:
                del samples[: bisect_right(samples, at_s - HISTORY_S, key=_AT_S)]
        return True

    def _hear(self, points: Mapping[str, object], quality: Mapping[str, Quality]) -> None:
        """What a device says of itself, which seldom changes."""
        heard = tuple(map(points.get, self._says, _NOTHING))
        if heard == self._heard and quality == self._heard_quality:
            return
        self._heard, self._heard_quality = heard, quality
        text, *shown = heard
        if text is not _ABSENT:
            self.status = _STATUS.get(text) if isinstance(text, str) and "status" not in quality else None
        read_back = self.read_back
        for index, name in enumerate(self._says[1:]):
            value = shown[index]
            if value is _ABSENT:
                continue
            if name not in quality:
                known = value if isinstance(value, float | int) and isfinite(value) else None
                read_back[index] = None if known is None else known / self._per_a[index]
            elif quality[name] is not Quality.STALE:
                read_back[index] = None

    def ask(self, current_a: float) -> None:
        """A setpoint was published (DC: as amperes at 230 V): until the next sample the device may follow it, or one of
        those before."""
        self._asked_last_a, self._told = current_a, True
        self.asked_a = current_a if current_a > self.asked_a else self.asked_a

    # -- what is known

    def at(self, when_s: float) -> Sample | None:
        """Newest sample at or before `when_s`; the oldest known where there is none."""
        before = self._before
        if before is None or self.newest_s <= when_s:
            return self.newest
        if self._before_s <= when_s or not self.kept:
            return before
        return self._samples[max(0, bisect_right(self._samples, when_s, key=_AT_S) - 1)]

    def said(self, point: str) -> float | None:
        """A number of its newest telemetry, where its quality is good."""
        value = self._event.number(point) if self._event is not None else None
        return value if value is not None and isfinite(value) else None

    # -- for the background

    def grow_old(self, now_s: float) -> None:
        """Once a cycle."""
        if self.newest is not None:
            age_ms = round((now_s - self.newest_s) * 1000.0)
            self.age_ms = age_ms if age_ms > 0 else 0

    def prepare(self, now_s: float, reaction_s: float) -> None:
        """Once a cycle, before `drawn`: the same, and what a connector may have drawn since its newest sample."""
        newest = self.newest
        if newest is None:
            return
        age_s = now_s - self.newest_s
        age_ms = round(age_s * 1000.0)
        self.age_ms = age_ms if age_ms > 0 else 0
        self.live = live = self.reachable_event and age_s * 1000.0 <= self.lifetime_ms and age_s <= HISTORY_S
        self.free = live and self.status is Status.AVAILABLE
        self.late = self._following(newest) if live else self._silent(newest, age_s, reaction_s)

    def _following(self, newest: Sample) -> Six:
        limit_a = self.read_back[0]
        if limit_a is None:  # not shown: what it was told is booked for it, and where we know of nothing, anything is
            limit_a = self.asked_a if self._told else self.entity.max_current_a
        effective_a = self.asked_a if self.asked_a > limit_a else limit_a
        a, b, c, x, y, z = newest.powers
        i, j, k = newest.current_a
        u, v, w = newest.voltage_v
        on_1, on_2, on_3 = self._wired
        if on_1 and effective_a > i:
            a += (effective_a - i) * u
        if on_2 and effective_a > j:
            b += (effective_a - j) * v
        if on_3 and effective_a > k:
            c += (effective_a - k) * w
        return (a, b, c, x, y, z)

    def _silent(self, newest: Sample, age_s: float, reaction_s: float) -> Six:
        _, fallback_a, watchdog_s = self.read_back
        powers = newest.powers
        if fallback_a is None or watchdog_s is None or age_s < watchdog_s + reaction_s:
            return powers
        a, b, c = (min(p, fallback_a * u) for p, u in zip(powers[:3], newest.voltage_v, strict=True))
        return (a, b, c, powers[3], powers[4], powers[5])

    def drawn(self, when_s: float) -> Six:
        """What it may have drawn at `when_s` (module docstring)."""
        newest, before = self.newest, self._before
        if newest is None:
            return NO_POWER
        if self.newest_s <= when_s:
            return newest.powers if self.newest_s == when_s else self.late
        if before is None or when_s < self._samples[0].at_s:
            return newest.powers if before is None else self._samples[0].powers
        if self._before_s <= when_s:
            then, after = before, newest
        else:
            index = bisect_right(self._samples, when_s, key=_AT_S)
            then, after = self._samples[index - 1], self._samples[index]
        p, n = then.powers, after.powers
        if then.at_s == when_s or p is n:
            return p
        a, b, c, x, y, z = p
        d, e, f, _, _, _ = n
        return (a if a >= d else d, b if b >= e else e, c if c >= f else f, x, y, z)
