from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from busbar.events import Fallback, Reason, ReasonCode, Setpoint
from field_driver_modbus.stages import ConnectorStages, Fence, Stage, Target

START_S = 1000.0
WHY = Reason(code=ReasonCode.RAMP)


def setpoint(current_a: float | None, seq: int = 1, epoch: int = 1, lifetime_ms: int = 5000) -> Setpoint:
    return Setpoint(
        asset="a1", driver="modbus-1", epoch=epoch, seq=seq, published_at_ms=0, lifetime_ms=lifetime_ms,
        current_a=current_a, reason=WHY, snapshot=1,
    )  # fmt: skip


def bound(max_current_a: float, entity: str = "meter", active: bool = True, published_at_ms: int = 0) -> Fallback:
    return Fallback(
        entity=entity, active=active, cause="silent", assets=("a1",), max_current_a=max_current_a, since_ms=0,
        published_at_ms=published_at_ms, lifetime_ms=3000,
    )  # fmt: skip


def stages(plan_a: float = 6.0, max_current_a: float = 32.0) -> ConnectorStages:
    return ConnectorStages("a1", plan_a, max_current_a, START_S)


def shown(target: Target) -> tuple[str, float | None]:
    return str(target.stage), target.value


def test_a_setpoint_is_obeyed_for_5_s_held_until_30_s_and_then_the_plan_counts() -> None:
    connector = stages(plan_a=6.0)
    connector.setpoint(setpoint(16.0), 5.0, START_S)
    ledger = [
        (0.0, "fresh", 16.0),
        (4.9, "fresh", 16.0),
        (5.0, "hold", 16.0),
        (29.9, "hold", 16.0),
        (30.0, "fallback", 6.0),
        (900.0, "fallback", 6.0),
    ]
    for after_s, stage, current_a in ledger:
        assert shown(connector.target(START_S + after_s)) == (stage, current_a), f"at {after_s} s"


def test_an_allocator_that_is_back_after_20_s_moves_nothing_but_its_new_setpoint() -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0, seq=1), 5.0, START_S)
    assert shown(connector.target(START_S + 20.0)) == ("hold", 16.0)
    connector.setpoint(setpoint(17.0, seq=2), 5.0, START_S + 20.0)
    assert shown(connector.target(START_S + 20.0)) == ("fresh", 17.0)


def test_the_life_that_passed_on_the_way_is_gone() -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0), 1.5, START_S)
    assert connector.target(START_S + 1.4).stage is Stage.FRESH
    assert connector.target(START_S + 1.5).stage is Stage.HOLD
    assert connector.target(START_S + 26.4).stage is Stage.HOLD
    assert connector.target(START_S + 26.5).stage is Stage.FALLBACK


def test_a_setpoint_cannot_claim_more_than_5_s() -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0, lifetime_ms=3_600_000), 3600.0, START_S)
    assert connector.target(START_S + 5.0).stage is Stage.HOLD


def test_a_setpoint_that_arrives_too_old_to_be_fresh_may_only_lower() -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0, seq=1), 5.0, START_S)
    connector.setpoint(setpoint(20.0, seq=2), -3.0, START_S + 1.0)
    assert shown(connector.target(START_S + 1.0)) == ("hold", 16.0)
    connector.setpoint(setpoint(10.0, seq=3), -3.0, START_S + 2.0)
    assert shown(connector.target(START_S + 2.0)) == ("hold", 10.0)


def test_fallback_events_bound_in_every_stage_and_the_smallest_counts() -> None:
    connector = stages(plan_a=8.0)
    connector.setpoint(setpoint(16.0), 5.0, START_S)
    connector.fallback(bound(13.0, "meter-a"), 100.0, START_S)
    connector.fallback(bound(10.0, "meter-b"), 100.0, START_S)
    assert shown(connector.target(START_S)) == ("fresh", 10.0)
    assert connector.target(START_S).bound_by == "meter-b"
    connector.fallback(bound(0.0, "meter-a", published_at_ms=1), 100.0, START_S + 1)
    assert shown(connector.target(START_S + 10)) == ("hold", 0.0)
    assert shown(connector.target(START_S + 40)) == ("fallback", 0.0)


