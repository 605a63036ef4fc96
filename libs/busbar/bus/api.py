"""What services may ask of a bus. Both carriers fulfil one contract test suite (tests/contract/test_bus.py).

Live subjects: newest value wins, nothing is replayed, nothing is buffered while disconnected. Handlers are plain
functions: they store and return. A message that does not decode is counted, logged and dropped; no service ends of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from busbar.domain.limits import UNKNOWN_CLOCK_LIFE_MS
from busbar.events import Command, CommandReply, Event
from busbar.subjects import Subject

E = TypeVar("E", bound=Event)
E_co = TypeVar("E_co", bound=Event, covariant=True)


class BusError(Exception):
    """Something the bus could not do; the text names the remedy."""


class NotConnectedError(BusError):
    """The message was not sent: there is no connection right now."""


class Received(NamedTuple, Generic[E_co]):
    """One event as it arrived. A tuple: one is made for every message, and a frozen dataclass takes twice as long."""

    subject: str
    event: E_co
    received_s: float
    """Receiver's monotonic clock at arrival."""
    transit_s: float | None
    """Time on the way, exact where sender and receiver share a monotonic clock, else None (unknown)."""
    stored_seq: int | None = None
    """Stream sequence where it was read from a stream: the order of standing limits (failure.md)."""

    def age_ms(self, now_s: float) -> float:
        """Age at the receiver's monotonic `now_s`; without a common clock only what passed here is known."""
        return ((now_s - self.received_s) + (self.transit_s or 0.0)) * 1000.0

    def life_left_ms(self, now_s: float, lifetime_ms: float) -> float:
        """Life that remains; at most 2 s after arrival where the sender's clock is unknown (failure.md, Ages)."""
        life = lifetime_ms if self.transit_s is not None else min(lifetime_ms, UNKNOWN_CLOCK_LIFE_MS)
        return life - self.age_ms(now_s)


class Subscription(Protocol):
    async def close(self) -> None: ...


Handler = Callable[[Received[E]], None]
Responder = Callable[[Command], Awaitable[CommandReply]]


class Bus(Protocol):
    """A connection of one service to the site's bus."""

    @property
    def site(self) -> str: ...

    @property
    def connected(self) -> bool: ...

    @property
    def failed(self) -> asyncio.Future[None]:
        """Ends, with its exception, when a handler or responder raised or the connection is closed for good.

        Crash-only: the shell ends the service. It never has a result."""
        ...

    async def publish(self, subject: Subject, event: Event, *tokens: str) -> None:
        """Send on a core subject. Raises NotConnectedError (nothing is buffered: a stale setpoint is a danger)."""
        ...

    async def store(self, subject: Subject, event: Event, *tokens: str) -> int:
        """Send to a stream subject and wait until it is stored. Returns its sequence. Raises BusError."""
        ...

    async def subscribe(self, subject: Subject, handler: Handler[E], *tokens: str) -> Subscription:
        """Call `handler` for each event, in the order of its publisher. Missing tokens are wildcards; `*` is one."""
        ...

    async def last(self, subject: Subject, *tokens: str) -> list[Received[Event]]:
        """Last stored event per subject (LAST, CONTROL), by stream sequence.

        Empty where the stream does not exist or the server has no store: empty is not "released". Raises BusError."""
        ...

    async def request(self, service: str, verb: str, command: Command, timeout_s: float = 2.0) -> CommandReply:
        """Ask a service. Raises BusError when nobody answers."""
        ...

    async def respond(self, service: str, verb: str, responder: Responder) -> Subscription:
        """Answer requests to `service`; one of its instances gets each."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call back after each re-established connection: then standing values are read again with `last`."""
        ...

    async def close(self) -> None:
        """Drain what was sent and disconnect; safe to call twice."""
        ...
