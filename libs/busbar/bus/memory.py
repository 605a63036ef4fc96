"""The bus in one process: for simulation, replay and tests. Same interface and contract tests as `nats.py`.

A message reaches its subscribers at the next turn of the event loop, in the order of publishing, then of subscribing;
a `FaultPlan` may drop, delay or repeat it. Events are immutable and passed by reference; `wire=True` sends each
through JSON as NATS would. Nothing is queued for a client that is away, so no queue can be full.

Kept: the last value per subject of LAST (until the broker restarts) and CONTROL, one of each transaction. Bulk reports
are numbered and shown to the taps, not kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from busbar.bus.api import BusError, E, Handler, NotConnectedError, Received, Responder, Subscription
from busbar.bus.faults import FaultPlan
from busbar.bus.wire import Complaints, Counters, UndecodableError, decode, encode
from busbar.clock import Clock
from busbar.events import Command, CommandReply, Event
from busbar.subjects import COMMAND, SUBJECTS, Delivery, Subject

Tap = Callable[[str, Event], None]
_received: Final = tuple.__new__
"""Received(...) by its short cut: a named tuple's own `__new__` is a Python function."""
ANY_SERVICE = "*"
"""Service name of a client that may publish everything: the twin, a test."""


class ForeignSubjectError(AssertionError):
    """A service published what only another may (subjects.py): a bug, not an outage."""


@dataclass(slots=True, eq=False)
class _Subscription:
    client: MemoryBus
    subject: Subject
    pattern: tuple[str, ...]
    handler: Callable[[Received[Any]], None]
    active: bool
    counters: Counters

    async def close(self) -> None:
        self.client._network._remove(self)


_Post = list[tuple[tuple[_Subscription, ...], Received[Any]]]
"""Messages under way, in their order, each with whom it goes to."""


@dataclass(slots=True)
class _Route:
    """What becomes of one full subject; worked out once, until subscriptions, taps or the broker change."""

    subject: Subject
    name: str
    tokens: tuple[str, ...]
    taps: tuple[Tap, ...]
    subscribers: tuple[_Subscription, ...]
    stream: _Stream | None


@dataclass(slots=True)
class _Kept:
    seq: int
    name: str
    tokens: tuple[str, ...]
    event: Event
    sent_s: float


class _Stream:
    def __init__(self, delivery: Delivery) -> None:
        self.seq = 0
        self.kept: dict[str, _Kept] = {}
        self._once = delivery is Delivery.OUTBOX_TX
        self._once_each = delivery is Delivery.OUTBOX

    def add(self, route: _Route, event: Event, sent_s: float) -> int:
        kept = self.kept.get(route.name)
        if kept is None:
            self.seq = seq = self.seq + 1
            self.kept[route.name] = _Kept(seq, route.name, route.tokens, event, sent_s)
            return seq
        if self._once or (self._once_each and kept.event == event):
            return kept.seq  # the same report again
        self.seq = kept.seq = self.seq + 1
        kept.event = event
        kept.sent_s = sent_s
        return kept.seq


