"""What the site check needs to know of a device package; the catalogue itself stands one layer above.

`busbar.devices` may import `busbar.config`, not the other way round. So the facts are a value of this module, made by
a lookup that is handed in; the default one finds the catalogue by name, as `busbar.registry` finds services.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from busbar.domain.limits import REACTION_TIME_S
from busbar.units import DC_START_W, MIN_CURRENT_A, THREE_PHASE_V


@dataclass(frozen=True, slots=True)
class PhaseSwitch:
    """How a device is switched between one and three phases (SPC-20)."""

    at_zero: bool = True
    """Nothing may flow meanwhile; False: it sees to that itself."""
    settle_s: float = 0.0
    """For so long after its read-back it may still be switching."""


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """Facts of one device package. `fallback_a` is what the device does by itself when it hears nothing (FB-3). Of a DC
    charger, which is set in W, currents are those of a balanced load at 230 V (`busbar.units.THREE_PHASE_V`)."""

    device_class: str
    fallback_a: float | Literal["settable", "by_hand", "unknown"] = "settable"
    """`by_hand`: set on the device by its installer, it can only be read."""
    fallback_low_a: float = 0.0
    """Smallest fallback value that the device takes, where it is settable."""
    zero_allowed: bool = True
    """False: the device cannot do 0 A, its smallest current is `pause_a` (FC-2)."""
    declared_pause_a: float | None = None
    """What pauses a device that cannot do 0 A; None: nothing does, it draws at least `minimum_a`."""
    zero_releases: bool = False
    """0 A withdraws the charging release: toggling it may wake a vehicle."""
    minimum_a: float = MIN_CURRENT_A
    step_a: float = 1.0
    """Setpoints are whole multiples of it."""
    reaction_s: float = REACTION_TIME_S
    watchdog_s: float | None = None
    """Fixed watchdog time of the device; None: written from the site file, or there is none."""
    watchdog_range_s: tuple[float, float] | None = None
    on_silence: Literal["zero", "free", "unknown"] = "unknown"
    """What a device set in W does by itself when it hears nothing: stops, or gives all that it can."""
    phase_switch: PhaseSwitch | None = None
    """None: it cannot be switched, or nothing shows whether it did."""
    instances: tuple[int, int] = (1, 1)
    unit_id: int = 1
    proven: bool = True

    @property
    def pause_a(self) -> float:
        """What it draws at most when it is paused: it is booked with it from plug-in (SPC-11)."""
        if self.zero_allowed:
            return 0.0
        return self.minimum_a if self.declared_pause_a is None else self.declared_pause_a


class UnknownPackageError(Exception):
    """No usable device package of that name; the text says why."""


PackageLookup = Callable[[str], PackageFacts]
"""From a package id (or path) of the site file to its facts. Raises UnknownPackageError."""


def catalogue(base: Path | None = None) -> PackageLookup:
    """Lookup in the catalogue that comes with Busbar; packages given as a path are relative to `base`."""
    module: Any = importlib.import_module("busbar.devices.catalog")

    def look_up(name: str) -> PackageFacts:
        try:
            return facts_of(module.load_package(name, base))
        except module.PackageError as exc:
            raise UnknownPackageError(" ".join(str(exc).split())) from exc

    return look_up


def known_packages() -> list[str]:
    """Ids of the catalogue."""
    module: Any = importlib.import_module("busbar.devices.catalog")
    ids: list[str] = module.catalog_ids()
    return ids


def facts_of(package: Any) -> PackageFacts:
    """The facts of a `busbar.devices.package.DevicePackage`."""
    device, instances, watchdog = package.device, package.device.instances, package.watchdog
    dc = device.kind == "dc_charger"
    command = package.commands.get("set_power" if dc else "set_current")
    per_a = THREE_PHASE_V if dc else 1.0
    step = (command.step if command and dc else None) or per_a
    lowest = command.range[0] if command else 0.0
    pause = command.pause if command else None
    settable_low = (watchdog.fallback_range or (0.0, 0.0))[0] if watchdog else 0.0
    return PackageFacts(
        device_class=device.kind,
        fallback_a=_fallback_a(package, per_a),
        fallback_low_a=settable_low / per_a,
        zero_allowed=command is None or command.zero != "forbidden",
        declared_pause_a=None if pause is None else pause / per_a,
        zero_releases=command is not None and command.zero == "withdraws_release",
        minimum_a=math.ceil((lowest or DC_START_W) / step) * step / per_a if dc else max(MIN_CURRENT_A, lowest),
        step_a=step / per_a,
        reaction_s=device.reaction_s,
        watchdog_s=watchdog.timeout_s if watchdog and not watchdog.timeout_point else None,
        watchdog_range_s=watchdog.timeout_range_s if watchdog and watchdog.timeout_point else None,
        on_silence=_on_silence(watchdog),
        phase_switch=_phase_switch(package),
        instances=(instances.min, instances.max) if instances else (1, 1),
        unit_id=package.transport.unit_id,
        proven=package.proven,
    )


def _fallback_a(package: Any, per_a: float) -> float | Literal["settable", "by_hand", "unknown"]:
    watchdog = package.watchdog
    if watchdog is None or watchdog.mechanism == "none":
        return "unknown"
    if watchdog.fallback_point in package.points:
        return "settable" if "w" in package.points[watchdog.fallback_point].access else "by_hand"
    return watchdog.fallback_value / per_a if isinstance(watchdog.fallback_value, float | int) else "unknown"


def _phase_switch(package: Any) -> PhaseSwitch | None:
    command = package.commands.get("set_phases")
    if command is None or command.verify is None:
        return None
    return PhaseSwitch(at_zero=command.at_zero, settle_s=command.settle_s)


def _on_silence(watchdog: Any) -> Literal["zero", "free", "unknown"]:
    """A device with a fallback point is told 0 W, if it takes that."""
    if watchdog is None or watchdog.mechanism == "none":
        return "unknown"
    if watchdog.fallback_value == "free":
        return "free"
    low, high = watchdog.fallback_range or (0.0, 0.0)
    stops = low <= 0.0 <= high if watchdog.fallback_point else watchdog.fallback_value == 0
    return "zero" if stops else "unknown"
