from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.domain.quality import Quality
from driver_bench import FALLBACK, LIMIT, SETPOINT, TIMEOUT, Bench, Box, package, plan_of
from field_driver_modbus.stages import Stage, Target


def ready(**changes: Any) -> Bench:
    """A bench whose device is armed and stands at 16 A, told and verified."""
    bench = Bench(plan_of(package(**changes)))
    bench.poll()
    bench.tell(16.0)
    bench.run(5)
    assert bench.outcome == "Applied"
    bench.took()
    return bench


def test_nothing_is_written_before_the_device_was_read() -> None:
    bench = Bench()
    bench.tell(16.0)
    assert bench.took() == []


def test_nothing_is_written_while_no_target_is_known_but_the_watchdog() -> None:
    bench = Bench()
    bench.run(60)
    assert bench.took() == [(FALLBACK, 6), (TIMEOUT, 30)]
    assert bench.box.registers[SETPOINT] == 32


def test_after_a_connect_fallback_timeout_and_setpoint_are_written_in_this_order_then_verified() -> None:
    bench = Bench()
    bench.tell(16.0)
    bench.poll()
    assert bench.took() == [(FALLBACK, 6), (TIMEOUT, 30), (SETPOINT, 16)]
    assert bench.outcome == "Unverified"
    bench.run(1)
    assert bench.outcome == "Applied"
    assert bench.writer.report(bench.target).applied == 16.0


def test_a_device_that_already_shows_all_of_it_gets_no_write_but_the_refresh() -> None:
    bench = Bench(box=Box({SETPOINT: 16, LIMIT: 16, FALLBACK: 6, TIMEOUT: 30}))
    bench.tell(16.0, Stage.HOLD, seq=-1)
    bench.run(300)
    assert bench.took() == []
    assert bench.outcome == "Applied"
    bench.tell(16.0)
    assert bench.took() == [(SETPOINT, 16)]


def test_the_setpoint_follows_the_watchdog_even_where_the_device_shows_it_already() -> None:
    bench = Bench(plan_of(package("any_traffic")), Box({SETPOINT: 16, LIMIT: 16, FALLBACK: 0, TIMEOUT: 30}))
    bench.tell(16.0)
    bench.poll()
    assert bench.took() == [(FALLBACK, 6), (TIMEOUT, 30), (SETPOINT, 16)]


def test_a_watchdog_that_could_not_be_read_this_time_is_not_written_again() -> None:
    bench = ready(mechanism="any_traffic")
    bench.now_s += 1.0
    points = bench.box.points() | {"fallback_current_a": None, "watchdog_timeout_s": None}
    failed = dict.fromkeys(("fallback_current_a", "watchdog_timeout_s"), Quality.COMM_FAIL)
    bench.writer.observe(points, failed, bench.now_s, bench.now_s)
    bench.act()
    assert bench.took() == []


def test_a_change_is_written_once() -> None:
    bench = ready(mechanism="any_traffic")
    bench.tell(12.0)
    bench.run(600)
    assert bench.took() == [(SETPOINT, 12)]


def test_a_decrease_goes_out_at_once_and_a_raise_waits_for_the_interval() -> None:
    bench = ready(mechanism="any_traffic")
    bench.tell(12.0)
    bench.tell(8.0)
    assert bench.took() == [(SETPOINT, 12), (SETPOINT, 8)]
    bench.tell(10.0)
    assert bench.took() == []
    bench.run(1)
    assert bench.took() == [(SETPOINT, 10)]


def test_nothing_is_raised_on_old_data() -> None:
    bench = ready(mechanism="any_traffic")
    bench.now_s += 3.5
    bench.tell(20.0)
    assert bench.took() == []
    bench.poll()
    assert bench.took() == [(SETPOINT, 20)]


def test_a_decrease_needs_no_fresh_data() -> None:
    bench = ready(mechanism="any_traffic")
    bench.now_s += 3.5
    bench.tell(10.0)
    assert bench.took() == [(SETPOINT, 10)]


@pytest.mark.parametrize(("stage", "writes"), [(Stage.FRESH, 6), (Stage.HOLD, 6), (Stage.FALLBACK, 0)])
def test_the_watchdog_is_refreshed_by_a_third_of_its_time_and_only_from_the_control_side(
    stage: Stage, writes: int
) -> None:
    bench = ready()
    bench.tell(16.0, stage)
    bench.run(60)
    assert bench.took() == [(SETPOINT, 16)] * writes


def test_in_fallback_a_living_fallback_event_is_kept_alive_below_the_devices_own_value() -> None:
    bench = ready()
    bench.target = Target(0.0, Stage.FALLBACK, 1, 1, bound_by="grid-meter")
    bench.run(60)
    assert set(bench.took()) == {(SETPOINT, 0)}
    assert bench.writer.report(bench.target).applied == 0.0
    bench.run(60)
    assert len(bench.took()) == 6


