"""The site file as it is written (SC-1): one pydantic model, from which the published JSON Schema is generated.

Shape and types are checked here; everything that needs two entries at once (references, loops, sizes, the fallback
plan) is checked by `busbar.config.check`. Phases of anything that hangs on a collector are that collector's conductors:
`phases: [L2, L3, L1]` means that its own L1 is fed by the collector's L2; `[L2]` is a single-phase connection.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

FORMAT = "busbar-site/1"

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""An id: it becomes part of a subject, so letters, digits, '_' and '-' only."""
PhaseName = Literal["L1", "L2", "L3"]
Phases = Annotated[list[PhaseName], Field(min_length=1, max_length=3)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FuseKind = Literal["gG", "mcb_b", "mcb_c", "mcb_d", "adjustable", "electronic"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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


class Connector(Model):
    """One outlet of a charge point: what is measured, set and reported."""

    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    collector: Token
    """The collector it hangs on."""
    instance: Annotated[int, Field(ge=1, le=12)] = 1
    """Number of the outlet inside its device."""
    phases: Phases = ["L1", "L2", "L3"]
    """Conductors of its collector behind its own L1, L2, L3."""
    max_current_a: Annotated[float, Field(ge=6, le=500)] = 32.0
    """What outlet and cable may carry, per phase."""
    weight: Positive = 1.0
    """Share of scarce power against others."""


class AcChargePoint(Model):
    """One AC charge point with its connectors."""

    kind: Literal["ac_charge_point"]
    """`ac_charge_point`."""
    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    device: Token
    """The device that is asked and told."""
    connectors: Annotated[list[Connector], Field(min_length=1, max_length=12)]
    """Its outlets."""
    watchdog_s: Annotated[float, Field(ge=5, le=600)] = 30.0
    """Silence after which the device goes to its fallback value by itself (FB-3)."""
    fallback_a: NotNegative | None = None
    """Fallback current that the installer has set, on a device where it can only be read: the plan counts on it and the
    driver checks it. None: 6. Where it can be written the fallback plan decides."""
    book_at_max_when_lost: bool = False
    """Explicit choice for a device whose watchdog cannot be verified."""


class Meter(Model):
    """An energy meter: of a collector, or of an asset."""

    kind: Literal["meter"]
    """`meter`."""
    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    device: Token
    """The device that is read."""
    phases: Phases = ["L1", "L2", "L3"]
    """Conductors of the metered thing behind the meter's inputs: a rotation states a known mis-wiring."""
    reversed: bool = False
    """Current transformers point the wrong way: the sign is turned once, in the driver."""
    poll_ms: Annotated[int, Field(ge=50, le=60000)] = 200
    """Time between two readings."""


class Load(Model):
    """An uncontrollable load with its own meter (a building)."""

    kind: Literal["load"]
    """`load`."""
    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    collector: Token
    """The collector it hangs on."""
    device: Token | None = None
    """Its meter; None: it is not measured (at most one such in the region of a collector's meter, SPC-15)."""
    phases: Phases = ["L1", "L2", "L3"]
    """Conductors of its collector behind its own L1, L2, L3."""
    max_current_a: NotNegative
    """Worst case per phase; used by the fallback plan."""
    poll_ms: Annotated[int, Field(ge=50, le=60000)] = 1000
    """Time between two readings."""


class Pv(Model):
    """A PV system: one connection to one Modbus server, whatever stands behind it."""

    kind: Literal["pv"]
    """`pv`."""
    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    collector: Token
    """The collector it feeds into."""
    device: Token
    """The device that is asked and told."""
    phases: Phases = ["L1", "L2", "L3"]
    """Conductors of its collector behind its own L1, L2, L3."""
    rated_power_w: Positive
    """Largest active power, all phases together."""
    poll_ms: Annotated[int, Field(ge=50, le=60000)] = 1000
    """Time between two readings."""


Asset = Annotated[AcChargePoint | Meter | Load | Pv, Field(discriminator="kind")]


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
