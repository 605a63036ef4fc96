"""A grid operator's command and its confirmation (PCU-1, PCU-5)."""

from __future__ import annotations

from busbar.events.base import Event, UtcMs


class GridCommand(Event):
    rtu: str
    collector: str
    import_limit_w: float | None = None
    export_limit_w: float | None = None
    reactive_power_var: float | None = None
    cos_phi: float | None = None
    trip: bool = False
    released: bool = False
    confirmed: bool = False
    published_at_ms: UtcMs
