"""Which limits, targets, modes and advice hold when (SPC-7 to SPC-9, failure.md: Limits that stand)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from busbar.bus import Received
from busbar.events import Advice, AdviceSlot, AssetMode, CollectorTarget, CycleTrace, Event
from spc_allocator.inputs import Inputs
from spc_allocator.series import power_at
from spc_allocator.standing_inputs import StandingInputs

MIN_MS = 60_000


def advice(source: str = "gateway", *, given_ms: int = 0, until_ms: int = 10**9, released: bool = False) -> Advice:
    slots = () if released else (AdviceSlot(start_ms=given_ms, power_w=5000.0),)
    return Advice(
        asset="x0", source=source, slots=slots, until_ms=until_ms, released=released, published_at_ms=given_ms
    )


def came(event: Any, at_s: float = 0.0, *, transit_s: float | None = 0.0) -> Received[Any]:
    return Received("subject", event, at_s, transit_s)


def mode(source: str, word: str, **more: Any) -> AssetMode:
    return AssetMode(asset="x0", source=source, mode=word, published_at_ms=0, **more)


def sources(inputs: StandingInputs, utc_ms: int, now_s: float) -> list[str]:
    return [one.source for one in inputs.advice(utc_ms, now_s)]


def test_spc_9_advice_ends_after_20_minutes_of_silence() -> None:
    inputs = StandingInputs()
    inputs.on_advice(came(advice()))
    assert sources(inputs, 20 * MIN_MS - 1, 20 * 60 - 0.001) == ["gateway"]
    assert sources(inputs, 20 * MIN_MS, 20 * 60) == []
    inputs.on_advice(came(advice(given_ms=25 * MIN_MS), 25 * 60))
    assert sources(inputs, 25 * MIN_MS, 25 * 60) == ["gateway"]  # with new advice at once again


def test_spc_9_silence_is_measured_on_the_monotonic_clock() -> None:
    inputs = StandingInputs()
    inputs.on_advice(came(advice()))
    assert sources(inputs, 1, 20 * 60) == []  # the wall clock was put back


def test_spc_9_an_advice_is_valid_60_minutes_from_when_it_was_given_even_if_it_came_late() -> None:
    inputs = StandingInputs()
    inputs.on_advice(came(advice(), 50 * 60))
    assert sources(inputs, 60 * MIN_MS - 1, 60 * 60 - 0.001) == ["gateway"]
    assert sources(inputs, 60 * MIN_MS, 60 * 60) == []


def test_spc_9_what_was_stored_before_the_machine_started_is_as_old_as_its_date_says() -> None:
    inputs = StandingInputs()
    inputs.take_stored([came(advice(), 100.0, transit_s=None)])
    assert sources(inputs, 20 * MIN_MS - 1, 101.0) == ["gateway"]
    assert sources(inputs, 20 * MIN_MS, 101.0) == []


def test_spc_9_each_source_has_its_own_advice_until_its_own_end_or_release() -> None:
    inputs = StandingInputs()
    inputs.take_stored([came(advice("a")), came(advice("b", until_ms=5000)), came(advice("c"))])
    inputs.on_advice(came(advice("a", released=True)))
    assert sources(inputs, 4999, 1.0) == ["b", "c"]
    assert sources(inputs, 5000, 1.0) == ["c"]


def test_spc_9_the_newest_mode_of_an_asset_counts_whoever_set_it() -> None:
    inputs = StandingInputs()
    inputs.on_mode(came(mode("page", "manual", current_a=10.0)))
    inputs.on_mode(came(mode("cli", "rule", until_ms=5000)))
    assert [(one.source, one.mode) for one in inputs.modes(4999)] == [("cli", "rule")]
    assert inputs.modes(5000) == ()
    inputs.on_mode(came(mode("cli", "rule", released=True)))
    assert inputs.modes(0) == ()


def test_spc_8_targets_stand_by_source_and_collector() -> None:
    inputs = StandingInputs()
    for source, until_ms in (("cli", None), ("pcu", 5000)):
        target = CollectorTarget(collector="grid", source=source, power_w=-2000.0, until_ms=until_ms, published_at_ms=0)
        inputs.on_target(came(target))
    assert [one.source for one in inputs.targets(4999)] == ["cli", "pcu"]
    assert [one.source for one in inputs.targets(5000)] == ["cli"]
    assert inputs.arrivals == 2


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-1e5, 1e5))), st.integers(0, 10))
def test_the_slot_that_began_last_holds_in_whatever_order_they_stand(entries: list[Any], at_ms: int) -> None:
    slots = [AdviceSlot(start_ms=start, power_w=power) for start, power in dict(entries).items()]
    found = power_at(slots, at_ms, None)
    assert found == power_at(reversed(slots), at_ms, None)
    begun = {slot.start_ms: slot.power_w for slot in slots if slot.start_ms <= at_ms}
    assert found == (begun[max(begun)] if begun else None)


@pytest.mark.parametrize(
    ("event", "body", "says"),
    [
        (Advice, {"asset": "x0", "slots": [], "until_ms": 1}, "needs a slot"),
        (Advice, {"asset": "x0", "slots": [{"start_ms": 0, "power_w": float("nan")}], "until_ms": 1}, "finite"),
        (CollectorTarget, {"collector": "grid", "power_w": float("inf")}, "finite"),
        (AssetMode, {"asset": "x0", "mode": "manual"}, "one setpoint"),
        (AssetMode, {"asset": "x0", "mode": "rule", "current_a": 6.0}, "have none"),
    ],
)
def test_an_event_that_says_nothing_usable_is_refused(event: type[Event], body: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        event.model_validate({"source": "cli", "published_at_ms": 0, **body})


def test_a_recording_of_before_there_were_modes_is_still_read() -> None:
    trace = CycleTrace(
        fingerprint="f", epoch=1, seq=1, whole_state=False, snapshot=1, snapshot_published_at_ms=1, now_ms=5,
        snapshot_age_ms=3, limits=(), fallbacks=(), setpoints=(), digest="", published_at_ms=1, lifetime_ms=1,
        targets=(), modes=(mode("cli", "rule"),), advice=(advice(),), utc_ms=7,
    )  # fmt: skip
    new = {"targets", "modes", "advice", "utc_ms"}
    old = {key: value for key, value in orjson.loads(trace.model_dump_json()).items() if key not in new}
    assert Inputs.traced(CycleTrace.model_validate_json(orjson.dumps(old))) == Inputs(snapshot_age_ms=3)
    assert Inputs.traced(trace) == Inputs((), (), 3, (), trace.modes, trace.advice, 7)
