"""A battery and a roof in the one physics of a site: their powers flow through fuses and meters."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.sim.direct_field import DirectField
from busbar.sim.switches import SwitchError, Switches, apply_switches, parse_switches
from busbar.sim.twin import Twin, build_devices, build_plant

DEPOT = load_site(Path(__file__).parents[2] / "examples" / "depot.yaml")


@pytest.fixture
def twin() -> Twin:
    found = Twin(DEPOT, date(2019, 9, 11), 1, time(12), staged=False)
    found.advance(5.0)
    return found


def energy_w(twin: Twin) -> float:
    total: float = sum(twin.truth()["collectors"]["energy"]["power_w"])
    return total


def tell(twin: Twin, power_w: float) -> None:
    """By its registers, as a driver would: W for good (no reversion)."""
    raw = round(-power_w) & 0xFFFF_FFFF
    base = 40000 + 2 + 68 + 155 + 52
    twin.devices["battery-system"].write("holding", 1, base + 24, [raw >> 16, raw & 0xFFFF], 16)
    twin.devices["battery-system"].write("holding", 1, base + 22, [1], 6)


@pytest.mark.parametrize("power_w", [20_000.0, -20_000.0])
def test_what_a_battery_does_flows_through_its_collector(twin: Twin, power_w: float) -> None:
    before_w = energy_w(twin) - sum(twin.truth()["batteries"]["battery"]["power_w"])
    tell(twin, power_w)
    twin.advance(12.0)
    battery = twin.truth()["batteries"]["battery"]
    assert sum(battery["power_w"]) == pytest.approx(power_w + 80.0, abs=1.0)
    assert energy_w(twin) == pytest.approx(before_w + sum(battery["power_w"]), abs=1_500.0)  # the sun moves on


def test_a_trip_takes_the_battery_away_and_a_reset_gives_it_back(twin: Twin) -> None:
    tell(twin, -15_000.0)
    twin.advance(12.0)
    on = parse_switches("batteries: [battery]", twin)
    assert apply_switches(twin, Switches(), on) == ["battery: tripped"]
    twin.advance(13.0)
    assert sum(twin.truth()["batteries"]["battery"]["power_w"]) == pytest.approx(80.0)
    assert apply_switches(twin, on, Switches()) == ["battery: reset"]
    twin.advance(16.0)
    assert sum(twin.truth()["batteries"]["battery"]["power_w"]) == pytest.approx(-14_920.0)


def test_a_battery_that_is_not_there_cannot_be_tripped(twin: Twin) -> None:
    with pytest.raises(SwitchError, match="no simulated battery 'roof'; there are: battery"):
        parse_switches("batteries: [roof]", twin)


def test_without_supply_the_battery_s_electronics_forget_what_they_were_told(twin: Twin) -> None:
    tell(twin, 10_000.0)
    twin.advance(10.0)
    twin.open_fuse("energy")
    twin.advance(20.0)
    assert sum(twin.truth()["batteries"]["battery"]["power_w"]) == 0.0
    twin.reset_fuse("energy")
    twin.advance(120.0)
    assert twin.truth()["batteries"]["battery"]["setpoint_w"] == 0.0


def test_the_same_seed_gives_the_same_batteries() -> None:
    first, second = (build_plant(DEPOT, 3).batteries["battery"].stored_wh for _ in range(2))
    assert first == second != build_plant(DEPOT, 4).batteries["battery"].stored_wh
    assert set(build_devices(DEPOT, build_plant(DEPOT, 3))) == set(DEPOT.devices)


def test_the_direct_field_tells_watts_and_shows_what_drivers_show() -> None:
    plant = build_plant(DEPOT, 1)
    field = DirectField(DEPOT, plant, 0)
    field.tell({"battery": -8_000.0, "pv": -15_000.0, "y1": 10.0})
    assert (plant.batteries["battery"].setpoint_w, plant.pvs["pv"].limit_fraction) == (-8_000.0, 0.5)
    shown = {m.asset: m for m in field.measurements(1.0, 3000)}
    assert shown["battery"].number("setpoint_power_w") == -8_000.0
    assert shown["battery"].number("soc_percent") == pytest.approx(plant.batteries["battery"].soc_percent)
    assert shown["pv"].number("setpoint_power_w") == -15_000.0
