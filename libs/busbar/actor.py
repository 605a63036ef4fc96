"""The shell that every service wears: start, cycle, stop; heartbeat; signals; drain. Thin and the same everywhere.

    subscribe -> keep the newest per entity -> each cycle: decide -> publish -> beat

Crash-only: a bug leaves the cycle, the process ends, its supervisor starts a clean one; never a restart in process with
old state. Cycles that were missed are skipped, not caught up: the next one starts on the next tick of the grid.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from busbar import __version__
from busbar.bus import Bus, NotConnectedError
from busbar.clock import Clock
from busbar.config.site import Site
from busbar.devices.transport import TransportFactory
from busbar.domain.limits import HEARTBEAT_PERIOD_S
from busbar.events import Alarm, Heartbeat, ServiceState, Severity
from busbar.nap import Nap
from busbar.subjects import ALARM, HEARTBEAT

_BEAT_LIFE_MS: Final[int] = Heartbeat.model_fields["lifetime_ms"].default


class StateStore(Protocol):
    """Small files of one service instance that survive its restart (epoch, checkpoint). Reads and writes are whole."""

    def read(self, name: str) -> bytes | None: ...

    def write(self, name: str, data: bytes) -> None:
        """Atomic and durable. Raises OSError (disk full): control goes on without, with an alarm."""
        ...


@dataclass
class Context:
    """What the outside gives to an actor."""

    site: Site
    bus: Bus
    clock: Clock
    instance: str
    store: StateStore
    transports: TransportFactory
    log: logging.Logger
    options: dict[str, str] = field(default_factory=dict)
    """Options of the command line that only this service knows (`--set key=value`)."""


class Actor(ABC):
    """One service. Subclasses hold the newest inputs and call their core; they decide nothing themselves."""

    service: ClassVar[str]
    period_s: float = 1.0

    def __init__(self, context: Context) -> None:
        self.context = context
        self.site = context.site
        self.bus = context.bus
        self.clock = context.clock
        self.log = context.log
        self.state = ServiceState.STARTING
        self.detail = ""
        self.boot = f"{context.clock.boot_id}:{context.clock.utc_ms()}"
        """Names this start of this instance in its heartbeats."""
        self._woken = False
        """Somebody wants a cycle sooner than the grid's next."""
        self._nap: Nap | None = None
        self._alarms: dict[tuple[str, str], Alarm] = {}

    @abstractmethod
    async def start(self) -> None:
        """Subscribe and load state. Runs once, connected."""

    @abstractmethod
    async def cycle(self) -> None:
        """One round: decide on the newest inputs, publish. An exception ends the process."""

    async def stop(self) -> None:  # noqa: B027 - most services have nothing to put away
        """Put away what the service opened itself; the bus is closed by the shell."""

    def wake(self) -> None:
        """Run the next cycle at once (a measurement above a limit)."""
        self._woken = True
        if self._nap is not None:
            self._nap.wake()

    async def alarm(
        self, entity: str, code: str, text: str, severity: Severity = Severity.WARNING, active: bool = True
    ) -> None:
        """Raise an alarm once, or clear it (`active=False`, by default with its own text); repeating does nothing."""
        known = self._alarms.get((entity, code))
        if active == (known is not None):
            return
        text = text or (known.text if known else "")
        now = self.clock.utc_ms()
        raised = known.raised_at_ms if known else now
        alarm = Alarm(
            entity=entity, code=code, severity=severity, active=active, text=text, service=self.service,
            raised_at_ms=raised, published_at_ms=now,
        )  # fmt: skip
        if active:
            self._alarms[entity, code] = alarm
        else:
            del self._alarms[entity, code]
        if active:
            self.log.warning("%s: %s", entity, text, extra={"code": code})
        else:
            self.log.info("%s: over: %s", entity, text, extra={"code": code})
        with contextlib.suppress(NotConnectedError):
            await self.bus.publish(ALARM, alarm, entity)


class Shell:
    """Runs one actor until `stop` is called or its cycle fails."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self._stopping = False
        self._cycles = 0
        self._longest_ms = 0.0
        self._next_beat_s = 0.0
        self._running: asyncio.Task[None] | None = None
        self._interrupted = False

    def stop(self) -> None:
        """Finish the running cycle, then leave cleanly."""
        self._stopping = True
        self.actor.wake()

    @property
    def cycles(self) -> int:
        """Cycles since the start: what does not grow is stuck."""
        return self._cycles

    async def run(self) -> None:
        """Start, cycle, stop. Re-raises what the actor or one of its handlers raised, after the bus was closed."""
        actor = self.actor
        failed = actor.bus.failed
        failed.add_done_callback(self._interrupt)
        self._running = asyncio.current_task()
        try:
            await self._beat()
            await actor.start()
            actor.state = ServiceState.RUNNING
            await self._cycle_until_stopped()
            actor.state = ServiceState.STOPPING
            await self._beat()
        except asyncio.CancelledError:
            if self._interrupted and self._running is not None:
                self._running.uncancel()
                failed.result()  # raises what the handler raised
            raise
        finally:
            failed.remove_done_callback(self._interrupt)
            await actor.stop()
            await actor.bus.close()

    def _interrupt(self, _failed: asyncio.Future[None]) -> None:
        """A handler failed: leave at once, even out of a wait that would never end."""
        if self._running is not None:
            self._interrupted = True
            self._running.cancel()

    async def _cycle_until_stopped(self) -> None:
        actor = self.actor
        mono_s, period_s = actor.clock.mono_s, actor.period_s
        nap = actor._nap = Nap(asyncio.get_running_loop())
        due_s = mono_s()
        while not self._stopping:
            started_s = mono_s()
            actor._woken = False
            await actor.cycle()
            now_s = mono_s()
            self._cycles += 1
            self._longest_ms = max(self._longest_ms, (now_s - started_s) * 1000.0)
            if now_s >= self._next_beat_s:
                await self._beat()
            while due_s <= now_s:  # skip missed ticks: stay on the grid
                due_s += period_s
            if not actor._woken:
                await nap.until(due_s)

    async def _beat(self) -> None:
        actor = self.actor
        self._next_beat_s = actor.clock.mono_s() + HEARTBEAT_PERIOD_S * 0.9
        beat = Heartbeat.trusted(
            service=actor.service, instance=actor.context.instance, state=actor.state, detail=actor.detail,
            cycle_ms=self._longest_ms, cycles=self._cycles, version=__version__, fingerprint=actor.site.fingerprint,
            boot=actor.boot, published_at_ms=actor.clock.utc_ms(), lifetime_ms=_BEAT_LIFE_MS,
        )  # fmt: skip
        self._longest_ms = 0.0
        with contextlib.suppress(NotConnectedError):
            await actor.bus.publish(HEARTBEAT, beat, actor.service, actor.context.instance)
