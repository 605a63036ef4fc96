"""Our drivers' packages against the simulated devices, whose maps were written apart from them (FC-5, FC-8).

Where an independent client exists, our decoding of one and the same device must agree with it, value by value.
"""

from typing import Any

import pytest

from busbar.devices.catalog import load_package
from busbar.devices.commands import Write
from busbar.devices.plan import DevicePlan, compile_plan
from busbar.devices.sunspec import discover
from busbar.devices.tcp import TcpTransport
from busbar.devices.transport import Transport
from busbar.devices.values import Memory
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.sim.devices import AlfenStation, CharxController, SimDevice, SunSpecInverter, build_device
from busbar.sim.plant import DcPort, EvsePort, MeterPort, PvPort
from busbar.sim.server import serve
from peers.run import run_client

pytestmark = pytest.mark.integration

HOST = "127.0.42.197"


def evse() -> EvsePort:
    return EvsePort(
        "a1",
        plugged=True,
        wants_current=True,
        cable_a=20.0,
        badge="04A1B2C3D4E5F6",
        voltage_v=[231.5, 229.75, 230.25],
        current_a=[15.5, 15.25, 0.0],
        power_w=[3578.0, 3501.5, 0.0],
        reactive_var=[90.0, -150.5, 0.0],
        energy_wh=4_567_890_123.0,
        session_energy_wh=8_765.4,
    )


def meter() -> MeterPort:
    return MeterPort(
        "m",
        voltage_v=[231.5, 230.25, 229.75],
        current_a=[41.5, 12.25, 60.0],
        power_w=[9500.0, -2800.0, 13_700.0],
        reactive_var=[1200.0, -150.0, 900.0],
        energy_import_wh=987_654.0,
        energy_export_wh=12_345.0,
        frequency_hz=49.95,
    )


def outlet() -> DcPort:
    return DcPort(
        "q1",
        max_power_w=75_000.0,
        plugged=True,
        ready=True,
        badge="04A1B2C3D4E5F6",
        soc_percent=41.25,
        vehicle_max_w=60_000.0,
        dc_voltage_v=388.25,
        dc_power_w=9500.0,
        energy_wh=4_567_890_123.0,
        session_energy_wh=12_345.0,
    )


def pv() -> PvPort:
    return PvPort(
        "pv",
        rated_power_w=20_000.0,
        voltage_v=[232.1, 231.9, 233.0],
        current_a=[21.5, 21.52, 21.48],
        power_w=[-4990.0, -4991.0, -4992.0],
        reactive_var=[300.0, 300.0, 300.0],
        energy_export_wh=12_345_678.0,
    )


PORTS: dict[str, tuple[AssetKind, dict[str, Any]]] = {
    "phoenix-charx-sec3xxx": (AssetKind.AC_CONNECTOR, {"evses": {1: evse()}}),
    "alfen-ng9xx": (AssetKind.AC_CONNECTOR, {"evses": {1: evse(), 2: EvsePort("b2")}}),
    "alpitronic-hypercharger": (AssetKind.DC_CONNECTOR, {"outlets": {1: outlet(), 2: DcPort("q2")}}),
    "eastron-sdm630": (AssetKind.METER, {"meter": meter()}),
    "phoenix-eem-em3xx": (AssetKind.METER, {"meter": meter()}),
    "sunspec-pv-inverter": (AssetKind.PV, {"pv": pv()}),
}


def build(package: str) -> SimDevice:
    device = build_device(package, "device", **PORTS[package][1])
    device.step(0.0)
    return device


async def planned(package: str, transport: Transport) -> DevicePlan:
    loaded = load_package(package)
    loaded = await discover(transport, loaded.transport.unit_id, loaded)
    return compile_plan(loaded, unit_id=None, instance=1, kind=PORTS[package][0])


async def everything(plan: DevicePlan, transport: Transport, memory: Memory) -> dict[str, Any]:
    """Every block of every group, decoded; what is not good is left out."""
    points: dict[str, float | str | None] = {}
    quality: dict[str, Quality] = {}
    for group in plan.groups.values():
        for block in group.blocks:
            data = await transport.read(block.table, block.unit, block.address, block.count)
            block.decode(data, points, quality, memory)
    assert set(quality.values()) <= {Quality.NA}
    return {name: value for name, value in points.items() if name not in quality}


async def decoded(package: str, device: SimDevice, client: str = "") -> tuple[dict[str, Any], Any]:
    """Our values over our own transport, and the independent client's words about the same device."""
    server = await serve(device, HOST, 0)
    transport = TcpTransport(server.host, server.port, 5.0)
    await transport.connect()
    try:
        ours = await everything(await planned(package, transport), transport, Memory())
        theirs = await run_client(client, server.host, server.port, "read") if client else None
        return ours, theirs
    finally:
        await transport.close()
        await server.close()


