"""Vehicles as they behave at a pilot (algorithms.md: waking, what is booked; SPC-4, SPC-18)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.sim.chance import stream
from busbar.sim.fleet import Manners, Waking, draw_manners, draw_model, models
from busbar.sim.sessions import Visit
from busbar.sim.vehicle import Vehicle
from unit.sim_site import Bench, charger, collector, site_of

SITE = site_of([collector("root", rated=400)], [charger("a", "root")])


def bench_with(phases: int = 3, need_wh: float = 20_000.0, seed: int = 1, **manners: Any) -> tuple[Bench, Vehicle]:
    bench = Bench(SITE, seed)
    bench.plug("a", phases, need_wh, session=f"car-{seed}")
    vehicle = bench.physics.bays["a"].vehicle
    assert vehicle is not None
    vehicle.manners = replace(vehicle.manners, **manners)
    return bench, vehicle


def settled(bench: Bench, offered_a: float, seconds: float = 25.0) -> float:
    bench.plant.evses["a"].offered_a = offered_a
    bench.run(seconds)
    return max(bench.plant.evses["a"].current_a)


@pytest.mark.parametrize("phases", [1, 2, 3])
def test_a_vehicle_uses_its_first_phases_and_no_other(phases: int) -> None:
    bench, vehicle = bench_with(phases)
    settled(bench, 10.0)
    port = bench.plant.evses["a"]
    assert vehicle.phases == phases
    assert [current > 5.0 for current in port.current_a] == [k < phases for k in range(3)]
    assert [power > 1000.0 for power in port.power_w] == [k < phases for k in range(3)]
    apparent = port.voltage_v[0] * port.current_a[0]
    assert 0.975 < port.power_w[0] / apparent <= 1.0
    assert port.reactive_var[0] != 0.0


steps_of_offers = st.lists(
    st.tuples(st.sampled_from([0.0, 5.9, 6.0, 7.0, 13.0, 32.0]), st.integers(1, 40)), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10_000), steps_of_offers)
def test_no_vehicle_ever_draws_much_more_than_it_was_offered_five_seconds_ago(
    seed: int, offers: list[tuple[float, int]]
) -> None:
    bench, vehicle = bench_with(1 + seed % 3, seed=seed)
    port, recent = bench.plant.evses["a"], [0.0] * 25
    for offered_a, seconds in offers:
        port.offered_a = offered_a
        for _ in range(seconds * 5):
            bench.run(0.2)
            recent = [*recent[1:], offered_a if offered_a >= 6.0 else 0.0]
            assert max(port.current_a) <= max(recent) + 0.7
            assert max(port.current_a) <= vehicle.model.max_current_a + 0.3
            assert not port.wants_current or vehicle.left_wh > -100.0


def test_a_raised_offer_is_followed_after_a_reaction_time_and_a_lowered_one_at_once() -> None:
    bench, _ = bench_with(3, reaction_s=1.0, ramp_a_per_s=4.0, drop_a_per_s=15.0, take=1.0, over_a=0.0, wake_s=2.0)
    port = bench.plant.evses["a"]
    settled(bench, 6.0)
    port.offered_a = 14.0
    bench.run(0.8)
    assert port.current_a[0] == pytest.approx(6.0, abs=0.4)
    bench.run(1.2)
    assert 8.0 < port.current_a[0] < 12.5
    bench.run(3.0)
    assert port.current_a[0] == pytest.approx(14.0, abs=0.4)
    port.offered_a = 6.0
    bench.run(1.0)
    assert port.current_a[0] == pytest.approx(6.0, abs=0.4)


@pytest.mark.parametrize("opens", [True, False])
def test_a_pause_stops_the_current_within_three_seconds_and_the_switch_opens_or_stays(opens: bool) -> None:
    bench, _ = bench_with(3, opens_at_pause=opens)
    settled(bench, 16.0)
    bench.plant.evses["a"].offered_a = 0.0
    bench.run(3.0)
    assert max(bench.plant.evses["a"].current_a) < 0.2
    bench.run(5.0)
    assert bench.plant.evses["a"].wants_current is not opens
    assert settled(bench, 8.0) > 5.0


@pytest.mark.parametrize(
    ("waking",            "at_6_a", "at_8_a", "after_break"),
    [
        (Waking.PROMPT,       True,     True,     True),
        (Waking.AT_8_A,       False,    True,     True),
        (Waking.AFTER_TOGGLE, False,    False,    True),
        (Waking.NEVER,        False,    False,    False),
    ],
)  # fmt: skip
def test_a_vehicle_that_slept_through_a_pause_wakes_in_its_own_way(
    waking: Waking, at_6_a: bool, at_8_a: bool, after_break: bool
) -> None:
    bench, vehicle = bench_with(3, waking=waking, sleeps_after_s=100.0, opens_at_pause=True)
    assert settled(bench, 16.0) > 5.0
    settled(bench, 0.0, seconds=200.0)
    assert vehicle.asleep is (waking is not Waking.PROMPT)
    assert (settled(bench, 6.0) > 4.0) is at_6_a
    assert (settled(bench, 8.0) > 4.0) is at_8_a
    settled(bench, 0.0, seconds=10.0)
    assert (settled(bench, 8.0) > 4.0) is after_break


def test_a_full_vehicle_opens_its_switch_and_draws_its_standby_only() -> None:
    bench, vehicle = bench_with(3, need_wh=300.0, tapers=False)
    settled(bench, 16.0, seconds=400.0)
    port = bench.plant.evses["a"]
    assert vehicle.full
    assert not port.wants_current
    assert 0.0 < sum(port.power_w) < 15.0
    assert port.session_energy_wh == pytest.approx(300.0, abs=15.0)


def test_a_tapering_vehicle_lowers_its_current_towards_full() -> None:
    bench, vehicle = bench_with(3, need_wh=3000.0, tapers=True, take=1.0)
    early = settled(bench, 16.0)
    while vehicle.left_wh > 250.0:  # a third of the last 750 Wh, over which it tapers
        bench.run(10.0)
    late = max(bench.plant.evses["a"].current_a)
    assert early > 10.0
    assert 1.0 < late < 0.5 * early
    bench.run(1800.0)
    assert vehicle.full


def test_one_that_is_shy_never_takes_what_is_offered() -> None:
    bench, _ = bench_with(3, take=0.85, over_a=-0.2)
    assert 9.0 < settled(bench, 12.0) < 10.8


def test_a_vehicle_with_a_timer_waits_for_it() -> None:
    bench = Bench(SITE)
    bench.plug("a", mood="timer", timer_s=100.0)
    port = bench.plant.evses["a"]
    port.offered_a = 16.0
    wanted = []
    for seconds in (95.0, 30.0):
        bench.run(seconds)
        wanted.append(port.wants_current)
    assert wanted == [False, True]
    assert port.current_a[0] > 5.0


def test_a_vehicle_leaves_with_its_badge_and_a_new_one_brings_another() -> None:
    bench = Bench(SITE)
    port = bench.plug("a", session="one")
    first = port.badge
    port.offered_a = 16.0
    bench.run(60.0)
    bench.physics.unplug("a")
    assert (port.plugged, port.wants_current, port.badge, sum(port.power_w)) == (False, False, "", 0.0)
    life_wh = port.energy_wh
    bench.plug("a", session="two")
    assert port.plugged
    assert port.badge not in ("", first)
    assert port.session_energy_wh == 0.0
    bench.run(2.0)
    assert port.energy_wh >= life_wh


@given(st.integers(0, 10_000), st.floats(500.0, 60_000.0), st.floats(0.3, 12.0))
def test_a_drawn_car_can_take_the_energy_of_its_record_where_any_can(seed: int, need_wh: float, hours: float) -> None:
    visit = Visit("a", "s", 0.0, hours * 3600.0, need_wh, need_wh)
    car = draw_model(visit, 32.0, 3, stream(seed, "t"))
    strongest_w = 3 * 32.0 * 230.0
    if need_wh / hours * 1.35 <= strongest_w and need_wh <= 50_000.0:
        assert car.max_current_a * car.phases * 230.0 >= need_wh / hours
        assert car.battery_wh >= need_wh


def test_the_fleet_has_every_kind_of_vehicle() -> None:
    assert {phases: len(cars) > 5 for phases, cars in models().items()} == {1: True, 2: True, 3: True}
    visit = Visit("a", "s", 0.0, 30_000.0, 5_000.0, 5_000.0)
    drawn = [draw_model(visit, 32.0, 3, stream(seed, "t")) for seed in range(600)]
    shares = {phases: sum(car.phases == phases for car in drawn) / 600 for phases in (1, 2, 3)}
    assert shares == pytest.approx({1: 0.32, 2: 0.08, 3: 0.60}, abs=0.06)
    manners: list[Manners] = [draw_manners(drawn[0], stream(seed, "m")) for seed in range(600)]
    assert {m.waking for m in manners} == set(Waking)
    assert sum(m.take < 0.95 for m in manners) > 30
    assert sum(m.over_a > 0.0 for m in manners) > 30
    assert all(1.0 <= 16.0 / m.ramp_a_per_s <= 4.0 for m in manners)
