"""Independent clients read and write our simulated devices (devices.md, Independent counterparts).

They carry register maps that others wrote. Expected values are fixed here by hand from what the ports were given;
nothing is taken from our device packages. A simulator that passes proves our drivers' maps in turn.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from busbar.sim.devices import AlfenStation, CharxController, Sdm630, SimDevice, SunSpecBattery, SunSpecInverter
from busbar.sim.plant import BatteryPort, EvsePort, MeterPort, PvPort
from busbar.sim.server import serve
from peers.run import run_client

pytestmark = [pytest.mark.integration, pytest.mark.peer]

HOST = "127.0.42.198"
Ask = Callable[[str, SimDevice, str], Awaitable[Any]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Serve a device, run a client's action against it, return what it said."""
    servers = []

    async def served(client: str, device: SimDevice, action: str) -> Any:
        server = await serve(device, HOST, 0)
        servers.append(server)
        return await run_client(client, server.host, server.port, action)

    yield served
    for server in servers:
        await server.close()


def charging() -> EvsePort:
    return EvsePort(
        "a1",
        max_current_a=32.0,
        plugged=True,
        wants_current=True,
        cable_a=20.0,
        badge="04A1B2C3D4E5F6",
        voltage_v=[231.123, 229.871, 230.4],
        current_a=[15.5, 15.25, 0.0],
        power_w=[3578.0, 3501.5, 0.0],
        reactive_var=[90.0, -150.5, 0.0],
        energy_wh=4_567_890_123.0,
        session_energy_wh=8_765.4,
    )


def run(device: SimDevice, seconds: int) -> None:
    for _ in range(seconds):
        device.step(device.now_s + 1.0)


def charx() -> CharxController:
    full = EvsePort("a2", plugged=True, badge="DEADBEEF", cable_a=32.0, max_current_a=16.0)
    device = CharxController("charx", {1: charging(), 2: full, 3: EvsePort("a3")})
    device.step(0.0)
    run(device, 90)
    return device


async def test_aiophoenixcontactcharx_reads_the_charx(ask: Ask) -> None:
    data = await ask("charx", charx(), "read")

    info = data["device_info"]
    assert info["designation"] == "CHARX SEC-3150"
    assert info["software_version"] == "1.9.0"
    assert (info["num_controllers"], info["ip_eth0"], info["subnet_eth0"]) == (3, "192.168.4.1", "255.255.255.0")
    assert (info["num_status_a"], info["num_status_bcd"], info["num_charging"], info["num_status_ef"]) == (1, 2, 1, 0)
    assert (info["group_active_power_mw"], info["group_reactive_power_mvar"]) == (7_079_500, -60_500)
    assert [info[f"group_current_l{n}_ma"] for n in (1, 2, 3)] == [None, None, None]
    assert info["availability"] is True

    first, second, third = data["charging_points"]
    status = first["status"]
    assert [status[f"voltage_l{n}_mv"] for n in (1, 2, 3)] == [231_123, 229_871, 230_400]
    assert [status[f"current_l{n}_ma"] for n in (1, 2, 3)] == [15_500, 15_250, 0]
    assert status["active_power_mw"] == 7_079_500
    assert status["reactive_power_mvar"] == -60_500
    assert status["apparent_power_mva"] == 7_087_939  # 231.123 * 15.5 + 229.871 * 15.25
    assert status["energy_active_wh"] == 4_567_890_123
    assert status["session_energy_wh"] == 8_765
    assert status["last_rfid"] == "04A1B2C3D4E5F6"
    assert (status["connection_time_s"], status["charging_duration_s"]) == (90, 90)
    assert (status["setpoint_a"], status["cable_capacity_a"], status["setpoint_percent"]) == (6, 20, 18)
    assert [point["status"]["vehicle_status"] for point in (first, second, third)] == ["C2", "B2", "A1"]
    assert [point["status"]["error_code"] for point in (first, second, third)] == [0, 0, 0]

    config = first["config"]
    assert (config["max_current_cfg_a"], config["min_current_cfg_a"], config["interface_config"]) == (32, 6, 0)
    assert (config["energy_meter_type"], config["release_mode"], config["bus_position"]) == (2, 5, 1)
    assert config["uid"] == "CP0001"
    assert first["control"] == {
        "charging_point": 1,
        "charging_release": True,
        "max_current_a": 6,
        "digital_outputs": 0,
        "locking": False,
        "available": True,
        "force_unlock_pending": False,
        "watchdog_current_a": 0,
        "watchdog_timer_s": 65535,
    }


