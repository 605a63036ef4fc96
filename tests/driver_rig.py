"""The real driver over simulated devices in virtual time: a hand on the devices, a voice for the allocator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from busbar.actor import Context, Shell
from busbar.bus.memory import ANY_SERVICE, MemoryBus
from busbar.bus.memory import MemoryNetwork as BusNetwork
from busbar.config.load import load_site
from busbar.config.site import Site
from busbar.devices.transport import TransportFactory
from busbar.events import Alarm, Event, Fallback, Measurement, Reason, ReasonCode, Session, Setpoint, SetpointResult
from busbar.loops import VirtualClock, VirtualLoop, run_virtual
from busbar.sim.devices.base import SimDevice
from busbar.sim.memory_transport import MemoryNetwork as DeviceNetwork
from busbar.sim.plant import Plant
from busbar.sim.twin import build_devices, build_plant
from busbar.store import MemoryStore
from busbar.subjects import ALARM, FALLBACK, SETPOINT
from field_driver_modbus.service import FieldDriverModbus

T = TypeVar("T", bound=Event)
DEMO = Path(__file__).parent.parent / "examples" / "demo.yaml"
DEPOT = DEMO.with_name("depot.yaml")
UTC_START_MS = 1_568_160_000_000
DRIVER = "modbus-1"
QUICK = ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4")


class Rig:
    """The demo site's devices, a driver on them, and everything it says, in order."""

    def __init__(self, loop: VirtualLoop, site: Site | None = None) -> None:
        self.site: Site = site or load_site(DEMO)
        self.clock = VirtualClock(loop, UTC_START_MS)
        self.loop = loop
        self.plant: Plant = build_plant(self.site, 1)
        self.devices: dict[str, SimDevice] = build_devices(self.site, self.plant)
        self.network = DeviceNetwork()
        for device_id, device in self.devices.items():
            address = self.site.devices[device_id]
            self.network.add(address.host, address.port, device)
        self.buses = BusNetwork(self.site.id, self.clock)
        self.said: list[tuple[float, Event]] = []
        self.buses.tap(lambda _, event: self.said.append((self.clock.mono_s(), event)))
        self.store = MemoryStore()
        self.voice: MemoryBus = self.buses.connect(ANY_SERVICE)
        self.seq = 0
        self.epoch = 1
        self.shell: Shell | None = None
        self.task: asyncio.Task[None] | None = None
        self._copper = loop.create_task(self._step_devices())

    async def _step_devices(self) -> None:
        while True:
            for device in self.devices.values():
                device.step(self.loop.time())
            await asyncio.sleep(0.2)

    def start(self, site: Site | None = None, transports: TransportFactory | None = None) -> None:
        """A driver process on the old disk."""
        bus = self.buses.connect(FieldDriverModbus.service, DRIVER)
        log = logging.getLogger("test.driver")
        reach = transports or self.network.factory
        context = Context(site or self.site, bus, self.clock, DRIVER, self.store, reach, log)
        self.shell = Shell(FieldDriverModbus(context))
        self.task = self.loop.create_task(self.shell.run())

    async def stop(self) -> None:
        assert self.shell is not None
        assert self.task is not None
        self.shell.stop()
        await self.task

    async def tell(self, connector: str, current_a: float, epoch: int | None = None, seq: int | None = None) -> None:
        """One setpoint in A."""
        await self._tell(connector, epoch, seq, current_a=current_a)

    async def tell_w(self, asset: str, power_w: float, reactive_power_var: float | None = None) -> None:
        """One setpoint in W, and in var where it is asked for."""
        if reactive_power_var is None:
            await self._tell(asset, power_w=power_w)
        else:
            await self._tell(asset, power_w=power_w, reactive_power_var=reactive_power_var)

    async def _tell(self, asset: str, epoch: int | None = None, seq: int | None = None, **value: float) -> None:
        self.seq += 1
        setpoint = Setpoint(
            asset=asset, driver=DRIVER, epoch=self.epoch if epoch is None else epoch,
            seq=self.seq if seq is None else seq, published_at_ms=self.clock.utc_ms(), lifetime_ms=5000,
            reason=Reason(code=ReasonCode.RAMP), snapshot=1, **value,
        )  # fmt: skip
        await self.voice.publish(SETPOINT, setpoint, DRIVER, asset)

    async def control(self, seconds: float, **current_a: float) -> None:
        """An allocator that lives for so long: the same setpoints each second."""
        for _ in range(int(seconds)):
            for connector, value in current_a.items():
                await self.tell(connector, value)
            await asyncio.sleep(1.0)

    async def control_w(self, seconds: float, **power_w: float) -> None:
        """The same for assets that are set in W."""
        for _ in range(int(seconds)):
            for asset, value in power_w.items():
                await self.tell_w(asset, value)
            await asyncio.sleep(1.0)

    async def bound(self, max_current_a: float, *connectors: str, active: bool = True, lifetime_ms: int = 3000) -> None:
        """A fallback event of the watchdog."""
        event = Fallback(
            entity="grid-meter", active=active, cause="silent", assets=connectors, max_current_a=max_current_a,
            since_ms=0, published_at_ms=self.clock.utc_ms(), lifetime_ms=lifetime_ms,
        )  # fmt: skip
        await self.voice.publish(FALLBACK, event, "grid-meter")

    def offered_a(self, connector: str) -> float:
        """What the pilot of a charger with a vehicle offers: the truth."""
        return self.plant.evses[connector].offered_a

    def plug(self, *connectors: str) -> None:
        for connector in connectors:
            port = self.plant.evses[connector]
            port.plugged, port.wants_current, port.badge = True, True, "04A1B2C3"

    def of(self, kind: type[T], asset: str = "", since_s: float = 0.0) -> list[T]:
        """Everything of a kind that was said, oldest first."""
        events: list[T] = [event for at_s, event in self.said if at_s >= since_s and isinstance(event, kind)]
        if not asset:
            return events
        return [e for e in events if asset in (getattr(e, "asset", ""), getattr(e, "connector", ""))]

    def measurement(self, asset: str) -> Measurement:
        return self.of(Measurement, asset)[-1]

    def result(self, asset: str) -> SetpointResult:
        return self.of(SetpointResult, asset)[-1]

    def session(self, asset: str) -> Session:
        return self.of(Session, asset)[-1]

    def alarms(self) -> list[tuple[str, str]]:
        """Alarms that are active: (entity, code)."""
        latest = {(alarm.entity, alarm.code): alarm.active for alarm in self.of(Alarm)}
        return sorted(key for key, active in latest.items() if active)


def play(story: Callable[[Rig], Coroutine[Any, Any, None]], site: Site | None = None) -> Rig:
    """Run a story on the demo site, or another one, in virtual time; returns the rig with what was said."""

    async def main(loop: VirtualLoop) -> Rig:
        rig = Rig(loop, site)
        await story(rig)
        if rig.task is not None and not rig.task.done():
            await rig.stop()
        return rig

    return run_virtual(main, 1000.0)


__all__ = ["ALARM", "DRIVER", "QUICK", "UTC_START_MS", "Rig", "play"]
