"""Alfen NG9xx: the vendor's map by hand, validity time and safe current (FC-2, FB-3)."""

import struct

import pytest

from busbar.sim.devices.alfen import AlfenSettings, AlfenStation
from busbar.sim.devices.base import NoAnswerError
from busbar.sim.faults import Faults
from busbar.sim.plant import EvsePort
from sim_registers import Registers, run_until

RESERVED = 0xFFFF


def station(sockets: int = 2, settings: AlfenSettings | None = None) -> tuple[AlfenStation, EvsePort, Registers]:
    port = EvsePort(
        "b1",
        max_current_a=32.0,
        plugged=True,
        wants_current=True,
        current_a=[10.0, 10.5, 11.0],
        power_w=[2300.0, 2415.0, 2530.0],
        reactive_var=[60.0, 50.0, 40.0],
        voltage_v=[231.0, 232.0, 233.0],
        energy_wh=1_234_567.25,
    )
    ports = {1: port, 2: EvsePort("b2")}
    device = AlfenStation("alfen-1", {n: ports[n] for n in range(1, sockets + 1)}, settings)
    run_until(device, 0.0)
    return device, port, Registers(device)


def test_measurements_stand_where_and_as_the_vendor_says() -> None:
    _, _, at = station()
    assert at.row(306, "f", 3) == [231.0, 232.0, 233.0]
    assert at.row(320, "f", 3) == [10.0, 10.5, 11.0]
    assert at.row(338, "f", 4) == [2300.0, 2415.0, 2530.0, 7245.0]
    assert at.row(346, "f", 4) == [2310.0, 2436.0, 2563.0, 7309.0]  # apparent, not active power
    assert at.get(360, "f") == 150.0
    assert at.get(336, "f") == 50.0
    assert at.get(374, "d") == 1_234_567.25
    assert at.get(390, "d") == 0.0
    assert at.get(300, "H") == 3


def test_registers_without_a_value_read_all_ones() -> None:
    device, _, at = station()
    assert at.row(312, "H", 6) == [RESERVED] * 6
    assert Registers(device, unit=200).row(168, "H", 6) == [RESERVED] * 6
    assert Registers(device, unit=200).row(1417, "H", 2) == [RESERVED] * 2


def test_product_identity_and_station_status() -> None:
    device, _, _ = station()
    at = Registers(device, unit=200)
    assert at.get(100, "34s").rstrip(b"\0") == b"ALF_1000"
    assert at.get(117, "10s").rstrip(b"\0") == b"Alfen NV"
    assert at.get(122, "h") == 1
    assert at.get(140, "34s").rstrip(b"\0") == b"NG920"
    assert at.get(1100, "f") == 64.0
    assert at.get(1105, "H") == 2
    run_until(device, 90.0)
    assert at.get(174, "Q") == 90_000


@pytest.mark.parametrize(
    ("port", "setpoint", "status"),
    [
        (EvsePort("free"),                                                 16.0, b"A"),
        (EvsePort("paused", plugged=True),                                  0.0, b"B1"),
        (EvsePort("full", plugged=True),                                   16.0, b"B2"),
        (EvsePort("waiting", plugged=True, wants_current=True),             0.0, b"C1"),
        (EvsePort("charging", plugged=True, wants_current=True),           16.0, b"C2"),
        (EvsePort("broken", plugged=True, wants_current=True, fault=True), 16.0, b"F"),
    ],
)  # fmt: skip
def test_status_is_a_zero_terminated_string(port: EvsePort, setpoint: float, status: bytes) -> None:
    device = AlfenStation("alfen", {1: port})
    at = Registers(device)
    run_until(device, 0.0)
    at.put_float(1210, setpoint)
    run_until(device, 2.0)
    assert at.get(1201, "10s") == status.ljust(10, b"\0")


def test_at_power_up_the_setpoint_reads_0_and_the_safe_current_is_in_force() -> None:
    _, port, at = station()
    assert (at.get(1210, "f"), at.get(1212, "f"), at.get(1206, "f"), port.offered_a) == (0.0, 6.0, 6.0, 6.0)
    assert (at.get(1208, "I"), at.get(1214, "H"), at.get(1215, "H")) == (0, 0, 3)


