"""One outlet with whatever stands there: the link between its port, its vehicle and its counters."""

from __future__ import annotations

from busbar.sim.plant import EvsePort
from busbar.sim.vehicle import Vehicle


class Bay:
    """Physics' side of an `EvsePort`."""

    __slots__ = ("_dark", "_held_w", "id", "limit_a", "phases", "port", "vehicle")

    def __init__(self, port: EvsePort, limit_a: float, phases: int) -> None:
        self.id = port.id
        self.port = port
        self.limit_a = limit_a
        self.phases = phases
        self.vehicle: Vehicle | None = None
        self._held_w = 0.0
        self._dark = False

    def follow(self, now_s: float, dt_s: float) -> bool:
        """Let the vehicle see the offer and act; True where its power changed."""
        vehicle = self.vehicle
        if vehicle is None:
            return False
        port = self.port
        offered_a = port.offered_a if port.voltage_v[0] and not port.fault else 0.0
        if offered_a != vehicle.offered_a:
            vehicle.offer(offered_a, now_s)
        elif now_s < vehicle.due_s:
            return False
        vehicle.step(now_s, dt_s)
        vehicle.apply(port)
        return True

    def second(self, now_s: float) -> str | None:
        """Slow things; words where something happened that a bystander would tell."""
        vehicle = self.vehicle
        if vehicle is None:
            return None
        if now_s >= vehicle.visit.depart_s:
            if vehicle.current_a > 0.0 and now_s < vehicle.visit.depart_s + 5.0:
                vehicle.stop(now_s)
                return None
            self.unplug()
            return f"{vehicle.model.name} left after {self.port.session_energy_wh / 1000.0:.1f} kWh"
        vehicle.second(now_s)
        vehicle.apply(self.port)
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
        p1, p2, p3 = port.power_w
        self._held_w = p1 + p2 + p3

    def plug(self, vehicle: Vehicle, now_s: float) -> None:
        self.unplug()
        self.vehicle = vehicle
        port = self.port
        port.plugged = True
        port.badge = vehicle.visit.badge
        port.cable_a = vehicle.manners.cable_a
        port.plugged_since_s = max(0.0, now_s) if vehicle.visit.arrive_s >= 0.0 else vehicle.visit.arrive_s
        port.session_energy_wh = vehicle.visit.done_wh

    def unplug(self) -> None:
        self.vehicle = None
        port = self.port
        port.plugged = port.wants_current = False
        port.badge = ""
        for k in (0, 1, 2):
            port.power_w[k] = port.reactive_var[k] = port.current_a[k] = 0.0

    def supply_changed(self, now_s: float) -> None:
        was_dark, self._dark = self._dark, not self.port.voltage_v[0]
        vehicle = self.vehicle
        if vehicle is None:
            return
        if self._dark:
            vehicle.power_lost(now_s)
        elif was_dark:
            vehicle.power_back(now_s)
        vehicle.apply(self.port)
