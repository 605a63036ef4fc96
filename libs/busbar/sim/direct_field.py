"""The field without wires: chargers that obey at once and meters that are read exactly, on the ports of a `Plant`.

For simulations of weeks (`busbar.sim.stepped`), where a step is longer than any register access: what drivers and
devices do within two seconds (polls, reaction times, read-back) is left out, what physics does is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from busbar.config.assets import AcChargePoint
from busbar.config.site import Entity, Site
from busbar.domain.charging import BY_LETTER, Status
from busbar.events import Measurement, Session, SessionPhase
from busbar.sim.devices.electronics import offer, outlet_status, pilot_state
from busbar.sim.plant import BatteryPort, DcPort, EvsePort, MeterPort, Plant, PvPort
from busbar.units import DC_START_W, MIN_CURRENT_A, THREE_PHASE_V

_PHASES = ("l1", "l2", "l3")
_DRIVER = "direct"


class DirectField:
    """Tells setpoints and reads everything, once a step."""

    def __init__(self, site: Site, plant: Plant, utc_start_ms: int) -> None:
        self._utc_start_ms = utc_start_ms
        self._evses = [(site.entities[name], port) for name, port in plant.evses.items()]
        self._outlets = [(site.entities[name], port) for name, port in plant.dc_outlets.items()]
        self._connectors: list[tuple[Entity, EvsePort | DcPort]] = [*self._evses, *self._outlets]
        ports: dict[str, MeterPort | PvPort | BatteryPort] = {**plant.meters, **plant.pvs, **plant.batteries}
        self._others = [(site.entities[name], port) for name, port in ports.items()]
        self._plant = plant
        self._limit_a = {entity.id: _fallback_a(entity) for entity, _ in self._evses}
        self._limit_w = {entity.id: min(DC_START_W, port.max_power_w) for entity, port in self._outlets}
        self._sessions: dict[str, Session] = {}
        self._seq = 0

    def tell(self, setpoints: Mapping[str, float]) -> None:
        """New setpoints by entity, A for connectors (of a DC one its power at 230 V), W for others; a charger offers
        what outlet and cable bear."""
        for entity, port in self._evses:
            limit_a = setpoints.get(entity.id)
            if limit_a is not None:
                self._limit_a[entity.id] = min(limit_a, port.max_current_a)
        for entity, outlet in self._outlets:
            if entity.id in setpoints:
                self._limit_w[entity.id] = min(setpoints[entity.id] * THREE_PHASE_V, outlet.max_power_w)
        for name, pv in self._plant.pvs.items():
            if name in setpoints:
                pv.limit_fraction = min(1.0, max(0.0, -setpoints[name] / pv.rated_power_w))
        for name, battery in self._plant.batteries.items():
            if name in setpoints:
                battery.setpoint_w = setpoints[name]

    def act(self) -> None:
        """Chargers set their pilots, whole amperes: a vehicle that came meanwhile sees the standing limit."""
        for entity, port in self._evses:
            limit_a = float(int(min(self._limit_a[entity.id], port.cable_a)))
            offer(port, limit_a if limit_a >= MIN_CURRENT_A else 0.0)
        for entity, outlet in self._outlets:
            outlet.offered_w = self._limit_w[entity.id] if outlet.plugged and not outlet.fault else 0.0

    def measurements(self, now_s: float, lifetime_ms: int) -> Iterator[Measurement]:
        """Everything there is to read, as the drivers publish it."""
        self._seq += 1
        at_ms = self._utc_start_ms + round(now_s * 1000.0)
        for entity, port in self._evses:
            yield _measurement(entity, self._charger(entity, port), self._seq, at_ms, lifetime_ms)
        for entity, outlet in self._outlets:
            yield _measurement(entity, self._outlet(outlet), self._seq, at_ms, lifetime_ms)
        for entity, other in self._others:
            yield _measurement(entity, _shown(entity, other), self._seq, at_ms, lifetime_ms)

    def sessions(self, now_s: float) -> Iterator[Session]:
        """Sessions that are open or ended in this step."""
        at_ms = self._utc_start_ms + round(now_s * 1000.0)
        for entity, port in self._connectors:
            known = self._sessions.get(entity.id)
            plugged_at_ms = self._utc_start_ms + round(port.plugged_since_s * 1000.0)
            if known is not None and (not port.plugged or known.plugged_at_ms != plugged_at_ms):
                del self._sessions[entity.id]
                yield known.model_copy(update={"ended_at_ms": at_ms, "phase": SessionPhase.ENDED})
            if port.plugged:
                self._sessions[entity.id] = session = self._session(entity.id, port, plugged_at_ms, at_ms)
                yield session

    def _charger(self, entity: Entity, port: EvsePort) -> dict[str, float | str | None]:
        points = _electrical(entity, port)
        limit_a = min(self._limit_a[entity.id], port.cable_a)
        points["status"] = _status(port)
        points["actual_limit_current_a"] = limit_a if limit_a >= MIN_CURRENT_A else 0.0
        charge_point = entity.charge_point
        if charge_point is not None:
            points["watchdog_timeout_s"] = charge_point.watchdog_s
            points["fallback_current_a"] = _fallback_a(entity)
        return points

    def _outlet(self, port: DcPort) -> dict[str, float | str | None]:
        """As its driver works it out: the station itself shows no conductors."""
        return {
            "status": outlet_status(port, self._limit_w[port.id], aborted=False),
            "power_w": sum(port.power_w),
            "dc_power_w": port.dc_power_w,
            "soc_percent": port.soc_percent if port.plugged else None,
            "setpoint_power_w": self._limit_w[port.id],
        }

    def _session(self, connector: str, port: EvsePort | DcPort, plugged_at_ms: int, at_ms: int) -> Session:
        if isinstance(port, DcPort):
            status, draws = outlet_status(port, self._limit_w[port.id], aborted=False), port.ready
        else:
            status, draws = _status(port), port.wants_current
        return Session.trusted(
            session_id=f"{connector}-{plugged_at_ms}", connector=connector, driver=_DRIVER,
            phase=SessionPhase.STARTED if draws else SessionPhase.SUSPENDED_EV,
            status=status, plugged_at_ms=plugged_at_ms, started_at_ms=None, ended_at_ms=None,
            energy_wh=port.session_energy_wh, meter_start_wh=None, meter_wh=port.energy_wh, badge=port.badge or None,
            measured_at_ms=at_ms,
        )  # fmt: skip


def _fallback_a(entity: Entity) -> float:
    """What a charger does before anybody has told it anything."""
    point = entity.charge_point
    stated_a = point.fallback_a if isinstance(point, AcChargePoint) else None
    return MIN_CURRENT_A if stated_a is None else stated_a


def _status(port: EvsePort) -> Status:
    return BY_LETTER[pilot_state(port)]


def _shown(entity: Entity, port: MeterPort | PvPort | BatteryPort) -> dict[str, float | str | None]:
    points = _electrical(entity, port)
    if isinstance(port, PvPort):
        points["setpoint_power_w"] = -port.limit_fraction * port.rated_power_w
        points["available_power_w"] = port.available_w
    elif isinstance(port, BatteryPort):
        points["setpoint_power_w"] = port.setpoint_w
        points["soc_percent"] = port.soc_percent
        points["max_charge_power_w"] = port.max_charge_w
        points["max_discharge_power_w"] = port.max_discharge_w
        points["frequency_hz"] = port.frequency_hz
    return points


def _electrical(entity: Entity, port: EvsePort | MeterPort | PvPort | BatteryPort) -> dict[str, float | str | None]:
    """Per phase, as a driver shows it: a meter that is known to be mounted backwards is turned round."""
    sign = -1.0 if entity.reversed else 1.0
    points: dict[str, float | str | None] = {}
    for k, name in enumerate(_PHASES[: len(entity.root_phases)]):
        points[f"voltage_{name}_v"] = port.voltage_v[k]
        points[f"current_{name}_a"] = port.current_a[k]
        points[f"power_{name}_w"] = sign * port.power_w[k]
        points[f"reactive_power_{name}_var"] = sign * port.reactive_var[k]
    return points


def _measurement(
    entity: Entity, points: dict[str, float | str | None], seq: int, at_ms: int, lifetime_ms: int
) -> Measurement:
    return Measurement.trusted(
        asset=entity.id, driver=_DRIVER, kind=entity.kind, seq=seq, measured_at_ms=at_ms, lifetime_ms=lifetime_ms,
        reachable=True, package="", points=points, quality={},
    )  # fmt: skip
