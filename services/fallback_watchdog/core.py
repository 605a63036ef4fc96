"""Who is silent, and which upper bound follows (FB-1, FB-2, FB-5; failure.md). Pure: signs of life and `now` in,
commands out.

- A **sign** of life is a usable value of a meter, a heartbeat of a service whose cycles advance, or a snapshot.
- A **rule** watches one or more signs: silent for its timeout, it binds its connectors, *disable* to 0 A, *minimum* to
  a value. What was never heard counts from the watchdog's own start. A rule without a bound only tells
  (`ignore_lost_meter`; a dead driver: its devices fall back by themselves).
- A bound is repeated in each check while it lasts, and ends when its signs have come steadily for `STEADY_S`: a link
  that flaps does not flap the site. One whose signs come more rarely than they should is not steady.
- It only ever bounds. Of several the lowest counts, at the drivers and in the allocator.
- A watchdog that did not run for a while heard nobody in that time: it listens for `LISTEN_S` before it judges anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

STEADY_S: Final = 5.0
LISTEN_S: Final = 2.0
DEAF_AFTER_S: Final = 5.0
"""A check that comes so long after the last one finds a watchdog that was stopped, or cut off."""

ROUNDING_S: Final = 0.001
"""So much earlier rules are looked at than sums of floats say."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the site's fallback policy."""

    id: str
    """Names its bound on the bus."""
    about: str
    """What it watches: asset or service."""
    words: str
    """The same for people."""
    remedy: str
    signs: tuple[str, ...]
    timeout_s: float
    every: bool = True
    """True: silent as soon as one sign is; False: when all are."""
    gap_s: float = 3.0
    """A pause between two signs that is still steady."""
    grace_s: float = 0.0
    """Timeout of what was never heard, where that is longer."""
    assets: tuple[str, ...] = ()
    max_current_a: float | None = None
    """None: nothing is bound, only told."""


@dataclass(frozen=True, slots=True)
class Bind:
    """The rule's connectors may take no more than its value, now."""

    rule: Rule
    max_current_a: float
    silent_s: float
    since_s: float


@dataclass(frozen=True, slots=True)
class Release:
    """The rule's bound is over."""

    rule: Rule
    since_s: float


@dataclass(frozen=True, slots=True)
class Silent:
    """Tell people; once."""

    rule: Rule
    silent_s: float


@dataclass(frozen=True, slots=True)
class Back:
    """What was told is over; once."""

    rule: Rule


Command = Bind | Release | Silent | Back


class _Sign:
    """When something was heard; shared by the rules that call the same pauses steady."""

    __slots__ = ("ever", "gap_s", "heard_s", "steady_since_s")

    def __init__(self, started_s: float, gap_s: float) -> None:
        self.heard_s = started_s
        self.gap_s = gap_s
        self.ever = False
        self.steady_since_s = started_s

    def hear(self, at_s: float) -> None:
        if self.ever:
            pause_s = at_s - self.heard_s
            if pause_s <= 0.0:
                return
            if pause_s > self.gap_s:
                self.steady_since_s = at_s
        else:
            self.ever, self.steady_since_s = True, at_s
        self.heard_s = at_s

    def steady(self, now_s: float) -> bool:
        return self.ever and now_s - self.heard_s <= self.gap_s and self.heard_s - self.steady_since_s >= STEADY_S


class _Beats:
    """Heartbeats of one instance."""

    __slots__ = ("boot", "cycles", "signs")

    def __init__(self, signs: tuple[str, ...]) -> None:
        self.signs = signs
        self.boot = ""
        self.cycles = -1


class _Watch:
    """One rule and where it stands."""

    __slots__ = ("active", "rule", "signs", "since_s")

    def __init__(self, rule: Rule, signs: Iterable[_Sign], now_s: float) -> None:
        self.rule = rule
        self.signs = tuple(signs)
        self.active = False
        self.since_s = now_s

    def silent_s(self, now_s: float) -> float:
        silences = [now_s - sign.heard_s for sign in self.signs]
        return (max if self.rule.every else min)(silences)

    def silent_from_s(self) -> float:
        """It is not silent before, whatever is heard from now on of what was heard already."""
        heard = [sign.heard_s for sign in self.signs]
        return (min if self.rule.every else max)(heard) + self.rule.timeout_s

    def is_silent(self, now_s: float) -> bool:
        rule = self.rule
        first_s = max(rule.timeout_s, rule.grace_s)
        over = [now_s - s.heard_s >= (rule.timeout_s if s.ever else first_s) for s in self.signs]
        return any(over) if rule.every else all(over)

    def is_steady(self, now_s: float) -> bool:
        steady = [sign.steady(now_s) for sign in self.signs]
        return all(steady) if self.rule.every else any(steady)


