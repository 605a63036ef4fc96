"""collector-aggregator: no step of a vehicle is ever taken for load of others, whoever is polled how often; and load of
others is seen in the same cycle (algorithms.md, UCL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from busbar.events import Reason, ReasonCode, Setpoint
from busbar.units import PhaseVector
from unit.aggregator_world import U, World, electrical, measurement, on, site_of
from unit.site_files import small

EPS = 1e-6
CONNECTORS = 3
TICK_S = 0.05


@dataclass(frozen=True)
class Poll:
    """When somebody is polled, in ticks of 50 ms."""

    period: int
    first: int

    def due(self, tick: int) -> bool:
        return tick >= self.first and (tick - self.first) % self.period == 0


@dataclass
class Story:
    meter: Poll
    chargers: list[Poll]
    changes: list[list[float]]
    """Per connector: the currents it goes through, one change between two of its polls."""
    delays: list[int]
    """Ticks from a poll to the change."""
    load_w: float

    def changes_at(self, connector: int, tick: int) -> bool:
        poll = self.chargers[connector]
        return tick > poll.first and (tick - poll.first - self.delays[connector]) % poll.period == 0

    @property
    def still_after_s(self) -> float:
        """By then every vehicle has made its last change, and everybody was polled again."""
        longest = max(p.period * (len(c) + 2) for p, c in zip(self.chargers, self.changes, strict=True))
        return (longest + 2 * self.meter.period) * TICK_S


@st.composite
def stories(draw: st.DrawFn) -> Story:
    meter = Poll(draw(st.sampled_from([4, 10, 20, 100])), draw(st.integers(0, 4)))
    chargers = [Poll(draw(st.sampled_from([20, 20, 200, 1200])), draw(st.integers(0, 19))) for _ in range(CONNECTORS)]
    amps = st.sampled_from([0.0, 6.0, 7.0, 8.0, 16.0, 31.0])
    changes = [draw(st.lists(amps, min_size=1, max_size=4)) for _ in range(CONNECTORS)]
    delays = [draw(st.integers(0, 19)) * poll.period // 20 for poll in chargers]
    return Story(meter, chargers, changes, delays, draw(st.sampled_from([0.0, 2300.0, -4600.0])))


def world_of(story: Story) -> World:
    data: Any = small(100, CONNECTORS)
    data["assets"][0]["poll_ms"] = story.meter.period * 50
    data["assets"].append({"kind": "load", "id": "rest", "collector": "grid", "max_current_a": 50})
    site = site_of(data)
    draws = {e.id: [0.0] * 6 for e in site.connectors}
    return World(site, draws | {"rest": on((0, 1, 2), [story.load_w] * 3)})


def setpoint(world: World, connector: str, current_a: float, epoch: int = 1) -> None:
    world.aggregator.setpoint(
        Setpoint(
            asset=connector, driver="modbus-1", epoch=epoch, seq=1, published_at_ms=1, lifetime_ms=5000, snapshot=1,
            current_a=current_a, reason=Reason(code=ReasonCode.RAMP),
        )
    )  # fmt: skip


class Player:
    """Plays a story tick by tick: vehicles follow their setpoints, everybody is polled on his own grid."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.world = world_of(story)
        self.entities = self.world.site.connectors
        self.index = [0] * CONNECTORS
        self.limits = [32.0] * CONNECTORS
        self.tick = 0
        for connector in range(CONNECTORS):
            self.draw(connector, story.changes[connector][0])
            self.poll(connector)
        self.world.say("m", 0.0)

    @property
    def now_s(self) -> float:
        return self.tick * TICK_S

    def background(self) -> PhaseVector:
        return self.world.collectors(self.now_s)["grid"].background_w

    def load(self, power_w: float) -> None:
        self.world.draws["rest"] = on((0, 1, 2), [power_w] * 3)

    def draw(self, connector: int, current_a: float) -> None:
        name = self.entities[connector].id
        self.limits[connector] = max(6.0, current_a)
        setpoint(self.world, name, self.limits[connector])
        self.world.draws[name] = on((0, 1, 2), [current_a * U] * 3)

    def poll(self, connector: int) -> None:
        entity = self.entities[connector]
        points = electrical(entity, self.world.draws[entity.id]) | {"actual_limit_current_a": self.limits[connector]}
        event = measurement(entity, points).model_copy(
            update={"lifetime_ms": 150 * self.story.chargers[connector].period}
        )
        self.world.aggregator.observe(event, self.now_s)

    def step(self) -> None:
        self.tick += 1
        for i, changes in enumerate(self.story.changes):
            if self.story.changes_at(i, self.tick) and self.index[i] + 1 < len(changes):
                self.index[i] += 1
                self.draw(i, changes[self.index[i]])
        if self.story.meter.due(self.tick):
            self.world.say("m", self.now_s)
        for i, poll in enumerate(self.story.chargers):
            if poll.due(self.tick):
                self.poll(i)

    def until(self, at_s: float) -> None:
        while self.now_s < at_s - EPS:
            self.step()


