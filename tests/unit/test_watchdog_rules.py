"""fallback-watchdog: which rules a site has (FB-2; failure.md, Who acts, when)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import Measurement
from busbar.units import Phase
from collector_aggregator.samples import Reader
from fallback_watchdog.core import Rule
from fallback_watchdog.rules import rules_of, usable
from unit.site_files import compiled, demo, entry

ROW_A, ROW_B = ("a1", "a2", "a3", "a4"), ("b1", "b2", "b3", "b4")


def rules(data: Any) -> dict[str, Rule]:
    found = rules_of(compiled(data))
    assert len({r.id for r in found}) == len(found), "two rules of one id would overwrite each other at the drivers"
    return {r.id: r for r in found}


@pytest.mark.parametrize(
    ("name", "signs", "timeout_s", "assets", "bound_a"),
    [
        ("grid-meter", ("meter:grid-meter",), 30.0, ROW_A + ROW_B, 6.0),
        ("parking-meter", ("meter:parking-meter",), 30.0, ROW_A + ROW_B, 0.0),
        ("row-b-meter", ("meter:row-b-meter",), 30.0, ROW_B, 6.0),
        ("grid-blind", ("meter:grid-meter",), 30.0, ROW_A + ROW_B, 6.0),
        ("snapshots", ("snapshot",), 30.0, ROW_A + ROW_B, 6.0),
        ("spc-allocator", ("service:spc-allocator",), 30.0, ROW_A + ROW_B, 6.0),
        ("spc-allocator-2", ("service:spc-allocator",), 3.0, (), None),
        ("collector-aggregator", ("service:collector-aggregator",), 3.0, (), None),
        ("modbus-1", ("service:field-driver-modbus/modbus-1",), 3.0, (), None),
    ],
)
def test_rules_of_the_demo_site(
    name: str, signs: tuple[str, ...], timeout_s: float, assets: tuple[str, ...], bound_a: float | None
) -> None:
    found = rules(demo())[name]
    assert (found.signs, found.timeout_s, found.assets, found.max_current_a) == (signs, timeout_s, assets, bound_a)


def test_the_demo_site_has_no_other_rules() -> None:
    assert len(rules(demo())) == 9


def test_a_collector_that_ignores_its_lost_meter_is_told_but_not_bound() -> None:
    data = demo()
    entry(data, "parking")["on_lost_meter"] = {"action": "ignore_lost_meter", "timeout_s": 20}
    found = rules(data)["parking-meter"]
    assert (found.max_current_a, found.timeout_s, found.assets) == (None, 20.0, ROW_A + ROW_B)


def test_a_meter_that_protects_no_fuse_is_told_but_binds_only_where_the_site_file_says_so() -> None:
    data = demo()
    entry(data, "row-b")["monitored_only"] = True
    found = rules(data)["row-b-meter"]
    assert (found.max_current_a, found.signs) == (None, ("meter:row-b-meter",))
    entry(data, "row-b")["on_lost_meter"] = {"action": "minimum"}
    assert rules(data)["row-b-meter"].max_current_a == 6.0


def written(trigger: str, **more: Any) -> Rule:
    data = demo()
    data["controllers"] = [
        {"id": "main", "role": "master", "drivers": [{"id": "modbus-1"}]},
        {"id": "side", "role": "slave", "drivers": [{"id": "modbus-2"}, {"id": "modbus-3"}]},
    ]
    data["fallback_rules"] = [
        {"id": "mine", "trigger": trigger, "collector": "row-b", "action": "disable", "timeout_s": 12, **more}
    ]
    return rules(data)["mine"]


@pytest.mark.parametrize(
    ("trigger", "every", "signs"),
    [
        ("meter:row-b-meter", True, ["meter:row-b-meter"]),
        ("service:spc-allocator", True, ["service:spc-allocator"]),
        ("service:field-driver-modbus", True,
         [f"service:field-driver-modbus/modbus-{n}" for n in (1, 2, 3)]),
        ("controller:side", False, [f"service:field-driver-modbus/modbus-{n}" for n in (2, 3)]),
        ("controller:main", False,
         ["service:field-driver-modbus/modbus-1", "service:collector-aggregator", "service:spc-allocator",
          "service:site-page"]),
    ],
)  # fmt: skip
def test_every_kind_of_trigger_has_signs_that_somebody_gives(trigger: str, every: bool, signs: list[str]) -> None:
    found = written(trigger)
    assert (found.every, list(found.signs)) == (every, signs)
    assert (found.timeout_s, found.assets, found.max_current_a) == (12.0, ROW_B, 0.0)


def test_a_written_minimum_has_its_value() -> None:
    assert written("meter:grid-meter", action="minimum", value_a=8).max_current_a == 8.0


def test_a_slow_meter_may_pause_for_three_of_its_polls() -> None:
    data = demo()
    entry(data, "row-b-meter")["poll_ms"] = 8000
    assert rules(data)["row-b-meter"].gap_s == 24.0
    assert rules(data)["parking-meter"].gap_s == 3.0


def test_services_that_cycle_slowly_are_given_three_cycles() -> None:
    data = demo()
    data["options"] = {"cycle_ms": 10_000, "fallback_timeout_s": 20}
    found = rules(data)
    assert found["spc-allocator-2"].timeout_s == 30.0
    assert found["snapshots"].timeout_s == 30.0
    assert found["modbus-1"].timeout_s == 3.0


def test_without_the_brain_each_connector_gets_its_own_value_of_the_fallback_plan() -> None:
    data = demo()
    entry(data, "row-b")["rated_current_a"] = 20  # four times 6 A do not fit
    found = rules(data)
    assert found["snapshots"].max_current_a == 0.0
    assert found["snapshots"].assets == ("b4",)
    assert found["snapshots-2"].max_current_a == 6.0
    assert found["snapshots-2"].assets == (*ROW_A, "b1", "b2", "b3")


def measurement(points: dict[str, float], quality: dict[str, Quality] | None = None) -> Measurement:
    return Measurement(
        asset="m", driver="d", kind=AssetKind.METER, seq=1, measured_at_ms=1, lifetime_ms=600,
        points=dict(points), quality=quality or {},
    )  # fmt: skip


TOTAL = {"power_w": 0.0}
THREE = {"power_l1_w": 1.0, "power_l2_w": 2.0, "power_l3_w": 3.0}
CURRENTS = {"current_l1_a": 1.0, "current_l2_a": 2.0, "current_l3_a": 3.0}


@pytest.mark.parametrize(
    ("event", "phases", "counts"),
    [
        (measurement(TOTAL),                                              3, True),
        (measurement(THREE),                                              3, True),
        (measurement(CURRENTS),                                           3, True),
        (measurement({"power_l1_w": 1.0}),                                1, True),
        (measurement({"power_l1_w": 1.0}),                                3, False),
        (measurement({"voltage_l1_v": 230.0}),                            1, False),
        (measurement(TOTAL, {"power_w": Quality.SUSPECT}),                3, False),
        (measurement(THREE, {"power_l3_w": Quality.NA}),                  3, False),
        (measurement(THREE | CURRENTS, {"power_l3_w": Quality.NA}),       3, True),
        (measurement(TOTAL | THREE, {"power_w": Quality.COMM_FAIL}),      3, True),
        (measurement(TOTAL).model_copy(update={"reachable": False}),      3, False),
        (measurement({"power_w": math.nan}),                              3, False),
        (measurement({"power_w": math.inf}),                              3, False),
        (measurement(THREE | {"power_l1_w": math.nan}),                   3, False),
    ],
)  # fmt: skip
def test_a_meter_is_heard_by_values_that_control_may_use(event: Measurement, phases: int, counts: bool) -> None:
    assert usable(event, phases) is counts


POINTS = [f"{q}_l{n}_{u}" for q, u in (("power", "w"), ("current", "a"), ("voltage", "v")) for n in (1, 2, 3)]
VALUES = st.one_of(st.none(), st.floats(-1e6, 1e6), st.text(max_size=2))


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*POINTS, "power_w"]), VALUES),
    st.dictionaries(st.sampled_from([*POINTS, "power_w"]), st.sampled_from([Quality.SUSPECT, Quality.STALE])),
    st.integers(1, 3),
    st.booleans(),
)
def test_the_watchdog_hears_exactly_the_values_that_the_aggregator_can_use(
    points: dict[str, float | str | None], quality: dict[str, Quality], phases: int, reachable: bool
) -> None:
    event = measurement({}).model_copy(update={"points": points, "quality": quality, "reachable": reachable})
    assert usable(event, phases) == (Reader(tuple(Phase)[:phases]).read(event, 1.0) is not None)
