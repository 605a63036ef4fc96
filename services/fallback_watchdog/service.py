"""fallback-watchdog: heartbeats and telemetry in, fallback events out each second while something is silent.

Its role may publish fallback events and nothing else that moves anything; safety never needs it alone (failure.md).
"""

from __future__ import annotations

import contextlib
from typing import ClassVar

from busbar.actor import Actor, Context
from busbar.bus import NotConnectedError, Received
from busbar.events import Fallback, Heartbeat, Measurement, Severity
from busbar.subjects import FALLBACK, HEARTBEAT, TELEMETRY
from fallback_watchdog.core import Bound, Watchdog, rules_of

LIFETIME_MS = 5000


class FallbackWatchdog(Actor):
    """See `core`."""

    service: ClassVar[str] = "fallback-watchdog"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._dog = Watchdog.of(rules_of(self.site), self.clock.mono_s())
        self._meters = {c.file.meter for c in self.site.collectors if c.file.meter}

    async def start(self) -> None:
        await self.bus.subscribe(HEARTBEAT, self._on_heartbeat)
        for entity in self.site.entities.values():
            if entity.id in self._meters and entity.driver:
                await self.bus.subscribe(TELEMETRY, self._on_meter, entity.driver, entity.id)

    async def cycle(self) -> None:
        now_s = self.clock.mono_s()
        for bound in self._dog.check(now_s):
            await self._tell(bound, now_s)

    async def _tell(self, bound: Bound, now_s: float) -> None:
        rule = bound.rule
        text = (
            f"{rule.about} is silent for {bound.silent_s:.0f} s"
            if bound.active
            else f"{rule.about} was silent and is back"
        )
        if bound.changed:
            remedy = "; check its device, cable and driver" if bound.active else ""
            await self.alarm(rule.id, "silent", text + remedy, Severity.ERROR, active=bound.active)
        if rule.max_current_a is None:
            return
        now_ms = self.clock.utc_ms()
        event = Fallback(
            entity=rule.id, active=bound.active, cause=text, assets=rule.assets, max_current_a=rule.max_current_a,
            since_ms=now_ms - round((now_s - bound.since_s) * 1000.0), published_at_ms=now_ms, lifetime_ms=LIFETIME_MS,
        )  # fmt: skip
        with contextlib.suppress(NotConnectedError):
            await self.bus.publish(FALLBACK, event, rule.id)

    def _on_meter(self, received: Received[Measurement]) -> None:
        event = received.event
        if event.reachable and event.number("power_w") is not None:
            self._dog.heard(f"meter:{event.asset}", received.received_s - (received.transit_s or 0.0))

    def _on_heartbeat(self, received: Received[Heartbeat]) -> None:
        at_s = received.received_s - (received.transit_s or 0.0)
        self._dog.heard(f"service:{received.event.service}", at_s)
