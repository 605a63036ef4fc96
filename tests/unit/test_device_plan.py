"""What a plan offers beside its blocks: splitting, derived values, recognising the device (devices.md 2, 13, 20)."""

from __future__ import annotations

from typing import Any

import pytest

from busbar.devices.catalog import load_package
from busbar.devices.codec import Memory
from busbar.devices.derived import Derivation
from busbar.devices.package import Derived, DevicePackage
from busbar.devices.plan import DevicePlan, compile_plan, split_block
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality

METER = {
    "format": "device-package/1",
    "package": {"id": "m", "version": "1.0.0", "sources": ["none"], "confidence": 0},
    "device": {"class": "meter", "vendor": "T", "models": ["M"]},
    "transport": {"kinds": ["tcp"], "word_order": "big", "max_gap": 4},
    "groups": {"fast": {"period_ms": 1000}, "slow": {"period_ms": 60000, "stale_after_ms": 500000}},
    "points": {
        "power_l1": {"address": 0, "type": "i16", "unit": "W", "group": "fast"},
        "power_l2": {"address": 1, "type": "i16", "unit": "W", "group": "fast", "na": [-1]},
        "power_l3": {"address": 4, "type": "i16", "unit": "W", "group": "fast", "optional": True},
        "label": {"address": 10, "type": "str[2]", "group": "slow", "optional": True},
    },
    "derived": {"power": {"op": "sum", "args": ["power_l1", "power_l2", "power_l3"], "unit": "W"}},
}


def meter(**changes: Any) -> DevicePlan:
    return compile_plan(DevicePackage.model_validate(METER | changes), unit_id=None, instance=1, kind=AssetKind.METER)


@pytest.mark.parametrize(
    ("rule", "values", "result"),
    [
        ({"op": "sum"}, [1.0, 2.0, 3.5], 6.5),
        ({"op": "sum"}, [1.0, None, 3.5], None),
        ({"op": "diff"}, [10.0, 2.0, 3.0], 5.0),
        ({"op": "neg"}, [4.0], -4.0),
        ({"op": "neg"}, [0.0], 0.0),
        ({"op": "mul", "factor": 0.5}, [5.0], 2.5),
        ({"op": "mul", "factor": 0.5}, ["text"], None),
        ({"op": "first_available"}, [None, 7.0, 8.0], 7.0),
        ({"op": "first_available"}, [None, None], None),
        ({"op": "mask_shift", "mask": 0xF0, "shift": 4}, [0xA5], 10.0),
        ({"op": "map", "map": {"3": "three"}}, [3.0], "three"),
        ({"op": "map", "map": {"3": "three"}}, [4.0], None),
        ({"op": "pair_map", "map": {"a,0": "off"}}, ["a", 0.0], "off"),
        ({"op": "pair_map", "map": {"a,0": "off"}}, ["a", 1.0], "a"),
        ({"op": "pair_map", "map": {"a,0": "off"}}, [None, 0.0], None),
    ],
)
def test_each_operator_of_the_closed_list(rule: dict[str, Any], values: list[Any], result: Any) -> None:
    names = [f"p{i}" for i in range(len(values))]
    points: dict[str, Any] = dict(zip(names, values, strict=True))
    quality: dict[str, Quality] = {"x": Quality.STALE}
    Derivation("x", Derived.model_validate({"args": names, **rule}), names).apply(points, quality)
    assert points["x"] == result
    assert str(points["x"]) != "-0.0"
    assert quality == ({"x": Quality.NA} if result is None else {})


def test_a_derived_value_is_no_better_than_what_it_was_made_of() -> None:
    points: dict[str, Any] = {"a": 1.0, "b": 900.0}
    quality = {"b": Quality.OUT_OF_RANGE}
    Derivation("x", Derived(op="sum", args=["a", "b"], unit="W"), ["a", "b"]).apply(points, quality)
    assert (points["x_w"], quality["x_w"]) == (901.0, Quality.OUT_OF_RANGE)


