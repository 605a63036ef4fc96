"""Who comes when: one real day of a car park replayed on the site's connectors.

Rule: arrivals, departures and energies are those of ACN-Data (`data/SOURCES.md`), their wall-clock times taken as the
site's. Each arrival takes the first free connector in an order shuffled by the seed; who finds none is turned away.
The assignment depends on the data and the seed alone, never on what control does. A vehicle wants what the record says
it got, and a vehicle is drawn for it that can take that in the time it stayed.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from busbar.sim.almanac import Almanac
from busbar.sim.chance import stream

DATA: Final = Path(__file__).parent / "data"
_MONTH: Final = date(2019, 9, 1)

Mood = Literal["normal", "full", "timer"]
"""How the vehicle comes: wanting current, already full, or waiting for its own timer."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One vehicle at one connector; times in twin seconds (negative: before the start)."""

    connector: str
    session: str
    arrive_s: float
    depart_s: float
    need_wh: float
    """What the vehicle takes in all, from the wall."""
    requested_wh: float
    """What its driver typed in."""
    done_wh: float = 0.0
    """Taken before the start of the simulation."""
    mood: Mood = "normal"
    phases: int | None = None
    """Force a vehicle with this number of phases; None: any."""
    timer_s: float = 0.0

    @property
    def badge(self) -> str:
        return badge_of(self.session)


@dataclass(frozen=True, slots=True)
class Record:
    """One session as published."""

    session: str
    arrival: datetime
    departure: datetime
    delivered_wh: float
    requested_wh: float


def badge_of(session: str) -> str:
    """A made-up badge for a session: seven bytes as badges have them, the first a chip maker's."""
    return "04" + hashlib.sha256(session.encode()).hexdigest()[:12].upper()


@lru_cache(maxsize=1)
def _records() -> Mapping[date, tuple[Record, ...]]:
    """All published sessions by day of arrival, in order of arrival. Read once; immutable."""
    days: dict[date, list[Record]] = {}
    with (DATA / "acn_caltech_2019-09.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            record = Record(
                row["session"],
                datetime.fromisoformat(row["arrival_local"]),
                datetime.fromisoformat(row["departure_local"]),
                float(row["delivered_wh"]),
                float(row["requested_wh"]),
            )
            days.setdefault(record.arrival.date(), []).append(record)
    return {day: tuple(sorted(found, key=lambda r: (r.arrival, r.session))) for day, found in days.items()}


def day_with_data(day: date) -> date:
    """The day itself in September 2019; else the n-th same weekday of that month, n from the day of the month."""
    if (day.year, day.month) == (_MONTH.year, _MONTH.month):
        return day
    first = _MONTH + timedelta((day.weekday() - _MONTH.weekday()) % 7)
    return first + timedelta(7 * (((day.day - 1) // 7) % 4))


def records_of(day: date) -> tuple[Record, ...]:
    """The published sessions replayed on `day`, with their own dates."""
    return _records().get(day_with_data(day), ())


class Schedule:
    """All visits of a site, one day after the other, handed out in order of arrival."""

    def __init__(self, connectors: Sequence[str], almanac: Almanac, seed: int, staged: Sequence[Visit] = ()) -> None:
        self._almanac = almanac
        self._seed = seed
        self._connectors = list(connectors)
        self._next_day = almanac.day
        self._busy_until_s = {name: float("-inf") for name in connectors}
        self.turned_away: list[str] = []
        """Sessions that found no free connector."""
        self._replays_from_s = float("-inf")
        self._queue: list[Visit] = sorted(staged, key=lambda visit: (visit.arrive_s, visit.connector))
        for visit in staged:
            self._busy_until_s[visit.connector] = visit.depart_s
            self._replays_from_s = 0.0
        self._read_day()

    def due(self, now_s: float) -> Iterator[Visit]:
        """Visits that begin at or before `now_s`, each once, in order."""
        while self._queue and self._queue[0].arrive_s <= now_s:
            yield self._queue.pop(0)
        while self._almanac.local(now_s + 60.0).date() >= self._next_day:
            self._read_day()

    @property
    def next_s(self) -> float:
        """When `due` should be asked again, at the latest."""
        midnight_s = self._almanac.twin_s(datetime.combine(self._next_day, datetime.min.time())) - 60.0
        return min(midnight_s, self._queue[0].arrive_s) if self._queue else midnight_s

    def _read_day(self) -> None:
        day = self._next_day
        self._next_day = day + timedelta(1)
        order = list(self._connectors)
        stream(self._seed, "connectors", day.isoformat()).shuffle(order)
        shift = day - day_with_data(day)
        for record in records_of(day):
            visit = self._place(record, shift, order)
            if visit is not None:
                self._queue.append(visit)

    def _place(self, record: Record, shift: timedelta, order: Sequence[str]) -> Visit | None:
        arrive_s = self._almanac.twin_s(record.arrival + shift)
        depart_s = self._almanac.twin_s(record.departure + shift)
        if depart_s <= 0.0 or arrive_s < self._replays_from_s:
            return None
        session = record.session if not shift else f"{record.session}+{shift.days}d"
        for name in order:
            if self._busy_until_s[name] + _GAP_S <= arrive_s:
                self._busy_until_s[name] = depart_s
                visit = Visit(name, session, arrive_s, depart_s, record.delivered_wh, record.requested_wh)
                return _under_way(visit) if arrive_s < 0.0 else visit
        self.turned_away.append(session)
        return None


_GAP_S: Final = 30.0
"""Between a departure and the next plug at the same connector."""


def _under_way(visit: Visit) -> Visit:
    """A visit that began before the start: its energy is taken in proportion to the time gone."""
    gone = -visit.arrive_s / (visit.depart_s - visit.arrive_s)
    return replace(visit, done_wh=visit.need_wh * gone)


def stage(connectors: Sequence[str], seed: int) -> list[Visit]:
    """Something to see at once (`make run`): vehicles in every state, one connector in eight free."""
    chance = stream(seed, "stage")
    visits: list[Visit] = []
    for index, name in enumerate(connectors):
        role = _ROLES[index % len(_ROLES)]
        if role is None:
            continue
        stay_s = chance.uniform(2.0, 5.0) * 3600.0
        visits.append(
            replace(role, connector=name, session=f"staged-{seed}-{name}", depart_s=stay_s, timer_s=role.timer_s)
        )
    return visits


_ROLES: Final[tuple[Visit | None, ...]] = (
    Visit("", "", -4000.0, 0.0, 26_000.0, 30_000.0, done_wh=9_000.0, phases=3),
    Visit("", "", -7000.0, 0.0, 14_000.0, 20_000.0, done_wh=5_000.0, phases=1),
    Visit("", "", -15000.0, 0.0, 12_500.0, 15_000.0, done_wh=12_500.0, mood="full"),
    Visit("", "", -1200.0, 0.0, 11_000.0, 12_000.0, done_wh=800.0, phases=2),
    Visit("", "", -2.0, 0.0, 18_000.0, 25_000.0, phases=3),
    Visit("", "", -900.0, 0.0, 16_000.0, 16_000.0, mood="timer", timer_s=1200.0, phases=3),
    None,
    Visit("", "", -300.0, 0.0, 32_000.0, 60_000.0, phases=3),
)
"""By connector: charging on 3 phases, on 1, full, charging on 2, just plugged, waiting for its timer, free, empty."""
