"""Garbage makes one alarm with a remedy, a single broken reply none (FC-7)."""

from __future__ import annotations

from busbar.domain.quality import Quality
from field_driver_modbus.plausible import BAD_POLLS, GOOD_POLLS, Plausibility

BAD = {"current_l1_a": Quality.OUT_OF_RANGE, "energy_import_wh": Quality.SUSPECT, "temperature_c": Quality.NA}


def test_one_broken_reply_after_the_other_alarms_nobody_as_long_as_good_ones_come_between() -> None:
    judge = Plausibility()
    for _ in range(10):
        for _ in range(BAD_POLLS - 1):
            judge.judge(BAD)
        judge.judge({})
    assert judge.problem is None


def test_lasting_garbage_is_told_once_with_the_points_and_what_to_check_and_ends_when_the_device_is_sound() -> None:
    judge = Plausibility()
    for _ in range(BAD_POLLS):
        judge.judge(BAD)
    told = judge.problem
    assert told is not None
    assert "current_l1_a, energy_import_wh" in told.text
    assert "temperature_c" not in told.text  # a point that is not there is not wrong
    assert "wiring" in told.text
    for _ in range(GOOD_POLLS - 1):
        judge.judge({})
    assert judge.problem is told
    judge.judge({})
    assert judge.problem is None


def test_a_point_that_the_device_does_not_have_is_no_garbage() -> None:
    judge = Plausibility()
    for _ in range(20):
        judge.judge({"temperature_c": Quality.NA, "power_w": Quality.STALE, "current_l1_a": Quality.COMM_FAIL})
    assert judge.problem is None
