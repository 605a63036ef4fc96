"""The seam between physics and simulated devices: plain state, one object for each thing made of copper.

Physics (`busbar.sim.physics`) writes what nature decides; device models (`busbar.sim.devices`) write what the
electronics decide. Per-phase values stand in the *device's own* frame (its L1 first). Consumption positive.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Triple = list[float]
"""[L1, L2, L3], mutable."""


def _zeros() -> Triple:
    return [0.0, 0.0, 0.0]


def _nominal() -> Triple:
    return [230.0, 230.0, 230.0]


@dataclass(slots=True)
class EvsePort:
    """One outlet of a charger. The device model owns the first part, physics the second."""

    id: str
    max_current_a: float = 32.0
    # written by the device model
    offered_a: float = 0.0
    """Current announced by the pilot's duty cycle; below 6 A nothing may be drawn."""
    available: bool = True
    """False: out of service (pilot F)."""
    phases: int = 3
    """Conductors that its contactors close, L1 first."""
    # written by physics
    plugged: bool = False
    wants_current: bool = False
    """The vehicle has closed its switch (IEC 61851 state C) because it wants current and is offered at least 6 A."""
    fault: bool = False
    cable_a: float = 32.0
    badge: str = ""
    plugged_since_s: float = 0.0
    current_a: Triple = field(default_factory=_zeros)
    power_w: Triple = field(default_factory=_zeros)
    reactive_var: Triple = field(default_factory=_zeros)
    voltage_v: Triple = field(default_factory=_nominal)
    energy_wh: float = 0.0
    """Life-long counter of the built-in meter."""
    session_energy_wh: float = 0.0
    """Since plug-in."""


@dataclass(slots=True)
class DcPort:
    """One outlet of a DC charging station: a rectifier on three conductors, and what hangs on its cable."""

    id: str
    max_power_w: float = 50_000.0
    """AC side."""
    # written by the device model
    offered_w: float = 0.0
    """What the station lets it take, AC side; 0: its contactors are open."""
    # written by physics
    plugged: bool = False
    ready: bool = False
    """The vehicle has shaken hands and wants energy."""
    full: bool = False
    """It has what its driver wanted."""
    fault: bool = False
    badge: str = ""
    plugged_since_s: float = 0.0
    soc_percent: float = 0.0
    vehicle_max_w: float = 0.0
    """The most it would take now, DC side."""
    dc_voltage_v: float = 0.0
    dc_power_w: float = 0.0
    current_a: Triple = field(default_factory=_zeros)
    """AC side, like all per-phase values."""
    power_w: Triple = field(default_factory=_zeros)
    reactive_var: Triple = field(default_factory=_zeros)
    voltage_v: Triple = field(default_factory=_nominal)
    energy_wh: float = 0.0
    """Life-long counter of the meter on the DC side."""
    session_energy_wh: float = 0.0
    """Since plug-in, DC side."""

    @property
    def dc_current_a(self) -> float:
        return self.dc_power_w / self.dc_voltage_v if self.dc_voltage_v else 0.0


@dataclass(slots=True)
class MeterPort:
    """What a meter's terminals see: signed powers, RMS currents (never negative)."""

    id: str
    voltage_v: Triple = field(default_factory=_nominal)
    current_a: Triple = field(default_factory=_zeros)
    power_w: Triple = field(default_factory=_zeros)
    reactive_var: Triple = field(default_factory=_zeros)
    energy_import_wh: float = 0.0
    energy_export_wh: float = 0.0
    frequency_hz: float = 50.0


@dataclass(slots=True)
class PvPort:
    """A PV inverter. The device model writes the limit, physics what the sun gives under it."""

    id: str
    rated_power_w: float = 10_000.0
    limit_fraction: float = 1.0
    """Written by the device model: 1.0 = not curtailed."""
    asked_var: float | None = None
    """Written by the device model: reactive power with our sign, all phases together; None: its own choice."""
    available_w: float = 0.0
    """What the sun would give without the limit, as a magnitude."""
    voltage_v: Triple = field(default_factory=_nominal)
    current_a: Triple = field(default_factory=_zeros)
    power_w: Triple = field(default_factory=_zeros)
    """Negative: production."""
    reactive_var: Triple = field(default_factory=_zeros)
    energy_export_wh: float = 0.0


@dataclass(slots=True)
class BatteryPort:
    """A battery system. The device model writes the setpoint, physics what comes of it."""

    id: str
    capacity_wh: float = 60_000.0
    max_charge_w: float = 30_000.0
    max_discharge_w: float = 30_000.0
    setpoint_w: float = 0.0
    """Written by the device model."""
    stored_wh: float = 30_000.0
    tripped: bool = False
    voltage_v: Triple = field(default_factory=_nominal)
    current_a: Triple = field(default_factory=_zeros)
    power_w: Triple = field(default_factory=_zeros)
    """Positive: charging."""
    reactive_var: Triple = field(default_factory=_zeros)
    energy_import_wh: float = 0.0
    energy_export_wh: float = 0.0
    frequency_hz: float = 50.0

    @property
    def soc_percent(self) -> float:
        return 100.0 * self.stored_wh / self.capacity_wh


@dataclass
class Plant:
    """Everything made of copper on one site, by entity id."""

    evses: dict[str, EvsePort] = field(default_factory=dict)
    dc_outlets: dict[str, DcPort] = field(default_factory=dict)
    meters: dict[str, MeterPort] = field(default_factory=dict)
    pvs: dict[str, PvPort] = field(default_factory=dict)
    batteries: dict[str, BatteryPort] = field(default_factory=dict)

    def counters_wh(self) -> dict[str, float]:
        """Life-long counter of each connector's own meter (of a DC one on its DC side)."""
        counters = {name: port.energy_wh for name, port in self.evses.items()}
        return counters | {name: port.energy_wh for name, port in self.dc_outlets.items()}
