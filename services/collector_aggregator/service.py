"""collector-aggregator: telemetry and sessions in, one numbered snapshot and a state per collector out, each second."""

from __future__ import annotations

import contextlib
from typing import ClassVar

from busbar.actor import Actor, Context
from busbar.bus import NotConnectedError, Received
from busbar.events import Measurement, Session
from busbar.subjects import COLLECTOR, SESSION, SNAPSHOT, TELEMETRY
from collector_aggregator.core import Aggregator


class CollectorAggregator(Actor):
    """See `core`. A guard event makes an extra snapshot at once."""

    service: ClassVar[str] = "collector-aggregator"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.period_s = self.site.options.cycle_ms / 1000.0
        # numbers never go back over a restart, without a file: they start at the time of day in ms
        self._core = Aggregator(self.site, self.clock.utc_ms())

    async def start(self) -> None:
        await self.bus.subscribe(SESSION, self._on_session)
        await self.bus.subscribe(TELEMETRY, self._on_telemetry)
        with contextlib.suppress(NotConnectedError):
            for received in await self.bus.last(SESSION):
                if isinstance(received.event, Session):
                    self._core.session(received.event)

    async def cycle(self) -> None:
        snapshot, states = self._core.snapshot(self.clock.mono_s(), self.clock.utc_ms())
        try:
            await self.bus.publish(SNAPSHOT, snapshot)
            for state in states:
                await self.bus.publish(COLLECTOR, state, state.collector)
        except NotConnectedError:
            self.detail = "no connection to the bus: nothing published"
        else:
            self.detail = ""

    def _on_telemetry(self, received: Received[Measurement]) -> None:
        at_s = received.received_s - (received.transit_s or 0.0)
        if self._core.observe(received.event, at_s):
            self.wake()

    def _on_session(self, received: Received[Session]) -> None:
        self._core.session(received.event)
