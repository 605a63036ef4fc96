"""CHARX: the map as the maker's table has it, addresses and scales by hand, and its electronics (FC-2, FB-3)."""

import pytest

from busbar.sim.devices.charx import CharxController
from busbar.sim.devices.charx_point import CharxSettings
from busbar.sim.faults import Faults
from busbar.sim.plant import EvsePort
from sim_registers import Registers, run_until

REACTION_S = 1.0


def charging_port() -> EvsePort:
    return EvsePort(
        "a1",
        max_current_a=32.0,
        plugged=True,
        wants_current=True,
        cable_a=20.0,
        badge="04A1B2C3",
        current_a=[15.9, 15.8, 0.001],
        power_w=[3657.0, 3634.0, 0.2],
        reactive_var=[120.0, -20.0, 0.0],
        voltage_v=[230.1, 229.9, 231.0],
        energy_wh=5_000_000_000.0,
        session_energy_wh=12_345.6,
    )


def controller(port: EvsePort | None = None, **settings: object) -> tuple[CharxController, EvsePort, Registers]:
    port = port or charging_port()
    device = CharxController("charx", {1: port, 2: EvsePort("a2")}, CharxSettings(**settings))  # type: ignore[arg-type]
    run_until(device, 0.0)
    return device, port, Registers(device)


def test_measurements_stand_where_and_as_the_manual_says() -> None:
    _, _, at = controller()
    assert at.row(1232, "I", 3) == [230_100, 229_900, 231_000]  # mV
    assert at.row(1238, "i", 3) == [15_900, 15_800, 1]  # mA
    assert at.get(1244, "i") == 7_291_200  # mW
    assert at.get(1246, "i") == 100_000  # mvar
    assert at.get(1248, "I") == 7_291_241  # mVA: 230.1*15.9 + 229.9*15.8 + 231.0*0.001
    assert at.get(1250, "Q") == 5_000_000_000  # Wh, beyond 32 bits
    assert at.get(1289, "Q") == 12_345
    assert at.get(1275, "20s") == b"04A1B2C3" + bytes(12)
    assert at.get(1264, "H") == 0


def test_identity_and_configuration_of_the_group_and_its_points() -> None:
    _, _, at = controller()
    assert at.get(100, "20s").rstrip(b"\0") == b"CHARX SEC-3150"
    assert at.get(110, "8s").rstrip(b"\0") == b"1.9.0"
    assert at.get(114, "H") == 2
    assert at.row(121, "H", 4) == [192, 168, 4, 1]
    assert at.row(158, "i", 3) == [-1, -1, -1]  # phase rotation unknown
    assert at.row(1100, "H", 3) == [0, 32, 6]
    assert at.get(1112, "H") == 2
    assert at.get(1113, "6s") == b"CP0001"
    assert at.row(2119, "H", 2) == [2, 5]


def test_the_group_counts_its_points_by_state() -> None:
    _, _, at = controller()
    assert at.row(147, "H", 5) == [0, 0, 1, 1, 1]  # errors, E/F, A, B/C/D, charging
    assert at.get(152, "I") == 7_291_200


@pytest.mark.parametrize(
    ("port", "setpoint", "available", "status"),
    [
        (EvsePort("free"),                                                    16, 1, b"A1"),
        (EvsePort("paused", plugged=True),                                     0, 1, b"B1"),
        (EvsePort("full", plugged=True),                                      16, 1, b"B2"),
        (EvsePort("waiting", plugged=True, wants_current=True),                0, 1, b"C1"),
        (EvsePort("charging", plugged=True, wants_current=True),              16, 1, b"C2"),
        (EvsePort("broken", plugged=True, wants_current=True, fault=True),    16, 1, b"E0"),
        (EvsePort("out of service", plugged=True, wants_current=True),        16, 0, b"F0"),
    ],
)  # fmt: skip
def test_status_letters(port: EvsePort, setpoint: int, available: int, status: bytes) -> None:
    device, _, at = controller(port)
    at.put(1301, setpoint)
    at.put(1304, available)
    run_until(device, 2.0)
    assert at.get(1299, "2s") == status
    assert (port.offered_a > 0) == status.endswith(b"2")


def test_a_setpoint_acts_after_the_reaction_time_and_is_read_back_as_the_actual_limit() -> None:
    device, port, at = controller()
    at.put(1301, 13)
    run_until(device, REACTION_S - 0.5)
    assert (at.get(1301, "H"), at.get(1297, "H"), port.offered_a) == (13, 6, 6.0)
    run_until(device, REACTION_S)
    assert (at.get(1301, "H"), at.get(1297, "H"), port.offered_a) == (13, 13, 13.0)


def test_setpoints_that_change_every_second_are_all_applied_with_a_long_reaction_time() -> None:
    device, port, at = controller(reaction_s=5.0)
    offered = []
    for second in range(1, 13):
        at.put(1301, 6 + second)
        run_until(device, float(second))
        offered.append(port.offered_a)
    assert offered == [6, 6, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14]


