"""The site file as it is written (SC-1): one pydantic model, from which the published JSON Schema is generated.

Shape and types are checked here; everything that needs two entries at once (references, loops, sizes, the fallback
plan) is checked by `busbar.config.check`. Phases of anything that hangs on a collector are that collector's conductors:
`phases: [L2, L3, L1]` means that its own L1 is fed by the collector's L2; `[L2]` is a single-phase connection.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from busbar.config.assets import (
    AcChargePoint,
    Battery,
    Chp,
    DcChargePoint,
    EBoiler,
    HeatPump,
    Load,
    Meter,
    Pv,
    ThermalStorage,
    Wind,
)
from busbar.config.base import FuseKind, Model, NotNegative, Phases, Positive, Token

FORMAT = "busbar-site/1"


class SiteInfo(Model):
    """Who and where."""

    id: Token
    """Stands in every subject: `busbar.v1.{site}...`."""
    name: str = ""
    """For people."""
    timezone: str = "Europe/Brussels"
    """IANA name; for people, all times inside are UTC."""
    network: Literal["tn_400", "it_230"] = "tn_400"
    """`tn_400`: three phases and neutral. `it_230` (three phases without neutral) is refused until its load matrix is
    built."""


class LostMeter(Model):
    """What to do with the consumers below when the collector's monitoring is silent or invalid (FB-2)."""

    action: Literal["disable", "minimum", "ignore_lost_meter"] = "minimum"
    """`disable`: 0 A. `minimum`: at most `value_a`. `ignore_lost_meter`: work on with the worst case of what is not
    controlled, which must then be stated."""
    value_a: NotNegative = 6.0
    """Upper bound per connector for `minimum`: 0 or at least 6."""
    timeout_s: Positive = 30.0
    """Silence after which it applies; at least three polls of the meter."""


class Virtual(Model):
    """A collector without a meter of its own (SPC-15)."""

    unmetered_load_a: NotNegative
    """Worst case per phase of what hangs here without a meter; 0 must be said, not left out."""


class CollectorFile(Model):
    """One fused node: a fuse, a feeder, a transformer (SC-2)."""

    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    parent: Token | None = None
    """None for exactly one collector: the grid connection."""
    rated_current_a: Positive | Annotated[list[Positive], Field(min_length=3, max_length=3)]
    """Rating of the fuse, one number or one per own phase."""
    fuse: FuseKind = "gG"
    """Kind of protection: decides how long an excess is borne."""
    power_limit_w: Positive | None = None
    """Optional limit of the active power of all phases together, in both directions."""
    power_limit_va: Positive | None = None
    """Optional limit of a transformer, in both directions."""
    export_limit_w: NotNegative | None = None
    """Fixed injection limit, as a magnitude (SPC-12): 0 = nothing is injected."""
    quarter_hour_peak_w: Positive | None = None
    """Limit of the 15-minute mean of import (SPC-19, capacity tariff)."""
    imbalance_limit_a: Positive | None = None
    """Largest difference between two phases that charging may cause or widen (SPC-23)."""
    cos_phi: Annotated[float, Field(gt=0, le=1)] | None = None
    """Least power factor to be held here by reactive setpoints to the inverters below (SPC-12)."""
    phases: Phases = ["L1", "L2", "L3"]
    """The parent's conductors that feed this collector's L1, L2, L3."""
    meter: Token | None = None
    """Asset of kind `meter` that measures this collector; None needs `virtual`."""
    virtual: Virtual | None = None
    """Instead of a meter: its currents are calculated from what hangs below (SPC-15)."""
    monitored_only: bool = False
    """Watched but not protected (SC-3 counts)."""
    fixed_reserve_a: NotNegative = 0.0
    """Kept free on every phase (SPC-5); the larger of both reserves counts."""
    dynamic_reserve_connectors: Annotated[int, Field(ge=0, le=3)] = 0
    """So many free connectors get 6 A kept free for the next vehicle (SPC-5)."""
    unmetered_load_a: NotNegative = 0.0
    """Metered collectors: worst case per phase of load that has no asset of its own; used by the fallback plan."""
    on_lost_meter: LostMeter = LostMeter()
    """What to do when the monitoring of this collector is silent or invalid (FB-2)."""