class MemoryNetwork:
    """The broker, and the hands of whoever wants to break it."""

    def __init__(self, site: str, clock: Clock, faults: FaultPlan | None = None, wire: bool = False) -> None:
        self.site = site
        self.clock = clock
        self.faults = faults
        self.wire = wire
        self.up = True
        self.clients: list[MemoryBus] = []
        self._loop = asyncio.get_running_loop()
        self._subscriptions: dict[str, list[_Subscription]] = {}
        self._streams = {d: _Stream(d) for d in (Delivery.LAST, Delivery.CONTROL, Delivery.OUTBOX, Delivery.OUTBOX_TX)}
        self._taps: list[tuple[Tap, frozenset[str] | None]] = []
        self._post: _Post = []
        """Sent in this turn of the loop, delivered in the next."""
        self._mono_s = clock.mono_s
        self.messages = 0
        """Sent since the start."""
        self._arrivals_s: dict[tuple[str, str], float] = {}
        self._responders: dict[tuple[str, str], list[_Responder]] = {}

    def connect(self, service: str, instance: str = "main") -> MemoryBus:
        """A client for one service; its publishing is checked against the registry. `ANY_SERVICE` may do all."""
        client = MemoryBus(self, service, instance)
        self.clients.append(client)
        return client

    def tap(self, callback: Tap, nouns: frozenset[str] | None = None) -> None:
        """See every message (of these nouns) when it is published, in order: trace hashes, recording, scoring."""
        self._taps.append((callback, nouns))
        self._forget_routes()

    def stop(self) -> None:
        """The broker dies: everybody is disconnected, its memory is gone, its files stay."""
        self.up = False
        self._streams[Delivery.LAST] = _Stream(Delivery.LAST)
        self._forget_routes()
        for client in self.clients:
            client._lose()

    def start(self) -> None:
        """The broker is back; all clients that are alive reconnect."""
        self.up = True
        for client in self.clients:
            client.reconnect()

    def inject(self, subject: Subject, body: bytes, *tokens: str) -> None:
        """Raw bytes of somebody who is no service."""
        route = self._route(subject, tokens)
        try:
            event = decode(subject, body)
        except UndecodableError as error:
            for sub in route.subscribers:
                sub.client._reject(route.name, error)
            return
        self._send("?", route, event)

    # -- for clients

    def _send(self, sender: str, route: _Route, event: Event) -> int:
        """Returns the stream's sequence; 0 where the subject is not stored."""
        now_s = self._mono_s()
        self.messages += 1
        if self.wire:
            event = decode(route.subject, encode(event))
        for tap in route.taps:
            tap(route.name, event)
        if self.faults is not None:
            self._send_through(self.faults, sender, route, event, now_s)
        elif route.subscribers:
            post = self._post
            if not post:
                self._loop.call_soon(self._deliver_post)
            post.append((route.subscribers, _received(Received, (route.name, event, now_s, 0.0, None))))
        return 0 if route.stream is None else route.stream.add(route, event, now_s)

    def _deliver_post(self) -> None:
        post, self._post = self._post, []
        _deliver(post)

    def _send_through(self, faults: FaultPlan, sender: str, route: _Route, event: Event, now_s: float) -> None:
        for sub in route.subscribers:
            receiver = sub.client.name
            for delay_s in faults.deliveries(route.name, sender, receiver):
                way = (sender, receiver)
                arrival_s = max(now_s + delay_s, self._arrivals_s.get(way, 0.0))
                self._arrivals_s[way] = arrival_s
                post: _Post = [((sub,), Received(route.name, event, arrival_s, arrival_s - now_s))]
                if arrival_s <= now_s:
                    self._loop.call_soon(_deliver, post)
                else:
                    self._loop.call_at(arrival_s, _deliver, post)

    def _route(self, subject: Subject, tokens: tuple[str, ...]) -> _Route:
        if len(tokens) != len(subject.tokens):
            raise ValueError(f"{subject.template} needs {len(subject.tokens)} tokens, got {tokens}")
        subscribers = tuple(s for s in self._subscriptions.get(subject.noun, ()) if _matches(s.pattern, tokens))
        taps = tuple(tap for tap, nouns in self._taps if nouns is None or subject.noun in nouns)
        name, stream = subject.name(self.site, *tokens), self._streams.get(subject.delivery)
        return _Route(subject, name, tokens, taps, subscribers, stream)

    def _forget_routes(self) -> None:
        """Something has changed for all of them."""
        for client in self.clients:
            client._routes.clear()

    def _add(self, sub: _Subscription) -> None:
        self._subscriptions.setdefault(sub.subject.noun, []).append(sub)
        self._forget_routes()

    def _remove(self, sub: _Subscription) -> None:
        sub.active = False
        subs = self._subscriptions.get(sub.subject.noun, [])
        if sub in subs:
            subs.remove(sub)
            self._forget_routes()

    def _last(self, subject: Subject, tokens: tuple[str, ...]) -> list[Received[Event]]:
        stream = self._streams.get(subject.delivery)
        if stream is None or subject.delivery not in (Delivery.LAST, Delivery.CONTROL):
            raise BusError(f"{subject.template} is {subject.delivery}: no last value is kept of it")
        prefix = subject.name(self.site).partition("*")[0]
        now_s = self.clock.mono_s()
        found = [k for k in stream.kept.values() if k.name.startswith(prefix) and _matches(tokens, k.tokens)]
        return [Received(k.name, k.event, now_s, now_s - k.sent_s, k.seq) for k in sorted(found, key=lambda k: k.seq)]