async def test_aiophoenixcontactcharx_commands_the_charx(ask: Ask) -> None:
    device = charx()
    await ask("charx", device, "write")
    run(device, 3)
    first, second, third = device.points.values()
    assert (first.port.offered_a, second.port.offered_a, third.port.available) == (13.0, 0.0, False)

    control, unreleased, unavailable = (await ask("charx", device, "read"))["charging_points"]
    assert (control["control"]["max_current_a"], control["status"]["setpoint_a"]) == (13, 13)
    assert (control["control"]["watchdog_timer_s"], control["control"]["watchdog_current_a"]) == (45, 7)
    assert (unreleased["control"]["charging_release"], unreleased["status"]["vehicle_status"]) == (False, "B1")
    assert unreleased["status"]["last_rfid"] == ""
    assert (unavailable["control"]["available"], unavailable["status"]["vehicle_status"]) == (False, "F0")

    run(device, 45)
    assert first.port.offered_a == 7.0
    fallen = (await ask("charx", device, "read"))["charging_points"][0]
    assert fallen["status"]["setpoint_a"] == 7


def alfen() -> AlfenStation:
    device = AlfenStation("alfen-1", {1: charging(), 2: EvsePort("b2")})
    device.step(0.0)
    run(device, 90)
    return device


async def test_alfen_eve_modbus_tcp_reads_the_station(ask: Ask) -> None:
    data = await ask("alfen", alfen(), "read")
    exact = {
        "c_name": "ALF_1000",
        "c_manufacturer": "Alfen NV",
        "c_modbus_table_version": 1,
        "c_firmware_version": "6.6.0-4332",
        "c_platform_type": "NG920",
        "c_uptime": 90_000,
        "station_active_max_current": 64.0,
        "ocpp_state": 0,
        "nr_of_sockets": 2,
        "meter_state": 3,
        "availability": 1,
        "mode_3_state": "C2",
        "actual_applied_max_current": 6.0,
        "modbus_slave_max_current_valid_time": 0,
        "modbus_slave_max_current": 0.0,
        "active_load_balancing_safe_current": 6.0,
        "modbus_slave_received_setpoint_accounted_for": 0,
        "charge_using_1_or_3_phases": 3,
        "real_energy_delivered_sum": 4_567_890_123.0,
        "real_energy_consumed_sum": 0.0,
    }
    assert {key: data[key] for key in exact} == exact
    close = {
        "voltage_phase_L1N": 231.123,
        "voltage_phase_L2N": 229.871,
        "voltage_phase_L3N": 230.4,
        "current_phase_L1": 15.5,
        "current_phase_L2": 15.25,
        "current_phase_L3": 0.0,
        "current_sum": 30.75,
        "current_N": 15.3765,  # two line currents 120 degrees apart
        "frequency": 50.0,
        "real_power_phase_L1": 3578.0,
        "real_power_phase_L2": 3501.5,
        "real_power_phase_L3": 0.0,
        "real_power_sum": 7079.5,
        "apparent_power_phase_L1": 3582.4065,
        "apparent_power_phase_L2": 3505.5328,
        "apparent_power_sum": 7087.939,
        "reactive_power_phase_L1": 90.0,
        "reactive_power_phase_L2": -150.5,
        "reactive_power_sum": -60.5,
        "power_factor_sum": 7079.5 / 7087.939,
    }
    assert {key: data[key] for key in close} == pytest.approx(close, rel=1e-6, abs=1e-4)


