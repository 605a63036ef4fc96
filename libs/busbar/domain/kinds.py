"""Asset kinds and the standard vocabulary of their telemetry (FC-1): one table a kind, whatever the brand.

A point's name is the quantity, then the phase, then the unit: `current_l1_a`. A device package declares
`current_l1` with unit `A`; `vocabulary_name` joins them. Points outside the table are extra values: carried
everywhere (FC-6), never used for control.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AssetKind(StrEnum):
    AC_CONNECTOR = "ac_connector"
    DC_CONNECTOR = "dc_connector"
    METER = "meter"
    LOAD = "load"
    PV = "pv"
    WIND = "wind"
    CHP = "chp"
    BATTERY = "battery"
    HEAT_PUMP = "heat_pump"
    E_BOILER = "e_boiler"
    THERMAL_STORAGE = "thermal_storage"


UNIT_SUFFIX: Final = {
    "V": "v", "A": "a", "W": "w", "VA": "va", "var": "var", "Wh": "wh", "VAh": "vah", "varh": "varh",
    "Hz": "hz", "s": "s", "%": "percent", "degC": "degc",
}  # fmt: skip


def vocabulary_name(name: str, unit: str) -> str:
    """Name of a point on the wire: its package name with the unit's suffix; unitless points keep their name."""
    suffix = UNIT_SUFFIX.get(unit)
    return f"{name}_{suffix}" if suffix else name


_ELECTRICAL: Final = (
    "voltage_l1_v", "voltage_l2_v", "voltage_l3_v",
    "current_l1_a", "current_l2_a", "current_l3_a", "current_n_a",
    "power_l1_w", "power_l2_w", "power_l3_w", "power_w",
    "reactive_power_l1_var", "reactive_power_l2_var", "reactive_power_l3_var", "reactive_power_var",
    "apparent_power_va", "power_factor", "frequency_hz", "energy_import_wh", "energy_export_wh",
)  # fmt: skip
_CONNECTOR: Final = (
    *_ELECTRICAL,
    "status", "status_raw", "rfid", "vehicle_id", "soc_percent", "capacity_wh", "session_energy_wh",
    "actual_limit_current_a", "setpoint_current_a", "cable_current_a", "max_current_a", "release", "availability",
    "fallback_current_a", "watchdog_timeout_s", "watchdog_remaining_s", "error_code", "temperature_degc",
)  # fmt: skip
_GENERATOR: Final = (
    *_ELECTRICAL, "dc_power_w", "power_limit_percent", "run_state", "rated_power_w", "setpoint_power_w",
    "available_power_w",
)  # fmt: skip
_STORAGE: Final = (
    *_ELECTRICAL, "soc_percent", "soh_percent", "capacity_wh", "setpoint_power_w", "run_state", "max_charge_power_w",
    "max_discharge_power_w", "watchdog_timeout_s",
)  # fmt: skip

VOCABULARY: Final[dict[AssetKind, tuple[str, ...]]] = {
    AssetKind.AC_CONNECTOR: _CONNECTOR,
    AssetKind.DC_CONNECTOR: (*_CONNECTOR, "dc_voltage_v", "dc_current_a", "dc_power_w", "setpoint_power_w"),
    AssetKind.METER: _ELECTRICAL,
    AssetKind.LOAD: _ELECTRICAL,
    AssetKind.PV: _GENERATOR,
    AssetKind.WIND: _GENERATOR,
    AssetKind.CHP: _GENERATOR,
    AssetKind.BATTERY: _STORAGE,
    AssetKind.HEAT_PUMP: (*_ELECTRICAL, "run_state", "temperature_degc", "setpoint_power_w"),
    AssetKind.E_BOILER: (*_ELECTRICAL, "run_state", "temperature_degc", "setpoint_power_w"),
    AssetKind.THERMAL_STORAGE: _STORAGE,
}
"""Standard points a kind may report; which are mandatory depends on the device (FC-2)."""
