"""A battery and a roof in the one physics of a site: their powers flow through fuses and meters."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import pytest

from busbar.config.load import load_site
from busbar.sim.direct_field import DirectField
from busbar.sim.sessions import Visit
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


def test_spc_11_what_a_fast_charger_draws_flows_through_its_collector(twin: Twin) -> None:
    twin.physics.plug(Visit("q1", "guest", 5.0, 9000.0, 20_000.0, 20_000.0))
    for second in range(6, 66):
        twin.devices["hypercharger"].write("holding", 1, 100, [0, 23_000], 16)
        twin.advance(float(second))
    truth = twin.truth()
    outlet = truth["dc_outlets"]["q1"]
    assert outlet["power_w"] == pytest.approx([23_000.0 / 3.0] * 3)
    assert truth["collectors"]["fast"]["power_w"] == pytest.approx(outlet["power_w"])
    assert truth["collectors"]["fast"]["current_a"] == pytest.approx([100.0 / 3.0] * 3, rel=0.03)
    assert " q1:110:23000:21755:" in twin.trace_line()
    twin.advance(75.0)  # nobody writes any more
    assert sum(twin.truth()["dc_outlets"]["q1"]["power_w"]) == pytest.approx(10_000.0)


def test_a_dc_connector_can_be_faulted_by_hand(twin: Twin) -> None:
    on = parse_switches("connectors: [q1]", twin)
    assert apply_switches(twin, Switches(), on) == ["q1: faulted"]
    assert twin.plant.dc_outlets["q1"].fault


def test_the_direct_field_offers_a_dc_outlet_its_setpoint_at_230_v() -> None:
    plant = build_plant(DEPOT, 1)
    field = DirectField(DEPOT, plant, 0)
    port = plant.dc_outlets["q1"]
    field.act()
    assert port.offered_w == 0.0
    port.plugged, port.badge = True, "04AA"
    field.act()
    assert port.offered_w == 5_000.0
    field.tell({"q1": 20_000.0 / 690.0})
    field.act()
    assert port.offered_w == pytest.approx(20_000.0)
    field.tell({"q1": 100.0})
    field.act()
    assert port.offered_w == 30_000.0
    port.ready, port.dc_power_w, port.soc_percent, port.power_w[:] = True, 9500.0, 40.0, [3366.7] * 3
    shown = next(m for m in field.measurements(1.0, 3000) if m.asset == "q1")
    assert shown.number("power_w") == pytest.approx(10_100.1)
    assert shown.number("setpoint_power_w") == 30_000.0
    assert shown.text("status") == "Charging"
    (session,) = [s for s in field.sessions(1.0) if s.connector == "q1"]
    assert (session.phase, session.badge) == ("Started", "04AA")
    port.plugged = False
    assert [s.phase for s in field.sessions(2.0) if s.connector == "q1"] == ["Ended"]
