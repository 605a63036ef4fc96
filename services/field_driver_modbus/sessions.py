"""Sessions of one connector, derived from what the device shows: from plug to unplug (FC-3, FB-5). Pure.

Rule: a session opens with the first sample in which a vehicle is plugged, and ends with the second one in a row in
which the connector is surely empty; a device that is faulted, out of service, silent or speaks an unknown status ends
nothing. Its id is the connector and the time of plug-in. It is `Plugged` until the first current, then `Started`,
`SuspendedEV` or `SuspendedEVSE` as the status says.

Energy is the growth of one counter (the device's session counter where it has one, else its meter), so it never falls.
A counter that jumps has been reset or exchanged if it goes on from there, and then counts from 0 (a session counter) or
from where it stands (a meter); if it does not, the jump was a reading error.

A restarted driver goes on with the last session it published if the device does not contradict: plugged since then by
the device's own connection time, by the same badge (where it has them). What was charged meanwhile is the difference of
the meter. A session that ended unseen is closed with it; a vehicle that came unseen gets its own. The same
holds after a gap in the telemetry of a running driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from busbar.domain.charging import Status
from busbar.events import Session, SessionPhase

UPDATE_MS: Final = 60_000
SAME_PLUG_MS: Final = 15_000
"""Plug-in times from the device's own clock may differ by this much and mean the same vehicle."""
GAP_MS: Final = 10_000
"""Silence after which a vehicle may have gone and another come unseen."""
FIRST_CURRENT_A: Final = 1.0
MAX_POWER_W: Final = 400_000.0
"""A counter that grows faster than any outlet can charge has jumped: taken as a new start, not as energy."""

_EMPTY: Final = frozenset({Status.AVAILABLE, Status.PREPARING_TAG, Status.RESERVED})
_SUSPENDED_EV: Final = frozenset({Status.SUSPENDED_EV, Status.FINISHING})


class Sample(NamedTuple):
    """What one poll shows of a connector; None: not known."""

    at_ms: int
    status: Status | None
    session_energy_wh: float | None = None
    meter_wh: float | None = None
    badge: str | None = None
    connected_s: float | None = None
    """Seconds since plug-in by the device's own clock."""
    current_a: float = 0.0

    @property
    def plugged_at_ms(self) -> int | None:
        """Time of plug-in by the device's own clock, or None."""
        return None if self.connected_s is None else self.at_ms - round(self.connected_s * 1000.0)


def _plausible(grown_wh: float, elapsed_ms: int) -> bool:
    return 0.0 <= grown_wh <= MAX_POWER_W * max(elapsed_ms, 1000) / 3_600_000.0


@dataclass(slots=True)
class Counter:
    """Growth of one counter that may be reset or exchanged, and of which one reading may be nonsense."""

    restarts_at_zero: bool
    value_wh: float | None = None
    at_ms: int = 0
    jumped_wh: float | None = None
    """A value that did not follow from the one before: believed when the next one follows from it."""
    jumped_ms: int = 0

    def growth_wh(self, value_wh: float | None, at_ms: int) -> float | None:
        """Since the last known value; None where either is unknown (then the next call catches up)."""
        if value_wh is None:
            return None
        before_wh, elapsed_ms = self.value_wh, at_ms - self.at_ms
        if before_wh is not None and not _plausible(value_wh - before_wh, elapsed_ms):
            return self._jump(before_wh, value_wh, at_ms)
        self.value_wh, self.at_ms, self.jumped_wh = value_wh, at_ms, None
        return None if before_wh is None else value_wh - before_wh

    def _jump(self, before_wh: float, value_wh: float, at_ms: int) -> float | None:
        start_wh = self.jumped_wh
        if start_wh is None or not _plausible(value_wh - start_wh, at_ms - self.jumped_ms):
            self.jumped_wh, self.jumped_ms = value_wh, at_ms
            return None
        reset = self.restarts_at_zero and start_wh < before_wh and _plausible(start_wh, self.jumped_ms - self.at_ms)
        self.value_wh, self.at_ms, self.jumped_wh = value_wh, at_ms, None
        return value_wh - start_wh + (start_wh if reset else 0.0)


