"""What a driver read from one entity in one poll."""

from __future__ import annotations

from pydantic import Field

from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events.base import Event, UtcMs


class Measurement(Event):
    """All points of one connector, meter or other asset, read in one cycle (FC-1, FC-7).

    `points` maps vocabulary names (`busbar.domain.kinds`) and extra values to numbers or texts; a point that is not
    available is None. `quality` lists only what is not good: a point missing there is good.
    """

    asset: str
    driver: str
    kind: AssetKind
    seq: int
    measured_at_ms: UtcMs
    """When the reply arrived (the oldest block of the poll)."""
    lifetime_ms: int
    """Age after which the values are stale (3 x the poll interval)."""
    reachable: bool = True
    """False: the device does not answer; all points are then comm_fail."""
    package: str = ""
    """Device package as `id@version#hash`."""
    points: dict[str, float | str | None] = Field(default_factory=dict)
    quality: dict[str, Quality] = Field(default_factory=dict)

    def number(self, name: str) -> float | None:
        """The point's value where control may use it (good quality, a number), else None."""
        if name in self.quality:
            return None
        value = self.points.get(name)
        return value if isinstance(value, float | int) else None

    def text(self, name: str) -> str | None:
        """The point's text where its quality is good, else None."""
        value = self.points.get(name)
        return value if isinstance(value, str) and name not in self.quality else None