@dataclass(slots=True, eq=False)
class _Responder:
    client: MemoryBus
    key: tuple[str, str]
    answer: Responder

    async def close(self) -> None:
        queue = self.client._network._responders.get(self.key, [])
        if self in queue:
            queue.remove(self)


class MemoryBus:
    """One client: see `busbar.bus.api.Bus`. `disconnect`, `reconnect` and `kill` are for whoever tests."""

    def __init__(self, network: MemoryNetwork, service: str, instance: str) -> None:
        self.service = service
        self.name = f"{service}:{instance}"
        self.counters = Counters()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._network = network
        self._online = network.up
        self._dead = False
        self._cut = False
        self._subscriptions: list[_Subscription] = []
        self._routes: dict[tuple[str, tuple[str, ...]], _Route] = {}
        """Of what this client has published since it is online."""
        self._on_reconnect: list[Callable[[], None]] = []
        self._log = logging.getLogger(f"busbar.bus.{service}")
        self._complaints = Complaints(network.clock, self._log)
        self._foreign = (
            frozenset()
            if service == ANY_SERVICE
            else frozenset(s.noun for s in SUBJECTS if service not in s.publishers and "*" not in s.publishers)
        )

    @property
    def site(self) -> str:
        return self._network.site

    @property
    def connected(self) -> bool:
        return self._online

    async def publish(self, subject: Subject, event: Event, *tokens: str) -> None:
        route = self._routes.get((subject.noun, tokens)) or self._checked_route(subject, tokens)
        self.counters.published += 1
        self._network._send(self.name, route, event)

    async def store(self, subject: Subject, event: Event, *tokens: str) -> int:
        route = self._routes.get((subject.noun, tokens)) or self._checked_route(subject, tokens)
        if subject.delivery in (Delivery.CORE, Delivery.REQUEST):
            raise BusError(f"{subject.template} is {subject.delivery}: it is not stored, publish it")
        self.counters.published += 1
        return self._network._send(self.name, route, event)

    async def subscribe(self, subject: Subject, handler: Handler[E], *tokens: str) -> Subscription:
        self._check_alive()
        sub = _Subscription(
            self, subject, tokens, cast("Callable[[Received[Any]], None]", handler), self._online, self.counters
        )
        self._subscriptions.append(sub)
        self._network._add(sub)
        return sub

    async def last(self, subject: Subject, *tokens: str) -> list[Received[Event]]:
        self._check_online()
        return self._network._last(subject, tokens)

    async def request(self, service: str, verb: str, command: Command, timeout_s: float = 2.0) -> CommandReply:
        self._check(COMMAND)
        queue = [r for r in self._network._responders.get((service, verb), []) if r.client._online]
        if not queue:
            raise BusError(f"nobody answers {service} {verb}: is {service} running?")
        responder = queue[0]
        route = self._network._route(COMMAND, (service, verb))
        self._network.messages += 1
        for tap in route.taps:
            tap(route.name, command)
        self._network._responders[service, verb].remove(responder)
        self._network._responders[service, verb].append(responder)  # the next request goes to the next instance
        answer = asyncio.get_running_loop().create_task(responder.client._answer(responder, command))
        try:
            reply = await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            raise BusError(f"{service} did not answer {verb} within {timeout_s:g} s") from None
        if reply is None:
            raise BusError(f"{service} failed while answering {verb}")
        return reply

    async def respond(self, service: str, verb: str, responder: Responder) -> Subscription:
        self._check_alive()
        entry = _Responder(self, (service, verb), responder)
        self._network._responders.setdefault((service, verb), []).append(entry)
        return entry

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._on_reconnect.append(callback)

    async def close(self) -> None:
        if not self._dead:
            await asyncio.sleep(0)  # what was sent to this client is delivered
            self.kill()

    # -- for tests and simulation

    def disconnect(self) -> None:
        """The connection is cut until `reconnect`; nothing is sent, kept or delivered meanwhile."""
        self._cut = True
        self._lose()

    def reconnect(self) -> None:
        """Connect again where broker and client live; the callbacks of `on_reconnect` follow at once."""
        self._cut = False
        if self._dead or self._online or not self._network.up:
            return
        self._online = True
        self.counters.reconnects += 1
        for sub in self._subscriptions:
            sub.active = True
        for callback in self._on_reconnect:
            self._network._loop.call_soon(callback)

    def kill(self) -> None:
        """The process is gone: its subscriptions vanish at once, nothing is drained, it sends nothing more."""
        self._dead = True
        self._online = False
        self._routes.clear()
        for sub in self._subscriptions:
            self._network._remove(sub)
        self._subscriptions.clear()
        for queue in self._network._responders.values():
            queue[:] = [r for r in queue if r.client is not self]
        if self in self._network.clients:
            self._network.clients.remove(self)

    # -- inside

    def _lose(self) -> None:
        self._online = False
        self._routes.clear()
        for sub in self._subscriptions:
            sub.active = False

    def _checked_route(self, subject: Subject, tokens: tuple[str, ...]) -> _Route:
        """Where this client may send; asked anew after it was offline."""
        self._check(subject)
        route = self._routes[subject.noun, tokens] = self._network._route(subject, tokens)
        return route

    def _check(self, subject: Subject) -> None:
        self._check_online()
        if subject.noun in self._foreign:
            raise ForeignSubjectError(
                f"{self.service} may not publish {subject.template}: only {', '.join(subject.publishers)} may"
            )

    def _check_online(self) -> None:
        if not self._online:
            raise NotConnectedError(f"{self.name} has no connection to the bus: nothing was sent")

    def _check_alive(self) -> None:
        if self._dead:
            raise NotConnectedError(f"{self.name} has closed its connection to the bus")

    def _fail(self, subject: str, error: Exception) -> None:
        self.counters.handler_errors += 1
        self._log.error("%s: the handler raised %s: %s", subject, type(error).__name__, error)
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # seen: the log has it, even where no shell listens

    def _reject(self, subject: str, error: UndecodableError) -> None:
        self.counters.undecodable += 1
        self._complaints.say(subject, f"dropped, not readable: {error}")

    async def _answer(self, responder: _Responder, command: Command) -> CommandReply | None:
        try:
            return await responder.answer(command)
        except Exception as error:  # noqa: BLE001 - crash-only: any bug of a responder ends its service
            self._fail(COMMAND.name(self.site, *responder.key), error)
            return None


def _deliver(post: _Post) -> None:
    for subscribers, received in post:
        for sub in subscribers:
            if sub.active:
                sub.counters.received += 1
                try:
                    sub.handler(received)
                except Exception as error:  # noqa: BLE001 - crash-only: any bug of a handler ends its service
                    sub.client._fail(received.subject, error)


def _matches(pattern: tuple[str, ...], tokens: tuple[str, ...]) -> bool:
    """Missing tokens of the pattern are wildcards; `*` is one."""
    if len(pattern) > len(tokens):
        return False
    return all(want in ("*", have) for want, have in zip(pattern, tokens, strict=False))