async def test_alfen_eve_modbus_tcp_sets_a_current(ask: Ask) -> None:
    device = alfen()
    assert await ask("alfen", device, "write") is True
    run(device, 3)
    assert device.sockets[1].port.offered_a == 13.5
    data = await ask("alfen", device, "read")
    assert data["actual_applied_max_current"] == data["modbus_slave_max_current"] == 13.5
    assert data["modbus_slave_received_setpoint_accounted_for"] == 1
    assert data["modbus_slave_max_current_valid_time"] == 57
    run(device, 57)
    assert (await ask("alfen", device, "read"))["actual_applied_max_current"] == 6.0


async def test_sdm_modbus_reads_the_meter(ask: Ask) -> None:
    port = MeterPort(
        "m",
        voltage_v=[231.5, 230.25, 229.75],
        current_a=[41.5, 12.25, 60.0],
        power_w=[9500.0, -2800.0, 13_700.0],
        reactive_var=[1200.0, -150.0, 900.0],
        energy_import_wh=987_654.0,
        energy_export_wh=12_345.0,
        frequency_hz=49.95,
    )
    data = await ask("sdm630", Sdm630("sdm", port), "read")
    close = {
        "l1_voltage": 231.5,
        "l2_voltage": 230.25,
        "l3_voltage": 229.75,
        "l1_current": 41.5,
        "l2_current": 12.25,
        "l3_current": 60.0,
        "l1_power_active": 9500.0,
        "l2_power_active": -2800.0,
        "l3_power_active": 13_700.0,
        "l1_power_apparent": 9607.25,
        "l1_power_reactive": 1200.0,
        "l2_power_reactive": -150.0,
        "l3_power_reactive": 900.0,
        "voltage_ln": 230.5,
        "total_line_current": 113.75,
        "total_power_active": 20_400.0,
        "total_power_apparent": 26_212.8125,
        "total_power_reactive": 1950.0,
        "frequency": 49.95,
        "import_energy_active": 987.654,
        "export_energy_active": 12.345,
        "total_energy_active": 999.999,
        "l1_import_energy_active": 329.218,
        "l3_export_energy_active": 4.115,
    }
    assert {key: data[key] for key in close} == pytest.approx(close, rel=1e-6)


def inverter() -> SunSpecInverter:
    port = PvPort(
        "pv",
        rated_power_w=20_000.0,
        voltage_v=[232.1, 231.9, 233.0],
        current_a=[21.5, 21.52, 21.48],
        power_w=[-4990.0, -4991.0, -4992.0],
        energy_export_wh=12_345_678.0,
    )
    device = SunSpecInverter("pv-inverter", port)
    device.step(0.0)
    return device


async def test_pysunspec2_scans_the_inverter(ask: Ask) -> None:
    models = await ask("sunspec", inverter(), "read")
    assert list(models) == ["1", "103", "120", "121", "122", "123"]
    assert (models["1"]["Md"], models["1"]["SN"], models["1"]["DA"]) == ("Simulated PV", "pv-inverter", 1)
    measured = models["103"]
    exact = {"W": 14_973, "Hz": 50.0, "WH": 12_345_678, "St": 4, "Evt1": 0, "VAr": 0, "TmpCab": 35.0}
    assert {key: measured[key] for key in exact} == exact
    close = {"A": 64.5, "AphA": 21.5, "AphB": 21.52, "AphC": 21.48, "PhVphA": 232.1, "PhVphB": 231.9, "PhVphC": 233.0}
    assert {key: measured[key] for key in close} == pytest.approx(close)
    missing = ("PPVphAB", "DCA", "DCV", "DCW", "TmpSnk", "StVnd", "EvtVnd1")
    assert [measured[key] for key in missing] == [None] * len(missing)
    assert (models["120"]["DERTyp"], models["120"]["WRtg"], models["120"]["WHRtg"]) == (4, 20_000, None)
    assert (models["121"]["WMax"], models["121"]["VRef"], models["121"]["VMax"]) == (20_000, 230, None)
    assert (models["122"]["PVConn"], models["122"]["ActWh"]) == (7, 12_345_678)
    assert (models["123"]["Conn"], models["123"]["WMaxLimPct"], models["123"]["WMaxLim_Ena"]) == (1, 100.0, 0)
    assert models["123"]["WMaxLimPct_WinTms"] is None


