"""collector-aggregator: telemetry and sessions in, one numbered snapshot and a state per collector out, each second."""

from __future__ import annotations

from typing import ClassVar, Final

from busbar.actor import Actor, Context
from busbar.bus import BusError, NotConnectedError, Received
from busbar.events import Measurement, Session, Setpoint
from busbar.subjects import COLLECTOR, SESSION, SETPOINT, SNAPSHOT, TELEMETRY
from collector_aggregator.core import Aggregator, first_number

NUMBER_FILE: Final = "number"
SETTLE_S: Final = 3.0
"""A new process shows no half-known site: it is silent until all were heard of, at most for so long (FB-5)."""


class CollectorAggregator(Actor):
    """See `core`. Inputs: TELEMETRY, SESSION, and SETPOINT for what a connector may be about to draw. Outputs: SNAPSHOT
    and COLLECTOR, each cycle and at once when a meter is above a limit.

    Handlers store and return; a subscription that is full loses its newest, which the next poll replaces."""

    service: ClassVar[str] = "collector-aggregator"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.period_s = self.site.options.cycle_ms / 1000.0
        self._number = first_number(self.clock.utc_ms(), _stored(context.store.read(NUMBER_FILE)))
        self._core = Aggregator(self.site, self._number)
        self._sessions_known = False
        self._settled_s = self.clock.mono_s() + SETTLE_S

    async def start(self) -> None:
        """Subscribe; keep where the numbers start."""
        self.bus.on_reconnect(self._reconnected)
        await self.bus.subscribe(SESSION, self._on_session)
        await self.bus.subscribe(SETPOINT, self._on_setpoint)
        await self.bus.subscribe(TELEMETRY, self._on_telemetry)
        try:
            self.context.store.write(NUMBER_FILE, str(self._number).encode())
        except OSError as error:
            text = f"{error}: should the clock be set back, snapshots are refused until it has caught up; free the disk"
            await self.alarm(self.service, "store", text)

    async def cycle(self) -> None:
        if not self.bus.connected:
            self.detail = "no connection to the bus: nothing published"
            return
        if not self._sessions_known:
            await self._read_sessions()
        now_s, now_ms = self.clock.mono_s(), self.clock.utc_ms()
        if now_s < self._settled_s and not (self._core.complete or self._core.urgent):
            self.detail = "just started: listens until everybody was heard of"
            return
        try:
            await self.bus.publish(SNAPSHOT, self._core.snapshot(now_s, now_ms))
            for state in self._core.states(now_ms):
                await self.bus.publish(COLLECTOR, state, state.collector)
        except NotConnectedError:
            self.detail = "no connection to the bus: nothing published"
        else:
            self.detail = ""

    async def _read_sessions(self) -> None:
        """What was published before we listened."""
        try:
            stored = await self.bus.last(SESSION)
        except BusError as error:
            self.log.warning("sessions of before are not known yet: %s", error)
            return
        self._sessions_known = True
        for received in stored:
            if isinstance(received.event, Session):
                self._core.session(received.event, stored=True)

    def _reconnected(self) -> None:
        self._sessions_known = False

    def _on_telemetry(self, received: Received[Measurement]) -> None:
        event, transit_s = received.event, received.transit_s
        if transit_s is None:  # unknown clock: as old as leaves it the life that it may still have (failure.md, Ages)
            life_ms = event.lifetime_ms
            transit_s = (life_ms - received.life_left_ms(received.received_s, life_ms)) / 1000.0
        if self._core.observe(event, received.received_s - transit_s):
            self.wake()

    def _on_session(self, received: Received[Session]) -> None:
        self._core.session(received.event)

    def _on_setpoint(self, received: Received[Setpoint]) -> None:
        self._core.setpoint(received.event)


def _stored(data: bytes | None) -> int | None:
    try:
        return None if data is None else int(data)
    except ValueError:
        return None
