"""The number of phases in the driver: first when it must never be written, then what comes of it (SPC-20, FC-8)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.devices.catalog import load_package
from busbar.devices.plan import compile_plan
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import Fallback, Outcome, Reason, ReasonCode, Setpoint, SetpointResult
from field_driver_modbus.connector import ConnectorUnit
from field_driver_modbus.unit import Units
from unit.site_files import compiled, small

CURRENT, PHASES = 1210, 1215
PLAN = compile_plan(load_package("alfen-ng9xx"), unit_id=None, instance=1, kind=AssetKind.AC_CONNECTOR)


class Socket:
    """A connector of the driver before the registers of an Alfen socket."""

    def __init__(self, *, may: bool = True) -> None:
        site = compiled(small(63, 1))
        entity = replace(site.entities["c1"], phase_dwell_s=600.0 if may else None)
        made = Units(site, "modbus-1", {}, {}, 0.0).of(entity)
        assert isinstance(made, ConnectorUnit)
        made.fit(PLAN, {}, False)
        self.unit = made
        self.now_s = 0.0
        self.seq = 0
        self.limit_a = 16.0
        self.phases: float | None = 3.0
        self.flows_a = 0.0
        self.quality: dict[str, Quality] = {}
        self.deaf = self.refuses = False
        self.written: list[int] = []
        self.said: list[SetpointResult] = []

    def tell(self, current_a: float, phases: int | None) -> None:
        self.seq += 1
        setpoint = Setpoint(
            asset="c1", driver="modbus-1", epoch=1, seq=self.seq, published_at_ms=0, lifetime_ms=5000,
            current_a=current_a, phases=phases, reason=Reason(code=ReasonCode.PHASE_SWITCH), snapshot=1,
        )  # fmt: skip
        self.unit.setpoint(setpoint, 5.0, self.now_s)
        self.act()

    def bound(self, current_a: float) -> None:
        event = Fallback(
            entity="meter", active=True, cause="silent", assets=("c1",), max_current_a=current_a, since_ms=0,
            published_at_ms=round(self.now_s * 1000), lifetime_ms=3000,
        )  # fmt: skip
        self.unit.fallback(event, 3.0, self.now_s)
        self.act()

    def act(self) -> None:
        for _ in range(10):
            found = self.unit.order(self.now_s)
            if found is None:
                return
            order, writer = found
            address, words = order.writes[0].address, order.writes[0].words
            if address == PHASES:
                self.written.append(words[0])
                assert order.writes[0].fc == 16
            if address == PHASES and self.refuses:
                writer.refused(order, "illegal data value", self.now_s)
                continue
            if address == PHASES and not self.deaf:
                self.phases = float(words[0])
            elif address == CURRENT:
                self.limit_a = order.value
            writer.done(order, self.now_s)

    def poll(self, seconds: float = 1.0) -> None:
        self.now_s += seconds
        points: dict[str, float | str | None] = {
            "status": "Charging", "actual_limit_current_a": self.limit_a, "setpoint_current_a": self.limit_a,
            "fallback_current_a": 6.0, "phases": self.phases,
            "current_l1_a": self.flows_a, "current_l2_a": 0.0, "current_l3_a": 0.0,
        }  # fmt: skip
        self.unit.polled(points, self.quality, self.now_s, self.now_s, round(self.now_s * 1000))
        self.act()
        result = self.unit.result(self.now_s, round(self.now_s * 1000))
        if result is not None:
            self.said.append(result)

    def live(self, seconds: int, current_a: float, phases: int | None) -> None:
        for _ in range(seconds):
            self.tell(current_a, phases)
            self.poll()


@given(st.integers(0, 10**6))
def test_spc_20_phases_are_written_only_while_fresh_at_0_a_unbounded_and_with_nothing_flowing(number: int) -> None:
    rng, socket = Random(number), Socket()
    told_a, told_s, bound_s = -1.0, -100.0, -100.0
    polled_quiet = False
    for _ in range(60):
        before = len(socket.written)
        event = rng.random()
        if event < 0.35:
            told_a, told_s = rng.choice([0.0, 0.0, 0.0, 6.0, 16.0]), socket.now_s
            socket.tell(told_a, rng.choice([None, 1, 1, 3, 3, 2]))
        elif event < 0.4:
            bound_s = socket.now_s
            socket.bound(rng.choice([0.0, 6.0]))
        elif event < 0.45:
            socket.unit.lost()
        else:
            socket.flows_a = rng.choice([0.0, 0.0, 0.2, 6.0])
            socket.quality = rng.choice([{}, {}, {}, {"current_l2_a": Quality.COMM_FAIL}])
            polled_quiet = socket.flows_a < 1.0 and not socket.quality
            socket.poll(rng.choice([0.5, 1.0, 1.0, 4.0, 30.0]))
        if len(socket.written) > before:
            assert told_a == 0.0 == socket.limit_a
            assert socket.now_s - told_s < 5.0
            assert socket.now_s - bound_s >= 3.0
            assert polled_quiet
            assert set(socket.written[before:]) <= {1, 3}


def test_spc_20_it_waits_for_0_a_and_for_the_current_to_stop_then_writes_once_and_reads_back() -> None:
    socket = Socket()
    socket.live(5, 16.0, 3)
    socket.flows_a = 16.0
    socket.live(5, 16.0, 1)
    socket.live(3, 0.0, 1)  # the vehicle is slow
    assert socket.written == []
    socket.flows_a = 0.0
    socket.live(30, 0.0, 1)
    assert socket.written == [1]
    assert (socket.said[-1].requested_phases, socket.said[-1].applied_phases) == (1, 1)
    assert socket.said[-1].phases_outcome is Outcome.APPLIED
    socket.live(30, 16.0, 1)
    assert socket.written == [1]


def test_spc_20_what_it_shows_already_is_applied_and_not_written() -> None:
    socket = Socket()
    socket.flows_a = 16.0
    socket.live(5, 16.0, 3)
    assert socket.written == []
    assert socket.said[-1].phases_outcome is Outcome.APPLIED


def test_fc_8_a_device_that_does_not_take_it_is_unverified_written_again_and_said() -> None:
    socket = Socket()
    socket.deaf = True
    socket.live(60, 0.0, 1)
    assert 3 < len(socket.written) < 10
    assert socket.said[-1].phases_outcome is Outcome.UNVERIFIED
    assert socket.said[-1].applied_phases == 3
    assert "told 1, shows 3" in socket.unit.problems["phases_setpoint_not_taken"].text
    socket.live(5, 0.0, 3)  # given up
    assert "phases_setpoint_not_taken" not in socket.unit.problems


def test_fc_8_a_device_that_refuses_is_said_and_tried_again() -> None:
    socket = Socket()
    socket.refuses = True
    socket.live(40, 0.0, 1)
    assert 3 < len(socket.written) < 10
    assert socket.said[-1].phases_outcome is Outcome.REFUSED
    assert "the device refuses 1: illegal data value" in socket.unit.problems["phases_setpoint_refused"].text
    socket.refuses = False
    socket.live(20, 0.0, 1)
    last = socket.said[-1]
    assert last.phases_outcome is Outcome.APPLIED


@pytest.mark.parametrize("phases", [None, 2, 0])
def test_spc_20_no_number_or_an_impossible_one_leaves_the_device_as_it_is(phases: int | None) -> None:
    socket = Socket()
    socket.live(20, 0.0, phases)
    assert socket.written == []
    assert socket.said[-1].requested_phases is None


def test_spc_20_where_the_site_file_does_not_allow_it_nothing_is_written() -> None:
    socket = Socket(may=False)
    socket.live(20, 0.0, 1)
    assert socket.written == []


def test_fb_3_after_its_lifetime_no_phases_are_written_in_hold_and_in_fallback() -> None:
    socket = Socket()
    socket.flows_a = 6.0
    socket.live(3, 0.0, 1)
    socket.poll(6.0)
    socket.flows_a = 0.0
    for _ in range(40):
        socket.poll()
    assert socket.said[-1].stage == "fallback"
    assert socket.written == []