async def test_pysunspec2_limits_the_inverter_until_it_reverts(ask: Ask) -> None:
    device = inverter()
    controls = (await ask("sunspec", device, "write"))["123"]
    assert (controls["WMaxLimPct"], controls["WMaxLimPct_RvrtTms"], controls["WMaxLim_Ena"]) == (42.5, 60, 1)
    run(device, 3)
    assert device.port.limit_fraction == pytest.approx(0.425)
    assert (await ask("sunspec", device, "read"))["103"]["St"] == 5
    run(device, 60)
    assert device.port.limit_fraction == 1.0
    assert (await ask("sunspec", device, "read"))["123"]["WMaxLim_Ena"] == 0


def battery() -> SunSpecBattery:
    port = BatteryPort(
        "bat",
        capacity_wh=80_000.0,
        max_charge_w=30_000.0,
        max_discharge_w=40_000.0,
        stored_wh=44_400.0,
        voltage_v=[231.5, 230.2, 229.9],
        current_a=[17.4, 17.5, 17.6],
        power_w=[4020.0, 4021.0, 4019.0],
        energy_import_wh=8_765_432.0,
        energy_export_wh=7_654_321.0,
        frequency_hz=49.98,
    )
    device = SunSpecBattery("battery", port)
    device.step(0.0)
    return device


async def test_pysunspec2_scans_the_battery(ask: Ask) -> None:
    models = await ask("sunspec", battery(), "read")
    assert list(models) == ["1", "701", "702", "704", "713"]
    measured = models["701"]
    exact = {
        "W": -12_060,
        "Hz": 49.98,
        "TotWhInj": 7_654_321,
        "TotWhAbs": 8_765_432,
        "InvSt": 3,
        "ACType": 2,
        "PF": None,
    }
    assert {key: measured[key] for key in exact} == exact
    close = {"WL1": -4020, "WL3": -4020, "AL1": 17.4, "AL3": 17.6, "VL1": 231.5, "VL2": 230.2, "A": 52.5}
    assert {key: measured[key] for key in close} == pytest.approx(close)
    assert {key: models["713"][key] for key in ("WHRtg", "SoC", "SoH", "Sta")} == {
        "WHRtg": 80_000,
        "SoC": 55.5,
        "SoH": 100,
        "Sta": 0,
    }
    assert (models["702"]["WChaRteMax"], models["702"]["WDisChaRteMax"], models["702"]["VAMax"]) == (
        30_000,
        40_000,
        None,
    )
    controls = models["704"]
    assert (controls["WSetEna"], controls["WSetMod"], controls["WSet"], controls["WMaxLimPct"]) == (0, 1, 0, None)


async def test_pysunspec2_lets_the_battery_discharge_until_it_reverts(ask: Ask) -> None:
    device = battery()
    controls = (await ask("sunspec", device, "discharge"))["704"]
    assert (controls["WSet"], controls["WSetEna"], controls["WSetRvrtTms"], controls["WSetEnaRvrt"]) == (
        12_500,
        1,
        60,
        1,
    )
    run(device, 3)
    assert device.port.setpoint_w == -12_500.0
    assert (await ask("sunspec", device, "read"))["704"]["WSetRvrtRem"] == 57
    run(device, 60)
    assert device.port.setpoint_w == 0.0
    controls = (await ask("sunspec", device, "read"))["704"]
    assert (controls["WSet"], controls["WSetEna"], controls["WSetRvrtRem"]) == (0, 1, 0)
