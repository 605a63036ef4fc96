"""Real data replayed: sessions, sun and loads of the twin (`libs/busbar/sim/data/SOURCES.md`)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.sim.almanac import Almanac
from busbar.sim.load import PROFILES, BuildingLoad, profile_day
from busbar.sim.sessions import Schedule, badge_of, day_with_data, records_of, stage
from busbar.sim.weather import Sun, measured
from busbar.sim.world import World
from unit.sim_site import Bench, charger, collector, site_of

DAY = date(2019, 9, 11)
ZONE = "Europe/Brussels"
days = st.dates(date(2015, 1, 1), date(2032, 12, 31))
MANY = [f"c{n}" for n in range(60)]


def almanac(day: date = DAY, start: time = time()) -> Almanac:
    return Almanac(day, start, ZONE)


def visits_until(schedule: Schedule, until_s: float) -> list[tuple[str, str, float, float]]:
    return [(v.connector, v.session, v.arrive_s, v.depart_s) for v in schedule.due(until_s)]


def test_the_eleventh_of_september_2019_has_its_39_sessions_at_their_wall_clock_times() -> None:
    calendar = almanac()
    found = visits_until(Schedule(MANY, calendar, 1), 86_000.0)
    assert len(found) == 39
    first = records_of(DAY)[0]
    assert (
        calendar.local(found[0][2]).replace(tzinfo=None)
        == first.arrival
        == datetime.fromisoformat("2019-09-11T08:14:40")
    )
    assert calendar.local(found[0][3]).replace(tzinfo=None) == first.departure


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 12), days)
def test_no_connector_ever_has_two_vehicles_and_nobody_is_lost(seed: int, count: int, day: date) -> None:
    schedule = Schedule(MANY[:count], almanac(day), seed)
    found = visits_until(schedule, 80_000.0)
    by_connector: dict[str, float] = {}
    for name, _, arrive_s, depart_s in found:
        assert arrive_s >= by_connector.get(name, 0.0)
        assert depart_s > arrive_s
        by_connector[name] = depart_s
    assert len(found) + len(schedule.turned_away) >= len([r for r in records_of(day) if r.arrival.hour < 22])


def test_who_takes_which_connector_is_decided_by_the_seed() -> None:
    runs = [visits_until(Schedule(MANY[:8], almanac(), seed), 80_000.0) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@given(days)
def test_a_day_without_sessions_takes_the_same_weekday_of_september_2019(day: date) -> None:
    source = day_with_data(day)
    assert (source.year, source.month) == (2019, 9)
    assert source.weekday() == day.weekday()
    assert records_of(day)


def test_after_midnight_the_next_day_comes() -> None:
    schedule = Schedule(MANY, almanac(), 1)
    list(schedule.due(86_399.0))
    tomorrow = visits_until(schedule, 2 * 86_000.0)
    assert len(tomorrow) == len(records_of(DAY + timedelta(1)))
    assert min(arrive_s for _, _, arrive_s, _ in tomorrow) > 86_400.0


def test_a_start_in_the_afternoon_finds_the_vehicles_that_are_there_with_part_of_their_energy() -> None:
    schedule = Schedule(MANY, almanac(DAY, time(13)), 1)
    there = list(schedule.due(0.0))
    assert len(there) > 20
    assert all(visit.arrive_s < 0.0 < visit.depart_s and 0.0 < visit.done_wh < visit.need_wh for visit in there)


def test_badges_are_made_up_and_differ() -> None:
    badges = {badge_of(record.session) for record in records_of(DAY)}
    assert len(badges) == 39
    assert all(len(bytes.fromhex(badge)) == 7 for badge in badges)


@pytest.mark.parametrize(
    ("local",             "at_least", "at_most"),
    [
        ("2019-09-11 02:00", 0.0,      0.0),
        ("2019-06-21 13:30", 0.1,      0.9),
        ("2019-12-21 12:30", 0.0,      0.4),
        ("2019-12-21 17:30", 0.0,      0.0),
        ("2024-02-29 12:30", 0.001,    0.9),
    ],
)  # fmt: skip
def test_the_sun_follows_the_measured_day(local: str, at_least: float, at_most: float) -> None:
    when = datetime.fromisoformat(local)
    calendar = almanac(when.date(), when.time())
    assert at_least <= measured(calendar.local(0.0)) <= at_most
    assert at_least * 0.2 <= Sun(calendar, 1, "pv").at(0.0, 1.0) <= at_most * 1.5


def test_the_sun_s_day_is_the_country_s_day_with_clouds_of_its_own() -> None:
    sun, calendar = Sun(almanac(), 4, "pv"), almanac()
    values = [sun.at(float(second), 10.0) for second in range(0, 86_400, 10)]
    mean = sum(measured(calendar.local(900.0 * q)) for q in range(96)) / 96
    assert sum(values) / len(values) == pytest.approx(mean, rel=0.2)
    steps = [abs(b - a) for a, b in pairwise(values)]
    assert max(steps) > 0.05  # a cloud's edge; the country has none
    assert all(0.0 <= value <= 1.0 for value in values)


@given(days)
def test_any_day_has_a_load_profile_of_its_weekday_and_season(day: date) -> None:
    for name in PROFILES:
        values = profile_day(name, day)
        assert len(values) == 96
        assert 0.0 < min(values) <= max(values) <= 1.0


@settings(max_examples=15, deadline=None)
@given(days, st.integers(0, 99), st.integers(1, 3), st.floats(6.0, 250.0))
def test_a_building_never_exceeds_its_stated_worst_case(day: date, seed: int, phases: int, worst_a: float) -> None:
    load = BuildingLoad(almanac(day), seed, "house", worst_a, phases)
    power, reactive = [0.0] * 3, [0.0] * 3
    for second in range(0, 86_400, 61):
        load.update(float(second), 61.0, power, reactive)
        for p, q in zip(power, reactive, strict=True):
            assert (p * p + q * q) ** 0.5 <= worst_a * 230.0
        assert all(value > 0.0 for value in power[:phases])
        assert power[phases:] == [0.0] * (3 - phases)


def test_a_motor_start_is_seen_between_two_seconds() -> None:
    load = BuildingLoad(almanac(DAY, time(10)), 1, "house", 60.0, 3)
    power, reactive = [0.0] * 3, [0.0] * 3
    highest, now_s = 0.0, 0.0
    load.update(0.0, 1.0, power, reactive)
    for _ in range(20):  # the next switching moments, however fine
        now_s = load.next_s
        load.update(now_s, 1e-3, power, reactive)
        highest = max(highest, reactive[0])
    load.update(now_s + 2.0, 2.0, power, reactive)
    assert highest > reactive[0] + 500.0


def test_the_change_of_time_neither_stops_nor_repeats_the_day() -> None:
    for day, length_s in ((date(2026, 3, 29), 82_800.0), (date(2026, 10, 25), 90_000.0)):
        calendar = almanac(day)
        assert calendar.twin_s(datetime.combine(day + timedelta(1), time())) == length_s
        load = BuildingLoad(calendar, 1, "house", 40.0, 3)
        power, reactive = [0.0] * 3, [0.0] * 3
        for second in range(0, int(length_s), 300):
            load.update(float(second), 300.0, power, reactive)
        sun = Sun(calendar, 1, "pv")
        assert max(sun.at(float(second), 300.0) for second in range(0, int(length_s), 300)) > 0.0


def test_staging_shows_every_state_and_leaves_one_connector_in_eight_free() -> None:
    visits = {visit.connector: visit for visit in stage(MANY[:8], 1)}
    assert len(visits) == 7
    assert {visit.phases for visit in visits.values()} >= {1, 2, 3}
    assert {visit.mood for visit in visits.values()} == {"normal", "full", "timer"}


def test_unconstrained_cars_get_the_energy_of_their_records() -> None:
    """The whole day, 60 outlets without any limit but their own, in steps of 5 s."""
    site = site_of([collector("root", rated=2000)], [charger(name, "root") for name in MANY])
    bench = Bench(site, world=World(site, DAY, 5))
    bench.dt_s = 5.0
    for port in bench.plant.evses.values():
        port.offered_a = 32.0
    wanted = {record.session: record for record in records_of(DAY)}
    got: dict[str, float] = {}
    for _ in range(24 * 60):
        bench.run(60.0)
        for bay in bench.physics.bays.values():
            if bay.vehicle is not None:
                got[bay.vehicle.visit.session] = bay.port.session_energy_wh
    assert set(got) == set(wanted)
    for session, energy_wh in got.items():
        record = wanted[session]
        standby_wh = 12.0 * (record.departure - record.arrival).total_seconds() / 3600.0
        assert 0.93 * record.delivered_wh <= energy_wh <= record.delivered_wh + standby_wh + 80.0
    assert sum(got.values()) == pytest.approx(sum(record.delivered_wh for record in wanted.values()), rel=0.02)
