"""Assets of the site file: what is measured and controlled (FC-1, SC-1). Consumption positive, production negative."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from busbar.config.base import Model, NotNegative, Phases, Positive, Token

Weight = Annotated[float, Field(ge=0.01, le=100)]
Priority = Annotated[int, Field(ge=0, le=9)]


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
    weight: Weight = 1.0
    """Share of scarce power against others of the same priority."""
    priority: Priority = 0
    """At scarcity a lower one comes down to its minimum, and is paused, before a higher one is touched (SPC-24)."""
    surplus: Literal["off", "minimum", "only"] = "off"
    """PV surplus mode (SPC-20). `minimum`: 6 A plus what would be exported; `only`: that alone."""
    phase_switching: Literal["off", "auto"] = "off"
    """`auto`: charges on one phase where three have not enough, if its package can switch (SPC-20)."""
    phase_dwell_s: Annotated[float, Field(ge=60, le=86400)] = 600.0
    """Least time between two switches of phases: contactors and vehicles wear."""


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


class DcConnector(Model):
    """One outlet of a DC charge point. On the AC side it is a balanced load of three phases."""

    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    collector: Token
    """The collector it hangs on; it needs all three conductors."""
    instance: Annotated[int, Field(ge=1, le=12)] = 1
    """Number of the outlet inside its device."""
    max_power_w: Annotated[float, Field(ge=1000, le=2e6)]
    """Largest power that it draws from the grid, all phases together."""
    min_power_w: Annotated[float, Field(ge=1000, le=1e5)] | None = None
    """Smallest power at which it charges; None: what its package says, else 5 kW. Never below the package's."""
    weight: Weight = 1.0
    """Share of scarce power against others of the same priority."""
    priority: Priority = 0
    """At scarcity a lower one comes down to its minimum, and is paused, before a higher one is touched (SPC-24)."""

    @property
    def phases(self) -> Phases:
        """Always all three."""
        return ["L1", "L2", "L3"]


class DcChargePoint(Model):
    """One DC charge point with its outlets (SPC-11). A cabinet whose power its outlets share is a collector of its own
    with `power_limit_w`."""

    kind: Literal["dc_charge_point"]
    """`dc_charge_point`."""
    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    device: Token
    """The device that is asked and told."""
    connectors: Annotated[list[DcConnector], Field(min_length=1, max_length=12)]
    """Its outlets."""
    watchdog_s: Annotated[float, Field(ge=5, le=600)] = 30.0
    """Silence after which the device goes to its fallback value by itself (FB-3)."""
    book_at_max_when_lost: bool = False
    """Explicit choice for a device whose watchdog cannot be verified."""


ChargePoint = AcChargePoint | DcChargePoint


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


Percent = Annotated[float, Field(ge=0, le=100)]
BatteryMode = Literal["peak_shaving", "self_consumption", "advice", "droop"]


class _Hanging(Model):
    """Any other asset: one connection to one server, whatever stands behind it."""

    id: Token
    """Unique in the whole file."""
    name: str = ""
    """For people."""
    collector: Token
    """The collector it hangs on."""
    device: Token
    """The device that is asked and told."""
    phases: Phases = ["L1", "L2", "L3"]
    """Conductors of its collector behind its own L1, L2, L3."""
    poll_ms: Annotated[int, Field(ge=50, le=60000)] = 1000
    """Time between two readings."""


class _Feeding(_Hanging):
    rated_power_w: Positive
    """Largest active power, all phases together, as a magnitude."""


class _Switched(Model):
    min_on_s: NotNegative = 0.0
    """Once on it stays on for so long."""
    min_off_s: NotNegative = 0.0
    """Once off it stays off for so long."""


class _Heating(_Hanging, _Switched):
    """Consumers that make heat: in steps or modulated (SPC-14)."""

    rated_power_w: Positive
    """Largest electric power, all phases together."""
    steps_w: list[Positive] = []
    """Powers it can be switched to besides 0; empty: any power between `min_power_w` and `rated_power_w`, or 0."""
    min_power_w: NotNegative = 0.0
    """Smallest power while it runs, where it is modulated."""
    follows: Literal["always", "surplus"] = "always"
    """`always`: runs by itself and is turned down at scarcity only. `surplus`: runs on power that would be exported."""


