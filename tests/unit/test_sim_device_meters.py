"""SDM630 and EEM-EM3xx: addresses, types and scales by hand (FC-1); power positive for import."""

import pytest

from busbar.sim.devices.base import SimDevice
from busbar.sim.devices.eem import EemEm3xx
from busbar.sim.devices.sdm630 import Sdm630
from busbar.sim.plant import MeterPort
from sim_registers import Registers, run_until


def exporting_port() -> MeterPort:
    """L1 and L2 import, L3 exports."""
    return MeterPort(
        "grid",
        voltage_v=[230.0, 231.5, 229.5],
        current_a=[10.0, 20.0, 30.0],
        power_w=[2200.0, 4500.0, -6800.0],
        reactive_var=[300.0, -400.0, 500.0],
        energy_import_wh=123_456.0,
        energy_export_wh=7_890.0,
        frequency_hz=49.98,
    )


def sdm630() -> tuple[SimDevice, Registers]:
    device = Sdm630("sdm", exporting_port())
    run_until(device, 0.0)
    return device, Registers(device, table="input")


def eem(unit: int = 1) -> tuple[SimDevice, Registers]:
    device = EemEm3xx("eem", exporting_port())
    run_until(device, 0.0)
    return device, Registers(device, unit=unit, table="input")


@pytest.mark.parametrize(
    ("address", "values"),
    [
        (0,  [230.0, 231.5, 229.5]),
        (6,  [10.0, 20.0, 30.0]),
        (12, [2200.0, 4500.0, -6800.0]),
        (18, [2300.0, 4630.0, 6885.0]),
        (24, [300.0, -400.0, 500.0]),
        (48, [60.0]),
        (52, [-100.0]),
        (56, [13815.0]),
        (60, [400.0]),
        (70, [49.98]),
        (72, [123.456, 7.890]),
    ],
)  # fmt: skip
def test_sdm630_values_stand_where_the_sources_agree(address: int, values: list[float]) -> None:
    _, at = sdm630()
    assert at.row(address, "f", len(values)) == pytest.approx(values, rel=1e-6)


def test_sdm630_integrates_what_its_port_does_not_count() -> None:
    device, at = sdm630()
    before = at.row(346, "f", 6)
    run_until(device, 3600.0, step_s=10.0)
    gained = [after - start for after, start in zip(at.row(346, "f", 6), before, strict=True)]
    assert gained == pytest.approx([2.2, 4.5, 0.0, 0.0, 0.0, 6.8], rel=1e-4)
    assert at.row(76, "f", 2) == pytest.approx([0.8, 0.4], rel=1e-4)  # kvarh import, export


@pytest.mark.parametrize(("address", "count", "code"), [(80, 1, 2), (341, 2, 2), (370, 1, 2), (0, 81, 2), (0, 126, 3)])
def test_sdm630_refuses_what_lies_outside_its_ranges(address: int, count: int, code: int) -> None:
    _, at = sdm630()
    assert at.refusal_of_read(address, count) == code


def test_sdm630_measurements_are_input_registers() -> None:
    device, _ = sdm630()
    assert Registers(device).refusal_of_read(0, 2) == 2
    assert Registers(device).refusal_of_write(0, 1) == 1  # FC6 is not among its function codes


@pytest.mark.parametrize("unit", [1, 255])
@pytest.mark.parametrize(
    ("address", "values"),
    [
        (4096, [230.0, 231.5, 229.5]),
        (4110, [10.0, 20.0, 30.0]),
        (4128, [2200.0, 4500.0, -6800.0, -100.0]),
        (4136, [2300.0, 4630.0, -6885.0, 45.0]),
        (4144, [300.0, -400.0, 500.0, 400.0]),
        (4152, [49.98, 0.123]),
        (4358, [123_456.0]),
        (4366, [7_890.0]),
    ],
)  # fmt: skip
def test_eem_floats_stand_where_the_source_says(unit: int, address: int, values: list[float]) -> None:
    _, at = eem(unit)
    assert at.row(address, "f", len(values)) == pytest.approx(values, rel=1e-6)


def test_eem_integers_are_thousandths_and_tenths_of_watt_hours() -> None:
    _, at = eem()
    assert at.row(0, "I", 3) == [230_000, 231_500, 229_500]
    assert at.row(14, "I", 3) == [10_000, 20_000, 30_000]
    assert at.row(32, "q", 4) == [2_200_000, 4_500_000, -6_800_000, -100_000]
    assert at.row(64, "q", 4) == [300_000, -400_000, 500_000, 400_000]
    assert at.get(80, "I") == 49_980
    assert at.get(268, "Q") == 1_234_560
    assert at.get(284, "Q") == 78_900


def test_eem_power_factor_is_negative_where_capacitive() -> None:
    _, at = eem()
    assert at.row(4120, "f", 3) == pytest.approx([2200 / 2300, -4500 / 4630, 6800 / 6885], rel=1e-6)


def test_eem_line_voltages_and_neutral_follow_from_the_phases() -> None:
    device, at = eem()
    assert isinstance(device, EemEm3xx)
    device.port.voltage_v = [230.0, 230.0, 230.0]
    device.port.current_a = [16.0, 0.0, 0.0]
    assert at.row(4102, "f", 3) == pytest.approx([398.37] * 3, rel=1e-4)
    assert at.get(4116, "f") == 16.0
    device.port.current_a = [16.0, 16.0, 16.0]
    assert at.get(4116, "f") == 0.0


@pytest.mark.parametrize(("address", "count"), [(84, 1), (4095, 2), (4156, 1), (4368, 2), (288, 1)])
def test_eem_holes_answer_exception_2(address: int, count: int) -> None:
    _, at = eem()
    assert at.refusal_of_read(address, count) == 2