def test_the_end_of_a_bound_raises_a_fresh_setpoint_but_nothing_in_hold() -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0, seq=1), 5.0, START_S)
    connector.fallback(bound(6.0), 2.0, START_S)
    assert shown(connector.target(START_S + 1)) == ("fresh", 6.0)
    assert shown(connector.target(START_S + 3)) == ("fresh", 16.0)
    connector.fallback(bound(6.0, published_at_ms=1), 4.0, START_S + 4)
    assert shown(connector.target(START_S + 6)) == ("hold", 6.0)
    assert shown(connector.target(START_S + 10)) == ("hold", 6.0)


def test_a_release_that_was_overtaken_by_a_newer_bound_releases_nothing() -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0), 5.0, START_S)
    connector.fallback(bound(6.0, published_at_ms=2000), 3.0, START_S)
    connector.fallback(bound(6.0, active=False, published_at_ms=1000), 3.0, START_S)
    assert connector.target(START_S).value == 6.0
    connector.fallback(bound(6.0, active=False, published_at_ms=3000), 3.0, START_S)
    assert connector.target(START_S).value == 16.0


def test_a_fallback_that_is_no_number_is_the_safest_one() -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0), 5.0, START_S)
    connector.fallback(bound(math.nan), 3.0, START_S)
    assert connector.target(START_S).value == 0.0


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -1.0])
def test_a_setpoint_without_a_usable_current_neither_counts_nor_renews_life(value: float | None) -> None:
    connector = stages()
    connector.setpoint(setpoint(16.0, seq=1), 5.0, START_S)
    assert not connector.setpoint(setpoint(value, seq=2), 5.0, START_S + 4.0)
    assert shown(connector.target(START_S + 6.0)) == ("hold", 16.0)


@pytest.mark.parametrize(("told_a", "done_a"), [(0.0, 0.0), (3.0, 0.0), (5.9, 0.0), (6.0, 6.0), (99.0, 32.0)])
def test_targets_are_0_or_at_least_6_a_and_at_most_the_connectors_maximum(told_a: float, done_a: float) -> None:
    connector = stages(max_current_a=32.0)
    connector.setpoint(setpoint(told_a), 5.0, START_S)
    assert connector.target(START_S).value == done_a


@pytest.mark.parametrize(
    ("device_a", "booked_a", "kept_a"),
    [(16.0, None, 16.0), (16.0, 16.0, 16.0), (13.0, 16.0, 13.0), (20.0, 16.0, 16.0), (0.0, 16.0, 0.0)],
)
def test_a_restarted_driver_keeps_what_the_device_does_if_not_above_the_last_booked(
    device_a: float, booked_a: float | None, kept_a: float
) -> None:
    connector = stages()
    assert connector.target(START_S).value is None
    connector.adopt(device_a, booked_a)
    assert shown(connector.target(START_S + 1)) == ("hold", kept_a)
    assert shown(connector.target(START_S + 30)) == ("fallback", 6.0)


def test_what_was_adopted_late_does_not_replace_a_setpoint() -> None:
    connector = stages()
    connector.setpoint(setpoint(10.0), 5.0, START_S)
    connector.adopt(32.0, None)
    assert connector.target(START_S + 6).value == 10.0


def test_the_fence_obeys_nothing_older_than_the_highest_epoch_ever_seen() -> None:
    fence = Fence(epoch=5)
    ledger = [
        ("a1", 4, 100, False),
        ("a1", 5, 1, True),
        ("a1", 5, 1, False),
        ("a1", 5, 3, True),
        ("a1", 5, 2, False),
        ("a2", 5, 1, True),
        ("a1", 7, 0, True),
        ("a2", 5, 9, False),
        ("a2", 7, 0, True),
        ("a2", 6, 1, False),
    ]
    for asset, epoch, seq, obeyed in ledger:
        assert fence.admits(asset, epoch, seq) is obeyed, (asset, epoch, seq)
    assert fence.epoch == 7


CURRENTS = st.sampled_from([0.0, 3.0, 6.0, 10.0, 16.0, 32.0, 63.0])


