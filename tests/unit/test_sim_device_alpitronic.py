"""Alpitronic hypercharger: the maker's map by hand, captured frames, watchdog and fallback power (FB-3, SPC-11)."""

import pytest

from busbar.sim.devices.alpitronic import AlpitronicSettings, Hypercharger
from busbar.sim.faults import Faults
from busbar.sim.plant import DcPort
from sim_registers import Registers, run_until


def charging(**more: object) -> DcPort:
    port = DcPort(
        "q1",
        max_power_w=75_000.0,
        plugged=True,
        ready=True,
        badge="04A1B2C3D4E5F6",
        plugged_since_s=-65.0,
        soc_percent=41.25,
        vehicle_max_w=60_000.0,
        dc_voltage_v=388.25,
        dc_power_w=38_825.0,
        energy_wh=1_234_567.9,
        session_energy_wh=12_345.0,
    )
    for name, value in more.items():
        setattr(port, name, value)
    return port


def station(settings: AlpitronicSettings | None = None) -> tuple[Hypercharger, DcPort, Registers, Registers]:
    """Station, first outlet, its input and its holding registers."""
    port = charging()
    device = Hypercharger("hyc", {1: port, 2: DcPort("q2", max_power_w=75_000.0, energy_wh=163_233.0)}, settings)
    run_until(device, 0.0)
    return device, port, Registers(device, table="input"), Registers(device)


def limit(at: Registers, power_w: int, outlet: int = 1) -> None:
    at.put(100 * outlet, power_w >> 16, power_w & 0xFFFF)


def test_captured_frames() -> None:
    """evcc issue 28493: energy of outlet 2, limit of outlet 1, outlet 2 unavailable, 138 W on outlet 1."""
    device, port, _, holding = station()
    limit(holding, 149_040)
    limit(holding, 0, outlet=2)
    port.dc_power_w = 138.0
    run_until(device, 2.0)
    assert device.read("input", 1, 0x00E8, 4) == bytes.fromhex("0000000000027da1")
    assert device.read("holding", 1, 0x0064, 2) == bytes.fromhex("00024630")
    assert device.read("input", 1, 0x00C8, 1) == bytes.fromhex("0008")
    assert device.read("input", 1, 0x0068, 2) == bytes.fromhex("0000008a")


def test_an_outlet_shows_its_dc_side() -> None:
    _, _, at, _ = station()
    assert (at.get(100, "H"), at.get(101, "I"), at.get(103, "H"), at.get(104, "I")) == (3, 38_825, 10_000, 38_825)
    assert at.row(106, "H", 4) == [65, 1234, 4125, 1]
    assert (at.get(110, "I"), at.get(112, "I")) == (10_000, 0)  # the vehicle takes more, its limit is less
    assert at.get(118, "8s")[:3] == b"\0\0\x02"
    assert at.get(122, "20s").hex().upper().rstrip("0") == "04A1B2C3D4E5F6"
    assert (at.get(132, "q"), at.get(136, "I")) == (1_234_567, 75_000)
    assert at.refusal_of_read(138, 1) == 2
    assert at.refusal_of_read(300, 1) == 2  # it has two


def test_the_station_shows_its_outlets_and_their_power_together() -> None:
    device, _, at, _ = station()
    run_until(device, 10.0)
    assert (at.get(0, "I"), at.get(2, "H"), at.get(3, "H"), at.get(4, "I")) == (10, 2, 0, 38_825)
    assert at.get(6, "24s").rstrip(b"\0") == b"hyc"
    assert at.row(46, "H", 3) == [2, 4, 0]


def test_an_empty_outlet_reads_zeros() -> None:
    _, _, at, _ = station()
    assert at.row(200, "H", 9) == [0] * 9
    assert at.get(218, "28s") == bytes(28)


@pytest.mark.parametrize(
    ("port", "power_w", "code"),
    [
        (DcPort("free"),                                     20_000, 0),
        (DcPort("handshake", plugged=True),                  20_000, 2),
        (DcPort("charging", plugged=True, ready=True),        1547, 3),
        (DcPort("full", plugged=True, full=True),            20_000, 6),
        (DcPort("at 0", plugged=True, ready=True),                0, 8),
        (DcPort("broken", plugged=True, fault=True),              0, 10),
    ],
)  # fmt: skip
def test_status_is_one_of_the_twelve(port: DcPort, power_w: int, code: int) -> None:
    device = Hypercharger("hyc", {1: port})
    limit(Registers(device), power_w)
    run_until(device, 2.0)
    assert Registers(device, table="input").get(100, "H") == code


