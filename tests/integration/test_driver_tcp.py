"""The driver over real sockets: TCP transport of the product, servers of the twin, real time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

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
from driver_rig import DEMO, DEPOT, DRIVER
from field_driver_modbus.service import FieldDriverModbus

pytestmark = pytest.mark.integration
PLAYED = ("charx", "alfen-1", "sdm-parking")


class Loopback:
    """Servers on free ports, and a transport factory that finds them by the site's addresses."""

    def __init__(self, site: Path = DEMO, played: Collection[str] = PLAYED) -> None:
        self.site = load_site(site)
        self.plant = build_plant(self.site, 1)
        self.devices = {k: d for k, d in build_devices(self.site, self.plant).items() if k in played}
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
    allocator = asyncio.create_task(command(network, {"a1": {"current_a": 13.0}, "b1": {"current_a": 13.0}}))
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


async def command(network: MemoryNetwork, setpoints: Mapping[str, Mapping[str, float]]) -> None:
    """An allocator that always says the same."""
    voice = network.connect(ANY_SERVICE)
    seq = 0
    while True:
        seq += 1
        for asset, values in setpoints.items():
            setpoint = Setpoint(
                asset=asset, driver=DRIVER, epoch=1, seq=seq, published_at_ms=0, lifetime_ms=5000,
                reason=Reason(code=ReasonCode.ADVICE), snapshot=seq, **values,
            )  # fmt: skip
            await voice.publish(SETPOINT, setpoint, DRIVER, asset)
        await asyncio.sleep(0.5)


async def test_spc_12_spc_13_a_battery_and_a_roof_are_set_and_read_back_over_real_tcp() -> None:
    loopback = Loopback(DEPOT, ("pv-inverter", "battery-system"))
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
    watts = {"battery": {"power_w": -7_000.0}, "pv": {"power_w": -12_000.0}}
    allocator = asyncio.create_task(command(network, watts))
    wanted = {("battery", -7_000.0), ("pv", -12_000.0)}
    await until(lambda: wanted <= {(a, r.applied_w) for a, r in results.items() if r.outcome == "Applied"})
    await until(lambda: loopback.plant.batteries["battery"].setpoint_w == -7_000.0)
    await until(lambda: loopback.plant.pvs["pv"].limit_fraction == pytest.approx(0.4))
    assert seen["battery"].number("watchdog_timeout_s") == 60.0
    for task in (*tasks, allocator):
        task.cancel()
    shell.stop()
    await running