class Pv(_Feeding):
    """A PV system: one connection to one Modbus server, whatever stands behind it."""

    kind: Literal["pv"]
    """`pv`."""
    reactive_power_max_var: NotNegative = 0.0
    """Reactive power it may be asked for in either direction (SPC-12); 0: none."""


class Wind(_Feeding):
    """A wind turbine."""

    kind: Literal["wind"]
    """`wind`."""


class Chp(_Feeding, _Switched):
    """Combined heat and power: on or off in steps, or a power setpoint, whatever its package declares (SPC-14)."""

    kind: Literal["chp"]
    """`chp`."""
    min_power_w: NotNegative = 0.0
    """Smallest power while it runs."""


class Droop(Model):
    """Power by grid frequency (SPC-13): full discharge at nominal - `full_hz`, full charge at nominal + `full_hz`."""

    power_w: Positive
    """Power at full deviation."""
    deadband_hz: NotNegative = 0.01
    """Nothing within it."""
    full_hz: Positive = 0.2
    """Deviation at which all of `power_w` is given."""
    nominal_hz: Literal[50, 60] = 50
    """Frequency of the grid."""


class Battery(_Hanging):
    """A battery system behind one connection to one Modbus server (SPC-13)."""

    kind: Literal["battery"]
    """`battery`."""
    capacity_wh: Positive
    """Usable energy between 0 and 100 %."""
    max_charge_w: Positive
    """Largest charging power."""
    max_discharge_w: Positive
    """Largest discharging power, as a magnitude."""
    soc_min_percent: Percent = 10.0
    """Never discharged below, in every mode."""
    soc_max_percent: Percent = 95.0
    """Never charged above, in every mode."""
    peak_soc_percent: Percent = 20.0
    """Below it only peak shaving discharges."""
    modes: list[BatteryMode] = ["peak_shaving", "self_consumption", "advice"]
    """What it may be used for; in the order of algorithms.md, not of this list."""
    droop: Droop | None = None
    """Frequency droop; needs `droop` in `modes`."""
    watchdog_s: Annotated[float, Field(ge=5, le=600)] = 60.0
    """Silence after which the device stops charging and discharging by itself (FB-3)."""

    @model_validator(mode="after")
    def _window(self) -> Battery:
        if not self.soc_min_percent <= self.peak_soc_percent <= self.soc_max_percent:
            raise ValueError(
                "soc_min_percent, peak_soc_percent and soc_max_percent must not fall: "
                f"{self.soc_min_percent:g}, {self.peak_soc_percent:g}, {self.soc_max_percent:g}"
            )
        if ("droop" in self.modes) != (self.droop is not None):
            raise ValueError("`droop` in modes and `droop:` with its figures belong together")
        return self


class HeatPump(_Heating):
    """A heat pump."""

    kind: Literal["heat_pump"]
    """`heat_pump`."""


class EBoiler(_Heating):
    """An electric boiler."""

    kind: Literal["e_boiler"]
    """`e_boiler`."""


class ThermalStorage(_Heating):
    """A store of heat or cold with its own electric heater or chiller."""

    kind: Literal["thermal_storage"]
    """`thermal_storage`."""
    capacity_wh: Positive
    """Electric energy from empty to full."""


Flexible = Pv | Wind | Chp | Battery | HeatPump | EBoiler | ThermalStorage
"""What the allocator sets besides connectors: in W, consumption positive."""
Hanging = Load | Flexible
"""What hangs on a collector by itself."""


def rated_power_w(asset: Flexible) -> float:
    """Largest active power as a magnitude, in either direction."""
    return max(asset.max_charge_w, asset.max_discharge_w) if isinstance(asset, Battery) else asset.rated_power_w


def power_range_w(asset: Flexible) -> tuple[float, float]:
    """Lowest and highest active power, consumption positive: a generator's -rated to 0, a consumer's 0 to rated."""
    match asset:
        case Battery():
            return -asset.max_discharge_w, asset.max_charge_w
        case Pv() | Wind() | Chp():
            return -asset.rated_power_w, 0.0
        case _:
            return 0.0, asset.rated_power_w
