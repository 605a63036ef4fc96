"""What day and time it is on the simulated site. Twin time 0 is the start; the site's wall clock decides the rest."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


class Almanac:
    """Turns twin seconds into the site's local and universal time, changes of time included."""

    def __init__(self, day: date, start_local: time, timezone: str) -> None:
        self.day = day
        self.zone = ZoneInfo(timezone)
        self._start = datetime.combine(day, start_local, self.zone).astimezone(UTC)

    @property
    def utc_start_ms(self) -> int:
        """UTC of twin time 0."""
        return round(self._start.timestamp() * 1000)

    def utc(self, now_s: float) -> datetime:
        return self._start + timedelta(seconds=now_s)

    def local(self, now_s: float) -> datetime:
        return self.utc(now_s).astimezone(self.zone)

    def twin_s(self, local: datetime) -> float:
        """Twin time of a wall-clock time of the site (naive: the site's)."""
        return (local.replace(tzinfo=self.zone).astimezone(UTC) - self._start).total_seconds()
