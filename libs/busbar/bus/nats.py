"""The bus over NATS. The only module that imports nats (messaging.md, nats-py).

- Nothing is buffered while disconnected: `publish` raises NotConnectedError, and what nats-py still held when the
  connection broke is thrown away. A setpoint of before the outage never arrives after it.
- Handlers run in a callback, one after another for each subscription. A subscription's queue holds 4096 messages; when
  it is full nats-py drops the newest, which is counted and logged; the next cycle replaces them.
- A handler that raises ends the service (`failed`); a body that does not decode is counted, logged and dropped.
- Waiting for a server never ends, in the beginning and after an outage.

Times given to nats-py are seconds of the wall (`real_s`): a simulation that runs faster has no faster sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from nats.aio.client import PING_PROTO, Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    Error,
    NoRespondersError,
    OutboundBufferLimitError,
    SlowConsumerError,
)
from nats.js import api
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError, ServiceUnavailableError

from busbar.bus.api import BusError, E, Handler, NotConnectedError, Received, Responder, Subscription
from busbar.bus.streams import DUPLICATE_WINDOW_S, STREAM_OF, StreamSpec
from busbar.bus.wire import (
    CLOCK_HEADER,
    Complaints,
    Counters,
    UndecodableError,
    clock_header,
    decode,
    encode,
    transit_s,
)
from busbar.clock import Clock
from busbar.events import Command, CommandReply, Event
from busbar.loops import real_s
from busbar.subjects import COMMAND, Delivery, Subject

_PENDING_MSGS: Final = 4096
_PENDING_BYTES: Final = 256 * 1024 * 1024
_STORE_TIMEOUT_S: Final = 2.0
_CLOSE_TIMEOUT_S: Final = 3.0
_WAIT_LOG_PERIOD_S: Final = 10.0
_FETCH: Final = 256
_PER_SUBJECT_FULL: Final = 10077
_NOT_SENT: Final = (
    OutboundBufferLimitError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
)


class _Client(Client):
    """nats-py with two of its traps closed (messaging.md).

    It throws away what it has not sent when the connection breaks: otherwise it keeps those bytes and sends them after
    the reconnect, and waits for a stopped server to read the rest. And its PING waits its turn behind what is queued:
    otherwise the PONG that ends a flush says nothing of a subscription still in the queue.
    """

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(PING_PROTO)
        await self._flush_pending()

    async def _process_op_err(self, e: Exception) -> None:
        if not (self.is_closed or self.is_reconnecting):
            self._pending.clear()
            self._pending_data_size = 0
            writer = getattr(self._transport, "_io_writer", None)
            if writer is not None:
                writer.transport.abort()
        await super()._process_op_err(e)


class _NatsSubscription:
    def __init__(self, inner: NatsSubscription) -> None:
        self._inner = inner

    async def close(self) -> None:
        with contextlib.suppress(BadSubscriptionError, ConnectionClosedError, ConnectionDrainingError):
            await self._inner.unsubscribe()


class NatsBus:
    """One connection of one service: see `busbar.bus.api.Bus`. Made by `NatsBus.connect`."""

    def __init__(self, url: str, site: str, name: str, clock: Clock) -> None:
        self.url = url
        self.name = name
        self.counters = Counters()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._site = site
        self._clock = clock
        self._boot_id = clock.boot_id
        self._client = _Client()
        self._log = logging.getLogger("busbar.bus")
        self._complaints = Complaints(clock, self._log)
        self._on_reconnect: list[Callable[[], None]] = []
        self._closing = False
        self._lost_at_s: float | None = None
        self._waiting_logged_s: float | None = None

    @classmethod
    async def connect(cls, url: str, site: str, name: str, clock: Clock, timeout_s: float | None = None) -> NatsBus:
        """Connect as `name`, waiting for the server for ever, or for `timeout_s` (then NotConnectedError)."""
        bus = cls(url, site, name, clock)
        try:
            async with asyncio.timeout(None if timeout_s is None else real_s(timeout_s)):
                await bus._open()
        except TimeoutError:
            raise NotConnectedError(f"no nats-server answers at {url}: is `busbar up` running?") from None
        return bus

    async def _open(self) -> None:
        await self._client.connect(
            self.url,
            name=self.name,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            connect_timeout=cast("int", real_s(2.0)),
            reconnect_time_wait=cast("int", real_s(0.25)),
            max_reconnect_attempts=-1,
            ping_interval=cast("int", real_s(2.0)),
            max_outstanding_pings=2,
            drain_timeout=cast("int", real_s(2.0)),
            pending_size=-1,
            skip_subject_validation=True,
        )
        self._js = self._client.jetstream(timeout=real_s(_STORE_TIMEOUT_S))
        self._log.info("connected to %s as %s", self.url, self.name)

    # -- the interface

    @property
    def site(self) -> str:
        return self._site

    @property
    def connected(self) -> bool:
        return bool(self._client.is_connected)

    async def publish(self, subject: Subject, event: Event, *tokens: str) -> None:
        name = self._full_name(subject, tokens)
        try:
            await self._client.publish(name, encode(event), headers=self._headers())
        except _NOT_SENT as error:
            raise self._not_connected(name) from error
        self.counters.published += 1

    async def store(self, subject: Subject, event: Event, *tokens: str) -> int:
        stream = _stream_of(subject)
        name = self._full_name(subject, tokens)
        body = encode(event)
        headers = self._headers()
        if subject.delivery is Delivery.OUTBOX_TX:
            headers[api.Header.MSG_ID] = name
        elif subject.delivery is Delivery.OUTBOX:
            headers[api.Header.MSG_ID] = f"{name}:{hashlib.blake2b(body, digest_size=12).hexdigest()}"
        try:
            ack = await self._js.publish(name, body, headers=headers, timeout=real_s(_STORE_TIMEOUT_S))
        except _NOT_SENT as error:
            raise self._not_connected(name) from error
        except NoStreamResponseError as error:
            raise BusError(f"{name} was not stored: stream {stream} does not exist; `busbar up` creates it") from error
        except APIError as error:
            if subject.delivery is Delivery.OUTBOX_TX and _already_stored(error):
                return await self._seq_of(stream, name)
            raise BusError(f"{name} was not stored: {error.description} (stream {stream})") from error
        except (Error, TimeoutError) as error:
            raise BusError(f"{name}: not known to be stored, no answer of stream {stream}; send it again") from error
        self.counters.published += 1
        return int(ack.seq)

    async def subscribe(self, subject: Subject, handler: Handler[E], *tokens: str) -> Subscription:
        call = cast("Callable[[Received[Event]], None]", handler)

        async def on_message(msg: Msg) -> None:
            if self.failed.done():
                return
            received = self._receive(subject, msg)
            if received is None:
                return
            try:
                call(received)
            except Exception as error:  # noqa: BLE001 - crash-only: any bug of a handler ends its service
                self._fail(msg.subject, error)

        return await self._subscribe(subject.name(self._site, *tokens), on_message)

    async def last(self, subject: Subject, *tokens: str) -> list[Received[Event]]:
        if subject.delivery not in (Delivery.LAST, Delivery.CONTROL):
            raise BusError(f"{subject.template} is {subject.delivery}: no last value is kept of it")
        if not self.connected:
            raise self._not_connected(subject.template)
        name = subject.name(self._site, *tokens)
        try:
            messages = await self._snapshot(_stream_of(subject), name)
        except NotFoundError:
            return []
        except ServiceUnavailableError as error:
            # A server that runs without a store says so: control goes on (failure.md). One that has a store and does
            # not answer is another thing: a standing limit may be in it.
            if self._client._server_info.get("jetstream"):
                raise BusError(f"last values of {name} cannot be read: JetStream does not answer") from error
            self._complaints.say(name, "nothing is known of before: nats-server runs without a store")
            return []
        except _NOT_SENT as error:
            raise self._not_connected(name) from error
        except (Error, TimeoutError) as error:
            raise BusError(f"last values of {name} cannot be read: {error or type(error).__name__}") from error
        newest: dict[str, Received[Event]] = {}
        for msg in messages:
            received = self._receive(subject, msg, stored=True)
            if received is not None:
                newest[received.subject] = received
        return sorted(newest.values(), key=lambda r: r.stored_seq or 0)

    async def request(self, service: str, verb: str, command: Command, timeout_s: float = 2.0) -> CommandReply:
        name = COMMAND.name(self._site, service, verb)
        try:
            msg = await self._client.request(name, encode(command), timeout=timeout_s, headers=self._headers())
        except NoRespondersError as error:
            raise BusError(f"nobody answers {service} {verb}: is {service} running?") from error
        except _NOT_SENT as error:
            raise self._not_connected(name) from error
        except (Error, TimeoutError) as error:
            raise BusError(f"{service} did not answer {verb} within {timeout_s:g} s") from error
        try:
            return CommandReply.model_validate_json(msg.data)
        except ValueError as error:
            raise BusError(f"{service} gave no readable answer to {verb}") from error

    async def respond(self, service: str, verb: str, responder: Responder) -> Subscription:
        async def on_request(msg: Msg) -> None:
            received = self._receive(COMMAND, msg)
            if received is None or self.failed.done():
                return
            command = cast("Command", received.event)
            if received.life_left_ms(received.received_s, command.lifetime_ms) <= 0.0:
                self._complaints.say(msg.subject, "command not executed: it arrived after its lifetime")
                return
            try:
                reply = await responder(command)
            except Exception as error:  # noqa: BLE001 - crash-only: any bug of a responder ends its service
                self._fail(msg.subject, error)
                return
            with contextlib.suppress(*_NOT_SENT):
                await self._client.publish(msg.reply, encode(reply))

        return await self._subscribe(COMMAND.name(self._site, service, verb), on_request, queue=service)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._on_reconnect.append(callback)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        for end in (self._client.drain, self._client.close):  # drain raises where there is no connection
            if not self._client.is_closed:
                with contextlib.suppress(Error, TimeoutError, OSError):
                    async with asyncio.timeout(real_s(_CLOSE_TIMEOUT_S)):
                        await end()

    # -- streams (for `busbar.bus.provision`)

    async def ensure_stream(self, spec: StreamSpec) -> str:
        """Create or correct a stream. Returns `created`, `changed` or `found`. Raises BusError."""
        wanted = _stream_config(spec)
        try:
            try:
                info = await self._js.stream_info(spec.name)
            except NotFoundError:
                await self._js.add_stream(wanted)
                return "created"
            if _same(info.config, wanted):
                return "found"
            await self._js.update_stream(wanted)
        except (Error, TimeoutError, OSError) as error:
            text = getattr(error, "description", None) or str(error) or type(error).__name__
            raise BusError(f"stream {spec.name} cannot be provided: {text}") from error
        return "changed"

    # -- inside

    def _full_name(self, subject: Subject, tokens: tuple[str, ...]) -> str:
        if len(tokens) != len(subject.tokens):
            raise ValueError(f"{subject.template} needs {len(subject.tokens)} tokens, got {tokens}")
        return subject.name(self._site, *tokens)

    def _headers(self) -> dict[str, str]:
        return {CLOCK_HEADER: clock_header(self._boot_id, self._clock.mono_s())}

    def _not_connected(self, name: str) -> NotConnectedError:
        return NotConnectedError(f"{name} was not sent: no connection to {self.url}")

    async def _subscribe(self, name: str, callback: Callable[[Msg], Any], queue: str = "") -> _NatsSubscription:
        try:
            inner = await self._client.subscribe(
                name, queue=queue, cb=callback, pending_msgs_limit=_PENDING_MSGS, pending_bytes_limit=_PENDING_BYTES
            )
        except (ConnectionClosedError, ConnectionDrainingError) as error:
            raise NotConnectedError(f"{self.name} has closed its connection to the bus") from error
        if self.connected:  # otherwise the reconnect subscribes
            with contextlib.suppress(Error, TimeoutError):
                await self._client.flush(timeout=cast("int", real_s(2.0)))
        return _NatsSubscription(inner)

    def _receive(self, subject: Subject, msg: Msg, stored: bool = False) -> Received[Event] | None:
        now_s = self._clock.mono_s()
        try:
            event = decode(subject, msg.data)
        except UndecodableError as error:
            self.counters.undecodable += 1
            self._complaints.say(msg.subject, f"dropped, not readable: {error}")
            return None
        self.counters.received += 1
        header = msg.headers.get(CLOCK_HEADER) if msg.headers else None
        seq = int(msg.metadata.sequence.stream) if stored else None
        return Received(msg.subject, event, now_s, transit_s(header, self._boot_id, now_s), seq)

    async def _snapshot(self, stream: str, name: str) -> list[Msg]:
        """All last values below a subject: an ephemeral pull consumer, read until nothing is pending."""
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=api.AckPolicy.NONE,
            filter_subject=name,
            inactive_threshold=10.0,
            mem_storage=True,
        )
        info = await self._js.add_consumer(stream, config)
        pending = info.num_pending or 0
        messages: list[Msg] = []
        if pending:
            sub = await self._js.pull_subscribe_bind(consumer=info.name, stream=stream)
            enough = pending + _FETCH  # values replaced while we read come again
            while pending and len(messages) < enough:
                messages += await sub.fetch(min(pending, _FETCH), timeout=real_s(2.0))
                pending = int(messages[-1].metadata.num_pending)
            await sub.unsubscribe()
        with contextlib.suppress(Error, TimeoutError):
            await self._js.delete_consumer(stream, info.name)
        return messages

    async def _seq_of(self, stream: str, name: str) -> int:
        try:
            message = await self._js.get_last_msg(stream, name)
        except (Error, TimeoutError) as error:
            raise BusError(f"{name} is stored already, but cannot be read back: {error}") from error
        return int(message.seq or 0)

    def _fail(self, subject: str, error: Exception) -> None:
        self.counters.handler_errors += 1
        self._log.error("%s: the handler raised %s: %s", subject, type(error).__name__, error)
        self._end(error)

    def _end(self, error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # seen: the log has it, even where no shell listens

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, SlowConsumerError):
            self.counters.dropped += 1
            self._complaints.say(error.subject, "too slow: the newest messages are dropped until the queue has room")
            return
        self._log.debug("nats: %s", error or type(error).__name__)
        if self._client.stats["reconnects"] or self._lost_at_s is not None or self.connected:
            return
        now_s = self._clock.mono_s()
        if self._waiting_logged_s is None or now_s - self._waiting_logged_s >= real_s(_WAIT_LOG_PERIOD_S):
            self._waiting_logged_s = now_s
            self._log.warning("waiting for nats-server at %s (`busbar up` starts one): %s", self.url, error)

    async def _on_disconnected(self) -> None:
        if self._closing:
            return
        self._lost_at_s = self._clock.mono_s()
        self._log.warning("connection to %s lost: nothing is sent until it is back", self.url)

    async def _on_reconnected(self) -> None:
        self.counters.reconnects += 1
        now_s = self._clock.mono_s()
        self._log.warning("connected to %s again after %.1f s", self.url, now_s - (self._lost_at_s or now_s))
        for callback in self._on_reconnect:
            callback()

    async def _on_closed(self) -> None:
        if not self._closing:
            self._end(BusError(f"{self.url} closed the connection for good: {self._client.last_error}"))


def _stream_of(subject: Subject) -> str:
    stream = STREAM_OF.get(subject.delivery)
    if stream is None:
        raise BusError(f"{subject.template} is {subject.delivery}: it is not stored, publish it")
    return stream


def _already_stored(error: APIError) -> bool:
    """The server says "full" and "you have sent this before" with one code: the text tells."""
    return error.err_code == _PER_SUBJECT_FULL and "per subject" in (error.description or "")


def _stream_config(spec: StreamSpec) -> api.StreamConfig:
    return api.StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.MEMORY if spec.in_memory else api.StorageType.FILE,
        max_msgs_per_subject=1 if spec.last_per_subject else -1,
        max_bytes=spec.max_bytes,
        max_age=spec.max_age_s,
        discard=api.DiscardPolicy.NEW if spec.discard_new else api.DiscardPolicy.OLD,
        discard_new_per_subject=spec.discard_new_per_subject,
        duplicate_window=DUPLICATE_WINDOW_S,
        num_replicas=1,
    )


_COMPARED: Final[Iterable[str]] = (
    "subjects", "storage", "max_msgs_per_subject", "max_bytes", "max_age", "discard", "discard_new_per_subject",
    "duplicate_window",
)  # fmt: skip


def _same(have: api.StreamConfig, want: api.StreamConfig) -> bool:
    return all((getattr(have, name) or 0) == (getattr(want, name) or 0) for name in _COMPARED)
