"""How people write times on the command line: durations as `90s`, `30m`, `1h30m`; instants as `14:30` or ISO 8601."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, time
from typing import Final
from zoneinfo import ZoneInfo

from busbar.cli.common import end

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def duration_s(text: str, option: str) -> float:
    """Seconds of `1h30m`. Ends the command where it is no duration above 0."""
    parts = _PART.findall(text)
    total_s = math.fsum(float(value) * _SECONDS[unit] for value, unit in parts)
    if "".join(value + unit for value, unit in parts) != text or not 0.0 < total_s <= 3650 * 86_400.0:
        end(f"{option} {text!r} is no duration: write a number with s, m, h or d, as 90s, 30m, 2h or 1h30m")
    return total_s


def instant(text: str, option: str, zone: ZoneInfo, day: datetime) -> datetime:
    """UTC of an instant: ISO 8601 (without offset: the site's time), or a time of the site's `day`.

    Ends the command where it is neither."""
    try:
        if len(text) <= 8 and ":" in text:
            found = datetime.combine(day.astimezone(zone).date(), time.fromisoformat(text))
        else:
            found = datetime.fromisoformat(text)
    except ValueError:
        end(f"{option} {text!r} is no time: write 14:30, 14:30:05 or 2026-01-31T14:30 (site's time zone, {zone.key})")
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000.0, UTC)


def local_text(ms: int, zone: ZoneInfo) -> str:
    """`2026-01-31 14:30:05.123` in the site's time."""
    return utc(ms).astimezone(zone).replace(tzinfo=None).isoformat(" ", "milliseconds")


def left_text(left_ms: int) -> str:
    """Time that is left, as a person says it: `45 s`, `12 min`, `2 h 05 min`."""
    left_s = math.ceil(max(left_ms, 0) / 1000.0)
    if left_s < 60:
        return f"{left_s} s"
    hours, minutes = divmod(left_s // 60, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