@pytest.mark.parametrize(("written", "cable", "actual"), [(16, 32, 16), (40, 32, 32), (25, 20, 20), (80, 63, 32)])
def test_the_actual_limit_is_the_smallest_of_setpoint_cable_and_configured_maximum(
    written: int, cable: float, actual: int
) -> None:
    port = charging_port()
    port.cable_a = cable
    device, _, at = controller(port)
    at.put(1301, written)
    run_until(device, 2.0)
    assert at.get(1297, "H") == actual
    assert at.get(1298, "H") == cable


@pytest.mark.parametrize("outside", [0, 1, 5, 81, 65535])
def test_a_setpoint_outside_6_to_80_pauses_and_the_next_one_inside_resumes(outside: int) -> None:
    device, port, at = controller()
    at.put(1301, outside)
    run_until(device, 2.0)
    assert (port.offered_a, at.get(1297, "H"), at.get(1300, "H")) == (0.0, 0, 1)
    at.put(1301, 6)
    run_until(device, 4.0)
    assert port.offered_a == 6.0


def test_release_rules_only_in_modbus_release_mode() -> None:
    offered = {}
    for mode in (4, 5):
        device, port, at = controller(release_mode=mode)
        at.put(1300, 0)
        run_until(device, 2.0)
        offered[mode] = port.offered_a
    assert offered == {4: 6.0, 5: 0.0}


def test_watchdog_expiry_puts_the_fallback_in_force_within_the_watchdog_time() -> None:
    device, port, at = controller()
    at.put(1306, 8)
    at.put(1307, 10)
    at.put(1301, 20)
    run_until(device, 9.5)
    assert port.offered_a == 20.0
    run_until(device, 10.0)
    assert (port.offered_a, at.get(1297, "H"), at.get(1301, "H")) == (8.0, 8, 8)


@pytest.mark.parametrize("fallback", [0, 5])
def test_watchdog_expiry_withdraws_the_release_where_the_fallback_is_no_current(fallback: int) -> None:
    device, port, at = controller()
    at.put(1306, fallback, 10)
    run_until(device, 10.0)
    assert port.offered_a == 0.0


def test_expiry_raises_a_paused_point_to_its_fallback() -> None:
    device, port, at = controller()
    at.put(1306, 6, 10)
    at.put(1301, 0)
    run_until(device, 5.0)
    assert port.offered_a == 0.0
    run_until(device, 10.0)
    assert port.offered_a == 6.0


@pytest.mark.parametrize("register", [1300, 1301, 1302, 1306, 1307, 1308, 2301, 167])
def test_every_write_refreshes_the_watchdog_and_no_read_does(register: int) -> None:
    device, _, at = controller()
    at.put(1306, 6, 10)
    at.put(1301, 20)
    run_until(device, 8.0)
    at.get(1297, "H")
    at.put(register, at.get(register, "H") or (1 if register == 1308 else 0))
    run_until(device, 17.5)
    assert at.get(1297, "H") == 20
    run_until(device, 18.0)
    assert at.get(1297, "H") == 6


def test_with_the_narrow_scope_another_points_write_does_not_refresh() -> None:
    device, _, at = controller(watchdog_scope="point")
    at.put(1306, 7, 10)
    at.put(1301, 20)
    run_until(device, 8.0)
    at.put(2301, 16)
    run_until(device, 10.0)
    assert at.get(1297, "H") == 7


def test_a_refused_write_does_not_refresh_the_watchdog() -> None:
    device, _, at = controller()
    at.put(1306, 7, 10)
    at.put(1301, 20)
    run_until(device, 8.0)
    assert at.refusal_of_write(1297, 16) == 2
    run_until(device, 10.0)
    assert at.get(1297, "H") == 7


def test_a_disabled_watchdog_holds_the_setpoint_for_ever() -> None:
    device, port, at = controller()
    assert at.get(1307, "H") == 65535
    at.put(1301, 20)
    run_until(device, 7200.0, step_s=60.0)
    assert port.offered_a == 20.0


def test_the_badge_stays_after_the_session_until_it_is_cleared() -> None:
    device, port, at = controller()
    port.plugged = False
    port.badge = ""
    run_until(device, 1.0)
    assert at.get(1275, "20s").rstrip(b"\0") == b"04A1B2C3"
    at.put(1308, 1)
    assert at.get(1275, "20s") == bytes(20)


def test_a_cleared_badge_comes_back_only_with_a_new_session() -> None:
    device, port, at = controller()
    at.put(1308, 1)
    run_until(device, 1.0)
    assert at.get(1275, "20s") == bytes(20)
    port.plugged = False
    run_until(device, 2.0)
    port.plugged = True
    run_until(device, 3.0)
    assert at.get(1275, "20s").rstrip(b"\0") == b"04A1B2C3"