def test_a_setpoint_is_accounted_for_and_counts_down() -> None:
    device, port, at = station()
    at.put_float(1210, 13.7)
    run_until(device, 10.0)
    assert at.get(1206, "f") == pytest.approx(13.7, abs=1e-5)
    assert port.offered_a == pytest.approx(13.7, abs=1e-5)
    assert (at.get(1208, "I"), at.get(1214, "H")) == (50, 1)


def test_without_a_new_setpoint_the_safe_current_returns_after_the_validity_time() -> None:
    device, port, at = station(settings=AlfenSettings(safe_current_a=8.0, validity_s=30.0))
    at.put_float(1210, 20.0)
    run_until(device, 29.5)
    assert port.offered_a == 20.0
    run_until(device, 30.0)
    assert (port.offered_a, at.get(1206, "f"), at.get(1208, "I"), at.get(1214, "H")) == (8.0, 8.0, 0, 0)


def test_each_setpoint_restarts_the_validity_time_and_reading_does_not() -> None:
    device, port, at = station()
    at.put_float(1210, 20.0)
    run_until(device, 50.0)
    at.put_float(1210, 20.0)
    run_until(device, 109.5)
    at.get(1206, "f")
    assert port.offered_a == 20.0
    run_until(device, 110.0)
    assert port.offered_a == 6.0


def test_expiry_also_raises_a_paused_socket_to_its_safe_current() -> None:
    device, port, at = station()
    at.put_float(1210, 0.0)
    run_until(device, 59.5)
    assert port.offered_a == 0.0
    run_until(device, 60.0)
    assert port.offered_a == 6.0


def test_the_actual_limit_is_not_above_cable_and_socket() -> None:
    device, port, at = station()
    at.put_float(1210, 63.0)
    run_until(device, 2.0)
    assert at.get(1206, "f") == 32.0
    port.cable_a = 13.0
    assert at.get(1206, "f") == 13.0


@pytest.mark.parametrize("low", [5.9, 3.0, 0.0])
def test_below_6_a_nothing_may_flow(low: float) -> None:
    device, port, at = station()
    at.put_float(1210, low)
    run_until(device, 2.0)
    assert (port.offered_a, at.get(1206, "f")) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("address", "values", "fc", "code"),
    [
        (1210, [0x4150],         6,  3),  # half a setpoint
        (1210, [0x4150],         16, 3),
        (1211, [0x0000],         16, 3),
        (1210, [0x7FC0, 0],      16, 3),  # NaN
        (1210, [0x7F80, 0],      16, 3),  # infinity
        (1210, [0xC150, 0],      16, 3),  # -13 A
        (1210, [0x4150, 0, 0, 0], 16, 3),
        (1212, [0x4150, 0],      16, 2),  # safe current is read only
        (1200, [0],              6,  2),
        (1215, [2],              16, 3),
        (1215, [1, 1],           16, 3),
        (306,  [0, 0],           16, 2),
    ],
)  # fmt: skip
def test_what_is_rejected_changes_nothing(address: int, values: list[int], fc: int, code: int) -> None:
    device, port, at = station()
    at.put_float(1210, 16.0)
    run_until(device, 2.0)
    assert at.refusal_of_write(address, *values, fc=fc) == code
    run_until(device, 4.0)
    assert (port.offered_a, at.get(1210, "f"), at.get(1208, "I")) == (16.0, 16.0, 56)


def test_fc6_to_the_phases_is_acknowledged_and_not_honoured() -> None:
    _, _, at = station()
    at.put(1215, 1, fc=6)
    assert at.get(1215, "H") == 3


def test_one_phase_is_refused_where_the_installer_has_not_allowed_it() -> None:
    _, _, at = station(settings=AlfenSettings(allows_one_phase=False))
    assert at.refusal_of_write(1215, 1, fc=16) == 3
    at.put(1215, 3, fc=16)
    assert at.get(1215, "H") == 3


