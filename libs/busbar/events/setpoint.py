"""What an asset is told, and why (SPC-17)."""

from __future__ import annotations

from enum import StrEnum

from busbar.events.base import Event, UtcMs


class ReasonCode(StrEnum):
    """The bound that made a setpoint. Causal: without it, and what `also` names, the setpoint would be higher."""

    ROW = "row"
    """A fuse: collector, phase and side."""
    POWER_LIMIT = "power_limit"
    """A limit in W or VA, with its source."""
    RAMP = "ramp"
    CAP = "cap"
    """At most 5 A above the measured current."""
    DEVICE = "device"
    CABLE = "cable"
    VEHICLE = "vehicle"
    MANUAL = "manual"
    ADVICE = "advice"
    PAUSED = "paused"
    """Not all minima fit: paused with a rank."""
    START_BUDGET = "start_budget"
    FALLBACK = "fallback"
    STALE = "stale"
    """A value needed to raise anything is too old."""
    UNREACHABLE = "unreachable"
    NO_VEHICLE = "no_vehicle"
    """Free connector: its standing value."""
    OUT_OF_SERVICE = "out_of_service"
    EXPORT_LIMIT = "export_limit"
    """Injection limit of a collector, with its source."""
    TARGET = "target"
    """A power to be reached at a collector, with its source."""
    QUARTER_PEAK = "quarter_peak"
    """What is left of the quarter of an hour (SPC-19)."""
    IMBALANCE = "imbalance"
    """Difference between two phases of a collector (SPC-23)."""
    SURPLUS = "surplus"
    """PV surplus mode: what would be exported (SPC-20)."""
    PHASE_SWITCH = "phase_switch"
    """It is changing between one and three phases."""
    POWER_TEST = "power_test"
    MODE = "mode"
    """Its mode asks for no more; `source` names the mode (peak_shaving, self_consumption, droop, idle ...)."""
    SOC = "soc"
    """The state-of-charge window, or a state of charge that is not known."""
    RELEASE = "release"
    """A limit has widened or ended: a generator is released slowly (SPC-12)."""
    MINIMUM_ON = "minimum_on"
    MINIMUM_OFF = "minimum_off"
    WAKING = "waking"
    """The vehicle took no current after a pause: its release is taken back for a moment."""
    STARTING = "starting"
    """The allocator has just taken over and keeps what the device does."""


class Binding(Event):
    """One bound that keeps a setpoint from its next step."""

    code: ReasonCode
    collector: str | None = None
    phase: str | None = None
    """Conductor of that collector: L1, L2 or L3."""
    side: str | None = None
    """`import` or `export`."""
    source: str | None = None
    """Who set the limit, advice, fallback or manual value."""
    rank: int | None = None
    """1 = the first to be paused."""
    value: float | None = None
    """The bound's value, in the unit of the setpoint."""


class Reason(Binding):
    """Every bound that the next step would break: the first is the one to tell a person about."""

    also: tuple[Binding, ...] = ()
    """Bind at the same time: the setpoint moves only when all of them are relaxed."""


class Setpoint(Event):
    """Repeated each cycle; a driver obeys it for its lifetime, holds, then falls back (failure.md)."""

    asset: str
    driver: str
    epoch: int
    seq: int
    """Grows within an epoch per asset; a driver obeys nothing that is not newer."""
    published_at_ms: UtcMs
    lifetime_ms: int
    current_a: float | None = None
    """Maximum current per phase for a connector: 0 or at least 6 A."""
    power_w: float | None = None
    """For an asset that is set in W: consumption positive. A generator may go so far: -20000 allows 20 kW, 0 = off."""
    reactive_power_var: float | None = None
    """Reactive power for an inverter; null: its own choice."""
    phases: int | None = None
    """1 or 3 for a connector that can switch; null: as it is."""
    reason: Reason
    snapshot: int
    """Number of the snapshot it was decided on."""
