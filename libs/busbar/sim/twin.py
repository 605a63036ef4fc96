"""The site twin: every simulated device of a site over one physics, in twin time. No sockets, no event loop.

    twin = Twin(site, date(2019, 9, 11), seed=1)
    twin.advance(60.0)                 # one minute
    twin.truth()["collectors"]["grid"]["current_a"]

Twin time 0 is midnight of the day on the site's wall clock, or `start_local`; with a start time the site begins with
vehicles in every state (something to look at), unless `staged` says otherwise. Who carries the devices (TCP servers,
the in-memory transport) takes them from `devices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any, Final

from busbar.config.assets import Battery
from busbar.config.site import Entity, Site
from busbar.domain.kinds import AssetKind
from busbar.sim.chance import stream
from busbar.sim.devices import SimDevice, build_device
from busbar.sim.physics import DEFAULT_STEP_S, Physics
from busbar.sim.plant import BatteryPort, DcPort, EvsePort, MeterPort, Plant, PvPort
from busbar.sim.world import MIDNIGHT, World

_COUNTER_EVERY: Final = 5
"""Meters and inverters are stepped each fifth time: they only count, or follow within seconds."""
_FOREVER_S: Final = 1e12


def build_plant(site: Site, seed: int) -> Plant:
    """Ports of everything on the site, with energy counters as of devices that have been in use."""
    plant = Plant()
    for entity in site.entities.values():
        used_wh = stream(seed, "counter", entity.id).uniform(2e5, 9e6)
        if entity.kind is AssetKind.AC_CONNECTOR:
            plant.evses[entity.id] = EvsePort(entity.id, max_current_a=entity.max_current_a, energy_wh=used_wh)
        elif entity.kind is AssetKind.DC_CONNECTOR:
            plant.dc_outlets[entity.id] = DcPort(entity.id, max_power_w=entity.rated_power_w, energy_wh=used_wh)
        elif entity.kind is AssetKind.PV:
            port = PvPort(entity.id, rated_power_w=entity.rated_power_w, energy_export_wh=used_wh)
            plant.pvs[entity.id] = port
        elif isinstance(entity.flexible, Battery):
            plant.batteries[entity.id] = _battery(entity.flexible, seed, used_wh)
        elif entity.kind in (AssetKind.METER, AssetKind.LOAD) and entity.device is not None:
            plant.meters[entity.id] = MeterPort(entity.id, energy_import_wh=used_wh, energy_export_wh=used_wh / 7.0)
    return plant


def _battery(asset: Battery, seed: int, used_wh: float) -> BatteryPort:
    """Somewhere between a third and two thirds full."""
    filled = stream(seed, "charge", asset.id).uniform(0.33, 0.67)
    return BatteryPort(
        asset.id, asset.capacity_wh, asset.max_charge_w, asset.max_discharge_w, stored_wh=filled * asset.capacity_wh,
        energy_import_wh=used_wh, energy_export_wh=0.9 * used_wh,
    )  # fmt: skip


def build_devices(site: Site, plant: Plant) -> dict[str, SimDevice]:
    """The simulated devices of a site by id, in file order. Raises ValueError naming one that nothing simulates."""
    users: dict[str, list[Entity]] = {}
    for entity in site.entities.values():
        if entity.device is not None:
            users.setdefault(entity.device, []).append(entity)
    devices: dict[str, SimDevice] = {}
    for device in site.devices.values():
        entities = users.get(device.id, [])
        if not device.simulated or not entities:
            continue
        first = entities[0]
        devices[device.id] = build_device(
            device.package,
            device.id,
            evses={e.instance: plant.evses[e.id] for e in entities if e.id in plant.evses},
            meter=plant.meters.get(first.id),
            pv=plant.pvs.get(first.id),
            battery=plant.batteries.get(first.id),
            outlets={e.instance: plant.dc_outlets[e.id] for e in entities if e.id in plant.dc_outlets},
        )
    return devices


class Twin:
    """One simulated site. `advance` moves it; everything else is looking, or a hand on a switch."""

    def __init__(
        self,
        site: Site,
        day: date,
        seed: int,
        start_local: time | None = None,
        *,
        staged: bool | None = None,
        step_s: float = DEFAULT_STEP_S,
    ) -> None:
        """`staged`: begin with vehicles in every state; None: exactly when a start time is given."""
        self.site = site
        self.step_s = step_s
        self.world = World(
            site, day, seed, start_local or MIDNIGHT, staged=(start_local is not None) if staged is None else staged
        )
        self.plant = build_plant(site, seed)
        self.devices: Mapping[str, SimDevice] = build_devices(site, self.plant)
        self.physics = Physics(site, self.plant, self.world, seed)
        self.judge = self.physics.judge
        self._steps = 0
        self._power_version = self.physics.power_version
        self._dark: list[str] = []
        self._feeds = {name: self._feeds_of(name) for name in self.devices}
        self._chargers, self._counters = self._by_pace()
        for simulated in self.devices.values():
            simulated.step(0.0)

    @property
    def now_s(self) -> float:
        """Twin time: seconds since the start."""
        return self._steps * self.step_s

    @property
    def utc_start_ms(self) -> int:
        """UTC of twin time 0."""
        return self.world.almanac.utc_start_ms

    def advance(self, to_s: float) -> None:
        """Step on the fixed grid until the last step at or before `to_s`."""
        physics, chargers, step_s = self.physics, self._chargers, self.step_s
        last = int(to_s / step_s + 1e-6)
        while self._steps < last:
            self._steps = steps = self._steps + 1
            now_s = steps * step_s
            for charger in chargers:
                charger.step(now_s)
            if not steps % _COUNTER_EVERY:
                for counter in self._counters:
                    counter.step(now_s)
            physics.step(step_s, now_s)
            if physics.power_version != self._power_version:
                self._switch_supplies()

    # -- looking

    def truth(self) -> dict[str, Any]:
        """Physical values of every collector (own frame: its L1 first) and connector, as plain data."""
        wires = self.physics.wires
        collectors: dict[str, Any] = {}
        for collector in self.site.collectors:
            at = [3 * collector.index + phase for phase in collector.root_phases]
            collectors[collector.id] = {
                "current_a": [wires.current_a[i] for i in at],
                "power_w": [wires.power_w[i] for i in at],
                "reactive_var": [wires.reactive_var[i] for i in at],
                "voltage_v": [wires.voltage_v[i] for i in at],
                "rated_a": [wires.rated_a[i] for i in at],
                "fuse_open": [wires.opened[i] for i in at],
            }
        return {
            "now_s": self.now_s,
            "local_time": self.world.almanac.local(self.now_s).isoformat(timespec="seconds"),
            "collectors": collectors,
            "connectors": {name: self._connector_truth(name) for name in self.plant.evses},
            "dc_outlets": {name: self._dc_truth(name) for name in self.plant.dc_outlets},
            "pvs": {name: _pv_truth(port) for name, port in self.plant.pvs.items()},
            "batteries": {name: _battery_truth(port) for name, port in self.plant.batteries.items()},
        }

    def _connector_truth(self, name: str) -> dict[str, Any]:
        port, vehicle = self.plant.evses[name], self.physics.bays[name].vehicle
        return {
            "plugged": port.plugged,
            "offered_a": port.offered_a,
            "wants_current": port.wants_current,
            "current_a": list(port.current_a),
            "power_w": list(port.power_w),
            "session_energy_wh": port.session_energy_wh,
            "vehicle": vehicle.model.name if vehicle else None,
            "vehicle_phases": vehicle.phases if vehicle else None,
            "asleep": vehicle.asleep if vehicle else False,
            "left_wh": vehicle.left_wh if vehicle else None,
        }

    def _dc_truth(self, name: str) -> dict[str, Any]:
        port, vehicle = self.plant.dc_outlets[name], self.physics.dc_bays[name].vehicle
        return {
            "plugged": port.plugged,
            "ready": port.ready,
            "offered_w": port.offered_w,
            "current_a": list(port.current_a),
            "power_w": list(port.power_w),
            "dc_power_w": port.dc_power_w,
            "session_energy_wh": port.session_energy_wh,
            "soc_percent": port.soc_percent,
            "vehicle": vehicle.model.name if vehicle else None,
            "left_wh": vehicle.left_wh if vehicle else None,
        }

    def trace_line(self) -> str:
        """The state in one line of stable text, for hashes over a run: mA, W and Wh as whole numbers."""
        wires, plant = self.physics.wires, self.plant
        parts = [f"{self.now_s:.1f}"]
        parts.extend(f"{current * 1000.0:.0f}" for current in wires.current_a)
        for evse in plant.evses.values():
            state = f"{evse.plugged:d}{evse.wants_current:d}{evse.fault:d}"
            parts.append(f"{evse.id}:{state}:{evse.offered_a:.2f}:{evse.energy_wh:.0f}")
        for dc in plant.dc_outlets.values():
            state = f"{dc.plugged:d}{dc.ready:d}{dc.fault:d}"
            parts.append(f"{dc.id}:{state}:{dc.offered_w:.0f}:{dc.dc_power_w:.0f}:{dc.energy_wh:.0f}")
        parts.extend(f"{pv.id}:{sum(pv.power_w):.0f}" for pv in plant.pvs.values())
        parts.extend(f"{b.id}:{sum(b.power_w):.0f}:{b.stored_wh:.0f}" for b in plant.batteries.values())
        parts.extend(f"{m.id}:{m.energy_import_wh:.0f}:{m.energy_export_wh:.0f}" for m in plant.meters.values())
        return " ".join(parts)

    # -- hands

    def reset_fuse(self, collector: str) -> None:
        """Replace the links or switch the breaker on; devices that were without supply start up."""
        self.physics.reset_fuse(collector)
        self._switch_supplies()

    def open_fuse(self, collector: str) -> None:
        """Switch a collector off by hand."""
        self.physics.open_fuse(collector)
        self._switch_supplies()

    # -- inside

    def _by_pace(self) -> tuple[list[SimDevice], list[SimDevice]]:
        has_outlets = {entity.device for entity in self.site.connectors}
        fast = [device for name, device in self.devices.items() if name in has_outlets]
        slow = [device for name, device in self.devices.items() if name not in has_outlets]
        return fast, slow

    def _feeds_of(self, device: str) -> list[list[float]]:
        """Voltages that keep a device alive: those of all its ports."""
        plant = self.plant
        ports: dict[str, EvsePort | DcPort | MeterPort | PvPort | BatteryPort] = {
            **plant.evses, **plant.dc_outlets, **plant.meters, **plant.pvs, **plant.batteries,
        }  # fmt: skip
        return [ports[e.id].voltage_v for e in self.site.entities.values() if e.device == device and e.id in ports]

    def _switch_supplies(self) -> None:
        """A device is dead while all conductors of all its ports are; when one comes back it starts up."""
        self._power_version = self.physics.power_version
        for name, device in self.devices.items():
            dark = not any(any(voltage_v) for voltage_v in self._feeds[name])
            if dark and name not in self._dark:
                self._dark.append(name)
                device.restart(_FOREVER_S)
            elif not dark and name in self._dark:
                self._dark.remove(name)
                device.restart()


def _pv_truth(port: PvPort) -> dict[str, Any]:
    return {
        "power_w": list(port.power_w),
        "available_w": port.available_w,
        "limit_w": port.limit_fraction * port.rated_power_w,
    }


def _battery_truth(port: BatteryPort) -> dict[str, Any]:
    return {
        "power_w": list(port.power_w),
        "setpoint_w": port.setpoint_w,
        "soc_percent": port.soc_percent,
        "tripped": port.tripped,
    }