def test_derived_values_follow_each_poll() -> None:
    (block,) = meter().fast.blocks
    points: dict[str, Any] = {}
    quality: dict[str, Quality] = {}
    memory = Memory()
    words = ((1, 2, 3, 6), (1, 0xFFFF, 3, None), (1, 0xFFFF, 3, None), (0xFFFF, 5, 1, 5))
    for l1, l2, l3, total in words:
        data = b"".join(w.to_bytes(2, "big") for w in (l1, l2, 0, 0, l3))
        block.decode(data, points, quality, memory)
        assert points["power_w"] == total
        assert (quality.get("power_w") is Quality.NA) == (total is None)
    assert block.names == ("power_l1_w", "power_l2_w", "power_l3_w", "power_w")


def test_a_refused_block_is_split_and_its_optional_part_says_so() -> None:
    (block,) = meter().fast.blocks
    needed, extra = split_block(block)
    assert [(b.address, b.count, b.names, b.optional) for b in (needed, extra)] == [
        (0, 2, ("power_l1_w", "power_l2_w"), False),
        (4, 1, ("power_l3_w", "power_w"), True),
    ]
    assert split_block(extra) == [extra]
    points: dict[str, Any] = {}
    memory = Memory()
    needed.decode(b"\x00\x01\x00\x02", points, {}, memory)
    extra.decode(b"\x00\x03", points, {}, memory)
    assert points == {"power_l1_w": 1, "power_l2_w": 2, "power_l3_w": 3, "power_w": 6}


def test_a_site_s_poll_period_is_for_the_fast_group_only() -> None:
    plan = compile_plan(
        DevicePackage.model_validate(METER), unit_id=None, instance=1, kind=AssetKind.METER, period_ms=250
    )
    assert (plan.fast.period_ms, plan.fast.stale_after_ms, plan.fast.max_age_for_control_ms) == (250, 750, 750)
    slow = plan.groups["slow"]
    assert (slow.period_ms, slow.stale_after_ms, slow.max_age_for_control_ms) == (60000, 500000, 180000)


@pytest.mark.parametrize(("count", "absent"), [(4.0, False), (3.0, False), (2.0, True), (None, False)])
def test_an_instance_that_the_device_does_not_have_is_noticed(count: float | None, absent: bool) -> None:
    plan = compile_plan(load_package("phoenix-charx-sec3xxx"), unit_id=None, instance=3, kind=AssetKind.AC_CONNECTOR)
    assert plan.absent({"connectors": count}) is absent


def test_a_package_that_nobody_else_confirms_is_read_only() -> None:
    assert not meter().writable
    assert compile_plan(load_package("alfen-ng9xx"), unit_id=None, instance=1, kind=AssetKind.AC_CONNECTOR).writable


@pytest.mark.parametrize(
    ("op", "values", "factor", "expected"),
    [
        ("if_enabled", (-4_000.0, 1),        1.0,   -4_000.0),
        ("if_enabled", (-4_000.0, 0),        1.0,   None),
        ("if_enabled", (None, 1),            1.0,   None),
        ("limit_of",   (40.0, 20_000.0, 1),  -0.01, -8_000.0),
        ("limit_of",   (40.0, 20_000.0, 0),  -0.01, -20_000.0),  # nothing is limited
        ("limit_of",   (0.0, 20_000.0, 1),   -0.01, 0.0),
        ("limit_of",   (40.0, None, 1),      -0.01, None),
        ("part_of",    (-25.0, 20_000.0, 1), -0.01, 5_000.0),
        ("part_of",    (-25.0, 20_000.0, 0), -0.01, None),
    ],
)  # fmt: skip
def test_what_is_switched_counts_only_while_its_switch_is_on(
    op: Any, values: tuple[float | None, ...], factor: float, expected: float | None
) -> None:
    names = [f"p{i}" for i in range(len(values))]
    points: dict[str, float | str | None] = dict(zip(names, values, strict=True))
    quality = {name: Quality.NA for name, value in points.items() if value is None}
    Derivation("told", Derived(op=op, args=names, factor=factor, unit="W"), names).apply(points, quality)
    assert points["told_w"] == expected
    assert ("told_w" in quality) is (expected is None)
