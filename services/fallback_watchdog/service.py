"""fallback-watchdog: signs of life in, fallback events out each second while something is silent.

Its role may publish fallback events and alarms and nothing else; safety never needs it alone (failure.md).
"""

from __future__ import annotations

import contextlib
from typing import ClassVar, Final

from busbar.actor import Actor, Context
from busbar.bus import BusError, NotConnectedError, Received
from busbar.events import Fallback, Heartbeat, Measurement, Severity, SiteSnapshot
from busbar.subjects import FALLBACK, HEARTBEAT, SNAPSHOT, TELEMETRY
from fallback_watchdog.core import Back, Bind, Command, Release, Rule, Silent, Watchdog
from fallback_watchdog.rules import SNAPSHOTS, rules_of, usable

LIFETIME_MS: Final = 5000
ADOPT_WITHIN_MS: Final = 60_000
"""A bound of the watchdog before this one is taken up if it is not older."""


class _Meter:
    """What a meter's values are judged by, and the last ones with the verdict."""

    __slots__ = ("phases", "points", "quality", "sign", "usable")

    def __init__(self, sign: str, phases: int) -> None:
        self.sign = sign
        self.phases = phases
        self.points: object = None
        self.quality: object = None
        self.usable = False


class FallbackWatchdog(Actor):
    """See `core` and `rules`. Inputs: HEARTBEAT, SNAPSHOT, TELEMETRY of meters that some rule watches. Nothing is
    queued: each input only moves the time at which it was last heard."""

    service: ClassVar[str] = "fallback-watchdog"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._dog = Watchdog(rules_of(self.site), self.clock.mono_s())
        self._meters = {e.id: _Meter(f"meter:{e.id}", len(e.phases)) for e in self.site.entities.values()}

    async def start(self) -> None:
        await self._adopt()
        await self.bus.subscribe(HEARTBEAT, self._on_heartbeat)
        await self.bus.subscribe(SNAPSHOT, self._on_snapshot)
        watched = set(self._dog.signs)
        for entity in self.site.entities.values():
            if self._meters[entity.id].sign in watched and entity.driver:
                await self.bus.subscribe(TELEMETRY, self._on_meter, entity.driver, entity.id)

    async def _adopt(self) -> None:
        """Bounds that were in force when the watchdog before this one ended go on without a gap."""
        with contextlib.suppress(BusError):
            now_s, now_ms = self.clock.mono_s(), self.clock.utc_ms()
            for received in await self.bus.last(FALLBACK):
                event = received.event
                if isinstance(event, Fallback) and event.active and received.age_ms(now_s) <= ADOPT_WITHIN_MS:
                    self._dog.adopt(event.entity, now_s - max(0, now_ms - event.since_ms) / 1000.0)

    async def cycle(self) -> None:
        if not self.bus.connected:
            self.detail = "no connection to the bus: nobody can be heard or told"
            return
        self.detail = ""
        for command in self._dog.check(self.clock.mono_s()):
            await self._obey(command)

    async def _obey(self, command: Command) -> None:
        rule = command.rule
        if isinstance(command, Bind):
            text = f"{rule.words} for {command.silent_s:.0f} s"
            await self._publish(rule, True, text, command.since_s, command.max_current_a)
        elif isinstance(command, Release):
            await self._publish(rule, False, f"over: {rule.words}", command.since_s, rule.max_current_a or 0.0)
        elif isinstance(command, Silent):
            text = f"{rule.words} for {command.silent_s:.0f} s: {_effect(rule)}; {rule.remedy}"
            await self.alarm(rule.about, "silent", text, Severity.ERROR)
        else:
            await self._back(command)

    async def _back(self, command: Back) -> None:
        await self.alarm(command.rule.about, "silent", f"over: {command.rule.words}", active=False)

    async def _publish(self, rule: Rule, active: bool, text: str, since_s: float, max_current_a: float) -> None:
        now_ms = self.clock.utc_ms()
        event = Fallback(
            entity=rule.id, active=active, cause=text, assets=rule.assets, max_current_a=max_current_a,
            since_ms=max(0, now_ms - round((self.clock.mono_s() - since_s) * 1000.0)), published_at_ms=now_ms,
            lifetime_ms=LIFETIME_MS,
        )  # fmt: skip
        with contextlib.suppress(NotConnectedError):
            await self.bus.publish(FALLBACK, event, rule.id)

    def _on_meter(self, received: Received[Measurement]) -> None:
        event = received.event
        meter = self._meters.get(event.asset)  # None: a message that calls itself otherwise than its subject
        if meter is None or not event.reachable:
            return
        points, quality = event.points, event.quality
        if points is not meter.points or quality is not meter.quality:  # a driver shares what has not changed
            meter.points, meter.quality, meter.usable = points, quality, usable(event, meter.phases)
        if meter.usable:
            self._dog.hear(meter.sign, received.received_s - (received.transit_s or 0.0))

    def _on_snapshot(self, received: Received[SiteSnapshot]) -> None:
        if received.event.fingerprint == self.site.fingerprint:
            self._dog.hear(SNAPSHOTS, received.received_s - (received.transit_s or 0.0))

    def _on_heartbeat(self, received: Received[Heartbeat]) -> None:
        beat = received.event
        at_s = received.received_s - (received.transit_s or 0.0)
        self._dog.beat(beat.service, beat.instance, beat.boot, beat.cycles, at_s)


def _effect(rule: Rule) -> str:
    """What follows, in words."""
    if rule.max_current_a is None:
        return (
            "nothing is bound, its worst case is counted on" if rule.assets else "what it drives falls back by itself"
        )
    if rule.max_current_a == 0.0:
        return f"{len(rule.assets)} connectors are paused"
    return f"{len(rule.assets)} connectors are bound to {rule.max_current_a:g} A"
