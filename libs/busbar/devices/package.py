"""Device packages as data (FC-5), format `device-package/1`: the models from which the JSON schema is generated.

A package describes one register map. It holds no expressions, templates or scripts: whatever a driver does with it is
one of the operators named here. Shape and types are checked here; what needs two entries at once (references, overlaps,
golden vectors) by `busbar.devices.lint`; both by `busbar.devices.catalog.load_package`.

Addresses are 0-based protocol addresses, decimal, with the table apart. Point names have no unit: the codec joins name
and unit into the vocabulary's name (`current_l1` in A becomes `current_l1_a`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, field_validator

from busbar.devices.transport import Table
from busbar.domain.charging import Status

FORMAT = "device-package/1"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
Address = Annotated[int, Field(ge=0, le=65535, strict=True)]
UnitId = Annotated[int, Field(ge=0, le=255, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
WordOrder = Literal["big", "little"]
"""big: most significant register first (ABCD); little: least significant register first (CDAB)."""
EngineeringUnit = Literal["", "V", "A", "W", "VA", "var", "Wh", "VAh", "varh", "Hz", "s", "%", "degC"]

TYPE_PATTERN = r"^(u16|i16|u32|i32|u64|i64|f32|f64|bool|acc32|acc64|sunssf|str\[[1-9]\d{0,2}\]|hex\[[1-9]\d{0,2}\])$"
_WIDTHS = {
    "u16": 1, "i16": 1, "bool": 1, "sunssf": 1,
    "u32": 2, "i32": 2, "f32": 2, "acc32": 2,
    "u64": 4, "i64": 4, "f64": 4, "acc64": 4,
}  # fmt: skip


def register_count(kind: str) -> int:
    """Registers that a value of the point type occupies (coils and discrete inputs: one bit)."""
    fixed = _WIDTHS.get(kind)
    return fixed if fixed else int(kind[4:-1])


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Proof(Model):
    """Who else says that the map is right; a package without any is unproven and read-only unless forced."""

    kind: Literal["independent_client", "captured_frames", "vendor_table"]
    what: Text


class PackageInfo(Model):
    """Identity and provenance."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=64)]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
    sources: Annotated[list[Text], Field(min_length=1)]
    confidence: Annotated[int, Field(ge=0, le=3)]
    """3: vendor document and an independent implementation agree; 2: two implementations; 1: one; 0: they disagree."""
    proven_by: list[Proof] = []
    notes: list[Text] = []
    """Quirks, disagreements between sources and what has to be set on the device, in words."""


class Instances(Model):
    """Several outlets behind one connection: by address stride, by unit id, or both."""

    min: Annotated[int, Field(ge=0)] = 1
    max: Annotated[int, Field(ge=1, le=255)]
    stride: Annotated[int, Field(ge=0, le=65535)] = 0
    """Address of an instance point = its address + base + instance * stride."""
    base: int = 0
    unit_stride: Annotated[int, Field(ge=0, le=255)] = 0
    """Other than 0: unit id of an instance point = unit_base + instance * unit_stride."""
    unit_base: int = 0
    count_point: Name | None = None
    """Point that says how many there are."""


DeviceClass = Literal[
    "ac_charger", "dc_charger", "meter", "pv_inverter", "wind_turbine", "chp", "battery", "heat_pump", "e_boiler",
    "thermal_storage",
]  # fmt: skip


