"""What can be written to, one class a quantity: connectors in A (`connector.py`), other assets in W (`power.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from busbar.config.plan import fallback_plan
from busbar.config.site import Entity, Site
from busbar.devices.plan import DevicePlan
from busbar.events import Fallback, Session, Setpoint, SetpointResult
from busbar.units import THREE_PHASE_V
from field_driver_modbus.connector import ConnectorUnit
from field_driver_modbus.keeper import Points, Problem, Qualities
from field_driver_modbus.power import SET_IN_W, PowerUnit
from field_driver_modbus.power_stages import PowerStages
from field_driver_modbus.stages import ConnectorStages
from field_driver_modbus.writer import Order, Writer


class Unit(Protocol):
    """One entity that obeys setpoints; no I/O, every call takes `now`."""

    @property
    def id(self) -> str: ...

    @property
    def session(self) -> Session | None: ...

    @property
    def problems(self) -> dict[str, Problem]: ...

    def fit(self, plan: DevicePlan, exponents: Mapping[str, int], forced: bool) -> None: ...

    def lost(self) -> None: ...

    def setpoint(self, setpoint: Setpoint, life_left_s: float, now_s: float) -> bool: ...

    def fallback(self, event: Fallback, life_left_s: float, now_s: float) -> None: ...

    def polled(
        self, points: Points, quality: Qualities, asked_s: float, now_s: float, at_ms: int
    ) -> list[Session]: ...  # fmt: skip

    def order(self, now_s: float) -> tuple[Order, Writer] | None: ...

    def result(self, now_s: float, at_ms: int) -> SetpointResult | None: ...

    def booked(self, now_s: float) -> float | None: ...


class Units:
    """Makes the units of one driver. `booked` and `sessions`: what the process before this one left behind."""

    def __init__(
        self, site: Site, driver: str, booked: Mapping[str, float], sessions: Mapping[str, Session], now_s: float
    ) -> None:
        self._plan = fallback_plan(site)
        self._hold_s = site.options.fallback_timeout_s
        self._driver = driver
        self._booked = booked
        self._sessions = sessions
        self._now_s = now_s

    def of(self, entity: Entity) -> Unit | None:
        """None: it is only read."""
        plan, booked = self._plan, self._booked.get(entity.id)
        if entity.charge_point is not None:
            unit = THREE_PHASE_V if entity.dc else 1.0
            fallback, most = plan.value_a.get(entity.id, 0.0) * unit, entity.max_current_a * unit
            stages = ConnectorStages(
                entity.id, fallback, most, self._now_s, plan.hold_s[entity.id], watts=entity.dc
            )  # fmt: skip
            return ConnectorUnit(entity, self._driver, stages, booked, self._sessions.get(entity.id))
        if isinstance(entity.flexible, SET_IN_W):
            hold_s = plan.hold_s.get(entity.id, self._hold_s)
            power = PowerStages(entity.flexible, plan.power_w[entity.id], self._now_s, hold_s)
            return PowerUnit(entity, entity.flexible, self._driver, power, booked)
        return None