class Watchdog:
    """All rules of a site. `hear` and `beat` when something comes, `check` once a second."""

    def __init__(self, rules: Iterable[Rule], now_s: float) -> None:
        signs: dict[str, dict[float, _Sign]] = {}
        self._watches = []
        for rule in rules:
            if rule.signs:
                gap_s = min(rule.gap_s, rule.timeout_s)  # rarer than the timeout is silence
                own = [signs.setdefault(name, {}).setdefault(gap_s, _Sign(now_s, gap_s)) for name in rule.signs]
                self._watches.append(_Watch(rule, own, now_s))
        self._signs = {name: tuple(by_gap.values()) for name, by_gap in signs.items()}
        self._told: dict[str, Rule] = {}
        self._beats: dict[tuple[str, str], _Beats] = {}
        self._checked_s = now_s
        self._judges_from_s = now_s
        self._quiet_until_s = now_s
        """Nothing is silent, and no rule can be before: there is nothing to judge."""

    @property
    def signs(self) -> Sequence[str]:
        """All signs that some rule waits for."""
        return tuple(self._signs)

    # -- inputs

    def hear(self, sign: str, at_s: float) -> None:
        """A sign of life that was true at monotonic `at_s`."""
        for known in self._signs.get(sign, ()):
            if not known.ever:
                self._quiet_until_s = at_s  # its own time counts from now on, not that of our start
            known.hear(at_s)

    def beat(self, service: str, instance: str, boot: str, cycles: int, at_s: float) -> None:
        """A heartbeat. One whose cycles have not grown shows a service that is stuck: no sign of life."""
        beats = self._beats.get((service, instance))
        if beats is None:
            names = (f"service:{service}", f"service:{service}/{instance}")
            beats = self._beats[service, instance] = _Beats(tuple([name for name in names if name in self._signs]))
        grown = cycles > beats.cycles or boot != beats.boot
        beats.boot, beats.cycles = boot, cycles
        if grown:
            for sign in beats.signs:
                self.hear(sign, at_s)

    def adopt(self, rule_id: str, since_s: float) -> None:
        """A bound of the watchdog before this one: it goes on until its signs are steady (FB-5)."""
        for watch in self._watches:
            if watch.rule.id == rule_id and watch.rule.max_current_a is not None:
                watch.active, watch.since_s = True, since_s
                self._quiet_until_s = since_s

    # -- output

    def check(self, now_s: float) -> list[Command]:
        """What to publish now. At most once a cycle."""
        if now_s - self._checked_s > DEAF_AFTER_S:
            self._judges_from_s = now_s + LISTEN_S
        self._checked_s = now_s
        commands: list[Command] = []
        if now_s < self._quiet_until_s:
            return commands
        for watch in self._watches:
            commands.extend(self._judge(watch, now_s))
        commands.extend(self._tell(now_s))
        self._quiet_until_s = self._next_s(now_s)
        return commands

    def _next_s(self, now_s: float) -> float:
        """When something has to be judged again."""
        if any(watch.active for watch in self._watches):
            return now_s
        return min([watch.silent_from_s() for watch in self._watches], default=now_s) - ROUNDING_S

    def _judge(self, watch: _Watch, now_s: float) -> Iterable[Command]:
        was, rule = watch.active, watch.rule
        if watch.is_silent(now_s):
            if not was and now_s >= self._judges_from_s:
                watch.active, watch.since_s = True, now_s
        elif was and watch.is_steady(now_s):
            watch.active = False
        if rule.max_current_a is None:
            return
        if watch.active:
            yield Bind(rule, rule.max_current_a, watch.silent_s(now_s), watch.since_s)
        elif was:
            yield Release(rule, watch.since_s)

    def _tell(self, now_s: float) -> Iterable[Command]:
        """Several rules may watch the same thing: people are told once, by the first that fell and until the last."""
        silent: dict[str, _Watch] = {}
        for watch in self._watches:
            if watch.active:
                silent.setdefault(watch.rule.about, watch)
        for about, watch in silent.items():
            if about not in self._told:
                self._told[about] = watch.rule
                yield Silent(watch.rule, watch.silent_s(now_s))
        for about in [a for a in self._told if a not in silent]:
            yield Back(self._told.pop(about))


def lowest(commands: Iterable[Command]) -> dict[str, float]:
    """Upper bound per connector: of several rules the lowest value."""
    bounds: dict[str, float] = {}
    for command in commands:
        if isinstance(command, Bind):
            for asset in command.rule.assets:
                bounds[asset] = min(command.max_current_a, bounds.get(asset, command.max_current_a))
    return bounds
