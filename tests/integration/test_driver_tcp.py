"""The driver over real sockets: TCP transport of the product, servers of the twin, real time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from busbar.actor import Context, Shell
from busbar.bus.memory import ANY_SERVICE, MemoryNetwork
from busbar.clock import SystemClock
from busbar.config.load import load_site
from busbar.devices.tcp import TcpTransport
from busbar.events import Measurement, Reason, ReasonCode, Setpoint, SetpointResult
from busbar.sim.server import serve
from busbar.sim.twin import build_devices, build_plant
from busbar.store import MemoryStore
from busbar.subjects import SETPOINT
from busbar.testing.waiting import until
from driver_rig import DEMO, DRIVER
from field_driver_modbus.service import FieldDriverModbus

pytestmark = pytest.mark.integration
PLAYED = ("charx", "alfen-1", "sdm-parking")


class Loopback:
    """Servers on free ports, and a transport factory that finds them by the site's addresses."""

    def __init__(self) -> None:
        self.site = load_site(DEMO)
        self.plant = build_plant(self.site, 1)
        self.devices = {k: d for k, d in build_devices(self.site, self.plant).items() if k in PLAYED}
        self.ports: dict[str, int] = {}

    async def serve(self) -> list[asyncio.Task[None]]:
        for device_id, device in self.devices.items():
            server = await serve(device, "127.0.0.1", 0)
            self.ports[self.site.devices[device_id].host] = server.port
        return [asyncio.create_task(self._step())]

    async def _step(self) -> None:
        while True:
            for device in self.devices.values():
                device.step(asyncio.get_running_loop().time())
            await asyncio.sleep(0.05)

    def transport(self, host: str, port: int, timeout_s: float) -> TcpTransport:
        return TcpTransport("127.0.0.1", self.ports.get(host, 9), timeout_s)


async def test_measurements_setpoints_and_verification_work_over_real_tcp() -> None:
    loopback = Loopback()
    tasks = await loopback.serve()
    clock = SystemClock()
    network = MemoryNetwork(loopback.site.id, clock, wire=True)
    seen: dict[str, Measurement] = {}
    results: dict[str, SetpointResult] = {}
    network.tap(lambda _, e: seen.update({e.asset: e}) if isinstance(e, Measurement) else None)
    network.tap(lambda _, e: results.update({e.asset: e}) if isinstance(e, SetpointResult) else None)
    bus = network.connect(FieldDriverModbus.service, DRIVER)
    log = logging.getLogger("test.driver")
    shell = Shell(FieldDriverModbus(Context(loopback.site, bus, clock, DRIVER, MemoryStore(), loopback.transport, log)))
    running = asyncio.create_task(shell.run())
    allocator = asyncio.create_task(command(network))
    for connector in ("a1", "b1"):
        port = loopback.plant.evses[connector]
        port.plugged = port.wants_current = True
    await until(
        lambda: {c for c, r in results.items() if r.applied_a == 13.0 and r.outcome == "Applied"} >= {"a1", "b1"}
    )
    assert loopback.plant.evses["a1"].offered_a == 13.0
    assert loopback.plant.evses["b1"].offered_a == 13.0
    assert seen["parking-meter"].number("voltage_l1_v") == pytest.approx(230.0, abs=1.0)
    await until(lambda: "grid-meter" in seen)
    assert not seen["grid-meter"].reachable, "nobody serves the grid meter here"
    for task in (*tasks, allocator):
        task.cancel()
    shell.stop()
    await running


async def command(network: MemoryNetwork) -> None:
    """An allocator of 13 A for everybody."""
    voice = network.connect(ANY_SERVICE)
    seq = 0
    while True:
        seq += 1
        for connector in ("a1", "b1"):
            setpoint = Setpoint(
                asset=connector, driver=DRIVER, epoch=1, seq=seq, published_at_ms=0, lifetime_ms=5000,
                current_a=13.0, reason=Reason(code=ReasonCode.ADVICE), snapshot=seq,
            )  # fmt: skip
            await voice.publish(SETPOINT, setpoint, DRIVER, connector)
        await asyncio.sleep(0.5)
