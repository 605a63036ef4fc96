"""fallback-watchdog, core: silence always binds in time, bounds always end, the lowest wins, nothing flaps (FB-1, FB-2,
FB-5)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fallback_watchdog.core import (
    DEAF_AFTER_S,
    LISTEN_S,
    STEADY_S,
    Back,
    Bind,
    Command,
    Release,
    Rule,
    Silent,
    Watchdog,
    lowest,
)


def rule(name: str = "r", *signs: str, timeout_s: float = 30.0, **more: object) -> Rule:
    values: dict[str, object] = {
        "id": name, "about": name, "words": f"{name} is silent", "remedy": "look", "signs": signs or ("m",),
        "timeout_s": timeout_s, "assets": ("a",), "max_current_a": 6.0,
    }  # fmt: skip
    return Rule(**{**values, **more})  # type: ignore[arg-type]  # values by name


def play(dog: Watchdog, seconds: int, heard: dict[str, set[int]], start: int = 1) -> dict[int, list[Command]]:
    """Check once a second; `heard` says in which seconds each sign comes, just before the check."""
    found: dict[int, list[Command]] = {}
    for now in range(start, start + seconds):
        for sign, times in heard.items():
            if now in times:
                dog.hear(sign, float(now))
        found[now] = dog.check(float(now))
    return found


def bound_in(found: dict[int, list[Command]], name: str = "r") -> list[int]:
    return [t for t, commands in found.items() if any(isinstance(c, Bind) and c.rule.id == name for c in commands)]


def test_a_meter_that_is_silent_for_its_timeout_binds_each_second_until_it_is_steadily_back() -> None:
    dog = Watchdog([rule()], 0.0)
    found = play(dog, 100, {"m": set(range(1, 11)) | set(range(60, 101))})
    assert bound_in(found) == list(range(40, 65))  # heard last at 10, back at 60, steady for 5 s at 65
    assert [type(c) for c in found[40]] == [Bind, Silent]
    assert [type(c) for c in found[65]] == [Release, Back]
    assert all(found[t] == [] for t in (*range(1, 40), *range(66, 101)))


def test_what_was_never_heard_counts_from_the_start_of_the_watchdog() -> None:
    assert bound_in(play(Watchdog([rule(timeout_s=10.0)], 0.0), 15, {})) == list(range(10, 16))


def test_a_longer_grace_holds_only_for_what_was_never_heard() -> None:
    never = play(Watchdog([rule(timeout_s=3.0, grace_s=20.0)], 0.0), 25, {})
    once = play(Watchdog([rule(timeout_s=3.0, grace_s=20.0)], 0.0), 25, {"m": {1}})
    assert (bound_in(never)[0], bound_in(once)[0]) == (20, 4)


def test_a_link_that_flaps_does_not_flap_the_site() -> None:
    dog = Watchdog([rule(timeout_s=10.0)], 0.0)
    flapping = {t for t in range(20, 80) if t % 8 in (0, 1, 2)}  # 3 s on, 5 s off: never steady, never 10 s silent
    found = play(dog, 100, {"m": flapping | set(range(80, 101))})
    assert bound_in(found) == list(range(10, 85))


def test_a_slow_meter_is_steady_at_its_own_pace() -> None:
    dog = Watchdog([rule(timeout_s=60.0, gap_s=30.0)], 0.0)
    found = play(dog, 200, {"m": {100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200}})
    assert bound_in(found) == list(range(60, 110))


def test_signs_that_come_more_rarely_than_the_timeout_never_end_a_bound_and_never_flap_it() -> None:
    dog = Watchdog([rule(timeout_s=2.0, gap_s=30.0)], 0.0)
    found = play(dog, 60, {"m": set(range(0, 61, 5))})
    assert bound_in(found) == list(range(2, 61))


def test_a_rule_without_a_bound_only_tells() -> None:
    dog = Watchdog([rule(max_current_a=None, timeout_s=3.0)], 0.0)
    found = play(dog, 20, {"m": set(range(10, 21))})
    assert bound_in(found) == []
    told = [(t, type(c)) for t, commands in found.items() for c in commands]
    assert told == [(3, Silent), (15, Back)]


def test_two_rules_about_one_thing_are_told_once_from_the_first_to_the_last() -> None:
    dog = Watchdog([rule("long", timeout_s=20.0, about="m"), rule("short", timeout_s=5.0, about="m")], 0.0)
    found = play(dog, 60, {"m": set(range(30, 61))})
    told = [(t, type(c)) for t, commands in found.items() for c in commands if isinstance(c, Silent | Back)]
    assert told == [(5, Silent), (35, Back)]


@pytest.mark.parametrize(
    ("every", "one", "bound"),
    [
        # a service on two shards: one missing is enough    a controller: any sign of it is enough
        (True, set(range(1, 41)), True),
        (False, set(range(1, 41)), False),
    ],
)
def test_of_several_signs_every_or_any_must_come(every: bool, one: set[int], bound: bool) -> None:
    dog = Watchdog([rule("r", "x", "y", timeout_s=10.0, every=every)], 0.0)
    assert bool(bound_in(play(dog, 40, {"x": one}))) is bound


def test_a_bound_of_several_signs_ends_when_all_of_them_are_steady_at_once() -> None:
    dog = Watchdog([rule("r", "x", "y", timeout_s=10.0)], 0.0)
    once_x, once_y, both = set(range(20, 27)), set(range(29, 36)), set(range(38, 61))  # first one after the other
    found = play(dog, 60, {"x": once_x | both, "y": once_y | both})
    assert bound_in(found) == list(range(10, 43))


@pytest.mark.parametrize(("every", "silent_s"), [(True, 16.0), (False, 12.0)])
def test_how_long_it_is_silent_is_that_of_the_sign_that_counts(every: bool, silent_s: float) -> None:
    dog = Watchdog([rule("r", "x", "y", timeout_s=10.0, every=every)], 0.0)
    commands = play(dog, 20, {"x": {4}, "y": {8}})[20]
    assert [c.silent_s for c in commands if isinstance(c, Bind)] == [silent_s]


def test_heartbeats_without_cycles_are_no_sign_of_life() -> None:
    dog = Watchdog([rule("r", "service:x", timeout_s=3.0)], 0.0)
    for now in range(1, 10):
        dog.beat("x", "main", "boot-1", now, float(now))
        assert dog.check(float(now)) == []
    for now in range(10, 20):
        dog.beat("x", "main", "boot-1", 9, float(now))  # stuck: it beats, but its cycles do not grow
        assert bool(dog.check(float(now))) is (now >= 12)
    dog.beat("x", "main", "boot-2", 0, 20.0)  # started anew
    assert isinstance(dog.check(20.0)[0], Bind)
    for now in range(21, 25):
        dog.beat("x", "main", "boot-2", now, float(now))
        assert isinstance(dog.check(float(now))[0], Bind)
    dog.beat("x", "main", "boot-2", 25, 25.0)
    assert [type(c) for c in dog.check(25.0)] == [Release, Back]


def test_each_instance_of_a_service_is_told_apart() -> None:
    dog = Watchdog([rule("one", "service:d/1", timeout_s=3.0), rule("any", "service:d", timeout_s=3.0)], 0.0)
    for now in range(1, 10):
        dog.beat("d", "2", "b", now, float(now))
        bounds = [c.rule.id for c in dog.check(float(now)) if isinstance(c, Bind)]
        assert bounds == (["one"] if now >= 3 else [])


def test_a_watchdog_that_was_stopped_listens_before_it_judges() -> None:
    dog = Watchdog([rule()], 0.0)
    play(dog, 10, {"m": set(range(1, 11))})
    assert dog.check(100.0) == []  # frozen for 90 s: everybody else may be well
    dog.hear("m", 100.5)
    assert dog.check(101.0) == []
    assert dog.check(102.5) == []


def test_a_watchdog_that_was_stopped_still_binds_what_is_truly_silent() -> None:
    dog = Watchdog([rule()], 0.0)
    play(dog, 10, {"m": set(range(1, 11))})
    found = play(dog, 5, {}, start=100)
    assert bound_in(found)[0] == 100 + LISTEN_S


def test_a_bound_does_not_end_because_the_watchdog_was_stopped() -> None:
    dog = Watchdog([rule(timeout_s=5.0)], 0.0)
    play(dog, 10, {})
    assert isinstance(dog.check(10.0 + 2 * DEAF_AFTER_S)[0], Bind)


def test_an_adopted_bound_goes_on_until_its_signs_are_steady() -> None:
    dog = Watchdog([rule(), rule("other")], 100.0)
    dog.adopt("r", 40.0)
    dog.adopt("of-a-site-file-before", 40.0)
    found = play(dog, 29, {"m": set(range(110, 130))}, start=101)
    assert bound_in(found) == list(range(101, 115))
    assert bound_in(found, "other") == []
    assert next(c for c in found[101] if isinstance(c, Bind)).since_s == 40.0


def test_an_old_sign_does_not_make_anything_younger() -> None:
    dog = Watchdog([rule(timeout_s=10.0)], 0.0)
    play(dog, 5, {"m": {5}})
    dog.hear("m", 2.0)
    assert bound_in(play(dog, 15, {}, start=6)) == [15, 16, 17, 18, 19, 20]


# -- what must never happen

TIMEOUTS = st.sampled_from([1.0, 2.5, 5.0, 10.0, 30.0])
SIGNS = ("m0", "m1", "m2")


@st.composite
def sites(draw: st.DrawFn) -> list[Rule]:
    rules = []
    for i in range(draw(st.integers(1, 5))):
        signs = draw(st.lists(st.sampled_from(SIGNS), min_size=1, max_size=2, unique=True))
        assets = tuple(draw(st.lists(st.sampled_from("abcd"), unique=True)))
        value = draw(st.sampled_from([None, 0.0, 6.0, 10.0]))
        every, gap_s = draw(st.booleans()), draw(st.sampled_from([1.5, 3.0, 30.0]))
        rules.append(
            rule(
                f"r{i}", *signs, timeout_s=draw(TIMEOUTS), assets=assets, max_current_a=value, every=every, gap_s=gap_s
            )
        )
    return rules


@st.composite
def timelines(draw: st.DrawFn) -> list[tuple[float, frozenset[str]]]:
    """Instants, about one a second, each with the signs that come just before the check."""
    now, found = 0.0, []
    talking: frozenset[str] = frozenset()
    for _ in range(draw(st.integers(5, 25))):
        talking = frozenset(draw(st.lists(st.sampled_from(SIGNS), unique=True)))
        for _ in range(draw(st.integers(1, 12))):
            now += draw(st.sampled_from([0.25, 1.0, 1.0, 1.0, 1.25]))
            found.append((now, talking))
    return found


def silence(item: Rule, last: dict[str, float], now: float) -> float:
    ages = [now - last.get(sign, 0.0) for sign in item.signs]
    return max(ages) if item.every else min(ages)


@settings(max_examples=150, deadline=None)
@given(sites(), timelines())
def test_silence_binds_within_its_timeout_and_one_cycle_and_nothing_else_does(
    rules: list[Rule], timeline: list[tuple[float, frozenset[str]]]
) -> None:
    dog = Watchdog(rules, 0.0)
    last: dict[str, float] = {}
    active: dict[str, bool] = {}
    for now, talking in timeline:
        for sign in sorted(talking):
            dog.hear(sign, now)
            last[sign] = now
        commands = dog.check(now)
        bound = {c.rule.id for c in commands if isinstance(c, Bind)}
        released = {c.rule.id for c in commands if isinstance(c, Release)}
        for item in rules:
            if item.max_current_a is None:
                assert item.id not in bound | released
                continue
            if silence(item, last, now) >= item.timeout_s:
                assert item.id in bound
            elif not active.get(item.id):
                assert item.id not in bound  # a bound only begins by silence
            assert (item.id in released) == (active.get(item.id, False) and item.id not in bound)
            active[item.id] = item.id in bound


@settings(max_examples=150, deadline=None)
@given(sites(), timelines())
def test_of_several_bounds_the_lowest_wins_and_no_bound_is_above_its_rule(
    rules: list[Rule], timeline: list[tuple[float, frozenset[str]]]
) -> None:
    dog = Watchdog(rules, 0.0)
    for now, talking in timeline:
        for sign in sorted(talking):
            dog.hear(sign, now)
        commands = dog.check(now)
        bounds = lowest(commands)
        active = [c.rule for c in commands if isinstance(c, Bind)]
        for asset in "abcd":
            values = [r.max_current_a for r in active if asset in r.assets and r.max_current_a is not None]
            assert bounds.get(asset) == (min(values) if values else None)


@settings(max_examples=150, deadline=None)
@given(sites(), timelines())
def test_when_all_signs_come_again_everything_ends_and_stays_ended(
    rules: list[Rule], timeline: list[tuple[float, frozenset[str]]]
) -> None:
    dog = Watchdog(rules, 0.0)
    told: set[str] = set()
    now = 0.0

    def check(at: float) -> list[Command]:
        commands = dog.check(at)
        for command in commands:
            if isinstance(command, Silent):
                assert command.rule.about not in told
                told.add(command.rule.about)
            elif isinstance(command, Back):
                told.remove(command.rule.about)
        return commands

    for now, talking in timeline:
        for sign in sorted(talking):
            dog.hear(sign, now)
        check(now)
    over = now + STEADY_S + 1.0
    for step in range(1, 80):
        at = now + step * 0.5
        for sign in SIGNS:
            dog.hear(sign, at)
        commands = check(at)
        if at > over:
            assert commands == []
    assert told == set()


@settings(max_examples=100, deadline=None)
@given(sites(), timelines(), st.randoms(use_true_random=False))
def test_the_order_of_the_rules_changes_nothing(
    rules: list[Rule], timeline: list[tuple[float, frozenset[str]]], random: object
) -> None:
    shuffled = list(rules)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own Random
    one, other = Watchdog(rules, 0.0), Watchdog(shuffled, 0.0)
    for now, talking in timeline:
        for sign in sorted(talking):
            one.hear(sign, now)
            other.hear(sign, now)
        assert lowest(one.check(now)) == lowest(other.check(now))


@settings(max_examples=100, deadline=None)
@given(sites(), timelines(), st.floats(0.0, 3.0), st.sampled_from([0.0, 12.0]))
def test_looking_only_when_something_can_be_silent_finds_what_looking_always_finds(
    rules: list[Rule], timeline: list[tuple[float, frozenset[str]]], transit_s: float, grace_s: float
) -> None:
    rules = [replace(rule, grace_s=grace_s) for rule in rules]
    lazy, eager = Watchdog(rules, 0.0), Watchdog(rules, 0.0)
    for now, talking in timeline:
        for sign in sorted(talking):
            lazy.hear(sign, now - transit_s)
            eager.hear(sign, now - transit_s)
        eager._quiet_until_s = 0.0
        assert lazy.check(now) == eager.check(now)