EXPECTED: dict[str, dict[str, Any]] = {
    "phoenix-charx-sec3xxx": {
        "status": "Charging",
        "rfid": "04A1B2C3D4E5F6",
        "voltage_l2_v": 229.75,
        "current_l1_a": 15.5,
        "power_w": 7079.5,
        "reactive_power_var": -60.5,
        "energy_import_wh": 4_567_890_123,
        "session_energy_wh": 8765,
        "actual_limit_current_a": 6,
        "cable_current_a": 20,
        "fallback_current_a": 0,
    },
    "alpitronic-hypercharger": {
        "connectors": 2,
        "status": "Charging",
        "serial": "device",
        "rfid": "04A1B2C3D4E5F6",
        "dc_voltage_v": 388.25,
        "dc_current_a": 24.47,
        "dc_power_w": 9500,
        "power_w": 10_099.7,
        "soc_percent": 41.25,
        "energy_import_wh": 4_567_890_123,
        "session_energy_wh": 12_340,
        "setpoint_power_w": 75_000,
    },
    "alfen-ng9xx": {
        "status": "Charging",
        "voltage_l2_v": 229.75,
        "current_l2_a": 15.25,
        "power_l1_w": 3578.0,
        "power_w": 7079.5,
        "reactive_power_var": -60.5,
        "energy_import_wh": 4_567_890_123.0,
        "actual_limit_current_a": 6.0,
        "fallback_current_a": 6.0,
        "setpoint_accounted": 0,
    },
    "eastron-sdm630": {
        "voltage_l1_v": 231.5,
        "current_l3_a": 60.0,
        "power_l2_w": -2800.0,
        "power_w": 20_400.0,
        "reactive_power_l2_var": -150.0,
        "frequency_hz": 49.95,
        "energy_import_wh": 987_654.0,
        "energy_export_wh": 12_345.0,
    },
    "phoenix-eem-em3xx": {
        "voltage_l1_v": 231.5,
        "current_l3_a": 60.0,
        "power_l2_w": -2800.0,
        "power_w": 20_400.0,
        "reactive_power_var": 1950.0,
        "frequency_hz": 49.95,
        "energy_import_wh": 987_654.0,
        "energy_export_wh": 12_345.0,
    },
    "sunspec-pv-inverter": {
        "power_w": -14_973.0,
        "reactive_power_var": 900.0,
        "current_l2_a": 21.52,
        "voltage_l3_v": 233.0,
        "energy_export_wh": 12_345_678.0,
    },
}


@pytest.mark.parametrize("package", sorted(EXPECTED))
async def test_what_the_ports_were_given_comes_out_of_our_packages(package: str) -> None:
    ours, _ = await decoded(package, build(package))
    expected = EXPECTED[package]
    assert {key: ours.get(key) for key in expected} == {
        key: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value for key, value in expected.items()
    }


def charx_words(data: Any) -> dict[str, Any]:
    point, control = data["charging_points"][0]["status"], data["charging_points"][0]["control"]
    return {
        **{f"voltage_l{n}_v": point[f"voltage_l{n}_mv"] / 1000 for n in (1, 2, 3)},
        **{f"current_l{n}_a": point[f"current_l{n}_ma"] / 1000 for n in (1, 2, 3)},
        "power_w": point["active_power_mw"] / 1000,
        "reactive_power_var": point["reactive_power_mvar"] / 1000,
        "energy_import_wh": point["energy_active_wh"],
        "session_energy_wh": point["session_energy_wh"],
        "rfid": point["last_rfid"],
        "status_raw": point["vehicle_status"],
        "actual_limit_current_a": point["setpoint_a"],
        "cable_current_a": point["cable_capacity_a"],
        "setpoint_current_a": control["max_current_a"],
        "fallback_current_a": control["watchdog_current_a"],
        "model": data["device_info"]["designation"],
    }


def alfen_words(data: Any) -> dict[str, Any]:
    return {
        **{f"voltage_l{n}_v": data[f"voltage_phase_L{n}N"] for n in (1, 2, 3)},
        **{f"current_l{n}_a": data[f"current_phase_L{n}"] for n in (1, 2, 3)},
        **{f"power_l{n}_w": data[f"real_power_phase_L{n}"] for n in (1, 2, 3)},
        "power_w": data["real_power_sum"],
        "reactive_power_var": data["reactive_power_sum"],
        "energy_import_wh": data["real_energy_delivered_sum"],
        "status_raw": data["mode_3_state"],
        "actual_limit_current_a": data["actual_applied_max_current"],
        "watchdog_remaining_s": data["modbus_slave_max_current_valid_time"],
        "setpoint_current_a": data["modbus_slave_max_current"],
        "fallback_current_a": data["active_load_balancing_safe_current"],
        "manufacturer": data["c_manufacturer"],
        "model": data["c_name"],
    }


