from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from field_driver_modbus.schedule import Schedule, backoff_s, phase_of


def drive(schedule: Schedule, start_s: float, end_s: float, cost_s: float = 0.0) -> list[tuple[float, int]]:
    """What a connection that takes `cost_s` for a poll carries out until `end_s`."""
    now_s, done = start_s, []
    while (head := schedule.peek()) is not None and max(head[0], now_s) < end_s:
        due_s, number = head
        now_s = max(now_s, due_s)
        done.append((now_s, number))
        now_s += cost_s
        schedule.done(number, now_s)
    return done


def test_after_a_connect_what_is_read_once_comes_first_then_slow_then_fast() -> None:
    schedule = Schedule("charx", [1.0, None, 60.0])
    schedule.restart(500.0)
    assert [number for _, number in drive(schedule, 500.0, 500.001)] == [1, 2, 0]


def test_what_is_read_once_a_connect_is_not_polled_again() -> None:
    schedule = Schedule("charx", [1.0, None])
    schedule.restart(0.0)
    assert sum(1 for _, number in drive(schedule, 0.0, 100.0) if number == 1) == 1


def test_polls_of_one_device_stand_evenly_in_the_second() -> None:
    schedule = Schedule("charx", [1.0] * 4)
    schedule.restart(10.0)
    times = [at_s for at_s, _ in drive(schedule, 10.0, 20.0)][8:]
    assert all(b - a == pytest.approx(0.25, abs=1e-6) for a, b in pairwise(times))


def test_devices_are_spread_by_their_ids_alone() -> None:
    phases = [phase_of(f"device-{number}") for number in range(200)]
    tenths = [sum(1 for phase in phases if tenth <= phase * 10 < tenth + 1) for tenth in range(10)]
    assert min(tenths) > 8
    assert phase_of("charx") == phase_of("charx")


def test_missed_polls_are_not_caught_up() -> None:
    schedule = Schedule("meter", [0.2])
    schedule.restart(0.0)
    schedule.done(0, 10.0)
    assert 5 <= len(drive(schedule, 10.0, 11.0)) <= 6


def test_a_connection_that_is_too_slow_serves_its_instances_in_turn() -> None:
    schedule = Schedule("station", [1.0, 1.0, 1.0])
    schedule.restart(0.0)
    order = [number for _, number in drive(schedule, 0.0, 300.0, cost_s=0.7)]
    counts = [order.count(number) for number in range(3)]
    assert max(counts) - min(counts) <= 1


def test_a_unit_in_back_off_waits_while_the_others_are_polled() -> None:
    schedule = Schedule("gateway", [1.0, 1.0])
    schedule.restart(0.0, [30.0, 0.0])
    done = drive(schedule, 0.0, 29.0)
    assert {number for _, number in done} == {1}
    assert len(done) >= 28


def test_the_dead_are_tried_after_2_4_6_s_and_at_most_the_cap() -> None:
    assert [backoff_s(failures, 10.0) for failures in range(9)] == [0, 0, 0, 2, 4, 6, 8, 10, 10]
    assert backoff_s(10_000, 300.0) == 300.0


def test_only_the_poll_that_was_due_can_be_done() -> None:
    schedule = Schedule("meter", [1.0, 1.0])
    schedule.restart(0.0)
    with pytest.raises(ValueError, match="not the one"):
        schedule.done(1, 0.0)


@given(
    periods=st.lists(st.sampled_from([0.05, 0.2, 0.5, 1.0, 60.0]), min_size=1, max_size=6),
    start_s=st.floats(0, 1e7),
    name=st.text(min_size=1, max_size=8),
)
def test_the_next_slot_is_always_later_and_at_most_one_period_away(
    periods: list[float], start_s: float, name: str
) -> None:
    schedule = Schedule(name, periods)
    schedule.restart(start_s)
    now_s = start_s
    for _ in range(20):
        head = schedule.peek()
        assert head is not None
        due_s, number = head
        now_s = max(now_s, due_s)
        schedule.done(number, now_s)
        following = [due for due, _, n in schedule._heap if n == number]
        assert now_s < following[0] <= now_s + periods[number] * (1 + 1e-6)
