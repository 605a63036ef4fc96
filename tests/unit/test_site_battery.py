"""Site check of batteries: what stops them, and figures that cannot be (SC-1, FB-3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from busbar.config.load import check_text
from busbar.config.packages import PackageFacts, catalogue

DEPOT = (Path(__file__).parents[2] / "examples" / "depot.yaml").read_text("utf-8")


def findings(
    facts: PackageFacts | None = None, grid_a: float | None = None, **battery: Any
) -> list[tuple[str, str, str]]:
    """(level, code, last part of the path) of the depot with another battery, behind another fuse."""
    data = yaml.safe_load(DEPOT)
    if grid_a is not None:
        data["collectors"][0]["rated_current_a"] = grid_a
    next(a for a in data["assets"] if a["kind"] == "battery").update(battery)
    known = catalogue()
    checked = check_text(
        yaml.safe_dump(data, sort_keys=False),
        packages=lambda name: facts if facts and name == "sunspec-der-battery" else known(name),
    )
    found = [("error", p) for p in checked.errors] + [("warning", p) for p in checked.warnings]
    return [(level, p.code, p.path.rpartition(".")[2]) for level, p in found]


def test_the_depot_has_nothing_to_say_about() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("battery", "found"),
    [
        ({"watchdog_s": 5},      []),
        ({"soc_min_percent": 30, "peak_soc_percent": 20}, [("error", "wrong_value", "assets[4]")]),
        ({"capacity_wh": 60},    [("warning", "small_capacity", "capacity_wh")]),
        ({"device": "sdm-yard"}, [("error", "wrong_class", "device")]),
        ({"max_charge_w": 0},    [("error", "out_of_range", "max_charge_w")]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_battery_is_said(battery: dict[str, Any], found: list[tuple[str, str, str]]) -> None:
    assert [f for f in findings(**battery) if f[1] not in ("unused_device", "instance_twice")] == found


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (PackageFacts("battery", on_silence="zero", watchdog_range_s=(1, 30)), ("error", "out_of_range", "watchdog_s")),
        (PackageFacts("battery", on_silence="zero", proven=False),             ("warning", "unproven", "device")),
        (PackageFacts("battery"),                                              ("warning", "no_stop", "device")),
    ],
)  # fmt: skip
def test_fb_3_what_stops_a_battery_must_be_known(facts: PackageFacts, found: tuple[str, str, str]) -> None:
    assert found in findings(facts)


def test_fb_3_a_battery_that_never_stops_must_fit_beside_everything_else() -> None:
    """30 kW are 43.5 A, as much as the fast charger; the building may take 50 A, the yard 25 A."""
    assert ("error", "fallback_too_much", "rated_current_a") not in findings(PackageFacts("battery"), 163.0)
    big = findings(PackageFacts("battery"), 163.0, max_charge_w=31_000.0)
    assert ("error", "fallback_too_much", "rated_current_a") in big
