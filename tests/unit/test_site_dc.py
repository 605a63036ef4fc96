"""DC charge points of the site file: checks, the compiled connector, the fallback plan (SPC-11, SC-1, FB-3)."""

from __future__ import annotations

from typing import Any

import pytest

from busbar.config.packages import catalogue
from busbar.config.plan import fallback_plan
from busbar.domain.kinds import AssetKind
from busbar.units import Phase
from unit.site_files import checked, compiled, entry, small


def with_dc(rated_a: float = 250, package: str = "dc-never-0", **connector: Any) -> Any:
    """A fuse with one AC connector and one DC outlet of 50 kW."""
    data = small(rated_a, 1)
    data["devices"].append({"id": "hyc", "package": package, "host": "10.0.0.3"})
    outlet = {"id": "fast", "collector": "grid", "max_power_w": 50_000, **connector}
    point = {"kind": "dc_charge_point", "id": "cp-dc", "device": "hyc", "book_at_max_when_lost": True}
    data["assets"].append({**point, "connectors": [outlet]})
    return data


def test_a_dc_outlet_is_a_connector_of_three_phases_and_of_its_power_at_230_v() -> None:
    site = compiled(with_dc(max_power_w=69_000, min_power_w=6900, weight=2.0))
    dc = site.entities["fast"]
    assert [c.id for c in site.connectors] == ["c1", "fast"]
    assert (dc.kind, dc.max_current_a, dc.min_current_a) == (AssetKind.DC_CONNECTOR, 100.0, 10.0)
    assert (dc.root_phases, dc.weight, dc.instance) == (tuple(Phase), 2.0, 1)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"connectors": []},                             ("error", "wrong_count", "connectors")),
        ({"book_at_max_when_lost": False},               ("error", "no_fallback", "book_at_max_when_lost")),
        ({"watchdog_s": 60},                             ("warning", "fixed_watchdog", "watchdog_s")),
        ({"device": "dm"},                               ("error", "wrong_class", "device")),
        ({"device": "nowhere"},                          ("error", "unknown_reference", "device")),
        ({"fallback_a": 6},                              ("error", "unknown_field", "fallback_a")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_dc_charge_point_is_said(change: dict[str, Any], found: tuple[str, str, str]) -> None:
    data = with_dc()
    entry(data, "cp-dc").update(change)
    assert found in _findings(data)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"max_power_w": 4000},                        ("error", "below_minimum", "max_power_w")),
        ({"max_power_w": 20_000, "min_power_w": 30e3}, ("error", "below_minimum", "max_power_w")),
        ({"max_power_w": 400_000},                     ("warning", "asset_above_fuse", "connectors[0]")),
        ({"phases": ["L1"]},                           ("error", "unknown_field", "phases")),
        ({"instance": 5},                              ("error", "no_such_instance", "instance")),
        ({"collector": "tap"},                         ("error", "no_such_phase", "collector")),
        ({"id": "c1"},                                 ("error", "double_id", "id")),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_dc_outlet_is_said(change: dict[str, Any], found: tuple[str, str, str]) -> None:
    data = with_dc(**change)
    data["collectors"].append(
        {"id": "tap", "parent": "grid", "rated_current_a": 100, "phases": ["L1"], "virtual": {"unmetered_load_a": 0}}
    )
    assert found in _findings(data)


def test_fb_3_an_outlet_whose_fallback_nobody_knows_is_planned_at_its_maximum() -> None:
    plan = fallback_plan(compiled(with_dc()))
    assert plan.value_a["fast"] * 690 == pytest.approx(5000)
    assert plan.booked_a["fast"] * 690 == pytest.approx(50_000)
    small_fuse = _findings(with_dc(rated_a=60))
    assert ("error", "fallback_too_much", "rated_current_a") in small_fuse


@pytest.mark.parametrize(("rated_a", "value_w"), [(13, 0), (14, 5000)])
def test_fb_3_a_settable_fallback_is_0_or_the_smallest_power_where_it_fits(rated_a: float, value_w: float) -> None:
    plan = fallback_plan(compiled(_settable(rated_a)))
    assert plan.value_a["c1"] == 6.0
    assert plan.value_a["fast"] * 690 == pytest.approx(value_w)


def test_a_dc_outlet_that_forbids_0_is_booked_at_its_pause_value() -> None:
    facts = catalogue()("alpitronic-hypercharger")
    assert not facts.zero_allowed
    assert facts.pause_a * 690 == pytest.approx(1547)
    assert facts.minimum_a * 690 == pytest.approx(5000)


def test_the_smallest_power_of_the_site_file_is_a_whole_step_and_never_below_the_package_s() -> None:
    for stated_w, least_w in ((None, 5000), (1000, 5000), (7050, 7100)):
        site = compiled(with_dc(min_power_w=stated_w))
        assert fallback_plan(site).value_a["fast"] * 690 == pytest.approx(least_w)


def _settable(rated_a: float) -> Any:
    data = with_dc(rated_a, "dc", max_power_w=8000)
    del entry(data, "cp-dc")["book_at_max_when_lost"]
    return data


def _findings(data: Any) -> list[tuple[str, str, str]]:
    result = checked(data)
    found = [("error", p) for p in result.errors] + [("warning", p) for p in result.warnings]
    return [(level, p.code, p.path.rpartition(".")[2]) for level, p in found]
