"""Bad input: not a number, infinite, absurd, missing, unknown, contradictory, clocks that step. Each has one outcome,
on the safe side: what cannot be believed raises nothing and frees nothing, and the others go on."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.events import CollectorLimit, CollectorSample, ConnectorSample, Fallback, ReasonCode, SiteSnapshot
from busbar.units import PhaseVector, uniform
from scenarios.world import World, site_of
from spc_allocator.core import Decided, decide
from spc_allocator.inputs import Inputs

GARBAGE = (math.nan, math.inf, -math.inf, 1e300, -1e300, 1e12, -1e12)
POWERS = ("power_w", "reactive_power_var", "background_w", "background_var", "generation_w")
CONNECTOR_VECTORS = ("current_a", "power_w", "reactive_power_var", "voltage_v")
CONNECTOR_NUMBERS = ("limit_a", "fallback_a", "watchdog_s", "session_energy_wh")


def charging() -> World:
    """Four vehicles on two feeders, charging for ten minutes."""
    site = site_of(
        [
            {"id": "grid", "rated_current_a": 80},
            {"id": "north", "parent": "grid", "rated_current_a": 32},
            {"id": "south", "parent": "grid", "rated_current_a": 63},
        ],
        [{"id": f"{feeder[0]}{number}", "collector": feeder} for feeder in ("north", "south") for number in range(2)],
    )
    world = World(site)
    for name in world.outlets:
        world.plug(name)
    world.run_to(600)
    assert all(value >= 6.0 for value in world.told.values())
    return world


WORLD = charging()


def decided(snapshot: SiteSnapshot, **inputs: object) -> Decided:
    """One second after what `WORLD` has come to."""
    return decide(WORLD.net, WORLD.state, snapshot, Inputs(**inputs), WORLD.now_ms + 1000)  # type: ignore[arg-type]


def with_collector(name: str, **changes: object) -> SiteSnapshot:
    snapshot = WORLD.snapshot()
    return snapshot.model_copy(
        update={
            "collectors": tuple(
                one.model_copy(update=changes) if one.collector == name else one for one in snapshot.collectors
            )
        }
    )


def with_connector(name: str, **changes: object) -> SiteSnapshot:
    snapshot = WORLD.snapshot()
    return snapshot.model_copy(
        update={
            "connectors": tuple(
                one.model_copy(update=changes) if one.connector == name else one for one in snapshot.connectors
            )
        }
    )


def sane(outcome: Decided) -> None:
    """Every setpoint is 0 or a whole step of 6 A or more; the state and its checkpoint hold no number that spreads."""
    told = outcome.told()
    assert all(
        math.isfinite(value) and (value == 0.0 or value >= 6.0) and value == int(value) for value in told.values()
    )
    state = outcome.state
    for array in (state.current_a, state.effective_a, state.need, state.voltage_v, state.highest_a, state.guarded_a):
        assert np.isfinite(array).all()
    assert not np.isnan(state.background_window.top).any()
    assert not np.isnan(state.cap_window.top).any()


@st.composite
def garbled(draw: st.DrawFn) -> SiteSnapshot:
    """Some numbers of a snapshot are garbage."""
    snapshot = WORLD.snapshot()

    def bad(vector: PhaseVector) -> PhaseVector:
        return PhaseVector(*(draw(st.sampled_from(GARBAGE)) if draw(st.booleans()) else value for value in vector))

    def collector(one: CollectorSample) -> CollectorSample:
        names = draw(st.sets(st.sampled_from(POWERS)))
        return one.model_copy(update={name: bad(getattr(one, name)) for name in sorted(names)})

    def connector(one: ConnectorSample) -> ConnectorSample:
        vectors, numbers = (
            draw(st.sets(st.sampled_from(CONNECTOR_VECTORS))),
            draw(st.sets(st.sampled_from(CONNECTOR_NUMBERS))),
        )
        return one.model_copy(
            update={name: bad(getattr(one, name)) for name in sorted(vectors)}
            | {name: draw(st.sampled_from(GARBAGE)) for name in sorted(numbers)}
        )

    some = draw(st.sets(st.integers(0, 3)))
    return snapshot.model_copy(
        update={
            "collectors": tuple(collector(one) if at in some else one for at, one in enumerate(snapshot.collectors)),
            "connectors": tuple(connector(one) if at in some else one for at, one in enumerate(snapshot.connectors)),
        }
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(garbled(), min_size=1, max_size=3))
def test_garbage_never_raises_anybody_above_what_the_fuses_bear_and_never_stays(snapshots: list[SiteSnapshot]) -> None:
    state, now_ms = WORLD.state, WORLD.now_ms
    for snapshot in snapshots:
        now_ms += 1000
        outcome = decide(WORLD.net, state, snapshot, Inputs(), now_ms)
        sane(outcome)
        told, state = outcome.told(), outcome.state
        assert told["n0"] + told["n1"] <= 32.0
        assert told["s0"] + told["s1"] <= 63.0
        assert sum(told.values()) <= 80.0
    for _ in range(90):  # the windows are 60 s at most: then it is as if nothing had happened
        now_ms += 1000
        outcome = decide(WORLD.net, state, WORLD.snapshot(), Inputs(), now_ms)
        state = outcome.state
    sane(outcome)
    assert not state.implausible.any()
    assert math.isfinite(float(state.background_window.top.max()))


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", ["background_w", "background_var", "generation_w"])
def test_a_collector_whose_power_cannot_be_is_one_without_a_reading(name: str, garbage: float) -> None:
    told = decided(with_collector("north", **{name: PhaseVector(0.0, garbage, 0.0)})).told()
    assert told == decided(with_collector("north", valid=False)).told()
    assert max(told["n0"], told["n1"]) <= 6.0  # its fallback: `minimum`
    assert (told["s0"], told["s1"]) == (WORLD.told["s0"], WORLD.told["s1"])


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf])
def test_a_connector_whose_current_is_no_number_does_not_answer_and_stays_booked_as_before(garbage: float) -> None:
    outcome = decided(with_connector("n0", current_a=uniform(garbage)))
    told = outcome.told()
    assert told["n0"] == WORLD.told["n0"]
    assert outcome.why()["n0"].code is ReasonCode.UNREACHABLE
    assert told["n1"] <= WORLD.told["n1"]


def test_a_read_back_that_is_no_number_was_never_read() -> None:
    for name in ("limit_a", "fallback_a", "watchdog_s"):
        for garbage in (math.nan, math.inf, -math.inf):
            outcome = decided(with_connector("n0", **{name: garbage}))
            assert outcome.told() == decided(with_connector("n0", **{name: None})).told()


def test_what_feeds_back_and_is_no_known_generation_is_credited_no_further_than_generation() -> None:
    """A meter turned round, or an inverter nobody told us of: a quarter above the rating at most (UCL, credit)."""
    world = World(WORLD.site)
    for name in world.outlets:
        world.plug(name)
    world.load_a["grid"] = [-400.0] * 3
    world.run_to(3600)
    assert sum(world.told.values()) <= 1.25 * 80.0
    assert world.told["n0"] + world.told["n1"] <= 32.0


Change = Callable[[SiteSnapshot], SiteSnapshot]
MISSING: dict[str, Change] = {
    "no connector": lambda s: s.model_copy(update={"connectors": ()}),
    "no collector": lambda s: s.model_copy(update={"collectors": ()}),
    "nothing at all": lambda s: s.model_copy(update={"connectors": (), "collectors": ()}),
    "old beyond measure": lambda s: s.model_copy(
        update={"collectors": tuple(c.model_copy(update={"age_ms": 10**18}) for c in s.collectors)}
    ),
}


@pytest.mark.parametrize("change", MISSING.values(), ids=MISSING)
def test_what_a_snapshot_lacks_raises_nobody(change: Change) -> None:
    outcome = decided(change(WORLD.snapshot()))
    sane(outcome)
    assert all(value <= WORLD.told[name] for name, value in outcome.told().items())


def test_unknown_names_change_nothing() -> None:
    snapshot = WORLD.snapshot()
    strange = snapshot.model_copy(
        update={
            "collectors": (*snapshot.collectors, snapshot.collectors[0].model_copy(update={"collector": "moon"})),
            "connectors": (*snapshot.connectors, snapshot.connectors[0].model_copy(update={"connector": "moon"})),
            "guard": ("moon",),
        }
    )
    limit = CollectorLimit(collector="moon", source="page", import_limit_w=0.0, published_at_ms=0)
    fallback = Fallback(
        entity="moon", active=True, cause="test", assets=("moon",), max_current_a=0.0, since_ms=0, published_at_ms=0,
        lifetime_ms=1000,
    )  # fmt: skip
    outcome = decided(strange, limits=(limit,), fallbacks=(fallback,))
    assert outcome.told() == decided(snapshot).told()
    assert outcome.why() == decided(snapshot).why()


def test_a_limit_below_what_flows_without_vehicles_pauses_all_and_says_who_set_it() -> None:
    world = World(WORLD.site)
    for name in world.outlets:
        world.plug(name)
    world.load_a["grid"] = [20.0] * 3
    world.run_to(300)
    world.limit("grid", "pcu", import_w=5000.0)
    world.step()
    assert set(world.told.values()) == {0.0}
    assert {(why.code, why.source, why.collector) for why in world.why.values()} == {(ReasonCode.PAUSED, "pcu", "grid")}


def test_contradictory_limits_the_tightest_holds_in_each_direction() -> None:
    generous = CollectorLimit(
        collector="grid", source="a", import_limit_w=60_000.0, export_limit_w=0.0, published_at_ms=0
    )
    strict = CollectorLimit(collector="grid", source="b", import_limit_w=0.0, published_at_ms=0)
    for order in ((generous, strict), (strict, generous)):
        assert set(decided(WORLD.snapshot(), limits=order).told().values()) == {0.0}


@pytest.mark.parametrize("step_ms", [-1, -1000, -86_400_000, 86_400_000])
def test_a_time_that_steps_raises_nobody_by_more_than_one_ramp_step(step_ms: int) -> None:
    """The service's time never steps (failure.md, Ages); were it to, the decision stays bounded."""
    outcome = decide(WORLD.net, WORLD.state, WORLD.snapshot(), Inputs(), WORLD.now_ms + step_ms)
    sane(outcome)
    assert all(value <= WORLD.told[name] + 1.0 for name, value in outcome.told().items())
    assert outcome.state.now_ms >= WORLD.state.now_ms
