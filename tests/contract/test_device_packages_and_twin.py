"""The catalogue against the simulated devices, whose registers were laid out by another hand from the makers' tables.

What a twin made from our own package could not show: a block that reaches into a hole, a wrong unit or table, a sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from busbar.devices.catalog import load_package
from busbar.devices.codec import Memory
from busbar.devices.plan import DevicePlan, compile_plan
from busbar.devices.sunspec import discover
from busbar.domain.kinds import AssetKind
from busbar.events.result import Outcome
from busbar.sim.devices.alfen import AlfenStation
from busbar.sim.devices.base import SimDevice
from busbar.sim.devices.charx import CharxController
from busbar.sim.devices.eem import EemEm3xx
from busbar.sim.devices.sdm630 import Sdm630
from busbar.sim.devices.sunspec import SunSpecInverter
from busbar.sim.devices.sunspec_battery import SunSpecBattery
from busbar.sim.memory_transport import MemoryNetwork
from busbar.sim.plant import BatteryPort, EvsePort, MeterPort, PvPort
from sim_registers import run_until

CHARGING = {
    "plugged": True,
    "wants_current": True,
    "current_a": [15.0, 16.0, 14.0],
    "power_w": [3450.0, 3680.0, 3220.0],
}


def evse() -> EvsePort:
    return EvsePort(
        "x", plugged=True, wants_current=True, current_a=[15.0, 16.0, 14.0], power_w=[3450.0, 3680.0, 3220.0],
        energy_wh=123456.0, session_energy_wh=4321.0, badge="04A1B2C3",
    )  # fmt: skip


def meter() -> MeterPort:
    return MeterPort(
        "m", current_a=[1.5, 2.5, 3.5], power_w=[-300.0, 500.0, 700.0], reactive_var=[10.0, 20.0, 30.0],
        energy_import_wh=123456.0, energy_export_wh=654.0,
    )  # fmt: skip


def inverter() -> SunSpecInverter:
    port = PvPort("pv", rated_power_w=20_000.0, current_a=[21.5, 21.5, 21.5], power_w=[-4990.0, -4991.0, -4992.0],
                  reactive_var=[10.0, 10.0, 10.0], energy_export_wh=1_000_000.0)  # fmt: skip
    port.available_w = 17_000.0
    return SunSpecInverter("pv", port)


def battery() -> SunSpecBattery:
    port = BatteryPort("bat", 50_000.0, 30_000.0, 25_000.0, stored_wh=20_000.0, current_a=[17.4, 17.5, 17.6],
                       power_w=[4020.0, 4021.0, 4019.0], energy_import_wh=8_000_000.0)  # fmt: skip
    return SunSpecBattery("bat", port)


DEVICES: list[tuple[str, Callable[[], SimDevice], int, AssetKind, dict[str, Any]]] = [
    ("phoenix-charx-sec3xxx", lambda: CharxController("c", {1: evse(), 2: evse()}), 2, AssetKind.AC_CONNECTOR,
     {"current_l2_a": 16, "power_w": 10350, "energy_import_wh": 123456, "session_energy_wh": 4321, "connectors": 2}),
    ("alfen-ng9xx", lambda: AlfenStation("d", {1: evse(), 2: evse()}), 2, AssetKind.AC_CONNECTOR,
     {"current_l1_a": 15, "power_l2_w": 3680, "power_w": 10350, "energy_import_wh": 123456, "connectors": 2}),
    ("eastron-sdm630", lambda: Sdm630("s", meter()), 1, AssetKind.METER,
     {"current_l3_a": 3.5, "power_l1_w": -300, "power_w": 900, "reactive_power_l2_var": 20, "frequency_hz": 50,
      "energy_import_wh": 123456, "energy_export_wh": 654}),
    ("phoenix-eem-em3xx", lambda: EemEm3xx("e", meter()), 1, AssetKind.METER,
     {"current_l3_a": 3.5, "power_l1_w": -300, "power_w": 900, "reactive_power_var": 60, "frequency_hz": 50,
      "energy_import_wh": 123456, "energy_export_wh": 654}),
    ("sunspec-pv-inverter", inverter, 1, AssetKind.PV,
     {"current_l2_a": 21.5, "power_w": -14973, "energy_export_wh": 1_000_000, "rated_power_w": 20_000,
      "power_limit_percent": 100, "available_power_w": 17_000, "setpoint_power_w": -20_000}),
    ("sunspec-der-battery", battery, 1, AssetKind.BATTERY,
     {"current_l2_a": 17.5, "power_w": 12_060, "power_l3_w": 4020, "energy_import_wh": 8_000_000, "soc_percent": 40,
      "capacity_wh": 50_000, "max_charge_power_w": 30_000, "max_discharge_power_w": 25_000, "power_set_enabled": 0}),
]  # fmt: skip


class Line:
    """A device, its plan, and what was last read from it."""

    def __init__(self, package: str, device: SimDevice, instance: int, kind: AssetKind) -> None:
        network = MemoryNetwork()
        network.add("device", 502, device)
        self.device = device
        self.transport = network.factory("device", 502, 1.0)
        self.package, self.instance, self.kind = load_package(package), instance, kind
        self.points: dict[str, Any] = {}
        self.quality: dict[str, Any] = {}
        self.memory = Memory()

    async def plan(self) -> DevicePlan:
        await self.transport.connect()
        found = await discover(self.transport, self.package.transport.unit_id, self.package)
        return compile_plan(found, unit_id=None, instance=self.instance, kind=self.kind)

    async def poll(self, plan: DevicePlan) -> None:
        for group in plan.groups.values():
            for b in group.blocks:
                reply = await self.transport.read(b.table, b.unit, b.address, b.count)
                b.decode(reply, self.points, self.quality, self.memory)


@pytest.mark.parametrize(("package", "make", "instance", "kind", "expected"), DEVICES, ids=[d[0] for d in DEVICES])
async def test_every_block_is_answered_and_means_what_the_device_meant(
    *, package: str, make: Callable[[], SimDevice], instance: int, kind: AssetKind, expected: dict[str, Any]
) -> None:
    line = Line(package, make(), instance, kind)
    run_until(line.device, 1.0)
    plan = await line.plan()
    await line.poll(plan)
    assert {name: line.points[name] for name in expected} == {
        name: pytest.approx(value, rel=1e-6) for name, value in expected.items()
    }
    assert not set(expected) & set(line.quality)
    assert not plan.absent(line.points)


@pytest.mark.parametrize(("package", "make", "instance", "kind", "expected"), DEVICES[:2], ids=["charx", "alfen"])
async def test_a_setpoint_is_obeyed_and_seen_in_another_register(
    *, package: str, make: Callable[[], SimDevice], instance: int, kind: AssetKind, expected: dict[str, Any]
) -> None:
    assert expected
    line = Line(package, make(), instance, kind)
    run_until(line.device, 1.0)
    plan = await line.plan()
    assert plan.watchdog is not None
    command = plan.command("set_current")
    prepared = command.prepare(13.0)
    for w in (*plan.watchdog.configure(fallback=6.0, timeout_s=30.0).writes, *prepared.writes):
        await line.transport.write(w.table, w.unit, w.address, w.words, w.fc)
    run_until(line.device, 6.0)
    await line.poll(plan)
    assert command.verify is not None
    assert command.verify.judge(prepared.sent, line.points[command.verify.point]) is Outcome.APPLIED
    assert line.points["fallback_current_a"] == 6


@pytest.mark.parametrize(
    ("package", "make", "kind", "told_w", "sent_w"),
    [
        ("sunspec-pv-inverter", inverter, AssetKind.PV,      -7_501.0,  -7_500.0),
        ("sunspec-pv-inverter", inverter, AssetKind.PV,      0.0,       0.0),
        ("sunspec-der-battery", battery,  AssetKind.BATTERY, -9_000.5,  -9_000.0),
        ("sunspec-der-battery", battery,  AssetKind.BATTERY, 12_345.0,  12_345.0),
    ],
)  # fmt: skip
async def test_a_power_is_obeyed_and_read_back_in_our_sign(
    *, package: str, make: Callable[[], SimDevice], kind: AssetKind, told_w: float, sent_w: float
) -> None:
    line = Line(package, make(), 1, kind)
    run_until(line.device, 1.0)
    plan = await line.plan()
    await line.poll(plan)
    assert plan.watchdog is not None
    command = plan.command("set_power")
    whole = line.points.get(command.whole or "")
    prepared = command.prepare(told_w, exponents=line.memory.exponents, whole=whole)
    for w in (*plan.watchdog.configure(fallback=0.0, timeout_s=30.0).writes, *prepared.writes):
        await line.transport.write(w.table, w.unit, w.address, w.words, w.fc)
    run_until(line.device, 6.0)
    await line.poll(plan)
    assert command.verify is not None
    assert prepared.sent == pytest.approx(sent_w)
    assert command.verify.judge(prepared.sent, line.points[command.verify.point]) is Outcome.APPLIED
    device = line.device
    if isinstance(device, SunSpecBattery):
        assert device.port.setpoint_w == prepared.sent
    elif isinstance(device, SunSpecInverter):
        assert device.port.limit_fraction == pytest.approx(-prepared.sent / 20_000.0)
