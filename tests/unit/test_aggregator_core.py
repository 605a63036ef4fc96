"""collector-aggregator, core: ages, validity, virtual collectors, what devices say of themselves (SPC-15, FC-7)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from busbar.domain.charging import Status
from busbar.domain.quality import Quality
from busbar.events import CollectorState, Reason, ReasonCode, Session, SessionPhase, Setpoint
from collector_aggregator.core import MARGIN, Aggregator, first_number
from unit.aggregator_world import U, World, electrical, measurement, on, site_of
from unit.site_files import compiled, demo, entry, small

ALL = (0, 1, 2)
KW = 1000.0


def demo_world(data: Any = None) -> World:
    site = compiled(data or demo())
    draws = {e.id: [0.0] * 6 for e in site.entities.values()}
    return World(site, draws)


def states(world: World, now_s: float) -> dict[str, CollectorState]:
    world.snapshot(now_s)
    return {s.collector: s for s in world.aggregator.states(round(now_s * 1000))}


# -- ages


def test_nothing_is_valid_before_it_was_seen() -> None:
    snapshot = demo_world().snapshot(5.0)
    valid = {c.collector: c.valid for c in snapshot.collectors}
    assert valid == {"grid": False, "roof": True, "parking": False, "row-a": True, "row-b": False}
    assert all(c.age_ms > 10**8 for c in snapshot.collectors if not c.valid)
    assert all(not c.reachable and c.status is None and c.limit_a is None for c in snapshot.connectors)
    assert [c.connector for c in snapshot.connectors] == ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"]
    assert [a.asset for a in snapshot.assets] == ["building", "pv"]


@pytest.mark.parametrize(
    ("age_s", "quality", "valid"),
    [
        # polled each 0.2 s, timeout 30 s
        (0.0,  Quality.GOOD,      True),
        (0.6,  Quality.GOOD,      True),
        (0.7,  Quality.STALE,     True),
        (29.9, Quality.STALE,     True),
        (30.0, Quality.COMM_FAIL, False),
        (9999, Quality.COMM_FAIL, False),
    ],
)  # fmt: skip
def test_a_meter_grows_stale_at_three_polls_and_invalid_at_its_timeout(
    age_s: float, quality: Quality, valid: bool
) -> None:
    world = demo_world()
    world.say("grid-meter", 100.0)
    assert states(world, 100.0 + age_s)["grid"].quality is quality
    sample = world.collectors(100.0 + age_s)["grid"]
    assert (sample.valid, sample.age_ms) == (valid, round(age_s * 1000))


def test_a_meter_that_says_nothing_usable_ages() -> None:
    world = demo_world()
    meter = world.site.entities["grid-meter"]
    world.say("grid-meter", 1.0)
    for second in range(2, 32):
        world.aggregator.observe(measurement(meter, {"power_w": None}, reachable=second % 2 == 0), float(second))
    assert not world.collectors(31.0)["grid"].valid


def test_a_sample_that_is_not_newer_is_dropped() -> None:
    world = demo_world()
    world.draws["building"] = on(ALL, [3 * KW] * 3)
    world.say("grid-meter", 2.0)
    world.draws["building"] = on(ALL, [9 * KW] * 3)
    world.say("grid-meter", 1.0)
    world.say("grid-meter", 2.0)
    assert world.collectors(2.0)["grid"].power_w.l1 == 3 * KW


def test_values_read_again_unchanged_are_fresh_and_unusable_ones_never_are() -> None:
    world = demo_world()
    meter = world.site.entities["grid-meter"]
    good = measurement(meter, electrical(meter, on(ALL, [KW] * 3)))
    bad = measurement(meter, {"power_w": None})
    for at_s, event, age_ms in ((1.0, good, 0), (2.0, good, 0), (3.0, bad, 1000), (4.0, bad, 2000), (5.0, good, 0)):
        again = event.model_construct(
            **{**dict(event), "seq": round(at_s)}
        )  # shares its dictionaries, as a driver does
        assert again.points is event.points
        world.aggregator.observe(again, at_s)
        sample = world.collectors(at_s)["grid"]
        assert sample.age_ms == age_ms
        assert sample.power_w.l1 == pytest.approx(KW)


def test_what_is_not_of_this_site_is_ignored() -> None:
    world = demo_world()
    before = world.snapshot(1.0).collectors
    stranger = measurement(world.site.entities["grid-meter"], {"power_w": 1.0}).model_copy(update={"asset": "nobody"})
    assert not world.aggregator.observe(stranger, 1.0)
    assert world.snapshot(1.0).collectors == before


# -- virtual collectors


def test_a_virtual_collector_books_the_worst_case_of_what_has_no_meter_but_does_not_report_it() -> None:
    world = demo_world()
    world.draws["a1"] = on(world.site.entities["a1"].root_phases, [2 * KW] * 3)
    world.say_all(1.0)
    sample = world.collectors(1.0)["row-a"]
    assert sample.background_w == pytest.approx((230.0,) * 3)  # 1 A stated
    assert sample.power_w == pytest.approx((2 * KW + 230.0,) * 3)
    state = states(world, 1.0)["row-a"]
    assert state.power_w == pytest.approx((2 * KW,) * 3)
    assert state.sums.ucl_w == pytest.approx((0.0,) * 3)
    assert (state.virtual, state.quality) == (True, Quality.GOOD)


def test_silent_connectors_do_not_make_a_virtual_collector_invalid_but_it_says_that_it_is_stale() -> None:
    world = demo_world()
    for name in ("a1", "a2", "a3", "a4"):
        world.say(name, 1.0)
    assert world.collectors(500.0)["row-a"].valid
    assert states(world, 500.0)["row-a"].quality is Quality.STALE


def test_silent_generation_counts_nothing_on_a_virtual_collector() -> None:
    world = demo_world()
    world.draws["pv"] = on(ALL, [-4 * KW] * 3)
    world.say("pv", 1.0)
    assert world.collectors(5.0)["roof"].background_w == pytest.approx((-4 * KW,) * 3)
    assert world.collectors(5.0)["roof"].generation_w == pytest.approx((-4 * KW,) * 3)
    late = world.collectors(31.5)["roof"]
    assert (late.background_w, late.generation_w, late.valid) == ((0.0,) * 3, (0.0,) * 3, True)


def test_silent_generation_below_a_meter_keeps_its_last_value_so_that_its_credit_stays_limited() -> None:
    world = demo_world()
    world.draws["pv"] = on(ALL, [-4 * KW] * 3)
    world.draws["building"] = on(ALL, [3 * KW] * 3)
    world.say_all(1.0)
    world.say("grid-meter", 100.0)
    assert world.collectors(100.0)["grid"].generation_w == pytest.approx((-4 * KW,) * 3)


def test_generation_that_nobody_measures_is_seen_in_what_the_background_gives_back() -> None:
    world = demo_world()
    world.draws["building"] = on(ALL, [-2 * KW] * 3)
    world.say_all(1.0)
    assert world.collectors(1.0)["grid"].generation_w == pytest.approx((-2 * KW,) * 3)


def test_a_silent_load_makes_its_virtual_collector_invalid_and_is_booked_with_its_worst_case() -> None:
    data = demo()
    entry(data, "building")["collector"] = "roof"
    world = demo_world(data)
    world.draws["building"] = on(ALL, [2 * KW] * 3)
    world.say_all(1.0)
    assert world.collectors(30.0)["roof"].background_w == pytest.approx((2 * KW,) * 3)
    late = world.collectors(31.0)["roof"]
    assert not late.valid
    assert late.background_w == pytest.approx((38 * U,) * 3)


def unmetered_world() -> World:
    """A load without a meter on the roof: what the grid meter sees and nobody else explains."""
    data = demo()
    data["assets"].append(
        {"kind": "load", "id": "shed", "collector": "roof", "max_current_a": 20, "phases": ["L1", "L2"]}
    )
    entry(data, "row-a")["virtual"]["unmetered_load_a"] = 0
    world = World(site_of(data), {})
    for entity in world.site.entities.values():
        world.draws[entity.id] = on(entity.root_phases, [300.0, 200.0, 100.0])
    world.draws["pv"] = on(ALL, [-900.0] * 3)
    world.draws["shed"] = on((0, 1), [1500.0, 700.0], [100.0, -50.0])
    return world


def test_the_part_without_a_meter_is_what_the_nearest_meter_above_has_left_over() -> None:
    world = unmetered_world()
    world.say_all(1.0)
    roof = world.collectors(1.0)["roof"]
    assert roof.valid
    assert roof.background_w == pytest.approx((1500.0 - 900.0, 700.0 - 900.0, -900.0))
    assert roof.background_var == pytest.approx((100.0, -50.0, 0.0))
    assert states(world, 1.0)["roof"].sums.ucl_w == pytest.approx((1500.0, 700.0, 0.0))


@pytest.mark.parametrize("silent", ["grid-meter", "parking-meter", "building", "pv"])
def test_where_a_part_is_silent_the_load_without_a_meter_is_its_worst_case(silent: str) -> None:
    world = unmetered_world()
    world.say_all(1.0)
    for entity in world.site.entities.values():
        if entity.device and entity.id != silent:
            world.say(entity.id, 40.0)
    roof = world.collectors(40.0)["roof"]
    assert roof.background_w.l1 >= 20 * U - 900.0 - 1e-6
    assert states(world, 40.0)["roof"].sums.ucl_w is None
    assert roof.valid == (silent != "grid-meter")


def test_what_is_left_over_is_never_more_than_the_worst_case_nor_less_than_nothing() -> None:
    world = unmetered_world()
    world.draws["shed"] = on((0, 1), [9000.0, -3000.0])
    world.say_all(1.0)
    assert world.collectors(1.0)["roof"].background_w == pytest.approx((20 * U - 900.0, -900.0, -900.0))


def test_a_virtual_grid_connection_is_the_sum_of_the_meters_below_it() -> None:
    data = demo()
    grid = entry(data, "grid")
    del grid["meter"]
    grid["virtual"] = {"unmetered_load_a": 0}
    world = World(site_of(data), {})
    for entity in world.site.entities.values():
        world.draws[entity.id] = on(entity.root_phases, [500.0] * 3, [50.0] * 3)
    world.say_all(1.0)
    root = world.collectors(1.0)["grid"]
    assert root.valid
    assert root.power_w == pytest.approx(tuple(world.below("grid")[:3]))
    for name in ("building", "pv", "row-b-meter"):
        world.say(name, 40.0)
    assert not world.collectors(40.0)["grid"].valid  # the car park's meter is silent


def nested_world() -> World:
    """A virtual collector above another virtual one and a metered one that gives up earlier."""
    data = demo()
    parking = entry(data, "parking")
    del parking["meter"], parking["unmetered_load_a"]
    parking["virtual"] = {"unmetered_load_a": 0}
    entry(data, "row-b")["on_lost_meter"] = {"action": "disable", "timeout_s": 10}
    parking["on_lost_meter"] = {"action": "disable", "timeout_s": 60}
    world = World(site_of(data), {})
    world.draws = {e.id: [0.0] * 6 for e in world.site.entities.values()}
    return world


def test_what_a_virtual_collector_assumes_is_not_reported_by_the_one_above_it_either() -> None:
    world = nested_world()
    world.say_all(1.0)
    assert world.collectors(1.0)["parking"].background_w == pytest.approx((U,) * 3)  # 1 A stated of row A
    assert states(world, 1.0)["parking"].power_w == pytest.approx((0.0,) * 3)
    assert states(world, 1.0)["parking"].sums.ucl_w == pytest.approx((0.0,) * 3)


@pytest.mark.parametrize(("age_s", "valid"), [(9.9, True), (10.0, False)])
def test_a_virtual_collector_is_invalid_as_soon_as_one_below_it_is(age_s: float, valid: bool) -> None:
    world = nested_world()
    world.say_all(1.0)
    assert world.collectors(1.0 + age_s)["parking"].valid is valid  # its own timeout would be 60 s


# -- connectors


def say(
    world: World, at_s: float, quality: dict[str, Quality] | None = None, reachable: bool = True, **extra: Any
) -> None:
    a1 = world.site.entities["a1"]
    points = electrical(a1, world.draws["a1"]) | extra if reachable else dict.fromkeys([*extra, "power_w"])
    world.aggregator.observe(measurement(a1, points, quality, reachable), at_s)


def test_what_a_device_said_of_itself_stays_known_while_it_cannot_be_reached() -> None:
    world = demo_world()
    said: dict[str, Any] = {
        "status": "Charging", "actual_limit_current_a": 16.0, "fallback_current_a": 6.0, "watchdog_timeout_s": 30.0,
    }  # fmt: skip
    say(world, 1.0, **said)
    say(world, 2.0, reachable=False, **said)
    a1 = world.connectors(2.0)["a1"]
    assert (a1.status, a1.limit_a, a1.fallback_a, a1.watchdog_s) == (Status.CHARGING, 16.0, 6.0, 30.0)
    assert (a1.reachable, a1.age_ms, a1.sampled_at_ms) == (False, 1000, 1000)


@pytest.mark.parametrize(
    ("later", "quality", "fallback_a"),
    [
        ({"fallback_current_a": 8.0},  {},                                       8.0),
        ({},                           {},                                       6.0),
        ({"fallback_current_a": 9.0},  {"fallback_current_a": Quality.STALE},    6.0),
        ({"fallback_current_a": None}, {"fallback_current_a": Quality.NA},       None),
        ({"fallback_current_a": 9.0},  {"fallback_current_a": Quality.SUSPECT},  None),
        ({"fallback_current_a": math.nan}, {},                                   None),
        ({"fallback_current_a": "6"},  {},                                       None),
    ],
)  # fmt: skip
def test_a_read_back_is_verified_as_long_as_the_device_does_not_say_otherwise(
    later: dict[str, Any], quality: dict[str, Quality], fallback_a: float | None
) -> None:
    world = demo_world()
    say(world, 1.0, fallback_current_a=6.0)
    say(world, 2.0, quality, **later)
    assert world.connectors(2.0)["a1"].fallback_a == fallback_a


@pytest.mark.parametrize("text", ["Levitating", "", None])
def test_a_status_nobody_knows_is_unknown_and_harms_nobody(text: str | None) -> None:
    world = demo_world()
    say(world, 1.0, status="Charging")
    say(world, 2.0, status=text)
    assert world.connectors(2.0)["a1"].status is None


@pytest.mark.parametrize(("age_s", "reachable"), [(0.0, True), (3.0, True), (3.1, False)])
def test_a_connector_is_reachable_for_three_polls(age_s: float, reachable: bool) -> None:
    world = demo_world()
    say(world, 1.0)
    assert world.connectors(1.0 + age_s)["a1"].reachable is reachable


def session(at_ms: int, energy_wh: float = 1.0, ended: bool = False, name: str = "s1") -> Session:
    return Session(
        session_id=name, connector="a1", driver="modbus-1", phase=SessionPhase.STARTED, status=Status.CHARGING,
        plugged_at_ms=77, energy_wh=energy_wh, ended_at_ms=at_ms if ended else None, measured_at_ms=at_ms,
    )  # fmt: skip


def test_sessions_come_and_go() -> None:
    world = demo_world()
    world.aggregator.session(session(1000, 5.0))
    a1 = world.connectors(1.0)["a1"]
    assert (a1.session_id, a1.session_energy_wh, a1.plugged_at_ms) == ("s1", 5.0, 77)
    world.aggregator.session(session(900, 7.0))  # the driver's clock was set back: live is live
    assert world.connectors(1.0)["a1"].session_energy_wh == 7.0
    world.aggregator.session(session(2000, 9.0, ended=True))
    a1 = world.connectors(1.0)["a1"]
    assert (a1.session_id, a1.session_energy_wh, a1.plugged_at_ms) == (None, 0.0, 0)
    world.aggregator.session(session(1500, 3.0), stored=True)  # read late
    assert world.connectors(1.0)["a1"].session_id is None
    world.aggregator.session(session(2500, 3.0, name="s2"), stored=True)
    assert world.connectors(1.0)["a1"].session_id == "s2"


def test_the_reserve_counts_connectors_that_are_known_to_be_free() -> None:
    world = World(site_of(small(100, 4, dynamic_reserve_connectors=3, fixed_reserve_a=5)), {})
    world.draws = {e.id: [0.0] * 6 for e in world.site.connectors}
    for name, status in (("c1", "Available"), ("c2", "Charging"), ("c3", "Reserved"), ("c4", "Available")):
        world.say(name, 1.0, status=status)
    world.say("m", 1.0)
    state = states(world, 1.0)["grid"]
    assert (state.free_connectors, state.reserve_a, state.limit_a) == (2, 12.0, (88.0,) * 3)
    state = states(world, 9.0)["grid"]  # nobody knows any more
    assert (state.free_connectors, state.reserve_a) == (0, 5.0)


# -- DC


def with_dc(**root: Any) -> World:
    data = small(100, 1, **root)
    data["devices"].append({"id": "hyc", "package": "dc", "host": "10.0.0.3"})
    outlet = {"id": "fast", "collector": "grid", "max_power_w": 50_000}
    data["assets"].append({"kind": "dc_charge_point", "id": "cp-dc", "device": "hyc", "connectors": [outlet]})
    world = World(site_of(data), {})
    world.draws = {e.id: [0.0] * 6 for e in world.site.connectors}
    return world


def say_dc(world: World, at_s: float, **points: float | str) -> None:
    world.aggregator.observe(measurement(world.site.entities["fast"], points), at_s)


def told(asset: str, power_w: float) -> Setpoint:
    return Setpoint(
        asset=asset, driver="modbus-1", epoch=1, seq=1, published_at_ms=0, lifetime_ms=5000, power_w=power_w,
        reason=Reason(code=ReasonCode.CAP), snapshot=1,
    )  # fmt: skip


def test_spc_11_a_dc_connector_is_watts_on_three_conductors_and_told_as_amperes_at_230_v() -> None:
    world = with_dc()
    world.draws["fast"] = [6900.0, 6900.0, 6900.0, 0.0, 0.0, 0.0]
    world.say("m", 1.0, voltage_l1_v=225.0, voltage_l2_v=230.0, voltage_l3_v=240.0)
    say_dc(world, 1.0, status="Charging", power_w=20_700.0, setpoint_power_w=27_600.0, watchdog_timeout_s=30.0)
    fast = world.connectors(1.0)["fast"]
    assert fast.power_w == (6900.0,) * 3
    assert fast.voltage_v == (225.0, 230.0, 240.0)
    assert fast.current_a == pytest.approx((6900 / 225, 30.0, 6900 / 240))
    assert (fast.limit_a, fast.fallback_a, fast.watchdog_s) == (40.0, None, 30.0)
    grid = states(world, 1.0)["grid"]
    assert grid.sums.dc_w == (6900.0,) * 3
    assert grid.sums.ac_w == (0.0,) * 3 or grid.sums.ac_w is None


def test_spc_16_a_dc_step_under_its_setpoint_is_no_load_of_others() -> None:
    world = with_dc()
    for at_s in (1.0, 2.0):
        world.say("m", at_s)
        world.say("c1", at_s, status="Available", actual_limit_current_a=0.0)
        say_dc(world, at_s, status="Charging", power_w=0.0, setpoint_power_w=5000.0)
    world.aggregator.setpoint(told("fast", power_w=20_700.0))
    world.draws["fast"] = [6900.0, 6900.0, 6900.0, 0.0, 0.0, 0.0]
    world.say("m", 2.5)  # its own sample is older
    assert max(world.collectors(2.5)["grid"].background_w) <= 1e-6


def test_spc_5_a_free_dc_connector_counts_its_start_power_in_the_reserve() -> None:
    world = with_dc(dynamic_reserve_connectors=2)
    world.say("m", 1.0)
    world.say("c1", 1.0, status="Available")
    say_dc(world, 1.0, status="Available", power_w=0.0)
    state = states(world, 1.0)["grid"]
    assert state.free_connectors == 2
    assert state.reserve_a == pytest.approx(5000 / 690 + 6.0)


# -- numbers


def test_snapshots_are_numbered_one_after_the_other() -> None:
    aggregator = Aggregator(compiled(demo()), 41)
    assert [aggregator.snapshot(t, 1000).number for t in (1.0, 1.0, 2.0)] == [42, 43, 44]


@pytest.mark.parametrize(
    ("now_ms", "before", "first"),
    [
        (1_700_000_000_000, None,              1_700_000_000_000),
        (1_700_000_000_000, 1_600_000_000_000, 1_700_000_000_000),
        (1_500_000_000_000, 1_600_000_000_000, 1_600_000_000_000 + MARGIN),  # the clock was set back
    ],
)  # fmt: skip
def test_numbers_never_go_back_over_a_restart(now_ms: int, before: int | None, first: int) -> None:
    assert first_number(now_ms, before) == first


def test_snapshots_live_for_three_cycles() -> None:
    data = demo()
    assert demo_world(data).snapshot(1.0).lifetime_ms == 5000
    data["options"] = {"cycle_ms": 10_000}
    assert World(site_of(data), {}).snapshot(1.0).lifetime_ms == 30_000