class Device(Model):
    """One protocol endpoint."""

    id: Token
    """Unique in the whole file."""
    package: str
    """Id of a device package of the catalogue, or a path ending in .yaml."""
    host: str
    """Host name or IP address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    """TCP port."""
    unit_id: Annotated[int, Field(ge=0, le=255)] | None = None
    """None: what the package says."""
    driver: Token | None = None
    """Driver shard; None: the controller's first one for the protocol."""
    simulated: bool = False
    """True where the device is played by the twin; its address must then be loopback."""


Asset = Annotated[
    AcChargePoint | DcChargePoint | Meter | Load | Pv | Wind | Chp | Battery | HeatPump | EBoiler | ThermalStorage,
    Field(discriminator="kind"),
]


class DriverShard(Model):
    """One running field driver: the devices that one process asks."""

    id: Token
    """Stands in the subjects of its telemetry and setpoints."""
    protocol: Literal["modbus"] = "modbus"
    """What its devices speak."""


class Controller(Model):
    """One machine that runs services: one master, any number of slaves (MC-1)."""

    id: Token
    """Unique in the whole file."""
    role: Literal["master", "slave"] = "master"
    """Exactly one is the master: it decides for all."""
    drivers: Annotated[list[DriverShard], Field(min_length=1)] = [DriverShard(id="modbus-1")]
    """Its driver shards; a device without `driver` belongs to the first one of the first controller."""


class FallbackRule(Model):
    """When `trigger` is silent for `timeout_s`, bound what hangs below `collector` (FB-2)."""

    id: Token
    """Unique in the whole file."""
    trigger: str
    """`meter:ID`, `service:NAME`, `controller:ID`."""
    timeout_s: Positive = 30.0
    """Silence after which it applies."""
    collector: Token
    """Everything that hangs below is bounded."""
    action: Literal["disable", "minimum"]
    """`disable`: 0 A. `minimum`: at most `value_a`."""
    value_a: NotNegative = 6.0
    """Upper bound per connector for `minimum`: 0 or at least 6."""


SurplusKind = Literal["vehicles", "batteries", "heat"]
YieldKind = Literal["batteries", "heat", "vehicles"]


class Options(Model):
    """Site-wide behaviour; every default is the requirement's."""

    cycle_ms: Annotated[int, Field(ge=200, le=10000)] = 1000
    """Time between two allocations; what is above a limit is answered at once."""
    ramp_a_per_min: Annotated[float, Field(gt=0, le=1)] = 1.0
    """May only be made stricter than 1 A a minute (SPC-4)."""
    cap_above_measured_a: Annotated[float, Field(gt=0, le=5)] = 5.0
    """May only be made stricter than 5 A (SPC-4)."""
    rotation_min: Annotated[int, Field(ge=1, le=240)] = 15
    """How often it is decided anew who is paused (SPC-3)."""
    starts_per_hour: Annotated[int, Field(ge=1, le=60)] = 4
    """At most so many starts of one vehicle an hour."""
    reserve_yields: bool = False
    """True: running 6 A sessions may use the dynamic part of a reserve."""
    battery_supports_ev: bool = False
    """True: batteries discharge to make room for vehicles behind a limit."""
    target_may_pause: bool = False
    """True: a target may pause vehicles, not only bring them down to 6 A."""
    surplus_order: list[SurplusKind] = ["vehicles", "batteries", "heat"]
    """Who takes what would be exported, first to last: each kind once (SPC-24)."""
    yield_order: list[YieldKind] = ["batteries", "heat", "vehicles"]
    """Who gives way at scarcity, first to last: each kind once; batteries with what they charge (SPC-24)."""
    fallback_timeout_s: Annotated[float, Field(ge=6, le=300)] = 30.0
    """Age of the newest setpoint after which a driver goes to the fallback plan (FB-3)."""


class SiteFile(Model):
    """One site (SC-1)."""

    format: Literal["busbar-site/1"]
    """`busbar-site/1`."""
    site: SiteInfo
    """Who and where."""
    collectors: Annotated[list[CollectorFile], Field(min_length=1)]
    """The tree of fuses."""
    devices: list[Device] = []
    """Everything with an address."""
    assets: list[Asset] = []
    """What is measured and controlled."""
    controllers: Annotated[list[Controller], Field(min_length=1)] = [Controller(id="main")]
    """The machines that run the services."""
    fallback_rules: list[FallbackRule] = []
    """What is bounded when something falls silent."""
    options: Options = Options()
    """Site-wide behaviour."""

    @field_validator("format", mode="before")
    @classmethod
    def _format(cls, value: object) -> object:
        if value != FORMAT:
            raise ValueError(f"this version reads format '{FORMAT}'")
        return value
