"""Assets set in W in the driver: stages that never go away from 0 while nobody decides, and who obeys (FC-8, FB-3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.config.assets import Battery, Pv
from busbar.events import Reason, ReasonCode, Setpoint
from field_driver_modbus.obedience import Obedience
from field_driver_modbus.power_stages import PowerStages, closer_to_zero
from field_driver_modbus.stages import Stage
from field_driver_modbus.writer import away_from_zero

BATTERY = Battery(
    kind="battery", id="bat", collector="grid", device="d", capacity_wh=60_000, max_charge_w=30_000,
    max_discharge_w=25_000,
)  # fmt: skip
ROOF = Pv(kind="pv", id="pv", collector="grid", device="d", rated_power_w=20_000)


def told(power_w: float | None, seq: int = 1, lifetime_ms: int = 5000) -> Setpoint:
    return Setpoint(
        asset="bat", driver="modbus-1", epoch=1, seq=seq, published_at_ms=0, lifetime_ms=lifetime_ms, power_w=power_w,
        reason=Reason(code=ReasonCode.MODE), snapshot=1,
    )  # fmt: skip


def battery(plan_w: float = 0.0) -> PowerStages:
    return PowerStages(BATTERY, plan_w, 0.0)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 20.0), st.one_of(st.none(), st.floats(-60_000, 60_000)), st.floats(-2.0, 5.0)),
        max_size=25,
    ),
    st.one_of(st.none(), st.floats(-40_000, 40_000)),
)
def test_fb_3_in_hold_no_power_ever_grows_or_changes_its_direction(
    story: list[tuple[float, float | None, float]], found_w: float | None
) -> None:
    stages, now_s = battery(), 0.0
    if found_w is not None:
        stages.adopt(found_w, None)
    before = stages.target(now_s)
    for pause_s, power_w, life_left_s in story:
        now_s += pause_s
        after = stages.target(now_s)
        if after.stage is Stage.HOLD and before.value is not None:
            assert after.value is not None
            assert not away_from_zero(after.value, before.value)
        if after.stage is Stage.FALLBACK:
            assert after.value == 0.0
        if power_w is not None:
            stages.setpoint(told(power_w), life_left_s, now_s)
        before = stages.target(now_s)
        assert before.value is None or -25_000 <= before.value <= 30_000


def test_a_battery_stops_thirty_seconds_after_the_last_setpoint() -> None:
    stages = battery()
    assert stages.setpoint(told(-12_000.0), 5.0, 100.0)
    seen = [(at_s, str(t.stage), t.value) for at_s in (104.9, 105.1, 129.9, 130.1) for t in [stages.target(at_s)]]
    assert seen == [
        (104.9, "fresh",    -12_000.0),
        (105.1, "hold",     -12_000.0),
        (129.9, "hold",     -12_000.0),
        (130.1, "fallback", 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize(("plan_w", "in_words"), [(-20_000.0, "free"), (-5_000.0, "its standing limit")])
def test_spc_12_pv_goes_to_its_standing_limit_or_is_free_again(plan_w: float, in_words: str) -> None:
    stages = PowerStages(ROOF, plan_w, 0.0)
    assert stages.setpoint(told(-3_000.0), 5.0, 0.0)
    assert [stages.target(at_s).value for at_s in (1.0, 29.0, 31.0)] == [-3_000.0, -3_000.0, plan_w], in_words


@pytest.mark.parametrize(
    ("device_w", "booked_w", "kept_w"),
    [
        (8_000.0,   None,     8_000.0),
        (8_000.0,   5_000.0,  5_000.0),
        (3_000.0,   5_000.0,  3_000.0),
        (-8_000.0,  5_000.0,  0.0),
        (-90_000.0, None,     -25_000.0),
    ],
)  # fmt: skip
def test_fb_5_a_new_driver_keeps_what_the_device_does_but_no_more_than_was_booked(
    device_w: float, booked_w: float | None, kept_w: float
) -> None:
    stages = battery()
    stages.adopt(device_w, booked_w)
    assert stages.target(1.0).value == kept_w


@pytest.mark.parametrize("power_w", [None, float("nan"), float("inf")])
def test_a_setpoint_without_a_usable_power_neither_counts_nor_renews_life(power_w: float | None) -> None:
    stages = battery()
    assert stages.setpoint(told(4_000.0), 5.0, 0.0)
    assert not stages.setpoint(told(power_w), 5.0, 4.0)
    assert (str(stages.target(6.0).stage), stages.target(6.0).value) == ("hold", 4_000.0)


@given(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
def test_the_closer_to_zero_of_two_is_never_more_than_either(one_w: float, other_w: float) -> None:
    kept_w = closer_to_zero(one_w, other_w)
    assert not away_from_zero(kept_w, one_w)
    assert not away_from_zero(kept_w, other_w)


@pytest.mark.parametrize(
    ("setpoint_w", "power_w", "obeys"),
    [
        (10_000.0,  9_800.0,   True),
        (10_000.0,  2_000.0,   True),   # nearly full
        (10_000.0,  12_500.0,  False),
        (10_000.0,  -4_000.0,  False),
        (0.0,       150.0,     True),   # its own electronics
        (0.0,       -9_000.0,  False),
        (-20_000.0, -3_000.0,  True),   # a low sun
        (-5_000.0,  -18_000.0, False),
    ],
)  # fmt: skip
def test_fc_8_the_echo_of_a_setpoint_is_not_believed_against_the_measured_power(
    setpoint_w: float, power_w: float, *, obeys: bool
) -> None:
    watch = Obedience(30_000.0, 5.0)
    for at_s in range(30):
        watch.observe(setpoint_w, power_w, float(at_s))
    assert (watch.problem is None) is obeys


def test_a_device_may_still_do_what_it_was_told_within_its_reaction_time() -> None:
    watch = Obedience(30_000.0, 5.0)
    for at_s in range(60):  # a ramp down by 1 kW a second, followed 4 s late
        watch.observe(max(0.0, 30_000.0 - 1_000.0 * at_s), max(0.0, 30_000.0 - 1_000.0 * max(0, at_s - 4)), float(at_s))
        assert watch.problem is None


def test_a_device_that_ignores_ever_new_setpoints_is_found() -> None:
    watch = Obedience(30_000.0, 5.0)
    for at_s in range(40):
        watch.observe(5_000.0 + at_s, 20_000.0, float(at_s))
    assert watch.problem is not None
    watch.observe(5_040.0, 5_000.0, 41.0)
    assert watch.problem is None
