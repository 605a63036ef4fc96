"""What is written to devices, and how it is verified (FC-2, FC-8, FB-3; devices.md 8 to 12, 16)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.devices.catalog import load_package
from busbar.devices.commands import CommandPlan, VerifyPlan, Write, command_plan, watchdog_plan
from busbar.devices.package import Command, Point, Watchdog
from busbar.devices.plan import DevicePlan, compile_plan
from busbar.devices.wire import Placed
from busbar.domain.kinds import AssetKind
from busbar.events.result import Outcome


def charger(package: str, instance: int = 1) -> DevicePlan:
    return compile_plan(load_package(package), unit_id=None, instance=instance, kind=AssetKind.AC_CONNECTOR)


CHARX = charger("phoenix-charx-sec3xxx", 3).command("set_current")
ALFEN = charger("alfen-ng9xx", 2).command("set_current")


@pytest.mark.parametrize(
    ("asked", "sent", "outcome"),
    [
        (16.0, 16, "Applied"),
        (15.999999999, 16, "Applied"),
        (16.9, 16, "Applied"),
        (6.0, 6, "Applied"),
        (5.99, 0, "Clamped"),
        (0.0, 0, "Applied"),
        (80.0, 80, "Applied"),
        (81.0, 80, "Clamped"),
        (500.0, 80, "Clamped"),
    ],
)
def test_a_charx_takes_whole_amperes_from_6_to_80_and_0_to_pause(asked: float, sent: int, outcome: str) -> None:
    prepared = CHARX.prepare(asked)
    assert prepared.writes == (Write("holding", 1, 3301, (sent,), 6),)
    assert (prepared.requested, prepared.sent, prepared.outcome_hint) == (asked, sent, outcome)


@pytest.mark.parametrize(("asked", "words"), [(16.0, (0x4180, 0)), (10.06, (0x4120, 0)), (0.0, (0, 0)), (3.0, (0, 0))])
def test_an_alfen_setpoint_is_two_registers_in_one_write(asked: float, words: tuple[int, ...]) -> None:
    assert ALFEN.prepare(asked).writes == (Write("holding", 2, 1210, words, 16),)


@pytest.mark.parametrize("command", [CHARX, ALFEN], ids=["charx", "alfen"])
@pytest.mark.parametrize("asked", [math.nan, math.inf, -math.inf, -0.5, -16.0])
def test_nonsense_writes_nothing(command: CommandPlan, asked: float) -> None:
    prepared = command.prepare(asked)
    assert (prepared.writes, prepared.outcome_hint) == ((), Outcome.REFUSED)
    assert prepared.detail


@given(st.sampled_from([CHARX, ALFEN]), st.floats(0, 1000))
def test_a_charger_is_never_told_more_than_asked(command: CommandPlan, asked: float) -> None:
    prepared = command.prepare(asked)
    assert prepared.sent <= asked + 1e-4
    assert prepared.sent == 0 or 6 <= prepared.sent <= 80
    assert prepared.sent == 0 or asked - prepared.sent <= (command.step or 0) or asked > 80


def built(command: dict[str, Any], **points: dict[str, Any]) -> CommandPlan:
    placed = {}
    for i, (key, fields) in enumerate(points.items()):
        point = Point.model_validate({"address": 100 + i, "type": "u16", "group": "fast", "access": "rw", **fields})
        placed[key] = Placed(key, key, point, point.table, 1, point.address, "big", point.sign)
    return command_plan("set_x", Command.model_validate(command), placed, 123)


def test_where_zero_is_forbidden_the_smallest_value_is_sent_and_said() -> None:
    plan = built({"range": [6, 32], "zero": "forbidden", "step": 1, "steps": [{"write": "a"}]}, a={})
    prepared = plan.prepare(0.0)
    assert (prepared.sent, prepared.outcome_hint) == (6, Outcome.CLAMPED)
    assert "6 to 32" in prepared.detail


def test_without_a_step_the_register_s_resolution_rounds_down() -> None:
    plan = built({"range": [0, 32], "steps": [{"write": "a"}]}, a={"scale": 0.1})
    assert plan.prepare(15.99).writes[0].words == (159,)
    assert plan.prepare(15.99).sent == pytest.approx(15.9)


def test_steps_are_written_in_order_and_joined_ones_in_one_request() -> None:
    plan = built(
        {"range": [0, 100],
         "steps": [{"write": "t", "value": 60}, {"write": "a"}, {"write": "b", "value": 1, "join": True}]},
        t={}, a={}, b={},
    )  # fmt: skip
    assert plan.prepare(40.0).writes == (
        Write("holding", 1, 100, (60,), 6),
        Write("holding", 1, 101, (40, 1), 16),
    )


RATING: dict[str, dict[str, Any]] = {"pct": {"unit": "%", "scale": 0.01}, "rating": {"unit": "W"}}
LIMIT = {"unit": "W", "range": [0, 100], "share": {"of": "rating", "factor": -100}, "steps": [{"write": "pct"}]}


@given(st.floats(-60_000, 0), st.floats(1, 60_000))
def test_a_generator_is_never_allowed_more_than_asked(asked_w: float, whole_w: float) -> None:
    prepared = built(LIMIT, **RATING).prepare(asked_w, whole=whole_w)
    assert asked_w - 1e-6 * whole_w <= prepared.sent <= 0.0
    assert prepared.sent >= -whole_w * (1 + 1e-9)
    if asked_w >= -whole_w:
        assert prepared.sent - asked_w <= whole_w / 10_000 * (1 + 1e-3)


@pytest.mark.parametrize(
    ("asked_w", "whole_w", "says"),
    [
        (-100.0, None, "not read yet"),
        (-100.0, 0.0, "not read yet"),
        (5.0, 1000.0, "no value"),
        (math.nan, 9.0, "no value"),
    ],
)
def test_a_share_of_nothing_or_of_the_wrong_sign_is_refused(asked_w: float, whole_w: float | None, says: str) -> None:
    prepared = built(LIMIT, **RATING).prepare(asked_w, whole=whole_w)
    assert (prepared.writes, prepared.outcome_hint) == ((), Outcome.REFUSED)
    assert says in prepared.detail


@given(st.floats(-50_000, 50_000))
def test_a_signed_power_is_rounded_towards_zero(asked_w: float) -> None:
    command = {"unit": "W", "range": [-40_000, 30_000], "round": "to_zero", "steps": [{"write": "a"}]}
    prepared = built(command, a={"type": "i16", "scale": 10.0, "sign": -1, "unit": "W"}).prepare(asked_w)
    assert abs(prepared.sent) <= abs(asked_w) + 1e-4
    assert prepared.sent * asked_w >= 0.0
    assert -40_000 <= prepared.sent <= 30_000
    if -40_000 <= asked_w <= 30_000:
        assert abs(asked_w - prepared.sent) < 10.0 + 1e-3


def test_less_than_asked_of_a_discharge_is_less_in_magnitude() -> None:
    verify = VerifyPlan("p", 1000, 1.0, one_sided=True)
    asked = ((-9_000.0, -5_000.0), (-9_000.0, -9_000.5), (-9_000.0, -9_900.0), (-9_000.0, 2_000.0), (9_000.0, 5_000.0))
    assert [verify.judge(sent, seen) for sent, seen in asked] == [
        Outcome.CLAMPED, Outcome.APPLIED, Outcome.UNVERIFIED, Outcome.UNVERIFIED, Outcome.CLAMPED,
    ]  # fmt: skip


def test_named_arguments_are_needed() -> None:
    plan = built({"range": [0, 9], "steps": [{"write": "a"}, {"write": "b", "arg": "phase"}]}, a={}, b={})
    assert plan.prepare(4.0, {"phase": 3}).writes[1].words == (3,)
    assert plan.prepare(4.0).outcome_hint is Outcome.REFUSED


def test_a_scale_factor_must_have_been_read_before_a_scaled_point_is_written() -> None:
    plan = built({"range": [0, 100], "steps": [{"write": "pct"}]}, pct={"scale_point": "sf", "unit": "%"})
    assert plan.prepare(50.0).outcome_hint is Outcome.REFUSED
    assert plan.prepare(50.0, exponents={"sf": -2}).writes[0].words == (5000,)
    assert plan.prepare(50.0, exponents={"sf": -0x8000}).writes == ()


def test_a_sign_is_turned_on_the_way_out_as_well() -> None:
    plan = built({"range": [-50, 0], "steps": [{"write": "p"}]}, p={"type": "i16", "sign": -1, "scale": 0.1})
    assert plan.prepare(-5.0).writes[0].words == (50,)
    assert plan.prepare(-60.0).sent == -50


@pytest.mark.parametrize(
    ("one_sided", "actual", "outcome"),
    [
        (True, 16.0, "Applied"), (True, 16.4, "Applied"), (True, 13.0, "Clamped"), (True, 0.0, "Clamped"),
        (True, 17.0, "Unverified"), (True, None, "Unverified"), (True, "16", "Unverified"),
        (True, math.nan, "Unverified"),
        (False, 13.0, "Unverified"), (False, 16.5, "Applied"),
    ],
)  # fmt: skip
def test_less_than_asked_is_a_clamp_and_more_is_never_success(
    one_sided: bool, actual: float | str | None, outcome: str
) -> None:
    assert VerifyPlan("actual_limit_current_a", 5000, 0.5, one_sided).judge(16.0, actual) == outcome


def test_the_charx_watchdog_is_armed_fallback_first_and_read_back() -> None:
    watchdog = charger("phoenix-charx-sec3xxx", 2).watchdog
    assert watchdog is not None
    setup = watchdog.configure(fallback=6.0, timeout_s=30.0)
    assert setup.writes == (Write("holding", 1, 2306, (6,), 6), Write("holding", 1, 2307, (30,), 6))
    assert [(c.point, c.value) for c in setup.checks] == [("fallback_current_a", 6), ("watchdog_timeout_s", 30)]
    assert (watchdog.mechanism, watchdog.timeout_point) == ("any_write", "watchdog_timeout_s")
    assert watchdog.refresh_s(30.0) <= 10.0


@pytest.mark.parametrize(
    ("fallback", "timeout_s"), [(0.0, 30.0), (5.0, 30.0), (81.0, 30.0), (6.0, 0.5), (6.0, 65535.0)]
)
def test_a_charx_watchdog_that_cannot_be_set_so_is_refused_and_nothing_is_written(
    fallback: float, timeout_s: float
) -> None:
    watchdog = charger("phoenix-charx-sec3xxx").watchdog
    assert watchdog is not None
    setup = watchdog.configure(fallback=fallback, timeout_s=timeout_s)
    assert (setup.writes, setup.outcome_hint) == ((), Outcome.REFUSED)


def test_watchdog_values_are_rounded_to_the_safe_side() -> None:
    watchdog = charger("phoenix-charx-sec3xxx").watchdog
    assert watchdog is not None
    setup = watchdog.configure(fallback=6.9, timeout_s=29.7)
    assert [w.words for w in setup.writes] == [(6,), (29,)]
    assert [c.value for c in setup.checks] == [6, 29]


def test_an_alfen_watchdog_is_only_checked_because_the_installer_sets_it() -> None:
    watchdog = charger("alfen-ng9xx").watchdog
    assert watchdog is not None
    setup = watchdog.configure(fallback=6.0, timeout_s=60.0)
    assert setup.writes == ()
    assert [(c.point, c.value) for c in setup.checks] == [("fallback_current_a", 6.0)]
    assert (watchdog.mechanism, watchdog.timeout_s, watchdog.remaining_point) == (
        "rewrite_setpoint", 60, "watchdog_remaining_s",
    )  # fmt: skip


def test_a_heartbeat_register_is_written_in_turns() -> None:
    point = Point(address=6000, type="u16", group="fast", access="rw")
    placed = {"heartbeat": Placed("heartbeat", "heartbeat", point, "holding", 255, 6000, "big", 1)}
    source = Watchdog.model_validate(
        {"mechanism": "heartbeat_register", "timeout_s": 20, "fallback_value": "unknown",
         "heartbeat": {"point": "heartbeat", "value": 1, "toggle": True}}
    )  # fmt: skip
    plan = watchdog_plan(source, placed)
    beats = [plan.heartbeat(i) for i in range(3)]
    assert [b.words for b in beats if b] == [(1,), (0,), (1,)]
    assert plan.configure(fallback=0.0, timeout_s=20.0).writes == ()
    assert plan.fallback == "unknown"