def test_contactors_wait_for_the_current_to_stop_and_the_pilot_is_off_while_they_move() -> None:
    device, port, at = station()
    at.put_float(1210, 16.0)
    at.put(1215, 1, fc=16)
    run_until(device, 20.0)
    assert (at.get(1215, "H"), port.phases, port.offered_a) == (1, 3, 16.0)  # told, but current flows
    port.current_a[:] = [0.1, 0.0, 0.0]
    run_until(device, 24.0)
    assert (port.phases, port.offered_a) == (3, 0.0)
    run_until(device, 26.0)
    assert (port.phases, port.offered_a) == (1, 16.0)
    port.current_a[:] = [16.0, 0.0, 0.0]
    at.put(1215, 3, fc=16)
    run_until(device, 40.0)
    assert port.phases == 1


def test_taken_back_before_they_moved_nothing_moves() -> None:
    device, port, at = station()
    port.current_a[:] = [0.0, 0.0, 0.0]
    at.put(1215, 1, fc=16)
    run_until(device, 2.0)
    at.put(1215, 3, fc=16)
    run_until(device, 20.0)
    assert (port.phases, port.offered_a) == (3, 6.0)


def test_a_reboot_closes_all_three_again() -> None:
    device, port, at = station()
    port.current_a[:] = [0.0, 0.0, 0.0]
    at.put(1215, 1, fc=16)
    run_until(device, 10.0)
    assert port.phases == 1
    device.restart(down_s=5.0)
    run_until(device, 20.0)
    assert (at.get(1215, "H"), port.phases) == (3, 3)


def test_sockets_are_units_of_their_own() -> None:
    device, port, _ = station()
    second = Registers(device, unit=2)
    second.put_float(1210, 16.0)
    run_until(device, 2.0)
    assert second.get(1206, "f") == 16.0
    assert port.offered_a == 6.0


def test_unit_2_of_a_single_says_nothing() -> None:
    device, _, _ = station(sockets=1)
    with pytest.raises(NoAnswerError):
        device.read("holding", 2, 1200, 1)
    assert Registers(device, unit=200).get(1105, "H") == 1


@pytest.mark.parametrize(("start", "count", "code"), [(300, 126, 3), (426, 1, 2), (299, 2, 2), (1200, 17, 2)])
def test_ranges_outside_the_map_are_refused(start: int, count: int, code: int) -> None:
    _, _, at = station()
    assert at.refusal_of_read(start, count) == code


def test_only_function_codes_3_6_and_16_exist() -> None:
    device, _, at = station()
    assert Registers(device, table="input").refusal_of_read(300, 1) == 1
    assert at.refusal_of_write(1210, 0, fc=5) == 1


def test_a_reboot_forgets_the_setpoint() -> None:
    device, port, at = station()
    at.put_float(1210, 20.0)
    run_until(device, 2.0)
    device.restart(down_s=5.0)
    assert port.offered_a == 0.0
    run_until(device, 7.0)
    assert (port.offered_a, at.get(1210, "f"), at.get(1214, "H")) == (6.0, 0.0, 0)
    assert Registers(device, unit=200).get(174, "Q") == 0


def test_an_ignored_setpoint_is_read_back_but_not_accounted_for() -> None:
    device, port, at = station()
    device.faults = Faults(ignore_writes=True)
    at.put_float(1210, 20.0)
    run_until(device, 5.0)
    assert (at.get(1210, "f"), at.get(1214, "H"), at.get(1206, "f"), port.offered_a) == (20.0, 0, 6.0, 6.0)


def test_energies_of_the_phases_are_integrated() -> None:
    device, port, at = station()
    before = at.row(362, "d", 3)
    run_until(device, 3600.0, step_s=10.0)
    gained = [after - start for after, start in zip(at.row(362, "d", 3), before, strict=True)]
    assert gained == pytest.approx([2300.0, 2415.0, 2530.0])
    assert sum(before) == pytest.approx(port.energy_wh)


def test_wire_bytes_of_a_setpoint_of_16_a() -> None:
    device, _, _ = station()
    device.write("holding", 1, 1210, [0x4180, 0x0000], 16)
    assert device.read("holding", 1, 1210, 2) == bytes.fromhex("41800000") == struct.pack(">f", 16.0)