def test_fb_3_in_fallback_the_plans_value_is_repeated_where_nobody_knows_what_the_device_does_by_itself() -> None:
    unknown = {"mechanism": "rewrite_setpoint", "timeout_s": 15, "fallback_value": "unknown"}
    bench = ready(watchdog=unknown)
    bench.tell(6.0, Stage.FALLBACK)
    bench.run(60)
    assert set(bench.took()) == {(SETPOINT, 6)}
    bench.run(60)
    assert len(bench.took()) == 12


def test_a_shorter_watchdog_time_in_the_device_is_the_one_that_counts() -> None:
    bench = ready()
    bench.box.deaf = True
    bench.box.registers[TIMEOUT] = 12
    bench.run(60)
    refreshed = [write for write in bench.took() if write[0] == SETPOINT]
    assert len(refreshed) >= 14


def test_in_fallback_the_plans_value_is_written_and_verified() -> None:
    bench = ready()
    bench.tell(6.0, Stage.FALLBACK)
    assert bench.took() == [(SETPOINT, 6)]
    bench.run(1)
    assert bench.outcome == "Applied"
    bench.run(120)
    assert bench.took() == []


def test_a_smaller_cable_is_clamped_and_no_reason_to_write_again() -> None:
    bench = ready(mechanism="any_traffic")
    bench.box.cable_a = 13
    bench.tell(20.0)
    bench.run(120)
    assert bench.took() == [(SETPOINT, 20)]
    assert bench.outcome == "Clamped"
    assert bench.writer.report(bench.target).applied == 13.0
    assert bench.writer.problems == {}


def test_a_write_that_does_not_take_is_retried_and_becomes_an_alarm() -> None:
    bench = ready(mechanism="any_traffic")
    bench.box.deaf = True
    bench.tell(10.0)
    bench.run(30)
    assert len(bench.took()) >= 4
    assert bench.outcome == "Unverified"
    assert "setpoint_not_taken" in bench.writer.problems
    bench.box.deaf = False
    bench.run(15)
    assert bench.outcome == "Applied"
    assert bench.writer.problems == {}


def test_a_device_that_ignores_everything_is_alarmed_even_while_setpoints_keep_changing() -> None:
    bench = ready(mechanism="any_traffic")
    bench.box.deaf = True
    for second in range(40):
        bench.tell(8.0 + second % 2)
        bench.run(1)
    assert "setpoint_not_taken" in bench.writer.problems


def test_a_raise_that_was_ignored_is_retried_because_the_device_does_not_repeat_it() -> None:
    bench = ready(mechanism="any_traffic")
    bench.box.deaf = True
    bench.tell(20.0)
    bench.run(5)
    assert len(bench.took()) >= 2
    assert bench.outcome == "Unverified"


def test_without_a_repeated_setpoint_a_lower_limit_is_tried_three_times_and_then_taken_for_the_devices_own() -> None:
    bench = ready(mechanism="any_traffic")
    bench.hidden = {"setpoint_current_a"}
    bench.box.cable_a = 16
    bench.tell(20.0)
    bench.run(60)
    assert 3 <= len(bench.took()) <= 4
    assert bench.outcome == "Clamped"
    bench.run(300)
    assert bench.took() == []


def test_an_exception_is_refused_retried_and_alarmed() -> None:
    bench = ready(mechanism="any_traffic")
    bench.box.refuses = True
    bench.tell(10.0)
    assert bench.outcome == "Refused"
    bench.run(20)
    assert "setpoint_refused" in bench.writer.problems
    bench.box.refuses = False
    bench.run(12)
    assert bench.outcome == "Applied"
    assert bench.writer.problems == {}


def test_a_device_that_forgets_gets_everything_again_in_order() -> None:
    bench = ready(mechanism="any_traffic")
    bench.box.registers = {SETPOINT: 32, LIMIT: 32, FALLBACK: 0, TIMEOUT: 0}
    bench.run(2)
    assert bench.took() == [(FALLBACK, 6), (TIMEOUT, 30), (SETPOINT, 16)]
    bench.run(1)
    assert bench.outcome == "Applied"


def test_a_device_that_raises_itself_is_brought_down_again() -> None:
    bench = ready(mechanism="any_traffic")
    bench.box.registers |= {SETPOINT: 32, LIMIT: 32}
    bench.run(1)
    assert bench.took() == [(SETPOINT, 16)]


def test_a_watchdog_that_does_not_take_is_alarmed() -> None:
    bench = Bench(box=Box(deaf=True))
    bench.run(60)
    assert "watchdog_mismatch" in bench.writer.problems
    assert "fallback_current_a is 0.0, must be 6" in bench.writer.problems["watchdog_mismatch"].text