MINUTE = Poll(1200, 0)


@settings(max_examples=60, deadline=None)
@given(stories())
@example(Story(Poll(20, 0), [Poll(20, 10)] * 3, [[16.0, 0.0]] * 3, [6] * 3, 2300.0))
@example(Story(Poll(4, 0), [MINUTE, Poll(20, 2), Poll(20, 18)], [[6.0, 16.0]] * 3, [600, 10, 10], 0.0))
def test_with_a_constant_load_the_background_is_never_above_it_and_in_the_end_exactly_it(story: Story) -> None:
    player = Player(story)
    for second in range(1, round(story.still_after_s) + 2):
        player.until(second)
        for power_w in player.background():
            assert power_w <= story.load_w + EPS, f"phantom load at {player.now_s} s"
    assert player.background() == pytest.approx((story.load_w,) * 3, abs=EPS)


@settings(max_examples=40, deadline=None)
@given(stories(), st.floats(100.0, 9000.0), st.integers(62, 70))
def test_a_rise_of_the_load_counts_at_once_as_far_as_no_connector_can_explain_it_and_soon_in_full(
    story: Story, rise_w: float, at_s: int
) -> None:
    story.changes = [[c[0]] for c in story.changes]  # vehicles stand still; each may rise up to its limit
    player = Player(story)
    player.until(at_s)
    player.load(story.load_w + rise_w)
    player.until(at_s + story.meter.period * TICK_S)
    explained_w = sum((max(6.0, c[0]) - c[0]) * U for c in story.changes)
    assert player.background().l1 >= story.load_w + rise_w - explained_w - EPS
    slowest = max(p.period for p in story.chargers) + 2 * story.meter.period
    player.until(at_s + slowest * TICK_S)
    assert player.background().l1 == pytest.approx(story.load_w + rise_w, abs=EPS)


def test_a_rise_that_fits_under_the_limit_of_an_older_sample_is_the_connectors() -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [10 * U] * 3)})
    world.say("c1", 0.0, actual_limit_current_a=16.0)
    world.say("m", 0.0)
    table = [
        # meter sees (A),  background (A)
        (10.0, 0.0),
        (13.0, 0.0),
        (16.0, 0.0),
        (18.0, 2.0),
    ]
    for number, (seen_a, background_a) in enumerate(table, 1):
        world.draws["c1"] = on((0, 1, 2), [seen_a * U] * 3)
        world.say("m", number * 0.2)
        assert world.collectors(number * 0.2)["grid"].background_w.l1 == pytest.approx(background_a * U)


def test_a_step_between_a_setpoint_and_the_next_sample_is_the_connectors() -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [6 * U] * 3)})
    world.say("c1", 0.0, actual_limit_current_a=6.0)
    world.say("m", 0.0)
    setpoint(world, "c1", 7.0)
    world.draws["c1"] = on((0, 1, 2), [7 * U] * 3)
    world.say("m", 0.8)
    assert world.collectors(0.9)["grid"].background_w == pytest.approx((0.0, 0.0, 0.0))


def test_what_an_allocator_asks_that_lost_its_place_explains_nothing() -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [6 * U] * 3)})
    setpoint(world, "c1", 6.0, epoch=2)
    world.say("c1", 0.0, actual_limit_current_a=6.0)
    setpoint(world, "c1", 16.0, epoch=1)
    world.draws["c1"] = on((0, 1, 2), [16 * U] * 3)
    world.say("m", 0.8)
    assert world.collectors(0.9)["grid"].background_w == pytest.approx((10 * U,) * 3)


