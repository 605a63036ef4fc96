"""The SunSpec inverter: model chain, scale factors, not-implemented patterns, and the limit that reverts (SPC-12)."""

import pytest

from busbar.sim.devices.sunspec import SunSpecInverter
from busbar.sim.faults import Faults
from busbar.sim.plant import PvPort
from sim_registers import Registers, run_until

LIMIT_PCT, REVERT_S, ENABLE, CONNECT = 40233, 40235, 40237, 40232


def inverter(rated_w: float = 20_000.0) -> tuple[SunSpecInverter, PvPort, Registers]:
    port = PvPort(
        "pv",
        rated_power_w=rated_w,
        voltage_v=[232.1, 231.9, 233.0],
        current_a=[21.5, 21.52, 21.48],
        power_w=[-4990.0, -4991.0, -4992.4],
        reactive_var=[10.0, 10.0, 10.0],
        energy_export_wh=5_000_000_000.0,
    )
    device = SunSpecInverter("pv-inverter", port)
    run_until(device, 0.0)
    return device, port, Registers(device)


def test_the_chain_of_models_can_be_walked_from_40000_to_its_end() -> None:
    _, _, at = inverter()
    assert at.get(40000, "4s") == b"SunS"
    chain, address = [], 40002
    while at.get(address, "H") != 0xFFFF:
        chain.append((at.get(address, "H"), at.get(address + 1, "H")))
        address += 2 + chain[-1][1]
    assert chain == [(1, 66), (103, 50), (120, 26), (121, 30), (122, 44), (123, 24)]
    assert at.get(address + 1, "H") == 0
    assert at.refusal_of_read(address + 2, 1) == 2


@pytest.mark.parametrize("base", [0, 50000, 39999])
def test_no_other_base_address_answers(base: int) -> None:
    _, _, at = inverter()
    assert at.refusal_of_read(base, 3) == 2


def test_production_is_positive_on_the_wire() -> None:
    _, _, at = inverter()
    assert at.row(40072, "H", 4) == [6450, 2150, 2152, 2148]  # A, sf -2
    assert at.get(40076, "h") == -2
    assert at.row(40080, "H", 3) == [2321, 2319, 2330]  # V, sf -1
    assert at.get(40083, "h") == -1
    assert (at.get(40084, "h"), at.get(40085, "h")) == (14_973, 0)  # W
    assert (at.get(40086, "H"), at.get(40087, "h")) == (5000, -2)  # Hz
    assert at.get(40090, "h") == -30  # var: absorbing in the port is negative from the generator
    assert at.get(40094, "I") == 5_000_000_000 % 2**32  # acc32 wraps
    assert at.get(40187, "Q") == 5_000_000_000  # 122 ActWh does not
    assert at.get(40108, "H") == 4  # MPPT


def test_what_is_not_implemented_reads_as_its_types_pattern() -> None:
    _, _, at = inverter()
    assert at.row(40077, "H", 3) == [0xFFFF] * 3  # line voltages
    assert at.row(40097, "H", 6) == [0xFFFF, 0x8000, 0xFFFF, 0x8000, 0x8000, 0x8000]  # DC
    assert at.get(40109, "H") == 0xFFFF  # StVnd
    assert at.row(40114, "I", 4) == [0xFFFFFFFF] * 4  # vendor events
    assert at.get(40069, "H") == 0x8000  # pad of model 1


def test_nameplate_and_settings() -> None:
    _, _, at = inverter()
    assert at.row(40122, "H", 5) == [120, 26, 4, 20_000, 0]
    assert at.row(40150, "H", 4) == [121, 30, 20_000, 230]


def test_a_large_inverter_scales_power_and_current_to_fit() -> None:
    _, port, at = inverter(rated_w=500_000.0)
    port.power_w = [-160_000.0] * 3
    port.current_a = [700.0] * 3
    assert (at.get(40084, "h"), at.get(40085, "h")) == (4800, 2)
    assert (at.get(40072, "H"), at.get(40076, "h")) == (21_000, -1)
    assert at.get(40125, "H") * 10 ** at.get(40126, "h") == 500_000


def limit(at: Registers, percent: float, revert_s: int = 0) -> None:
    at.put(REVERT_S, revert_s)
    at.put(LIMIT_PCT, round(percent * 100))
    at.put(ENABLE, 1)


