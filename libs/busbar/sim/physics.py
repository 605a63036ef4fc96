"""The one physics behind every simulation: vehicles, sun, batteries, loads, wires and fuses, stepped in twin time.

    device models write ports (offers, limits) -> step -> physics writes ports (currents, powers, energies)

`step(dt_s, now_s)` moves from `now_s - dt_s` to `now_s`. Powers are constant between two *settlements*; a settlement
books the energy, the judge's times and the fuses' heating of what was held, then solves the wires anew. One happens
every second and in every step in which something moved, or while anything is above its rating. So a step in which
nothing happens costs a microsecond or two. Works with steps up to 10 s (coarser ramps, same energies).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from typing import Final

from busbar.config.site import Entity, Site
from busbar.domain.fuse import SINGLE_POLE
from busbar.domain.kinds import AssetKind
from busbar.sim.bay import Bay
from busbar.sim.chance import stream
from busbar.sim.dc import DcBay, DcVehicle, draw_dc_model
from busbar.sim.fleet import draw_manners, draw_model
from busbar.sim.judge import Judge
from busbar.sim.load import BuildingLoad, UnmeteredLoad
from busbar.sim.plant import MeterPort, Plant, Triple
from busbar.sim.sessions import Visit
from busbar.sim.storage import Storage
from busbar.sim.sunlit import Inverter
from busbar.sim.terminals import Terminals
from busbar.sim.vehicle import Vehicle
from busbar.sim.wires import Wires
from busbar.sim.world import World
from busbar.units import NOMINAL_VOLTAGE_V, Phase

DEFAULT_STEP_S: Final = 0.2
_SECOND_S: Final = 1.0
_EPS_S: Final = 1e-6


class _Load:
    """A load on its collector: powers at 230 V from the world, scaled with the voltage (constant current)."""

    __slots__ = ("_nominal_p", "_nominal_q", "power_w", "reactive_var", "source", "voltage_v")

    def __init__(self, source: BuildingLoad | UnmeteredLoad) -> None:
        self.source = source
        self.power_w: Triple = [0.0] * 3
        self.reactive_var: Triple = [0.0] * 3
        self.voltage_v: Triple = [NOMINAL_VOLTAGE_V] * 3
        self._nominal_p: Triple = [0.0] * 3
        self._nominal_q: Triple = [0.0] * 3

    def update(self, now_s: float, dt_s: float) -> None:
        source = self.source
        if isinstance(source, BuildingLoad):
            source.update(now_s, dt_s, self._nominal_p, self._nominal_q)
        else:
            source.update(dt_s, self._nominal_p, self._nominal_q)
        self.apply()

    def apply(self) -> None:
        for k, voltage_v in enumerate(self.voltage_v):
            scale = voltage_v / NOMINAL_VOLTAGE_V
            self.power_w[k] = self._nominal_p[k] * scale
            self.reactive_var[k] = self._nominal_q[k] * scale


class Physics:
    """Reads and writes the ports of `plant`; everything random comes from `seed` and entity names."""

    def __init__(self, site: Site, plant: Plant, world: World, seed: int) -> None:
        self.site = site
        self.plant = plant
        self.world = world
        self.seed = seed
        self.now_s = 0.0
        self.wires = Wires(site)
        self.judge = Judge(site)
        self.notes: deque[tuple[float, str]] = deque(maxlen=1000)
        """What a bystander would tell: (twin time, words). The oldest fall out."""
        self.power_version = 0
        """Counts the opening and closing of fuses: who is without supply may have changed."""
        self.bays: dict[str, Bay] = {}
        self.dc_bays: dict[str, DcBay] = {}
        self.storages: dict[str, Storage] = {}
        self._inverters: list[Inverter] = []
        self._loads: list[_Load] = []
        self._motors: list[tuple[BuildingLoad, _Load]] = []
        self._terminals: list[Terminals] = []
        self._wire_up()
        self._bays: list[Bay | DcBay] = [*self.bays.values(), *self.dc_bays.values()]
        self._storages = list(self.storages.values())
        self._held_s = 0.0
        self._second_s = 0.0
        self._last_second_s = -_SECOND_S
        self._visit_s = 0.0
        self.wires.source_v = world.source_v
        self._begin()

    # -- time

    def step(self, dt_s: float, now_s: float) -> None:
        """Advance by `dt_s` to `now_s`."""
        self.now_s = now_s
        self._held_s += dt_s
        moved = False
        if now_s + _EPS_S >= self._second_s:
            self._second(now_s)
            moved = True
        else:
            for motor, load in self._motors:
                if now_s >= motor.next_s:
                    load.update(now_s, _EPS_S)
                    moved = True
        for bay in self._bays:
            if bay.follow(now_s, dt_s):
                moved = True
        for inverter in self._inverters:
            if inverter.follow(dt_s):
                moved = True
        for storage in self._storages:
            if storage.follow(dt_s):
                moved = True
        if moved or self.judge.busy:
            self._settle(now_s)

    def _second(self, now_s: float) -> None:
        """What changes slowly: people, sun, loads, voltage, noise."""
        dt_s = now_s - self._last_second_s
        self._last_second_s = now_s
        self._second_s = now_s + _SECOND_S - (now_s + _EPS_S) % _SECOND_S
        world = self.world
        world.second(dt_s)
        self.wires.spread_voltage()
        if now_s >= self._visit_s:
            self._receive(now_s)
        for load in self._loads:
            load.update(now_s, dt_s)
        for inverter in self._inverters:
            inverter.shine(now_s, dt_s)
        for storage in self._storages:
            storage.second(dt_s, world.frequency_hz)
        for bay in self._bays:
            gone = bay.second(now_s)
            if gone is not None:
                self.note(f"{bay.id}: {gone}")

    def _settle(self, now_s: float) -> None:
        """Book what was held, then let the new powers hold."""
        wires, judge, held_s = self.wires, self.judge, self._held_s
        self._held_s = 0.0
        opening = judge.hold(wires.current_a, wires.power_w, wires.reactive_var, held_s, now_s)
        if opening:
            self._open(opening)
        hours = held_s / 3600.0
        for bay in self._bays:
            bay.book(hours)
        for inverter in self._inverters:
            inverter.book(hours)
        for storage in self._storages:
            storage.book(hours)
        for terminals in self._terminals:
            terminals.book(hours)
        wires.solve()
        judge.see(wires.current_a, wires.power_w, wires.reactive_var)
        frequency_hz = self.world.frequency_hz
        for terminals in self._terminals:
            terminals.see(wires, frequency_hz)

    # -- people

    def _receive(self, now_s: float) -> None:
        for visit in self.world.schedule.due(now_s):
            self.plug(visit)
        self._visit_s = self.world.schedule.next_s

    def plug(self, visit: Visit) -> None:
        """A vehicle arrives, whatever the schedule says; one that still stands there leaves at once."""
        rng = stream(self.seed, "vehicle", visit.session)
        if visit.connector in self.dc_bays:
            self._plug_dc(self.dc_bays[visit.connector], visit, rng)
            return
        bay = self.bays[visit.connector]
        model = draw_model(visit, bay.limit_a, bay.phases, rng)
        vehicle = Vehicle(model, draw_manners(model, rng), visit, bay.phases, rng)
        bay.plug(vehicle, self.now_s)
        self.note(
            f"{bay.id}: {model.name} plugged in, {vehicle.phases}-phase, up to {model.max_current_a:g} A, "
            f"wants {vehicle.left_wh / 1000.0:.1f} kWh"
        )

    def _plug_dc(self, bay: DcBay, visit: Visit, rng: random.Random) -> None:
        vehicle = DcVehicle(draw_dc_model(visit, rng), visit, rng, self.now_s)
        bay.plug(vehicle, self.now_s)
        model = vehicle.model
        self.note(
            f"{bay.id}: {model.name} plugged in at {100.0 * vehicle.soc:.0f} %, DC up to "
            f"{model.max_power_w / 1000.0:g} kW, wants {vehicle.left_wh / 1000.0:.1f} kWh"
        )

    def unplug(self, connector: str) -> None:
        """The driver pulls the plug now."""
        (self.bays.get(connector) or self.dc_bays[connector]).unplug()
        self.note(f"{connector}: unplugged")

    def fail(self, connector: str, failed: bool = True) -> None:
        """A fault of the vehicle or its cable (pilot state E), or its end."""
        (self.plant.evses.get(connector) or self.plant.dc_outlets[connector]).fault = failed

    def trip(self, battery: str, tripped: bool = True) -> None:
        """A fault that takes a battery away, or its reset."""
        self.storages[battery].trip(tripped)
        self.note(f"{battery}: {'tripped' if tripped else 'reset'}")

    def note(self, words: str) -> None:
        self.notes.append((self.now_s, words))

    # -- fuses

    def reset_fuse(self, collector: str) -> None:
        """Somebody replaces the fuse links or switches the breaker on again."""
        index = self.site.tree.index[collector]
        for at in range(3 * index, 3 * index + 3):
            self.wires.opened[at] = False
            self.judge.reset(at)
        self.note(f"{collector}: fuse closed again")
        self._supply_changed()

    def open_fuse(self, collector: str) -> None:
        """Somebody switches all poles off."""
        index = self.site.tree.index[collector]
        for at in range(3 * index, 3 * index + 3):
            self.wires.opened[at] = True
        self.note(f"{collector}: switched off")
        self._supply_changed()

    def _open(self, opening: Sequence[int]) -> None:
        """Fuses act: a gG link alone, a breaker with all its poles."""
        for at in opening:
            collector = self.site.collectors[at // 3]
            all_poles = collector.file.fuse not in SINGLE_POLE
            for pole in range(at - at % 3, at - at % 3 + 3) if all_poles else (at,):
                self.wires.opened[pole] = True
            own = f"L{collector.root_phases.index(Phase(at % 3)) + 1}"
            self.note(f"{collector.id}: FUSE OPENED on {'all poles' if all_poles else own} ({collector.file.fuse})")
        self._supply_changed()

    def _supply_changed(self) -> None:
        """Voltages first, then everybody's power under them; the next settlement takes them up."""
        self.power_version += 1
        self.wires.spread_voltage()
        for bay in self._bays:
            bay.supply_changed(self.now_s)
        for inverter in self._inverters:
            inverter.supply_changed()
        for storage in self._storages:
            storage.supply_changed()
        for load in self._loads:
            load.apply()
        for terminals in self._terminals:
            terminals.supply_changed(self.wires)
        self._second_s = min(self._second_s, self.now_s)

    # -- construction

    def _begin(self) -> None:
        """Values at twin time 0, so that the first reader sees a living site."""
        self._second(0.0)
        self._settle(0.0)

    def _wire_up(self) -> None:
        for entity in self.site.entities.values():
            if entity.kind is AssetKind.AC_CONNECTOR:
                self._add_bay(entity)
            elif entity.kind is AssetKind.DC_CONNECTOR:
                self._add_dc_bay(entity)
            elif entity.kind is AssetKind.PV:
                self._add_inverter(entity)
            elif entity.kind is AssetKind.BATTERY:
                self._add_storage(entity)
            elif entity.kind is AssetKind.LOAD:
                self._add_load(entity)
            elif entity.kind is AssetKind.METER:
                self._add_meter(entity)
        for collector_id, source in self.world.unmetered.items():
            load = _Load(source)
            phases = self.site.collector(collector_id).root_phases
            self.wires.add(collector_id, phases, load.power_w, load.reactive_var, load.voltage_v)
            self._loads.append(load)

    def _add_bay(self, entity: Entity) -> None:
        port = self.plant.evses[entity.id]
        branch = self.wires.add(
            entity.collector or "", entity.root_phases, port.power_w, port.reactive_var, port.voltage_v
        )
        _dead_beyond(port.voltage_v, len(branch.at))
        self.bays[entity.id] = Bay(port, entity.max_current_a, len(entity.root_phases))

    def _add_dc_bay(self, entity: Entity) -> None:
        port = self.plant.dc_outlets[entity.id]
        self.wires.add(entity.collector or "", entity.root_phases, port.power_w, port.reactive_var, port.voltage_v)
        self.dc_bays[entity.id] = DcBay(port)

    def _add_inverter(self, entity: Entity) -> None:
        port = self.plant.pvs[entity.id]
        branch = self.wires.add(
            entity.collector or "", entity.root_phases, port.power_w, port.reactive_var, port.voltage_v
        )
        _dead_beyond(port.voltage_v, len(branch.at))
        self._inverters.append(Inverter(port, self.world.suns[entity.id], len(branch.at)))

    def _add_storage(self, entity: Entity) -> None:
        port = self.plant.batteries[entity.id]
        branch = self.wires.add(
            entity.collector or "", entity.root_phases, port.power_w, port.reactive_var, port.voltage_v
        )
        _dead_beyond(port.voltage_v, len(branch.at))
        self.storages[entity.id] = Storage(port, len(branch.at))

    def _add_load(self, entity: Entity) -> None:
        source = self.world.loads[entity.id]
        load = _Load(source)
        branch = self.wires.add(
            entity.collector or "", entity.root_phases, load.power_w, load.reactive_var, load.voltage_v
        )
        _dead_beyond(load.voltage_v, len(branch.at))
        self._loads.append(load)
        self._motors.append((source, load))
        port = self.plant.meters.get(entity.id)
        if port is not None:
            self._terminals.append(Terminals.of_load(port, load.power_w, load.reactive_var, load.voltage_v))

    def _add_meter(self, entity: Entity) -> None:
        port: MeterPort | None = self.plant.meters.get(entity.id)
        if port is not None and entity.collector is not None:
            at = tuple(3 * self.site.tree.index[entity.collector] + phase for phase in entity.root_phases)
            self._terminals.append(Terminals.of_collector(port, at, -1.0 if entity.reversed else 1.0))


def _dead_beyond(voltage_v: Triple, phases: int) -> None:
    """Conductors that a connection does not have carry no voltage."""
    for k in range(phases, 3):
        voltage_v[k] = 0.0


__all__ = ["DEFAULT_STEP_S", "Physics"]