def test_connection_and_charging_time_are_counted_in_seconds() -> None:
    device, port, at = controller()
    run_until(device, 10.0)
    port.wants_current = False
    run_until(device, 25.0)
    assert (at.get(1285, "I"), at.get(1287, "I")) == (25, 10)
    port.plugged = False
    run_until(device, 30.0)
    assert at.get(1285, "I") == 0


def test_apparent_and_reactive_energy_are_integrated() -> None:
    device, _, at = controller()
    run_until(device, 7220.0, step_s=10.0)
    assert at.get(1254, "q") == 200  # 100 var for 2 h and 20 s
    assert at.get(1258, "Q") == 14_622  # 7291.24 VA


def test_a_fault_is_an_error_bit() -> None:
    device, port, at = controller()
    assert at.get(1293, "I") == 0
    port.fault = True
    assert at.get(1293, "I") == 1 << 30
    run_until(device, 1.0)
    assert port.offered_a == 0.0


@pytest.mark.parametrize(
    ("address", "count", "code"),
    [
        (1124, 1, 2), (1231, 1, 2), (1309, 1, 2), (1232, 78, 2), (168, 1, 2), (99, 1, 2), (3232, 1, 2), (1123, 2, 2),
        (1232, 0, 3), (1232, 126, 3), (100, 125, 2),
    ],
)  # fmt: skip
def test_holes_answer_exception_2_and_too_many_registers_exception_3(address: int, count: int, code: int) -> None:
    _, _, at = controller()
    assert at.refusal_of_read(address, count) == code


def test_the_map_is_holding_registers_only() -> None:
    device, _, _ = controller()
    assert Registers(device, table="input").refusal_of_read(1232, 1) == 1


@pytest.mark.parametrize(
    ("address", "values", "code"),
    [(1299, [1], 2), (1297, [16], 2), (100, [1], 2), (1300, [2], 3), (1307, [0], 3), (3301, [6], 2), (1308, [1, 1], 2)],
)
def test_what_cannot_be_written_is_refused(address: int, values: list[int], code: int) -> None:
    _, _, at = controller()
    assert at.refusal_of_write(address, *values) == code


def test_a_refused_block_write_changes_nothing() -> None:
    _, _, at = controller()
    before = at.row(1300, "H", 9)
    assert at.refusal_of_write(1300, 1, 16, 0, 0, 9) == 3
    assert at.row(1300, "H", 9) == before


def test_availability_can_be_withdrawn_for_one_point_and_for_the_group() -> None:
    device, port, at = controller()
    at.put(1304, 0)
    run_until(device, 1.0)
    assert (port.available, port.offered_a, at.get(2299, "2s")) == (False, 0.0, b"A1")
    at.put(164, 0)
    run_until(device, 2.0)
    assert at.get(2299, "2s") == b"F0"
    at.put(164, 1)
    run_until(device, 3.0)
    assert (port.available, port.offered_a) == (True, 6.0)


def test_a_restart_loses_the_setpoint_and_keeps_fallback_and_watchdog() -> None:
    device, port, at = controller()
    at.put(1306, 9, 60)
    at.put(1301, 20)
    run_until(device, 2.0)
    device.restart(down_s=5.0)
    assert (device.up, port.offered_a) == (False, 0.0)
    run_until(device, 7.0)
    assert (at.get(1301, "H"), port.offered_a) == (6, 6.0)
    assert at.row(1306, "H", 2) == [9, 60]
    run_until(device, 67.0)
    assert port.offered_a == 9.0


def test_a_restart_that_loses_the_fallback_leaves_no_watchdog() -> None:
    device, _, at = controller()
    at.put(1306, 9, 60)
    device.faults = Faults(lose_fallback_on_restart=True)
    at.put(166, 1)
    run_until(device, 30.0)
    assert at.row(1306, "H", 2) == [0, 65535]


def test_ignored_setpoints_are_acknowledged_and_read_back_but_change_nothing() -> None:
    device, port, at = controller()
    at.put(1301, 16)
    run_until(device, 2.0)
    device.faults = Faults(ignore_writes=True)
    at.put(1301, 6)
    at.put(1300, 0)
    run_until(device, 10.0)
    assert (at.get(1301, "H"), at.get(1300, "H"), at.get(1297, "H"), port.offered_a) == (6, 0, 16, 16.0)
    device.faults = Faults()
    at.put(1300, 1)
    at.put(1301, 6)
    run_until(device, 12.0)
    assert port.offered_a == 6.0


def test_an_unknown_status_is_reported_as_it_is() -> None:
    device, _, at = controller()
    device.faults = Faults(unknown_status="Z9")
    assert at.get(1299, "2s") == b"Z9"


def test_points_outside_1_to_12_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="1 to 12"):
        CharxController("charx", {13: EvsePort("x")})
