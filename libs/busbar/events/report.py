"""What leaves the site (DG-1)."""

from __future__ import annotations

from busbar.domain.kinds import AssetKind
from busbar.events.base import Event, UtcMs
from busbar.events.session import SessionPhase


class EnergyReport(Event):
    """Energy of one asset or collector over one period."""

    entity: str
    kind: AssetKind | None
    """None: a collector."""
    start_ms: UtcMs
    end_ms: UtcMs
    energy_import_wh: float
    energy_export_wh: float
    published_at_ms: UtcMs


class Transaction(Event):
    """One step of a charge transaction: Started, Updated, SuspendedEV, Ended."""

    event_id: str
    session_id: str
    connector: str
    phase: SessionPhase
    energy_wh: float
    badge: str | None = None
    measured_at_ms: UtcMs
