"""One DC outlet with whatever stands there: rectifier, vehicle, counters (SPC-11).

    plugged --handshake--> ready --offer--> charging --what its driver wanted--> full --> leaves

The vehicle's battery decides: it takes what the station offers up to its own power, which falls off in a line from 80 %
of charge on. Power rises with a slope and falls faster. The rectifier loads its three conductors equally: 95 % of that
reaches the vehicle, and 100 W are used beside it, also while nobody is there. Whoever is full drives away.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from busbar.sim.fleet import models
from busbar.sim.plant import DcPort
from busbar.sim.sessions import Visit
from busbar.units import clamp

EFFICIENCY: Final = 0.95
"""Of the rectifier, without its standby."""
STANDBY_W: Final = 100.0
"""Of each outlet, while its supply is there."""
TAPERS_FROM: Final = 0.8
"""State of charge."""
TAPERED: Final = 0.15
"""Part of its power that it still takes when it is full to the brim."""
_RISE_W_PER_S: Final = 8_000.0
"""20 A/s at 400 V."""
_FALL_W_PER_S: Final = 40_000.0
_SMALLEST_BATTERY_WH: Final = 28_000.0
"""Plug-in hybrids below it have no DC inlet."""
_BRIM: Final = 0.97
"""Nobody waits for more at a fast charger."""
_LEAVES_S: Final = 300.0
"""From the end of charging to the departure."""


@dataclass(frozen=True, slots=True)
class DcModel:
    """A car with its DC inlet."""

    name: str
    battery_wh: float
    max_power_w: float
    pack_v: float
    """Voltage of its battery at half charge."""
    handshake_s: float
    """From the plug, or the return of the supply, to the first current: cable check and pre-charge."""


def draw_dc_model(visit: Visit, rng: random.Random) -> DcModel:
    """A real car whose battery holds what the visit needs; its DC power is drawn from 0.9 to 1.7 times its capacity."""
    cars = [car for group in models().values() for car in group]
    able = [car for car in cars if car.battery_wh >= max(_SMALLEST_BATTERY_WH, 1.1 * visit.need_wh)]
    car = rng.choice(able) if able else max(cars, key=lambda one: one.battery_wh)
    power_w = round(clamp(rng.uniform(0.9, 1.7) * car.battery_wh, 40_000.0, 250_000.0), -3)
    return DcModel(
        car.name, car.battery_wh, power_w, 720.0 if rng.random() < 0.15 else 380.0, rng.uniform(15.0, 40.0)
    )  # fmt: skip


class DcVehicle:
    """The battery behind the inlet: what it holds, wants and takes."""

    __slots__ = ("_soc_at_plug", "_wanted_wh", "left_wh", "model", "ready_s", "stopped", "visit")

    def __init__(self, model: DcModel, visit: Visit, rng: random.Random, now_s: float) -> None:
        self.model = model
        self.visit = visit
        self._wanted_wh = min(visit.need_wh, 0.9 * model.battery_wh)
        room = _BRIM - self._wanted_wh / model.battery_wh
        self._soc_at_plug = min(rng.uniform(0.05, 0.55), room)
        done_wh = self._wanted_wh if visit.mood == "full" else min(visit.done_wh, self._wanted_wh)
        self.left_wh = self._wanted_wh - done_wh
        self.stopped = False
        """Its driver has ended the session."""
        since_s = now_s if visit.arrive_s >= 0.0 else visit.arrive_s
        self.ready_s = since_s + model.handshake_s
        if visit.mood == "timer":
            self.ready_s = max(self.ready_s, visit.timer_s)

    @property
    def full(self) -> bool:
        return self.stopped or self.left_wh <= 0.0

    @property
    def soc(self) -> float:
        """0 to 1."""
        return self._soc_at_plug + (self._wanted_wh - max(0.0, self.left_wh)) / self.model.battery_wh

    @property
    def most_w(self) -> float:
        """What it would take at this state of charge, DC side."""
        tapered = (self.soc - TAPERS_FROM) / (1.0 - TAPERS_FROM)
        return self.model.max_power_w * clamp(1.0 - tapered * (1.0 - TAPERED), TAPERED, 1.0)

    @property
    def voltage_v(self) -> float:
        return self.model.pack_v * (0.92 + 0.16 * self.soc)

    def ready(self, now_s: float) -> bool:
        return not self.full and now_s >= self.ready_s


class DcBay:
    """Physics' side of a `DcPort`."""

    __slots__ = ("_dark", "_full_since_s", "_held_w", "id", "port", "vehicle")

    def __init__(self, port: DcPort) -> None:
        self.id = port.id
        self.port = port
        self.vehicle: DcVehicle | None = None
        self._held_w = 0.0
        self._dark = False
        self._full_since_s = math.inf
        self._apply()

    # -- time

    def follow(self, now_s: float, dt_s: float) -> bool:
        """Slide towards what is offered and wanted; True where power changed."""
        port = self.port
        wanted_w, power_w = self._wanted_w(now_s), port.dc_power_w
        if wanted_w == power_w:
            return False
        port.dc_power_w = clamp(wanted_w, power_w - _FALL_W_PER_S * dt_s, power_w + _RISE_W_PER_S * dt_s)
        self._apply()
        return True

    def second(self, now_s: float) -> str | None:
        """Slow things; words where something happened that a bystander would tell."""
        vehicle, port = self.vehicle, self.port
        if vehicle is None:
            self._apply()
            return None
        if vehicle.full:
            self._full_since_s = min(self._full_since_s, now_s)
        vehicle.stopped = now_s >= vehicle.visit.depart_s
        late = vehicle.stopped or now_s - self._full_since_s >= _LEAVES_S
        if late and port.dc_power_w == 0.0:
            self.unplug()
            return f"{vehicle.model.name} left after {port.session_energy_wh / 1000.0:.1f} kWh"
        port.ready, port.full = vehicle.ready(now_s), vehicle.full
        port.soc_percent, port.vehicle_max_w = 100.0 * vehicle.soc, vehicle.most_w
        self._apply()
        return None

    def book(self, hours: float) -> None:
        """The power of the last settlement held for `hours`; then today's begins to hold."""
        port, held_w = self.port, self._held_w
        if held_w:
            energy_wh = held_w * hours
            port.energy_wh += energy_wh
            if self.vehicle is not None:
                port.session_energy_wh += energy_wh
                self.vehicle.left_wh -= energy_wh
        self._held_w = port.dc_power_w

    # -- people

    def plug(self, vehicle: DcVehicle, now_s: float) -> None:
        self.unplug()
        self.vehicle = vehicle
        port, visit = self.port, vehicle.visit
        port.plugged, port.badge = True, visit.badge
        port.plugged_since_s = max(0.0, now_s) if visit.arrive_s >= 0.0 else visit.arrive_s
        port.session_energy_wh = visit.done_wh
        port.ready, port.full = vehicle.ready(now_s), vehicle.full

    def unplug(self) -> None:
        port = self.port
        self.vehicle, self._full_since_s = None, math.inf
        port.plugged = port.ready = port.full = False
        port.badge = ""
        port.dc_power_w = port.soc_percent = port.vehicle_max_w = 0.0
        self._apply()

    # -- supply

    def supply_changed(self, now_s: float) -> None:
        was_dark, self._dark = self._dark, not self._live
        if self._dark:
            self.port.dc_power_w = 0.0
        elif was_dark and self.vehicle is not None:
            self.vehicle.ready_s = max(self.vehicle.ready_s, now_s + self.vehicle.model.handshake_s)
        self._apply()

    @property
    def _live(self) -> bool:
        return all(self.port.voltage_v)

    # -- inside

    def _wanted_w(self, now_s: float) -> float:
        port, vehicle = self.port, self.vehicle
        if vehicle is None or port.fault or not self._live or not vehicle.ready(now_s):
            return 0.0
        return max(0.0, min(vehicle.most_w, (min(port.offered_w, port.max_power_w) - STANDBY_W) * EFFICIENCY))

    def _apply(self) -> None:
        """The contactors are closed while power flows; the three conductors follow from the DC side."""
        port, vehicle = self.port, self.vehicle
        port.dc_voltage_v = vehicle.voltage_v if vehicle is not None and port.dc_power_w > 0.0 else 0.0
        each_w = (port.dc_power_w / EFFICIENCY + STANDBY_W) / 3.0 if self._live else 0.0
        for k in (0, 1, 2):
            port.power_w[k] = each_w
            port.current_a[k] = each_w / port.voltage_v[k] if each_w else 0.0
