"""Simulated devices by the id of the device package that drives them; the maps are written apart from the packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from busbar.sim.devices.alfen import AlfenStation
from busbar.sim.devices.alpitronic import Hypercharger
from busbar.sim.devices.base import SimDevice
from busbar.sim.devices.charx import CharxController
from busbar.sim.devices.eem import EemEm3xx
from busbar.sim.devices.sdm630 import Sdm630
from busbar.sim.devices.sunspec import SunSpecInverter
from busbar.sim.devices.sunspec_battery import SunSpecBattery
from busbar.sim.plant import BatteryPort, DcPort, EvsePort, MeterPort, PvPort

CHARGERS: Final[Mapping[str, Callable[[str, Mapping[int, EvsePort]], SimDevice]]] = {
    "phoenix-charx-sec3xxx": CharxController,
    "alfen-ng9xx": AlfenStation,
}
DC_CHARGERS: Final[Mapping[str, Callable[[str, Mapping[int, DcPort]], SimDevice]]] = {
    "alpitronic-hypercharger": Hypercharger
}
METERS: Final[Mapping[str, Callable[[str, MeterPort], SimDevice]]] = {
    "eastron-sdm630": Sdm630,
    "phoenix-eem-em3xx": EemEm3xx,
}
INVERTERS: Final[Mapping[str, Callable[[str, PvPort], SimDevice]]] = {"sunspec-pv-inverter": SunSpecInverter}
BATTERIES: Final[Mapping[str, Callable[[str, BatteryPort], SimDevice]]] = {"sunspec-der-battery": SunSpecBattery}


def build_device(
    package: str,
    device_id: str,
    *,
    evses: Mapping[int, EvsePort] | None = None,
    meter: MeterPort | None = None,
    pv: PvPort | None = None,
    battery: BatteryPort | None = None,
    outlets: Mapping[int, DcPort] | None = None,
) -> SimDevice:
    """The simulated counterpart of a device package over the ports it measures and drives (`evses` and the
    DC `outlets` by instance).

    Raises ValueError, naming the packages there are, for one that has no simulated device or got the wrong port.
    """
    if package in CHARGERS and evses:
        return CHARGERS[package](device_id, evses)
    if package in DC_CHARGERS and outlets:
        return DC_CHARGERS[package](device_id, outlets)
    if package in METERS and meter is not None:
        return METERS[package](device_id, meter)
    if package in INVERTERS and pv is not None:
        return INVERTERS[package](device_id, pv)
    if package in BATTERIES and battery is not None:
        return BATTERIES[package](device_id, battery)
    known = ", ".join(sorted([*CHARGERS, *DC_CHARGERS, *METERS, *INVERTERS, *BATTERIES]))
    raise ValueError(
        f"device '{device_id}': nothing simulates package '{package}' with these ports; there are: {known}"
    )


__all__ = [
    "AlfenStation",
    "CharxController",
    "EemEm3xx",
    "Hypercharger",
    "Sdm630",
    "SimDevice",
    "SunSpecBattery",
    "SunSpecInverter",
    "build_device",
]