def test_a_limit_counts_only_when_enabled_and_after_the_reaction_time() -> None:
    device, port, at = inverter()
    assert at.get(40251, "h") == -2  # WMaxLimPct_SF
    at.put(LIMIT_PCT, 3000)
    run_until(device, 3.0)
    assert port.limit_fraction == 1.0
    at.put(ENABLE, 1)
    run_until(device, 3.5)
    assert port.limit_fraction == 1.0
    run_until(device, 4.0)
    assert port.limit_fraction == pytest.approx(0.3)
    assert at.get(40108, "H") == 5  # THROTTLED
    at.put(ENABLE, 0)
    run_until(device, 6.0)
    assert port.limit_fraction == 1.0


def test_a_limit_reverts_when_it_is_not_repeated_in_time() -> None:
    device, port, at = inverter()
    limit(at, 50, revert_s=60)
    run_until(device, 59.5)
    assert (port.limit_fraction, at.get(ENABLE, "H")) == (0.5, 1)
    run_until(device, 62.0)
    assert (port.limit_fraction, at.get(ENABLE, "H")) == (1.0, 0)


def test_repeating_the_limit_restarts_its_time() -> None:
    device, port, at = inverter()
    limit(at, 50, revert_s=60)
    run_until(device, 50.0)
    at.put(LIMIT_PCT, 5000)
    run_until(device, 109.5)
    assert port.limit_fraction == 0.5


def test_without_a_reversion_time_a_limit_stands() -> None:
    device, port, at = inverter()
    limit(at, 0)
    run_until(device, 86_400.0, step_s=60.0)
    assert port.limit_fraction == 0.0


def test_the_limit_is_a_share_of_the_set_maximum() -> None:
    device, port, at = inverter()
    at.put(40152, 10_000)
    limit(at, 50)
    run_until(device, 2.0)
    assert port.limit_fraction == 0.25
    assert at.refusal_of_write(40152, 20_001) == 3


def test_disconnecting_stops_production() -> None:
    device, port, at = inverter()
    at.put(CONNECT, 0)
    run_until(device, 2.0)
    assert (port.limit_fraction, at.get(40108, "H")) == (0.0, 1)


def test_at_night_the_inverter_sleeps() -> None:
    _, port, at = inverter()
    port.power_w = [0.0, 0.0, 0.0]
    port.current_a = [0.0, 0.0, 0.0]
    assert at.get(40108, "H") == 2


@pytest.mark.parametrize(
    ("address", "value", "code"),
    [
        (LIMIT_PCT, 10_001, 3),
        (ENABLE, 2, 3),
        (CONNECT, 2, 3),
        (40250, 2, 3),
        (40249, 2, 3),  # a share of WMax is all it knows
        (40243, 10_001, 3),
        (40242, 1, 3),  # a fixed power factor is not to be had
        (40234, 5, 2),  # WinTms: not implemented
        (40084, 0, 2),
        (40000, 0, 2),
    ],
)
def test_what_cannot_be_written_is_refused(address: int, value: int, code: int) -> None:
    _, _, at = inverter()
    assert at.refusal_of_write(address, value) == code


def test_a_refused_block_changes_nothing() -> None:
    _, _, at = inverter()
    assert at.refusal_of_write(CONNECT, 0, 20_000) == 3
    assert at.get(CONNECT, "H") == 1


def test_a_restart_lifts_the_limit() -> None:
    device, port, at = inverter()
    limit(at, 30)
    run_until(device, 2.0)
    device.restart(down_s=10.0)
    assert port.limit_fraction == 0.0
    run_until(device, 12.0)
    assert (port.limit_fraction, at.get(ENABLE, "H")) == (1.0, 0)


def test_an_ignored_limit_is_read_back_but_changes_nothing() -> None:
    device, port, at = inverter()
    device.faults = Faults(ignore_writes=True)
    limit(at, 30)
    run_until(device, 5.0)
    assert (at.get(LIMIT_PCT, "H"), at.get(ENABLE, "H"), port.limit_fraction) == (3000, 1, 1.0)


def test_an_unknown_state_is_reported_as_it_is() -> None:
    device, _, at = inverter()
    device.faults = Faults(unknown_status="99")
    assert at.get(40108, "H") == 99


def test_reactive_power_is_a_share_of_w_max_over_excited_positive_until_it_reverts() -> None:
    device, port, at = inverter()
    for address, value in ((40247, 30), (40249, 1), (40243, 0x10000 - 2500), (40250, 1)):
        at.put(address, value)
    asked = []
    for end_s in (2.0, 33.0):
        run_until(device, end_s)
        asked.append((port.asked_var, at.get(40243, "h"), at.get(40250, "H")))
    assert asked == [(0.25 * port.rated_power_w, -2500, 1), (None, -2500, 0)]
