"""DC outlets in the one physics of a site: vehicles, losses, conductors, counters (SPC-11)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.sim.chance import stream
from busbar.sim.dc import DcVehicle, draw_dc_model
from busbar.sim.plant import DcPort
from busbar.sim.sessions import Visit
from unit.sim_site import Bench, collector, site_of


def outlet(name: str, where: str, max_power_w: float = 60_000.0) -> dict[str, Any]:
    one = {"id": name, "collector": where, "max_power_w": max_power_w}
    return {"kind": "dc_charge_point", "id": f"cp-{name}", "device": "dev", "connectors": [one]}


SITE = site_of([collector("root", rated=400), collector("yard", "root", 250)], [outlet("q", "yard")])


def bench_with(need_wh: float = 20_000.0, seed: int = 1, **more: Any) -> tuple[Bench, DcPort, DcVehicle]:
    bench = Bench(SITE, seed)
    bench.physics.plug(Visit("q", f"car-{seed}", 0.0, 6e5, need_wh, need_wh, **more))
    vehicle = bench.physics.dc_bays["q"].vehicle
    assert vehicle is not None
    return bench, bench.plant.dc_outlets["q"], vehicle


def test_nothing_flows_before_the_handshake_is_over_but_the_standby_does() -> None:
    bench, port, vehicle = bench_with()
    port.offered_w = 40_000.0
    bench.run(vehicle.model.handshake_s - 1.0)
    assert (port.ready, port.dc_power_w) == (False, 0.0)
    assert sum(port.power_w) == pytest.approx(100.0)
    bench.run(12.0)
    assert port.ready
    assert port.dc_power_w == pytest.approx(0.95 * 39_900.0)


def test_the_rectifier_loads_three_conductors_equally_with_its_losses() -> None:
    bench, port, _ = bench_with()
    port.offered_w = 34_500.0
    bench.run(60.0)
    assert sum(port.power_w) == pytest.approx(34_500.0)
    assert bench.powers("root") == pytest.approx([11_500.0] * 3)
    assert bench.currents("root") == pytest.approx([50.0] * 3, rel=2e-3)
    assert port.dc_current_a == pytest.approx(port.dc_power_w / port.dc_voltage_v)
    assert 300.0 < port.dc_voltage_v < 1000.0


def test_the_counter_of_the_dc_side_grows_by_what_reaches_the_vehicle() -> None:
    bench, port, vehicle = bench_with(60_000.0)
    port.offered_w = 40_000.0
    bench.run(60.0)
    before_wh, left_wh, soc = port.energy_wh, vehicle.left_wh, vehicle.soc
    bench.run(360.0)
    grown_wh = port.energy_wh - before_wh
    assert grown_wh == pytest.approx(0.95 * 39_900.0 / 10.0, rel=1e-3)
    assert left_wh - vehicle.left_wh == pytest.approx(grown_wh)
    assert (vehicle.soc - soc) * vehicle.model.battery_wh == pytest.approx(grown_wh)
    assert port.session_energy_wh == pytest.approx(port.energy_wh - bench_with(60_000.0)[1].energy_wh)


def test_power_falls_off_from_80_percent_on_and_ends_with_what_was_wanted() -> None:
    _, _, vehicle = bench_with(20_000.0)
    battery_wh, most_w = vehicle.model.battery_wh, vehicle.model.max_power_w
    needed = Visit("q", "long", 0.0, 6e5, 0.85 * battery_wh, 0.0)
    long = DcVehicle(vehicle.model, needed, stream(1, "x"), 0.0)
    taken, shown = [], []
    while not long.full:
        shown.append(long.soc)
        taken.append(long.most_w)
        long.left_wh -= 500.0
    assert all(w == most_w for soc, w in zip(shown, taken, strict=True) if soc < 0.8)
    tail = [w for soc, w in zip(shown, taken, strict=True) if soc > 0.81]
    assert tail == sorted(tail, reverse=True)
    assert 0.15 * most_w < tail[-1] < 0.4 * most_w
    assert long.soc < 0.975


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 10_000),
    st.lists(
        st.tuples(st.sampled_from([0.0, 1547.0, 5000.0, 33_000.0, 90_000.0]), st.integers(1, 40)),
        min_size=1,
        max_size=8,
    ),
)
def test_spc_11_never_more_than_offered_two_seconds_ago_nor_than_the_outlet_can(
    seed: int, offers: list[tuple[float, int]]
) -> None:
    bench, port, _ = bench_with(40_000.0, seed)
    recent = [0.0] * 10
    bench.run(40.0)
    for offered_w, seconds in offers:
        port.offered_w = offered_w
        for _ in range(5 * seconds):
            recent = [*recent[1:], max(offered_w, 100.0)]
            bench.run(0.2)
            assert sum(port.power_w) <= min(60_000.0, max(recent)) + 1e-6


def test_who_has_what_he_wanted_drives_away_some_minutes_later() -> None:
    bench, port, _ = bench_with(1000.0)
    port.offered_w = 60_000.0
    bench.run(160.0)
    assert (port.full, port.plugged, port.dc_power_w) == (True, True, 0.0)
    bench.run(320.0)
    assert not port.plugged
    assert port.session_energy_wh == pytest.approx(1000.0, abs=20.0)


def test_at_his_time_the_driver_ends_the_session_and_unplugs_without_power() -> None:
    bench, port, vehicle = bench_with(50_000.0)
    vehicle.visit = replace(vehicle.visit, depart_s=90.0)
    port.offered_w = 60_000.0
    bench.run(89.0)
    assert port.dc_power_w > 20_000.0
    seen: list[tuple[bool, float]] = []
    for _ in range(40):
        bench.run(0.2)
        seen.append((port.plugged, port.dc_power_w))
    assert (True, 0.0) in seen
    assert seen[-1] == (False, 0.0)


def test_one_that_comes_full_is_full_and_one_with_a_timer_waits() -> None:
    _, full, _ = bench_with(mood="full")
    assert (full.plugged, full.ready, full.full) == (True, False, True)
    bench, port, _ = bench_with(mood="timer", timer_s=120.0)
    port.offered_w = 20_000.0
    bench.run(115.0)
    assert port.dc_power_w == 0.0
    bench.run(15.0)
    assert port.dc_power_w > 10_000.0


def test_without_supply_nothing_flows_and_it_takes_a_new_handshake() -> None:
    bench, port, vehicle = bench_with()
    port.offered_w = 30_000.0
    bench.run(60.0)
    bench.physics.open_fuse("yard")
    bench.run(1.0)
    assert (port.dc_power_w, sum(port.power_w), sum(port.current_a)) == (0.0, 0.0, 0.0)
    bench.physics.reset_fuse("yard")
    bench.run(vehicle.model.handshake_s - 1.0)
    assert port.dc_power_w == 0.0
    bench.run(8.0)
    assert port.dc_power_w > 20_000.0


def test_a_fault_stops_it() -> None:
    bench, port, _ = bench_with()
    port.offered_w = 30_000.0
    bench.run(60.0)
    bench.physics.fail("q")
    bench.run(2.0)
    assert port.dc_power_w == 0.0


@given(st.integers(0, 10_000), st.floats(100.0, 90_000.0))
@settings(max_examples=50, deadline=None)
def test_a_drawn_car_has_a_battery_and_an_inlet_for_it(seed: int, need_wh: float) -> None:
    visit = Visit("q", "s", 0.0, 3600.0, need_wh, need_wh)
    model = draw_dc_model(visit, stream(seed, "m"))
    vehicle = DcVehicle(model, visit, stream(seed, "v"), 0.0)
    assert 40_000.0 <= model.max_power_w <= 250_000.0
    assert 0.0 <= vehicle.soc <= vehicle.soc + vehicle.left_wh / model.battery_wh <= 0.98