def sdm_words(data: Any) -> dict[str, Any]:
    return {
        **{f"voltage_l{n}_v": data[f"l{n}_voltage"] for n in (1, 2, 3)},
        **{f"current_l{n}_a": data[f"l{n}_current"] for n in (1, 2, 3)},
        **{f"power_l{n}_w": data[f"l{n}_power_active"] for n in (1, 2, 3)},
        **{f"reactive_power_l{n}_var": data[f"l{n}_power_reactive"] for n in (1, 2, 3)},
        "power_w": data["total_power_active"],
        "frequency_hz": data["frequency"],
        "energy_import_wh": data["import_energy_active"] * 1000,
        "energy_export_wh": data["export_energy_active"] * 1000,
    }


def sunspec_words(data: Any) -> dict[str, Any]:
    model = data["103"]
    return {
        **{f"voltage_l{n}_v": model[f"PhVph{'ABC'[n - 1]}"] for n in (1, 2, 3)},
        **{f"current_l{n}_a": model[f"Aph{'ABC'[n - 1]}"] for n in (1, 2, 3)},
        "power_w": -model["W"],
        "reactive_power_var": -model["VAr"],
        "energy_export_wh": model["WH"],
    }


@pytest.mark.peer
@pytest.mark.parametrize(
    ("package", "client", "words"),
    [
        ("phoenix-charx-sec3xxx", "charx", charx_words),
        ("alfen-ng9xx", "alfen", alfen_words),
        ("eastron-sdm630", "sdm630", sdm_words),
        ("sunspec-pv-inverter", "sunspec", sunspec_words),
    ],
)
async def test_our_decoding_agrees_with_the_independent_client(package: str, client: str, words: Any) -> None:
    ours, theirs = await decoded(package, build(package), client)
    claimed = words(theirs)
    missing = [name for name in claimed if name not in ours]
    assert not missing
    assert {name: ours[name] for name in claimed} == {
        name: value if isinstance(value, str) else pytest.approx(value, rel=1e-6) for name, value in claimed.items()
    }


async def command(package: str, device: SimDevice, name: str, value: float) -> None:
    """Arm the watchdog where the package can, then send one of our commands, over our own transport."""
    server = await serve(device, HOST, 0)
    transport = TcpTransport(server.host, server.port, 5.0)
    await transport.connect()
    try:
        plan = await planned(package, transport)
        memory = Memory()
        points = await everything(plan, transport, memory)
        if plan.watchdog is not None:
            await send(transport, plan.watchdog.configure(fallback=6, timeout_s=30).writes)
        whole = points.get(plan.command(name).whole or "")
        prepared = plan.command(name).prepare(value, None, memory.exponents, whole)
        assert prepared.writes, prepared.detail
        await send(transport, prepared.writes)
    finally:
        await transport.close()
        await server.close()


async def send(transport: Transport, writes: tuple[Write, ...]) -> None:
    for write in writes:
        await transport.write(write.table, write.unit, write.address, write.words, write.fc)


def run(device: SimDevice, until_s: float) -> None:
    while device.now_s < until_s:
        device.step(device.now_s + 1.0)


@pytest.mark.parametrize(("sent", "offered"), [(16.9, 16.0), (0.0, 0.0), (32.0, 20.0)])
async def test_our_setpoint_moves_the_charx_and_its_watchdog_takes_it_back(sent: float, offered: float) -> None:
    device = build("phoenix-charx-sec3xxx")
    assert isinstance(device, CharxController)
    await command("phoenix-charx-sec3xxx", device, "set_current", sent)
    run(device, 29.0)
    assert device.points[1].port.offered_a == offered
    run(device, 30.0)
    assert device.points[1].port.offered_a == 6.0


@pytest.mark.parametrize(("sent", "offered"), [(13.57, 13.5), (0.0, 0.0), (32.0, 20.0)])
async def test_our_setpoint_moves_the_alfen_until_its_validity_ends(sent: float, offered: float) -> None:
    device = build("alfen-ng9xx")
    assert isinstance(device, AlfenStation)
    await command("alfen-ng9xx", device, "set_current", sent)
    run(device, 59.0)
    assert device.sockets[1].port.offered_a == pytest.approx(offered)
    run(device, 60.0)
    assert device.sockets[1].port.offered_a == 6.0


async def test_our_power_limit_curtails_the_inverter_until_it_reverts() -> None:
    device = build("sunspec-pv-inverter")
    assert isinstance(device, SunSpecInverter)
    await command("sunspec-pv-inverter", device, "set_power", -0.429 * device.port.rated_power_w)
    run(device, 29.0)
    assert device.port.limit_fraction == pytest.approx(0.429)
    run(device, 32.0)
    assert device.port.limit_fraction == 1.0