def test_at_power_up_the_fallback_power_is_in_force_and_no_register_shows_it() -> None:
    _, port, _, holding = station(AlpitronicSettings(fallback_w=22_000.0))
    assert port.offered_w == 22_000.0
    assert holding.get(100, "I") == 75_000


def test_a_limit_is_obeyed_after_its_reaction_time_within_what_the_outlet_can() -> None:
    device, port, _, holding = station()
    limit(holding, 30_000)
    run_until(device, 0.5)
    assert port.offered_w == 10_000.0
    run_until(device, 2.0)
    assert port.offered_w == 30_000.0
    limit(holding, 149_040)
    run_until(device, 4.0)
    assert port.offered_w == 75_000.0


def test_fb_3_without_a_newly_written_limit_for_5_s_the_fallback_power_returns_and_reading_changes_nothing() -> None:
    device, port, at, holding = station()
    limit(holding, 30_000)
    for second in range(1, 5):
        run_until(device, float(second))
        at.row(100, "H", 36)
        holding.get(100, "I")
    run_until(device, 4.5)
    assert port.offered_w == 30_000.0
    run_until(device, 7.0)
    assert port.offered_w == 10_000.0
    assert holding.get(100, "I") == 30_000


def test_the_same_limit_written_again_keeps_it_alive() -> None:
    device, port, _, holding = station()
    for second in range(0, 40, 4):
        limit(holding, 30_000)
        run_until(device, second + 4.0)
        assert port.offered_w == 30_000.0


def test_0_w_ends_the_session_and_only_a_new_plug_begins_another() -> None:
    device, port, at, holding = station()
    limit(holding, 0)
    run_until(device, 2.0)
    assert (port.offered_w, at.get(100, "H")) == (0.0, 8)
    limit(holding, 20_000)
    run_until(device, 4.0)
    assert (port.offered_w, at.get(100, "H")) == (0.0, 6)
    port.plugged = False
    run_until(device, 5.0)
    assert at.get(100, "H") == 0
    limit(holding, 20_000)
    port.plugged = True
    run_until(device, 7.0)
    assert (port.offered_w, at.get(100, "H")) == (20_000.0, 3)


def test_what_is_not_a_whole_limit_is_refused() -> None:
    _, _, at, holding = station()
    assert holding.refusal_of_write(100, 1, fc=16) == 2
    assert holding.refusal_of_write(101, 1, 1) == 2
    assert holding.refusal_of_write(102, 0, 0) == 2
    assert holding.refusal_of_write(0, 0, 0) == 2
    assert holding.refusal_of_write(300, 0, 5000) == 2
    assert holding.refusal_of_write(100, 5000, fc=6) == 1
    assert at.refusal_of_read(19, 1) == 2


def test_a_restart_forgets_the_limit_and_one_that_forgets_everything_is_free() -> None:
    device, port, _, holding = station()
    limit(holding, 30_000)
    run_until(device, 2.0)
    device.restart(5.0)
    assert port.offered_w == 0.0
    run_until(device, 8.0)
    assert (port.offered_w, holding.get(100, "I")) == (10_000.0, 75_000)
    device.faults = Faults(lose_fallback_on_restart=True)
    device.restart(5.0)
    run_until(device, 20.0)
    assert port.offered_w == 75_000.0


def test_one_that_ignores_limits_repeats_them_all_the_same() -> None:
    device, port, _, holding = station()
    device.faults = Faults(ignore_writes=True)
    limit(holding, 30_000)
    run_until(device, 3.0)
    assert (port.offered_w, holding.get(100, "I")) == (10_000.0, 30_000)


def test_an_unknown_status_can_be_put_on() -> None:
    device, _, at, _ = station()
    device.faults = Faults(unknown_status="42")
    assert at.get(100, "H") == 42
