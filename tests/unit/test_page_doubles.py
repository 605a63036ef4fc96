"""A service that runs twice is told; one that was restarted, however often, is not."""

from __future__ import annotations

from site_page.doubles import FORGET_S, Doubles


def test_two_that_speak_by_turns_are_told_until_one_is_gone() -> None:
    doubles = Doubles()
    for second in range(4):
        doubles.heard("collector-aggregator", "first", second)
        doubles.heard("collector-aggregator", "second", second + 0.4)
    assert doubles.twice("collector-aggregator")
    assert doubles.judged(4.0) == [("collector-aggregator", True)]
    for second in range(4, 20):
        doubles.heard("collector-aggregator", "second", second)
    assert doubles.judged(3.0 + FORGET_S - 0.1) == [("collector-aggregator", True)]
    assert doubles.judged(20.0) == [("collector-aggregator", False)]
    assert not doubles.twice("collector-aggregator")


def test_a_service_that_crashes_again_and_again_was_not_started_twice() -> None:
    doubles = Doubles()
    for start in range(50):
        for beat in range(3):
            doubles.heard("fallback-watchdog", f"boot-{start}", start + beat * 0.2)
    assert doubles.judged(51.0) == []


def test_a_service_that_tells_no_boot_is_not_judged() -> None:
    doubles = Doubles()
    for second in range(10):
        doubles.heard("old-service", "", second)
    assert doubles.judged(10.0) == []