class BadNetwork(RuleBasedStateMachine):
    """Allocators and a watchdog whose messages are lost, doubled, late and out of order, against one connector."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S
        self.fence = Fence()
        self.connector = ConnectorStages("a1", 6.0, 32.0, START_S)
        self.on_the_way: list[tuple[float, Setpoint]] = []
        self.bounds_on_the_way: list[tuple[float, Fallback]] = []
        self.seq: dict[int, int] = {}
        self.newest: tuple[int, int, float] = (0, -1, math.inf)
        self.newest_bound: dict[str, tuple[int, bool, float, float]] = {}
        self.last = self.connector.target(self.now_s)
        self.published = 0

    @rule(epoch=st.integers(1, 4), current_a=CURRENTS)
    def allocator_sends(self, epoch: int, current_a: float) -> None:
        self.seq[epoch] = self.seq.get(epoch, 0) + 1
        self.on_the_way.append((self.now_s, setpoint(current_a, self.seq[epoch], epoch)))

    @rule(entity=st.sampled_from(["m1", "m2"]), active=st.booleans(), current_a=CURRENTS)
    def watchdog_sends(self, entity: str, active: bool, current_a: float) -> None:
        self.published += 1
        self.bounds_on_the_way.append((self.now_s, bound(current_a, entity, active, self.published)))

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), keep=st.booleans())
    def one_setpoint_arrives(self, data: st.DataObject, keep: bool) -> None:
        index = data.draw(st.integers(0, len(self.on_the_way) - 1))
        sent_s, event = self.on_the_way[index]
        if not keep:
            del self.on_the_way[index]
        assert event.current_a is not None
        if self.fence.admits("a1", event.epoch, event.seq):
            assert (event.epoch, event.seq) > self.newest[:2]
            self.newest = (event.epoch, event.seq, event.current_a)
            self.connector.setpoint(event, 5.0 - (self.now_s - sent_s), self.now_s)

    @precondition(lambda self: self.bounds_on_the_way)
    @rule(data=st.data(), keep=st.booleans())
    def one_bound_arrives(self, data: st.DataObject, keep: bool) -> None:
        index = data.draw(st.integers(0, len(self.bounds_on_the_way) - 1))
        sent_s, event = self.bounds_on_the_way[index]
        if not keep:
            del self.bounds_on_the_way[index]
        self.connector.fallback(event, 3.0 - (self.now_s - sent_s), self.now_s)
        known = self.newest_bound.get(event.entity)
        if known is None or event.published_at_ms > known[0]:
            ends_s = sent_s + 3.0
            self.newest_bound[event.entity] = (event.published_at_ms, event.active, event.max_current_a, ends_s)

    @rule(device_a=CURRENTS)
    def the_device_is_read(self, device_a: float) -> None:
        if not self.connector.adopted:
            self.connector.adopt(device_a, 16.0)
            assert self.connector.target(self.now_s).value in (None, *(a for a in (0.0, 6.0, 10.0, 16.0)))

    @rule(step_s=st.sampled_from([0.1, 0.5, 1.0, 4.0, 10.0, 31.0]))
    def time_passes(self, step_s: float) -> None:
        self.now_s += step_s

    @invariant()
    def what_must_never_happen(self) -> None:
        before, target = self.last, self.connector.target(self.now_s)
        self.last = target
        value_a = target.value
        assert (target.epoch, target.seq) >= (before.epoch, before.seq)
        if value_a is None:
            assert target.stage is Stage.HOLD
            assert not self.connector.adopted
            return
        assert value_a == 0.0 or 6.0 <= value_a <= 32.0
        if target.stage is not Stage.FALLBACK:
            assert value_a <= self.newest[2], "more than the newest setpoint allows"
        if target.stage is Stage.HOLD and before.value is not None:
            assert value_a <= before.value, "raised in hold"
        if target.stage is Stage.FALLBACK:
            assert value_a <= 6.0, "more than the plan"
        for _, active, max_a, ends_s in self.newest_bound.values():
            if active and self.now_s < ends_s - 1e-6:
                assert value_a <= max_a, "more than a living fallback event allows"


BadNetwork.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestNothingEverRaisesWhatMayNotRise = BadNetwork.TestCase
