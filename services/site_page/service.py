"""site-page: keeps the newest of everything, renders once a second, streams what changed to every open page."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import ClassVar

import orjson
import uvicorn
from markupsafe import Markup

from busbar import __version__
from busbar.actor import Actor, Context
from busbar.bus import Received
from busbar.events import (
    Alarm,
    CollectorState,
    Decision,
    Event,
    Fallback,
    Heartbeat,
    Measurement,
    Session,
    SessionPhase,
    Setpoint,
    SetpointResult,
    Severity,
)
from busbar.subjects import (
    ALARM,
    COLLECTOR,
    DECISION,
    FALLBACK,
    HEARTBEAT,
    RESULT,
    SESSION,
    SETPOINT,
    TELEMETRY,
)
from site_page.core import History, LogLine, Newest, SiteView, site_view
from site_page.doubles import Doubles
from site_page.render import Renderer, changes
from site_page.web import Live, application, event

DEFAULT_ADDRESS = "127.0.0.1:8080"
MAIN = "main"
"""Instance name of a service that runs once; not worth showing."""
WATCH_THEMSELVES = ("field-driver-modbus", "spc-allocator")
"""They command, so they look for doubles of their own and alarm."""


class SitePage(Actor):
    """Shows the site. Options: `listen=HOST:PORT` (default 127.0.0.1:8080; loopback until logins exist)."""

    service: ClassVar[str] = "site-page"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.newest = Newest()
        self.history = History()
        self.live = Live()
        self._renderer = Renderer()
        self._pieces: dict[str, Markup] = {}
        self._view: SiteView | None = None
        self._silent: set[str] = set()
        self._doubles = Doubles()
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.bus.subscribe(TELEMETRY, self._on_telemetry)
        await self.bus.subscribe(COLLECTOR, self._on_collector)
        await self.bus.subscribe(SETPOINT, self._on_setpoint)
        await self.bus.subscribe(RESULT, self._on_result)
        await self.bus.subscribe(DECISION, self._on_decision)
        await self.bus.subscribe(SESSION, self._on_session)
        await self.bus.subscribe(FALLBACK, self._on_fallback)
        await self.bus.subscribe(HEARTBEAT, self._on_heartbeat)
        await self.bus.subscribe(ALARM, self._on_alarm)
        await self._catch_up()
        self._refresh()
        self._serving = asyncio.create_task(self._serve())

    async def _catch_up(self) -> None:
        """Sessions change rarely: read the last of each, so that the page has them at once."""
        last: list[Received[Event]] = await self.bus.last(SESSION)
        for received in last:
            if isinstance(received.event, Session):
                self.newest.sessions.setdefault(
                    received.event.connector, Received(received.subject, received.event, received.received_s, None)
                )

    async def cycle(self) -> None:
        if self._serving and self._serving.done():
            self._serving.result()  # a web server that ended ends the service, with its reason
        self._note_silence()
        await self._note_doubles()
        self.history.add(self.clock.utc_ms(), self.newest, self.site, self.clock.mono_s())
        before = self._pieces
        self._refresh()
        message = changes(before, self._pieces)
        parts = [event(message)] if message else []
        parts.append(event(self._tick(), "tick"))
        self.live.send("".join(parts))

    async def stop(self) -> None:
        self.live.close()
        if self._server and self._serving:
            self._server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError, OSError, SystemExit):
                await asyncio.wait_for(asyncio.shield(self._serving), 3.0)

    # -- what the web side asks -------------------------------------------------------------------------------------

    def page(self) -> str:
        return self._renderer.page(self.view(), self._pieces, __version__)

    def whole(self) -> str:
        return changes({}, self._pieces)

    def view(self) -> SiteView:
        if self._view is None:
            self._refresh()
        assert self._view is not None  # noqa: S101 - _refresh has just made it
        return self._view

    def series(self, collector: str) -> list[list[float | None]] | None:
        return self.history.series(collector) if collector in self.site.tree.index else None

    def healthy(self) -> str | None:
        return None if self.bus.connected else "no connection to the bus: is nats-server running? see `busbar status`"

    # -- inside -----------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        self._view = site_view(self.site, self.newest, self.clock.mono_s())
        self._pieces = self._renderer.pieces(self._view)

    def _tick(self) -> str:
        """The newest point of each chart: `{collector: [time_s, l1, l2, l3]}`."""
        now = self.history.times_ms[-1] / 1000.0
        points: dict[str, list[float | None]] = {}
        for collector, series in self.history.currents.items():
            point = series[-1]
            points[collector] = [now, *([round(v, 2) for v in point] if point else [None, None, None])]
        return orjson.dumps(points).decode()

    def _note_silence(self) -> None:
        """Log when a service falls silent and when it is back."""
        now_s = self.clock.mono_s()
        for name, received in self.newest.beats.items():
            dead = received.age_ms(now_s) > received.event.lifetime_ms
            if dead and name not in self._silent:
                self._silent.add(name)
                self._log("error", name, "silent: no heartbeat for 3 s")
            elif not dead and name in self._silent:
                self._silent.discard(name)
                self._log("info", name, "back")

    async def _note_doubles(self) -> None:
        for name, twice in self._doubles.judged(self.clock.mono_s()):
            text = f"{name} was started twice: stop one of them"
            await self.alarm(name, "started_twice", text, Severity.ERROR, active=twice)

    def _log(self, level: str, who: str, text: str) -> None:
        self.newest.log.append(LogLine(self.clock.utc_ms(), level, who, text))

    async def _serve(self) -> None:
        host, _, port = self.context.options.get("listen", DEFAULT_ADDRESS).rpartition(":")
        try:
            listener = socket.create_server((host.strip("[]"), int(port)), backlog=64)
        except OSError as error:
            raise OSError(
                f"the page cannot listen on {host}:{port}: {error.strerror}. Stop what uses the port, or choose "
                "another with `busbar up --page-port PORT` (`--set listen=HOST:PORT` for `busbar run`)"
            ) from error
        config = uvicorn.Config(
            application(self), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = _Server(config)
        self.log.info("page: http://%s:%s/", host, port)
        await self._server.serve(sockets=[listener])

    def _on_telemetry(self, received: Received[Measurement]) -> None:
        self.newest.telemetry[received.event.asset] = received

    def _on_collector(self, received: Received[CollectorState]) -> None:
        self.newest.collectors[received.event.collector] = received

    def _on_setpoint(self, received: Received[Setpoint]) -> None:
        self.newest.setpoints[received.event.asset] = received

    def _on_result(self, received: Received[SetpointResult]) -> None:
        known = self.newest.results.get(received.event.asset)
        if known and known.event.stage != received.event.stage:
            self._log("warning" if received.event.stage != "fresh" else "info", received.event.asset,
                      f"setpoint stage is now {received.event.stage}")  # fmt: skip
        self.newest.results[received.event.asset] = received

    def _on_decision(self, received: Received[Decision]) -> None:
        self.newest.decisions[received.event.collector] = received

    def _on_session(self, received: Received[Session]) -> None:
        session = received.event
        known = self.newest.sessions.get(session.connector)
        if known and known.event.session_id != session.session_id:
            self._log("info", session.connector, "vehicle plugged in")
        elif session.phase is SessionPhase.ENDED and (known is None or known.event.phase is not SessionPhase.ENDED):
            self._log("info", session.connector, f"vehicle left with {session.energy_wh / 1000:.1f} kWh")
        self.newest.sessions[session.connector] = received

    def _on_fallback(self, received: Received[Fallback]) -> None:
        fallback = received.event
        known = self.newest.fallbacks.get(fallback.entity)
        if fallback.active and not (known and known.event.active):
            self._log("error", fallback.entity, f"fallback to {fallback.max_current_a:g} A: {fallback.cause}")
        elif not fallback.active and known and known.event.active:
            self._log("info", fallback.entity, "fallback over")
        self.newest.fallbacks[fallback.entity] = received

    def _on_heartbeat(self, received: Received[Heartbeat]) -> None:
        beat = received.event
        name = beat.service if beat.instance == MAIN else f"{beat.service} {beat.instance}"
        known = self.newest.beats.get(name)
        if beat.service not in WATCH_THEMSELVES:
            self._doubles.heard(name, beat.boot, self.clock.mono_s())
        if known and beat.cycles < known.event.cycles and not self._doubles.twice(name):
            self._log("warning", name, "restarted")
        self.newest.beats[name] = received

    def _on_alarm(self, received: Received[Alarm]) -> None:
        alarm = received.event
        key = (alarm.entity, alarm.code)
        if alarm.active:
            self.newest.alarms[key] = alarm
            self._log(alarm.severity.value, alarm.entity, alarm.text)
        elif self.newest.alarms.pop(key, None):
            self._log("info", alarm.entity, f"over: {alarm.text}")


class _Server(uvicorn.Server):
    """Leaves signals to the shell: one Ctrl-C, one way to stop."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # uvicorn's own signature is untyped
        yield
