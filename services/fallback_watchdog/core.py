"""Who is silent, and which upper bound follows (FB-1, FB-2, FB-5; failure.md). Pure: signs of life and `now` in.

- A rule watches one trigger: a meter, a service or a controller. Silent for its timeout (counted from the watchdog's
  own start where it was never heard), its action binds the connectors below its collector: *disable* 0 A, *minimum* a
  value.
- A meter counts as heard only by a value that control may use: an unreachable one is silent however often it says so.
- A bound ends when its trigger has been heard steadily for `STEADY_S`: a link that flaps does not flap the site.
- It only ever bounds; the smallest of several counts, at the drivers and in the allocator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from busbar.config.site import Site
from busbar.domain.kinds import AssetKind

STEADY_S: Final = 5.0
GAP_S: Final = 3.0
"""A pause in the signs of life longer than this begins the steady time anew."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the site's fallback policy."""

    id: str
    trigger: str
    """`meter:ID`, `service:NAME`, `controller:ID`."""
    timeout_s: float
    assets: tuple[str, ...]
    max_current_a: float | None
    """None: nothing is bound (`ignore_lost_meter`), only told."""
    about: str
    """The trigger in words."""


@dataclass(slots=True)
class _Watch:
    rule: Rule
    heard_s: float
    steady_since_s: float
    ever: bool = False
    active: bool = False
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bound:
    """One rule as it stands now; `changed` on the cycle in which it began or ended."""

    rule: Rule
    active: bool
    changed: bool
    silent_s: float
    since_s: float


@dataclass
class Watchdog:
    """State of all rules of a site."""

    started_s: float
    _watches: dict[str, list[_Watch]] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Iterable[Rule], now_s: float) -> Watchdog:
        dog = cls(now_s)
        for rule in rules:
            dog._watches.setdefault(rule.trigger, []).append(_Watch(rule, now_s, math.inf))
        return dog

    def heard(self, trigger: str, at_s: float) -> None:
        """A sign of life that was true at monotonic `at_s`."""
        for watch in self._watches.get(trigger, ()):
            if watch.ever and at_s <= watch.heard_s:
                continue
            if at_s - watch.heard_s > GAP_S or not watch.ever:
                watch.steady_since_s = at_s
            watch.heard_s, watch.ever = at_s, True

    def check(self, now_s: float) -> list[Bound]:
        """Every rule that is active, or has just ended."""
        bounds = []
        for watches in self._watches.values():
            for watch in watches:
                bound = self._judge(watch, now_s)
                if bound.active or bound.changed:
                    bounds.append(bound)
        return bounds

    @staticmethod
    def _judge(watch: _Watch, now_s: float) -> Bound:
        silent_s = now_s - watch.heard_s
        was = watch.active
        if silent_s >= watch.rule.timeout_s:
            watch.active = True
            watch.since_s = watch.since_s if was else now_s
        elif was and silent_s <= GAP_S and now_s - watch.steady_since_s >= STEADY_S:
            watch.active = False
        return Bound(watch.rule, watch.active, was != watch.active, silent_s, watch.since_s)


def rules_of(site: Site) -> list[Rule]:
    """The site's rules: the shorthand of each metered collector, then the written ones."""
    rules = []
    for collector in site.collectors:
        meter, lost = collector.file.meter, collector.file.on_lost_meter
        if meter is None:
            continue
        bound = {"disable": 0.0, "minimum": lost.value_a}.get(lost.action)
        rules.append(
            Rule(
                f"meter-of-{collector.id}", f"meter:{meter}", lost.timeout_s, _below(site, collector.id), bound,
                f"meter {meter} of {collector.name}",
            )
        )  # fmt: skip
    for rule in site.file.fallback_rules:
        bound = 0.0 if rule.action == "disable" else rule.value_a
        kind, _, name = rule.trigger.partition(":")
        rules.append(Rule(rule.id, rule.trigger, rule.timeout_s, _below(site, rule.collector), bound, f"{kind} {name}"))
    return rules


def _below(site: Site, collector: str) -> tuple[str, ...]:
    return tuple(e.id for e in site.below(collector) if e.kind is AssetKind.AC_CONNECTOR)