def test_where_the_installer_sets_the_watchdog_a_difference_is_the_alarm_and_nothing_is_written() -> None:
    described = package()
    points = {name: point.model_dump(exclude_defaults=True) for name, point in described.points.items()}
    for name in ("fallback_current", "watchdog_timeout"):
        points[name] |= {"access": "r"}
    bench = Bench(plan_of(package(points=points)), Box({SETPOINT: 16, LIMIT: 16, FALLBACK: 8, TIMEOUT: 30}))
    bench.run(5)
    assert bench.took() == []
    assert "fallback_current_a is 8.0, must be 6" in bench.writer.problems["watchdog_mismatch"].text
    bench.box.registers[FALLBACK] = 6
    bench.run(1)
    assert bench.writer.problems == {}


def test_in_hold_nothing_is_given_back_that_the_device_has_lost() -> None:
    bench = ready(mechanism="any_traffic")
    bench.tell(16.0, Stage.HOLD)
    bench.box.registers |= {SETPOINT: 6, LIMIT: 6}
    bench.run(20)
    assert bench.took() == []
    bench.tell(16.0, Stage.FRESH)
    assert bench.took() == [(SETPOINT, 16)]


def test_after_a_reconnect_in_hold_a_device_at_its_fallback_is_not_raised() -> None:
    bench = ready(mechanism="any_traffic")
    bench.writer.lost()
    bench.box.registers[LIMIT] = 6
    bench.tell(16.0, Stage.HOLD)
    bench.run(20)
    assert bench.took() == []


def test_a_read_that_was_asked_before_the_write_proves_nothing() -> None:
    bench = ready(mechanism="any_traffic")
    bench.tell(10.0)
    asked_before = bench.now_s - 0.5
    bench.writer.observe({"setpoint_current_a": 10.0, "actual_limit_current_a": 10.0}, {}, asked_before, bench.now_s)
    assert bench.outcome == "Unverified"


def test_a_pause_that_the_device_forbids_is_its_minimum_and_reported_as_clamped() -> None:
    commands = package().model_dump(exclude_defaults=True)["commands"]
    commands["set_current"]["zero"] = "forbidden"
    bench = ready(mechanism="any_traffic", commands=commands)
    bench.tell(0.0)
    bench.run(2)
    assert bench.took() == [(SETPOINT, 6)]
    report = bench.writer.report(bench.target)
    assert (str(report.outcome), report.requested, report.applied) == ("Clamped", 0.0, 6.0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["tell", "run", "lose", "restart", "deaf", "cable"]),
        st.sampled_from([0, 6, 10, 16, 24, 32]),
        st.sampled_from([Stage.FRESH, Stage.HOLD]),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_no_write_is_above_the_target_and_in_hold_none_raises_the_device(
    steps: list[tuple[str, int, Stage]],
) -> None:
    bench = Bench()
    bench.poll()
    bench.tell(16.0)
    bench.took()
    held = 16.0
    for what, value, stage in steps:
        if what == "tell":
            held = float(value) if stage is Stage.FRESH else min(float(value), held)
            before_a = bench.box.registers[LIMIT]
            bench.tell(held, stage)
            if stage is Stage.HOLD:
                assert bench.box.registers[LIMIT] <= before_a
        elif what == "run":
            bench.run(value)
        elif what == "lose":
            bench.writer.lost()
        elif what == "restart":
            bench.box.registers = {SETPOINT: value, LIMIT: value, FALLBACK: 0, TIMEOUT: 0}
            bench.writer.lost()  # a restart closes its connections
        elif what == "deaf":
            bench.box.deaf = value > 10
        else:
            bench.box.plug(value)
        told = [amperes for address, amperes in bench.took() if address == SETPOINT]
        assert all(amperes <= held for amperes in told)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([0.0, 6.0, 13.0, 32.0]))
def test_once_the_trouble_is_over_the_device_does_what_it_is_told(
    steps: list[tuple[str, int, Stage]], final_a: float
) -> None:
    bench = Bench()
    bench.poll()
    for what, value, stage in steps:
        if what == "tell":
            bench.tell(float(value), stage)
        elif what == "run":
            bench.run(value)
        elif what == "lose":
            bench.writer.lost()
        elif what == "restart":
            bench.box.registers = {SETPOINT: value, LIMIT: value, FALLBACK: 0, TIMEOUT: 0}
        elif what == "deaf":
            bench.box.deaf = value > 10
    bench.box.deaf = False
    bench.target = Target(final_a, Stage.FRESH, 1, 9)
    bench.run(60)
    assert bench.box.registers == {SETPOINT: final_a, LIMIT: final_a, FALLBACK: 6, TIMEOUT: 30}
    assert bench.outcome == "Applied"
    assert bench.writer.problems == {}