def session_id(connector: str, plugged_at_ms: int) -> str:
    """Connector and time of plug-in, to the second; usable as a token of a subject."""
    at = datetime.fromtimestamp(plugged_at_ms // 1000, UTC)
    return f"{connector}-{at:%Y%m%dT%H%M%SZ}"


def _phase(status: Status, started_at_ms: int | None) -> SessionPhase:
    if started_at_ms is None:
        return SessionPhase.PLUGGED
    if status is Status.CHARGING:
        return SessionPhase.STARTED
    return SessionPhase.SUSPENDED_EV if status in _SUSPENDED_EV else SessionPhase.SUSPENDED_EVSE


@dataclass(slots=True)
class _Open:
    """The running session, changed in place: events are made only when there is something to say."""

    session_id: str
    plugged_at_ms: int
    status: Status
    phase: SessionPhase = SessionPhase.PLUGGED
    started_at_ms: int | None = None
    energy_wh: float = 0.0
    meter_start_wh: float | None = None
    meter_wh: float | None = None
    badge: str | None = None
    measured_at_ms: int = 0
    published_at_ms: int = 0

    def absorb(self, sample: Sample, grown_wh: float) -> bool:
        """Take a sample in. True where somebody should hear of it at once."""
        before = (self.phase, self.status, self.badge)
        self.status = sample.status or self.status
        if self.started_at_ms is None and (self.status is Status.CHARGING or sample.current_a > FIRST_CURRENT_A):
            self.started_at_ms = sample.at_ms
        self.phase = _phase(self.status, self.started_at_ms)
        self.energy_wh += grown_wh
        self.meter_wh = sample.meter_wh if sample.meter_wh is not None else self.meter_wh
        self.badge = self.badge or sample.badge or None
        self.measured_at_ms = sample.at_ms
        return (self.phase, self.status, self.badge) != before


class SessionTracker:
    """One connector. `step` takes each poll and returns what is to be published now, oldest first."""

    def __init__(self, connector: str, driver: str, last: Session | None = None) -> None:
        self._connector = connector
        self._driver = driver
        self._open: _Open | None = None
        self._watched = False
        """An earlier sample was seen: a plug-in now happens before our eyes."""
        self._empty_since_ms: int | None = None
        self._seen_ms = 0
        self._session_counter = Counter(restarts_at_zero=True)
        self._meter = Counter(restarts_at_zero=False)
        self._by_meter = False
        if last is not None and last.phase is not SessionPhase.ENDED:
            self._resume(last)

    @property
    def current(self) -> Session | None:
        """The running session as of the last sample."""
        return self._event(self._open) if self._open else None

    def step(self, sample: Sample) -> list[Session]:
        """One poll of the connector. An unknown status changes nothing."""
        status = sample.status
        if status is None:
            return []
        gap = sample.at_ms - self._seen_ms > GAP_MS
        watched, self._watched, self._seen_ms = self._watched, True, sample.at_ms
        session = self._open
        if session is None:
            if status.plugged:
                return [self._begin(sample, status, watched and not gap)]
            self._count(sample)
            return []
        if status in _EMPTY:
            return self._unplugged(session, status, sample)
        self._empty_since_ms = None
        if gap and status.plugged and self._another(session, sample):
            return self._exchange(session, sample, status)
        return self._go_on(session, sample)

    def _go_on(self, session: _Open, sample: Sample) -> list[Session]:
        changed = session.absorb(sample, self._count(sample))
        if not changed and abs(sample.at_ms - session.published_at_ms) < UPDATE_MS:
            return []
        session.published_at_ms = sample.at_ms
        return [self._event(session)]

    def _unplugged(self, session: _Open, status: Status, sample: Sample) -> list[Session]:
        """Empty once may be a glitch of the pilot or of a starting device; twice is the end, since the first time."""
        session.energy_wh += self._count(sample)
        session.meter_wh = sample.meter_wh if sample.meter_wh is not None else session.meter_wh
        if self._empty_since_ms is None:
            self._empty_since_ms = sample.at_ms
            return []
        return [self._end(session, status, self._empty_since_ms)]

    def _resume(self, last: Session) -> None:
        """Go on where the driver before this one stopped."""
        self._open = _Open(
            last.session_id, last.plugged_at_ms, last.status, last.phase, last.started_at_ms, last.energy_wh,
            last.meter_start_wh, last.meter_wh, last.badge, last.measured_at_ms,
        )  # fmt: skip
        self._seen_ms, self._watched = last.measured_at_ms, True
        if last.meter_wh is not None:
            self._meter = Counter(False, last.meter_wh, last.measured_at_ms)
            self._by_meter = True
        self._session_counter = Counter(False, last.energy_wh, last.measured_at_ms)

    def _begin(self, sample: Sample, status: Status, watched: bool) -> Session:
        """A new session. Not watched: it may have begun before, so the device's own counter says what it has."""
        plugged_at_ms = sample.plugged_at_ms
        if plugged_at_ms is None:
            plugged_at_ms = sample.at_ms
        self._by_meter = sample.session_energy_wh is None
        grown_wh = self._count(sample)
        energy_wh = grown_wh if watched else sample.session_energy_wh or 0.0
        session = _Open(session_id(self._connector, plugged_at_ms), plugged_at_ms, status)
        session.absorb(sample, energy_wh)
        session.meter_start_wh = None if sample.meter_wh is None else sample.meter_wh - energy_wh
        session.published_at_ms = sample.at_ms
        self._session_counter.restarts_at_zero = True
        self._open, self._empty_since_ms = session, None
        return self._event(session)

    def _another(self, session: _Open, sample: Sample) -> bool:
        """After a gap: the device says that this is not the vehicle of before."""
        plugged_at_ms = sample.plugged_at_ms
        if plugged_at_ms is not None and plugged_at_ms > session.plugged_at_ms + SAME_PLUG_MS:
            return True
        return bool(session.badge and sample.badge and sample.badge != session.badge)

    def _exchange(self, session: _Open, sample: Sample, status: Status) -> list[Session]:
        """One vehicle went and another came unseen: the meter's growth is split by what the new one has."""
        grown_wh = self._meter.growth_wh(sample.meter_wh, sample.at_ms)
        new_wh = sample.session_energy_wh
        if grown_wh is not None and new_wh is not None:
            session.energy_wh += max(0.0, grown_wh - new_wh)
            session.meter_wh = None if sample.meter_wh is None else sample.meter_wh - new_wh
        came_ms = sample.plugged_at_ms
        ended = self._end(session, session.status, max(session.measured_at_ms, came_ms or sample.at_ms))
        return [ended, self._begin(sample, status, watched=False)]

    def _end(self, session: _Open, status: Status, at_ms: int) -> Session:
        session.phase, session.status, session.measured_at_ms = SessionPhase.ENDED, status, at_ms
        self._open, self._empty_since_ms = None, None
        return self._event(session)

    def _count(self, sample: Sample) -> float:
        """Energy since the last sample, by one counter a session; both are followed."""
        by_session_wh = self._session_counter.growth_wh(sample.session_energy_wh, sample.at_ms)
        by_meter_wh = self._meter.growth_wh(sample.meter_wh, sample.at_ms)
        return (by_meter_wh if self._by_meter else by_session_wh) or 0.0

    def _event(self, session: _Open) -> Session:
        ended = session.phase is SessionPhase.ENDED
        return Session(
            session_id=session.session_id, connector=self._connector, driver=self._driver, phase=session.phase,
            status=session.status, plugged_at_ms=session.plugged_at_ms, started_at_ms=session.started_at_ms,
            ended_at_ms=session.measured_at_ms if ended else None, energy_wh=round(session.energy_wh, 3),
            meter_start_wh=session.meter_start_wh, meter_wh=session.meter_wh, badge=session.badge,
            measured_at_ms=session.measured_at_ms,
        )  # fmt: skip
