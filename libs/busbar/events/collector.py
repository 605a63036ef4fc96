"""State of one collector, for pages, gateway and history."""

from __future__ import annotations

from busbar.domain.quality import Quality
from busbar.events.base import Event, UtcMs
from busbar.units import ZERO, PhaseVector


class Sums(Event):
    """Active power per phase in W by kind below the collector, in the collector's own frame (SPC-16)."""

    ucl_w: PhaseVector | None = None
    """Uncontrollable load = meter - all kinds below; None where a part is unknown. Unfiltered."""
    pv_w: PhaseVector = ZERO
    ac_w: PhaseVector = ZERO
    dc_w: PhaseVector = ZERO
    bess_w: PhaseVector = ZERO
    wind_w: PhaseVector = ZERO
    chp_w: PhaseVector = ZERO
    heat_w: PhaseVector = ZERO


class CollectorState(Event):
    """Measured or calculated state of one collector, in its own frame (its L1 first)."""

    collector: str
    measured_at_ms: UtcMs
    lifetime_ms: int
    virtual: bool
    quality: Quality
    current_a: PhaseVector | None
    """RMS per phase, signed like the active power; None where unknown."""
    power_w: PhaseVector | None
    reactive_power_var: PhaseVector | None
    sums: Sums
    free_connectors: int
    reserve_a: float
    limit_a: PhaseVector
    """Rating minus total reserve."""