class DeviceInfo(Model):
    """What the package is for."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: DeviceClass = Field(alias="class")
    vendor: Text
    models: Annotated[list[Text], Field(min_length=1)]
    firmware: Text | None = None
    reaction_s: Annotated[float, Field(gt=0, le=300)] = 15.0
    """Time after which a setpoint shows in what the device draws (FC-2)."""
    instances: Instances | None = None


class Serial(Model):
    baudrate: Annotated[int, Field(ge=300, le=1_000_000)] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1


class TransportInfo(Model):
    """What the wire and the device's server can take."""

    kinds: Annotated[list[Literal["tcp", "rtu", "rtu_over_tcp"]], Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit_id: UnitId = 1
    word_order: WordOrder
    """Mandatory: it is never implied. A point may override it; it is never applied to strings."""
    serial: Serial | None = None
    connect_delay_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    request_spacing_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = 1000
    max_read_registers: Annotated[int, Field(ge=1, le=125)] = 125
    max_write_registers: Annotated[int, Field(ge=1, le=123)] = 123
    max_gap: Annotated[int, Field(ge=0, le=124)] = 0
    """Registers that nobody asked for and that may be read to join two points into one block, inside one range."""
    max_clients: Annotated[int, Field(ge=1)] | None = None
    idle_timeout_s: Annotated[float, Field(gt=0)] | None = None
    """The device closes a connection that was silent for so long."""


class Range(Model):
    """Registers that can be read together; a block never crosses the edge of one. None at all: no restriction."""

    table: Table
    start: Address
    end: Address
    """Last register, inclusive."""
    scope: Literal["device", "instance"] = "device"
    unit_id: UnitId | None = None
    whole: bool = False
    """Read as one block whatever is asked of it: one coherent snapshot."""


class Group(Model):
    """Points that are polled together. `fast`, `slow`, `identity` by convention; `fast` is what control needs."""

    period_ms: Annotated[int, Field(ge=50)]
    stale_after_ms: Annotated[int, Field(ge=50)] | None = None
    """None: three periods."""
    max_age_for_control_ms: Annotated[int, Field(ge=50)] | None = None
    """None: three periods."""
    once: bool = False
    """Read once a connect instead of periodically."""


class Counter(Model):
    """A value that only grows."""

    wraps_at: Annotated[float, Field(gt=0)] | None = None
    may_reset: bool = False


class Point(Model):
    """One value of the device."""

    table: Table = "holding"
    address: Address
    scope: Literal["device", "instance"] = "device"
    unit_id: UnitId | None = None
    """Modbus unit, where it is not the device's or the instance's."""
    type: Annotated[str, StringConstraints(pattern=TYPE_PATTERN)]
    group: Name
    unit: EngineeringUnit = ""
    """Unit after scaling."""
    word_order: WordOrder | None = None
    byte_order: WordOrder = "big"
    encoding: Literal["ascii", "utf-8", "latin-1", "utf-16-be"] = "ascii"
    mask: Annotated[int, Field(gt=0)] | None = None
    shift: Annotated[int, Field(ge=0, le=63)] = 0
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Engineering value = sign * (raw * scale * 10^scale_point + offset)."""
    offset: Number = 0.0
    scale_point: Name | None = None
    """Point holding a power of ten, read in the same block (SunSpec)."""
    sign: Literal[1, -1] = 1
    """-1 turns the device's sign into ours: consumption positive. Stated on every power of a class that generates."""
    enum: dict[str, Text] = {}
    """Raw number -> name; the value is then the name, an unknown number its digits."""
    map: dict[str, Status] = {}
    """Raw text, number or enum name -> canonical status (FC-3); what is not listed is unknown."""
    bits: dict[Annotated[str, StringConstraints(pattern=r"^\d{1,2}$")], Name] = {}
    """Bit number, 0-based -> name; the value is then the names of the set bits, joined by commas."""
    na: list[int | float | str] = []
    """Raw values that mean not available; checked before scaling. NaN always does."""
    valid: tuple[Number, Number] | None = None
    """Outside: published as out_of_range, never used for control."""
    max_step: Annotated[float, Field(gt=0)] | None = None
    """A larger change from one poll to the next is published as suspect."""
    counter: Counter | None = None
    access: Literal["r", "w", "rw"] = "r"
    optional: bool = False
    """Absent on some firmware: refusing it is no error."""
    internal: bool = False
    """Needed for others (a scale factor), not published."""
    note: Text | None = None

    @field_validator("map", mode="before")
    @classmethod
    def _canonical(cls, value: object) -> object:
        """Names what is allowed: the enum's own error lists python members."""
        if isinstance(value, dict):
            for raw, status in value.items():
                if status not in tuple(Status):
                    raise ValueError(f"{raw!r} maps to {status!r}: use one of {', '.join(Status)}")
        return value

    @property
    def registers(self) -> int:
        return register_count(self.type)

    @property
    def is_text(self) -> bool:
        return self.type.startswith(("str", "hex"))

    @property
    def signed_type(self) -> bool:
        return self.type in ("i16", "i32", "i64", "sunssf")


class Derived(Model):
    """A value computed from others of the same group, by one of a closed list of operators.

    sum, diff, neg, mul (by `factor`, then plus `offset`), first_available; mask_shift (bits of a number); map (text of
    one value); pair_map (`map` has keys "first,second"; no such pair: the first passes through); if_enabled (the first
    while the second, a switch, is 1, else not available); limit_of (limit, whole, switch: `factor` x limit x whole
    while the switch is 1, else the whole with the sign of `factor`: nothing is limited); part_of (share, whole, switch:
    `factor` x share x whole while the switch is 1, else not available).
    """

    op: Literal[
        "sum", "diff", "neg", "mul", "first_available", "mask_shift", "map", "pair_map", "if_enabled", "limit_of",
        "part_of",
    ]  # fmt: skip
    args: Annotated[list[Name], Field(min_length=1, max_length=16)]
    unit: EngineeringUnit = ""
    factor: Number = 1.0
    offset: Number = 0.0
    mask: Annotated[int, Field(gt=0)] | None = None
    shift: Annotated[int, Field(ge=0, le=63)] = 0
    map: dict[str, Text] = {}


class Step(Model):
    """One write of a command. Without `value`, `by_model` and `arg` it writes the command's own value."""

    write: Name
    value: Number | None = None
    by_model: dict[Annotated[str, StringConstraints(pattern=r"^\d{1,5}$")], Number] = {}
    """The value by the SunSpec model in which the point was found, where models number the same thing differently."""
    arg: Name | None = None
    fc: Literal[5, 6, 15, 16] | None = None
    """None: FC6 for one register, FC16 for several."""
    join: bool = False
    """In the same FC16 as the step before; the points must be adjacent."""


class Verify(Model):
    """How to see that a command took: another point than the one written where the device has one."""

    point: Name
    within_ms: Annotated[int, Field(ge=100)]
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    one_sided: bool = False
    """True for upper limits: an actual value below (a 20 A cable) is applied, above is not."""


class Share(Model):
    """For a device that takes a share of a rating where the command is in W: written = factor x value / point."""

    of: Name
    """Point that holds the whole, as read from the device."""
    factor: Number
    """-100: in percent, production positive on the device."""


class Command(Model):
    """Something a device can be told. Never a raw register: a range, a step, a rhythm and a way to verify."""

    unit: EngineeringUnit = ""
    range: tuple[Number, Number]
    zero: Literal["allowed", "pauses", "withdraws_release", "forbidden"] = "allowed"
    """What 0 does, also where it lies outside `range`. forbidden: `pause`, or without one the smallest value of `range`
    is sent instead."""
    pause: Annotated[float, Field(gt=0)] | None = None
    """Where 0 is forbidden: what pauses the device, below `range` (SPC-11)."""
    step: Annotated[float, Field(gt=0)] | None = None
    round: Literal["down", "nearest", "to_zero"] = "down"
    share: Share | None = None
    """`range`, `step` and `round` are then those of what is written; `verify` is in the command's unit."""
    min_interval_ms: Annotated[int, Field(ge=0)] = 0
    refresh: bool = False
    """Repeat while active, see the watchdog."""
    at_zero: bool = False
    """Told only while nothing flows: who is charging is paused for it (SPC-20)."""
    settle_s: Annotated[float, Field(ge=0, le=120)] = 0.0
    """For so long after its read-back the device may still be carrying it out."""
    steps: Annotated[list[Step], Field(min_length=1, max_length=16)]
    verify: Verify | None = None


class Heartbeat(Model):
    point: Name
    value: Number
    toggle: bool = False
    """Alternate between `value` and 0."""


class Watchdog(Model):
    """What the device does when its controller falls silent, and what keeps it from doing so."""

    mechanism: Literal["none", "any_traffic", "any_write", "rewrite_setpoint", "heartbeat_register"]
    timeout_point: Name | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    """Fixed or factory-set time, where no point carries it."""
    timeout_range_s: tuple[Number, Number] | None = None
    """What the timeout point takes."""
    fallback_point: Name | None = None
    fallback_value: Annotated[float, Field(ge=0)] | Literal["unknown", "free"] | None = None
    """Fixed value (A or W), or unknown: then the device is booked at its maximum whenever it is lost. free: a generator
    goes back to all that it can give."""
    fallback_range: tuple[Number, Number] | None = None
    """What the fallback point takes."""
    remaining_point: Name | None = None
    heartbeat: Heartbeat | None = None
    refresh_factor: Annotated[float, Field(gt=0, le=0.5)] = 0.33
    """Share of the timeout after which the control side refreshes."""


class Bind(Model):
    """A vocabulary point taken from the first SunSpec model that has it."""

    from_: Annotated[list[Annotated[str, StringConstraints(pattern=r"^\d+:[A-Za-z0-9_]+$")]], Field(min_length=1)] = (
        Field(alias="from")
    )
    """`model:point`, in order of preference."""
    group: Name
    unit: EngineeringUnit = ""
    sign: Literal[1, -1] = 1
    valid: tuple[Number, Number] | None = None
    max_step: Annotated[float, Field(gt=0)] | None = None
    counter: Counter | None = None
    optional: bool = True

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SunSpec(Model):
    """Points are found by walking the model chain of the device (`busbar.devices.sunspec.discover`)."""

    base: Annotated[list[Address], Field(min_length=1, max_length=8)] = [40000, 50000, 0]
    bind: Annotated[dict[Name, Bind], Field(min_length=1)]


class Detect(Model):
    """The device is the right one if this text point starts with `match` (after `(?i)`: in whatever case).

    Only words, no operators of regular expressions: a pattern from a foreign package could keep a driver busy for ever
    (devices.md 20).
    """

    point: Name
    match: Annotated[str, StringConstraints(pattern=r"^(\(\?i\))?\^?[A-Za-z0-9][A-Za-z0-9 _/-]*$", max_length=64)]


class Vector(Model):
    """Raw words and what they must decode to: checked whenever the package is loaded."""

    table: Table = "holding"
    address: Address
    """On the wire, strides included."""
    instance: Annotated[int, Field(ge=0, le=255)] = 1
    words: Annotated[list[Annotated[int, Field(ge=0, le=65535)]], Field(min_length=1, max_length=600)]
    expect: Annotated[dict[str, float | str | None], Field(min_length=1)]
    """By vocabulary name, after sign and scale."""
    source: Text


class DevicePackage(Model):
    """One device package."""

    format: Literal["device-package/1"]
    package: PackageInfo
    device: DeviceInfo
    transport: TransportInfo
    groups: Annotated[dict[Name, Group], Field(min_length=1)]
    ranges: list[Range] = []
    detect: list[Detect] = []
    sunspec: SunSpec | None = None
    points: dict[Name, Point] = {}
    derived: dict[Name, Derived] = {}
    commands: dict[Name, Command] = {}
    watchdog: Watchdog | None = None
    vectors: list[Vector] = []

    _digest: str = PrivateAttr(default="")
    """Digest of the package in the catalogue, where this one was resolved from it (SunSpec)."""

    @property
    def proven(self) -> bool:
        """False: nobody but us says that the map is right; never write unless forced."""
        return bool(self.package.proven_by)

    @property
    def needs_discovery(self) -> bool:
        """True until `busbar.devices.sunspec.discover` has found the points on the device."""
        return self.sunspec is not None
