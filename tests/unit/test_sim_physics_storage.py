"""The battery of the twin: energy is conserved, cells have limits, a setpoint is followed as far as they allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.sim.plant import BatteryPort
from busbar.sim.storage import EFFICIENCY, Storage


def port(filled: float = 0.5, setpoint_w: float = 0.0) -> BatteryPort:
    return BatteryPort(
        "b", capacity_wh=60_000.0, max_charge_w=30_000.0, max_discharge_w=20_000.0, setpoint_w=setpoint_w,
        stored_wh=filled * 60_000.0,
    )  # fmt: skip


def run(storage: Storage, seconds: float, step_s: float = 1.0) -> None:
    for _ in range(round(seconds / step_s)):
        storage.second(step_s, 50.0)
        storage.follow(step_s)
        storage.book(step_s / 3600.0)


@given(
    st.floats(0.0, 1.0),
    st.lists(st.tuples(st.floats(-60_000, 60_000), st.integers(1, 400)), max_size=12),
    st.sampled_from([1.0, 10.0]),
)
def test_what_goes_in_is_stored_or_lost_and_nothing_leaves_its_limits(
    filled: float, story: list[tuple[float, int]], step_s: float
) -> None:
    battery = Storage(port(filled), 3)
    for setpoint_w, steps in story:
        battery.port.setpoint_w = setpoint_w
        for _ in range(steps):
            before_wh, before_in, before_out = (
                battery.port.stored_wh, battery.port.energy_import_wh, battery.port.energy_export_wh,
            )  # fmt: skip
            run(battery, step_s, step_s)
            assert 0.0 <= battery.port.stored_wh <= 60_000.0
            assert -20_000.0 <= battery.power_w <= 30_000.0
            assert battery.power_w * setpoint_w >= 0.0 or abs(battery.power_w) < 30_000.0 * step_s
            gained_wh = battery.port.stored_wh - before_wh
            net_wh = battery.port.energy_import_wh - before_in - battery.port.energy_export_wh + before_out
            assert gained_wh <= net_wh + 100.0, "out of nothing"


@pytest.mark.parametrize(
    ("filled", "setpoint_w", "does_w"),
    [
        (0.50,  10_000.0,   10_000.0),
        (0.50,  45_000.0,   30_000.0),
        (0.50,  -45_000.0, -20_000.0),
        (0.95,  30_000.0,   15_000.0),   # the last tenth goes in slower
        (1.00,  30_000.0,   0.0),
        (0.00,  -5_000.0,   0.0),
        (0.025, -20_000.0, -10_000.0),
    ],
)  # fmt: skip
def test_power_is_what_was_told_as_far_as_the_cells_allow(filled: float, setpoint_w: float, does_w: float) -> None:
    battery = Storage(port(filled, setpoint_w), 3)
    battery.follow(5.0)
    assert battery.power_w == pytest.approx(does_w)
    standby_w = 20.0 + 0.002 * 30_000.0
    assert battery.port.power_w == pytest.approx([(does_w + standby_w) / 3.0] * 3)


def test_a_way_through_the_battery_costs_a_tenth() -> None:
    battery = Storage(port(0.3, 10_000.0), 3)
    run(battery, 3600.0)
    into_wh = battery.port.stored_wh - 18_000.0
    battery.port.setpoint_w = -10_000.0
    before_wh = battery.port.energy_export_wh
    while battery.port.stored_wh > 18_000.0:
        run(battery, 10.0)
    assert into_wh == pytest.approx(10_000.0 * EFFICIENCY, rel=0.01)
    assert (battery.port.energy_export_wh - before_wh) / 10_000.0 == pytest.approx(EFFICIENCY**2, abs=0.02)


def test_it_takes_a_second_from_nothing_to_everything() -> None:
    battery = Storage(port(0.5, 30_000.0), 3)
    seen = []
    for _ in range(6):
        battery.follow(0.2)
        seen.append(round(battery.power_w))
    assert seen == [6_000, 12_000, 18_000, 24_000, 30_000, 30_000]


def test_a_trip_takes_everything_at_once_until_it_is_reset() -> None:
    battery = Storage(port(0.5, -15_000.0), 3)
    run(battery, 5.0)
    battery.trip(True)
    run(battery, 60.0)
    assert (battery.power_w, sum(battery.port.power_w) > 0.0) == (0.0, True)
    battery.trip(False)
    run(battery, 3.0)
    assert battery.power_w == -15_000.0


def test_without_supply_it_does_nothing_and_comes_back_a_minute_after_it() -> None:
    battery = Storage(port(0.5, 10_000.0), 3)
    run(battery, 3.0)
    battery.port.voltage_v[:] = [0.0] * 3
    battery.supply_changed()
    run(battery, 5.0)
    assert battery.port.power_w == [0.0] * 3
    battery.port.voltage_v[:] = [230.0] * 3
    battery.supply_changed()
    run(battery, 50.0)
    assert battery.power_w == 0.0
    run(battery, 20.0)
    assert battery.power_w == 10_000.0
