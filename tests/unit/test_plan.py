"""The fallback plan and the hold times (failure.md, The fallback plan; FB-3), against sums made another way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.config.assets import AcChargePoint, Load
from busbar.config.model import SiteFile
from busbar.config.plan import FallbackPlan, fallback_plan
from busbar.config.protection import protection
from busbar.config.site import Site, compile_site
from busbar.domain.fuse import clearing_time_s
from unit.site_files import FACTS, checked, compiled, demo, entry, small
from unit.site_strategies import PHASES, sites


def site_of(data: Any) -> Site:
    """Compiled without the check: also a site whose fuses do not hold."""
    return compile_site(SiteFile.model_validate(data), FACTS)


def currents(file: SiteFile, collector: str, connectors: dict[str, float]) -> list[float]:
    """Worst current per own phase of a collector, by walking the file downwards: no root frame, no running sums."""
    me = next(c for c in file.collectors if c.id == collector)
    virtual = me.virtual.unmetered_load_a if me.virtual else 0.0
    total = [me.unmetered_load_a + virtual if i < len(me.phases) else 0.0 for i in range(3)]

    def draw(phases: list[Any], current: list[float]) -> None:
        for own, name in enumerate(phases):
            total[PHASES.index(name)] += current[own]

    for asset in file.assets:
        if isinstance(asset, Load) and asset.collector == collector:
            draw(asset.phases, [asset.max_current_a] * 3)
        if isinstance(asset, AcChargePoint):
            for connector in asset.connectors:
                if connector.collector == collector:
                    draw(connector.phases, [connectors[connector.id]] * 3)
    for child in file.collectors:
        if child.parent == collector:
            draw(child.phases, currents(file, child.id, connectors))
    return total


def overloaded(site: Site, connectors: dict[str, float]) -> list[str]:
    return [
        c.id
        for c in site.file.collectors
        if not c.monitored_only
        and any(current > float(str(c.rated_current_a)) + 1e-6 for current in currents(site.file, c.id, connectors))
    ]


@settings(max_examples=150, deadline=None)
@given(sites())
def test_the_plan_fits_every_fuse_or_is_refused(data: Any) -> None:
    site = site_of(data)
    plan = fallback_plan(site)
    assert plan.feasible is (overloaded(site, dict(plan.booked_a)) == [])
    assert checked(data).plan is None or plan.feasible


@settings(max_examples=150, deadline=None)
@given(sites())
def test_no_connector_is_paused_whose_minimum_would_still_fit(data: Any) -> None:
    site = site_of(data)
    plan = fallback_plan(site)
    for connector in site.connectors:
        assert connector.device is not None
        free = FACTS[site.devices[connector.device].package].fallback_a in ("settable", "unknown")
        if plan.booked_a[connector.id] == 0 and free:
            assert overloaded(site, {**plan.booked_a, connector.id: 6.0}) != []


@settings(max_examples=100, deadline=None)
@given(sites())
def test_every_fallback_value_is_0_or_at_least_6_and_never_above_what_is_booked(data: Any) -> None:
    plan = fallback_plan(site_of(data))
    assert all(value == 0 or value >= 6 for value in plan.value_a.values())
    assert all(plan.value_a[c] <= booked for c, booked in plan.booked_a.items())


@settings(max_examples=100, deadline=None)
@given(sites(rated_a=(16, 63)), st.permutations(PHASES))
def test_renaming_the_phases_of_the_whole_site_changes_no_value(data: Any, names: list[str]) -> None:
    renamed = dict(zip(PHASES, names, strict=True))
    before = fallback_plan(site_of(data))
    root = data["collectors"][0]
    below = [c for c in data["collectors"] if c.get("parent") == root["id"]]
    below += [a for a in data["assets"] if a.get("collector") == root["id"]]
    below += [c for a in data["assets"] for c in a.get("connectors", []) if c["collector"] == root["id"]]
    for item in below:
        item["phases"] = [renamed[name] for name in item["phases"]]
    after = fallback_plan(site_of(data))
    assert (before.value_a, before.hold_s) == (after.value_a, after.hold_s)


def values(rated_a: float, connectors: int, **root: Any) -> list[float]:
    return list(fallback_plan(site_of(small(rated_a, connectors, **root))).value_a.values())


@pytest.mark.parametrize(
    ("rated_a", "connectors", "root",                       "expected"),
    [
        (18,    3,            {},                           [6, 6, 6]),
        (17.9,  3,            {},                           [6, 6, 0]),
        (12,    3,            {},                           [6, 6, 0]),
        (12,    3,            {"unmetered_load_a": 1},      [6, 0, 0]),
        (12,    3,            {"fixed_reserve_a": 6},       [6, 6, 0]),
        (5,     2,            {},                           [0, 0]),
        (100,   3,            {"power_limit_va": 3 * 230 * 12}, [6, 6, 0]),
        (100,   3,            {"power_limit_w": 3 * 230 * 12 - 1}, [6, 0, 0]),
        (100,   3,            {"power_limit_w": 3 * 230 * 18, "power_limit_va": 3 * 230 * 6}, [6, 0, 0]),
        ([100, 12, 100], 3,   {},                           [6, 6, 0]),
        (1,     2,            {"monitored_only": True},     [6, 6]),
    ],
)  # fmt: skip
def test_minima_are_granted_in_site_order_while_they_fit(
    rated_a: Any, connectors: int, root: Any, expected: list[float]
) -> None:
    data = small(32, connectors, **root)
    data["collectors"][0]["rated_current_a"] = rated_a
    assert list(fallback_plan(site_of(data)).value_a.values()) == expected


def test_a_later_connector_on_another_phase_gets_its_minimum() -> None:
    data = small(10, 3)
    for name, phase in (("c1", "L1"), ("c2", "L1"), ("c3", "L2")):
        entry(data, name)["phases"] = [phase]
    assert fallback_plan(site_of(data)).value_a == {"c1": 6, "c2": 0, "c3": 6}


def test_generation_counts_nothing() -> None:
    data = small(12, 3)
    data["devices"].append({"id": "dp", "package": "sunspec-pv-inverter", "host": "10.0.0.9"})
    data["assets"].append({"kind": "pv", "id": "pv", "collector": "grid", "device": "dp", "rated_power_w": 20000})
    assert list(fallback_plan(site_of(data)).value_a.values()) == [6, 6, 0]


@pytest.mark.parametrize(
    ("package",       "charger",                        "value", "booked"),
    [
        ("alfen-ng9xx", {},                             6,       6),
        ("alfen-ng9xx", {"book_at_max_when_lost": True}, 6,      32),
        ("no-watchdog", {"book_at_max_when_lost": True}, 6,      32),
        ("falls-to-16", {},                             16,      16),
        ("falls-to-0",  {},                             0,       0),
        ("by-hand",     {},                             6,       6),
        ("by-hand",     {"fallback_a": 13},             13,      13),
        ("by-hand",     {"fallback_a": 0},              0,       0),
        ("never-0",     {},                             6,       6),
    ],
)  # fmt: skip
def test_what_a_device_does_by_itself_is_booked(package: str, charger: Any, value: float, booked: float) -> None:
    data = small(100, 1)
    entry(data, "dc")["package"] = package
    entry(data, "cp").update(charger)
    plan = fallback_plan(site_of(data))
    assert (plan.value_a, plan.booked_a) == ({"c1": value}, {"c1": booked})


def test_what_cannot_stop_has_its_place_before_any_other_minimum() -> None:
    data = small(12, 2)
    data["devices"].append({"id": "dn", "package": "never-0", "host": "10.0.0.9"})
    connectors = [{"id": "last", "collector": "grid"}]
    data["assets"].append({"kind": "ac_charge_point", "id": "n", "device": "dn", "connectors": connectors})
    assert fallback_plan(site_of(data)).value_a == {"c1": 6, "c2": 0, "last": 6}


def test_an_infeasible_plan_names_the_fuse_and_by_how_much() -> None:
    data = small(20, 2)
    data["assets"].append({"kind": "load", "id": "l", "collector": "grid", "max_current_a": 21})
    plan = fallback_plan(site_of(data))
    assert [(fuse.collector, fuse.excess) for fuse in plan.fuses] == [("grid", "21 A on L1 against a rating of 20 A")]
    (problem,) = checked(data).errors
    assert (problem.code, problem.entity) == ("fallback_too_much", "grid")
    assert "21 A on L1 against a rating of 20 A" in problem.message


def test_the_table_prints_every_connector_and_fuse() -> None:
    plan = fallback_plan(compiled(demo()))
    lines = plan.table().splitlines()
    assert lines[0].split() == ["connector", "fallback", "booked", "hold"]
    assert [line.split()[0] for line in lines[1:9]] == ["a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4"]
    assert lines[-5].split() == ["grid", "89", "A", "L1", "100", "A", "41", "A"]


# Hold (failure.md: the load check proves for each fuse that hold at the worst loss of generation stays in its curve)


def hold(fuse: str, pv_w: float, reaction: str = "alfen-ng9xx", **root: Any) -> tuple[FallbackPlan, Site]:
    data = small(20, 1, fuse=fuse, **root)
    entry(data, "dc")["package"] = reaction
    entry(data, "c1")["max_current_a"] = 32
    data["devices"].append({"id": "dp", "package": "sunspec-pv-inverter", "host": "10.0.0.9"})
    data["assets"].append({"kind": "pv", "id": "pv", "collector": "grid", "device": "dp", "rated_power_w": pv_w})
    site = site_of(data)
    return fallback_plan(site), site


def test_without_generation_a_setpoint_is_held_for_the_whole_timeout() -> None:
    data = small(20, 1, fuse="electronic")
    assert fallback_plan(site_of(data)).hold_s == {"c1": 30.0}


@pytest.mark.parametrize("fuse", ["gG", "mcb_b", "mcb_c", "mcb_d", "adjustable", "electronic"])
def test_a_held_setpoint_uses_at_most_half_of_what_the_fuse_allows(fuse: Any) -> None:
    plan, _ = hold(fuse, 3 * 230 * 20)
    half = clearing_time_s(fuse, 1.25) / 2
    assert plan.hold_s["c1"] == pytest.approx(min(30.0, half - 15.0))
    assert plan.hold_s["c1"] + 15.0 <= half + 1e-9


def test_an_electronic_breaker_shortens_the_hold_and_a_reserve_lengthens_it() -> None:
    shortest = hold("electronic", 3 * 230 * 20)[0].hold_s["c1"]
    reserve = hold("electronic", 3 * 230 * 2, fixed_reserve_a=1)[0].hold_s["c1"]
    assert 5.0 <= shortest < 30.0
    assert reserve == 30.0


def test_a_fuse_that_cannot_bear_a_hold_refuses_the_site() -> None:
    _, site = hold("electronic", 3 * 230 * 20, reaction="slow")
    (exposure,) = protection(site, FACTS).exposures
    assert exposure.hold_s() < 5.0
    data = small(20, 1, fuse="electronic")
    entry(data, "dc")["package"] = "slow"
    entry(data, "c1")["max_current_a"] = 32
    data["devices"].append({"id": "dp", "package": "sunspec-pv-inverter", "host": "10.0.0.9"})
    data["assets"].append({"kind": "pv", "id": "pv", "collector": "grid", "device": "dp", "rated_power_w": 13800})
    assert [(p.code, p.entity) for p in checked(data).errors] == [("hold_too_long", "grid")]


@settings(max_examples=100, deadline=None)
@given(sites(rated_a=(16, 63)))
def test_hold_stays_between_a_setpoints_life_and_the_timeout(data: Any) -> None:
    site = site_of(data)
    assert all(5.0 <= seconds <= site.options.fallback_timeout_s for seconds in fallback_plan(site).hold_s.values())


@settings(max_examples=100, deadline=None)
@given(sites(rated_a=(16, 63)), st.floats(0.5, 20.0))
def test_the_reserve_that_a_warning_asks_for_is_enough(data: Any, detection_s: float) -> None:
    for exposure in protection(site_of(data), FACTS).exposures:
        needed = exposure.needed_reserve_a(detection_s)
        for phase, rated in enumerate(exposure.rated_a):
            if rated:
                ratio = (rated - needed + min(exposure.uncontrolled_a[phase], rated)) / rated
                allowed = clearing_time_s(exposure.collector.file.fuse, ratio - 1e-6) / 2
                assert allowed >= detection_s + exposure.reaction_s
