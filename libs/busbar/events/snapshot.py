"""The consistent, numbered picture of the site on which the allocator decides (architecture.md, How data flows).

Everything per phase stands in the **grid connection's frame**: index 0 is the root's L1.
"""

from __future__ import annotations

from busbar.domain.charging import Status
from busbar.domain.kinds import AssetKind
from busbar.events.base import Event, UtcMs
from busbar.units import PhaseVector


class CollectorSample(Event):
    """One collector at the common instant."""

    collector: str
    valid: bool
    """Monitoring is usable: measured, or virtual with all parts known, and younger than the fallback timeout."""
    age_ms: int
    """Age of its oldest input at `taken_at_ms`; a large number where it was never seen."""
    power_w: PhaseVector
    """Newest measured (or calculated) active power."""
    reactive_power_var: PhaseVector
    background_w: PhaseVector
    """What is not allocated below: meter minus controllable connectors at one common instant (UCL and PV)."""
    background_var: PhaseVector
    generation_w: PhaseVector
    """Part of the background that is generation (<= 0): its credit is limited (algorithms.md, UCL)."""


class ConnectorSample(Event):
    """One AC connector."""

    connector: str
    status: Status | None
    """None: unknown or never seen."""
    reachable: bool
    age_ms: int
    """Age of the newest sample at `taken_at_ms`; a large number where it was never seen."""
    sampled_at_ms: UtcMs
    """Time of that sample: a read-back younger than a setpoint confirms it."""
    current_a: PhaseVector
    """Measured RMS per phase, root frame."""
    power_w: PhaseVector
    reactive_power_var: PhaseVector
    voltage_v: PhaseVector
    limit_a: float | None
    """Limit in force, read back from the device; None where it was never read."""
    fallback_a: float | None
    """Fallback value read back from the device; None: unverified."""
    watchdog_s: float | None
    """Watchdog time read back from the device; None: unverified."""
    phases: int | None = None
    """1 or 3: conductors that its outlet is switched to, read back; None: not read, or never switched."""
    session_id: str | None = None
    session_energy_wh: float = 0.0
    plugged_at_ms: UtcMs = 0


class AssetSample(Event):
    """Any other asset: its active and reactive power per phase, and what it says of itself where it does."""

    asset: str
    kind: AssetKind
    reachable: bool
    age_ms: int
    power_w: PhaseVector
    reactive_power_var: PhaseVector
    sampled_at_ms: UtcMs = 0
    """Time of the sample: a read-back younger than a setpoint confirms it."""
    setpoint_w: float | None = None
    """Power setpoint in force, read back; None where it was never read."""
    soc_percent: float | None = None
    """State of charge; None: unknown, and then neither charged nor discharged."""
    max_charge_w: float | None = None
    """What it says it can take now; None: what the site file says."""
    max_discharge_w: float | None = None
    """What it says it can give now, as a magnitude."""
    available_power_w: float | None = None
    """What a generator could give now without curtailment, as a magnitude; None: unknown."""
    frequency_hz: float | None = None


class SiteSnapshot(Event):
    """Published each second and at once on a guard event. Collectors depth first, connectors in site order."""

    number: int
    taken_at_ms: UtcMs
    published_at_ms: UtcMs
    lifetime_ms: int
    fingerprint: str
    """Of the site configuration it was made for: an allocator with another one does not use it."""
    guard: tuple[str, ...] = ()
    """Collectors whose raw measurement is above a limit right now: the reason for an extra snapshot."""
    collectors: tuple[CollectorSample, ...]
    connectors: tuple[ConnectorSample, ...]
    assets: tuple[AssetSample, ...] = ()