@pytest.mark.parametrize(
    ("told_a", "background_a"),
    [
        # the device does not show its limit; 16 A more flow before its next sample
        (None, 0.0),
        (8.0, 14.0),
        (32.0, 0.0),
    ],
)
def test_a_connector_that_does_not_show_its_limit_may_follow_what_it_was_told(
    told_a: float | None, background_a: float
) -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [6 * U] * 3)})
    if told_a is not None:
        setpoint(world, "c1", told_a)
    world.say("c1", 0.0)
    world.say("m", 0.0)
    world.draws["c1"] = on((0, 1, 2), [22 * U] * 3)
    world.say("m", 0.8)
    assert world.collectors(0.9)["grid"].background_w == pytest.approx((background_a * U,) * 3)


def test_a_silent_connector_holds_back_nothing_and_explains_no_rise() -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [10 * U] * 3)})
    world.say("c1", 0.0, actual_limit_current_a=16.0)
    world.draws["c1"] = on((0, 1, 2), [12 * U] * 3)
    for tick in range(50):
        world.say("m", tick * 0.2)
    assert not world.connectors(10.0)["c1"].reachable
    assert world.collectors(10.0)["grid"].background_w.l1 == pytest.approx(2 * U)


@pytest.mark.parametrize(
    ("read_back", "silent_s", "taken_off_a"),
    [
        # watchdog 30 s, reaction 15 s (FC-2): then its verified fallback is what is booked for it
        ({"fallback_current_a": 6.0, "watchdog_timeout_s": 30.0}, 20.0, 16.0),
        ({"fallback_current_a": 6.0, "watchdog_timeout_s": 30.0}, 50.0, 6.0),
        ({"fallback_current_a": 0.0, "watchdog_timeout_s": 30.0}, 50.0, 0.0),
        ({"fallback_current_a": 20.0, "watchdog_timeout_s": 30.0}, 50.0, 16.0),
        ({"watchdog_timeout_s": 30.0}, 50.0, 16.0),
        ({}, 50.0, 16.0),
    ],
)
def test_of_a_connector_that_stays_silent_no_more_is_taken_off_than_is_booked_for_it(
    read_back: dict[str, float], silent_s: float, taken_off_a: float
) -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [16 * U] * 3)})
    world.say("c1", 0.0, **read_back)
    world.say("m", silent_s)
    background = world.collectors(silent_s)["grid"].background_w
    assert background.l1 == pytest.approx((16.0 - taken_off_a) * U)


def test_a_load_that_falls_is_seen_although_a_connector_is_silent() -> None:
    data: Any = small(100, 1)
    data["assets"].append({"kind": "load", "id": "rest", "collector": "grid", "max_current_a": 50})
    world = World(site_of(data), {"c1": on((0, 1, 2), [10 * U] * 3), "rest": on((0, 1, 2), [20 * U] * 3)})
    world.say("m", 0.0)
    world.say("c1", 0.0)
    world.draws["rest"] = on((0, 1, 2), [5 * U] * 3)
    for second in range(1, 10):
        world.say("m", float(second))
    assert not world.connectors(9.0)["c1"].reachable
    assert world.collectors(9.0)["grid"].background_w == pytest.approx((5 * U,) * 3)


def test_a_setpoint_that_no_sample_has_confirmed_yet_still_explains_a_step() -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [6 * U] * 3)})
    world.say("c1", 0.0, actual_limit_current_a=6.0)
    world.say("m", 0.0)
    setpoint(world, "c1", 7.0)
    world.say("c1", 1.0, actual_limit_current_a=6.0)  # polled before the write arrived
    world.draws["c1"] = on((0, 1, 2), [7 * U] * 3)
    world.say("m", 1.8)
    assert world.collectors(1.9)["grid"].background_w == pytest.approx((0.0, 0.0, 0.0))


def test_a_lowered_setpoint_stops_explaining_once_a_sample_has_shown_the_lower_limit() -> None:
    world = World(site_of(small(100, 1)), {"c1": on((0, 1, 2), [6 * U] * 3)})
    setpoint(world, "c1", 16.0)
    setpoint(world, "c1", 6.0)
    world.say("c1", 1.0, actual_limit_current_a=6.0)
    world.draws["c1"] = on((0, 1, 2), [9 * U] * 3)  # 3 A more than anybody allowed: not explained
    world.say("m", 1.2)
    assert world.collectors(1.3)["grid"].background_w == pytest.approx((3 * U,) * 3)
