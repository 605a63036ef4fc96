"""What services may rely on, whatever carries the bus: one suite for NATS and for memory (in wire and in fast form)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from busbar.bus import Bus, BusError, NotConnectedError, Received
from busbar.bus.memory import ANY_SERVICE, MemoryBus, MemoryNetwork
from busbar.bus.nats import NatsBus
from busbar.bus.provision import provision
from busbar.clock import SystemClock
from busbar.events import (
    Alarm,
    CollectorLimit,
    Command,
    CommandReply,
    Fallback,
    Heartbeat,
    ServiceState,
    SessionPhase,
    Severity,
    Transaction,
)
from busbar.subjects import ALARM, FALLBACK, HEARTBEAT, LIMIT, SETPOINT, TRANSACTION, Subject
from busbar.testing.nats_server import NatsServer
from busbar.testing.waiting import until

SITE = "test"


class Broker(Protocol):
    async def client(self, name: str) -> Bus: ...
    async def raw(self, subject: Subject, body: bytes, *tokens: str) -> None: ...
    async def die(self) -> None: ...
    async def return_(self) -> None: ...


class InMemory:
    def __init__(self, wire: bool) -> None:
        self.network = MemoryNetwork(SITE, SystemClock(), wire=wire)
        self.clients: list[MemoryBus] = []

    async def client(self, name: str) -> Bus:
        return self.network.connect(ANY_SERVICE, name)

    async def raw(self, subject: Subject, body: bytes, *tokens: str) -> None:
        self.network.inject(subject, body, *tokens)

    async def die(self) -> None:
        self.network.stop()

    async def return_(self) -> None:
        self.network.start()

    async def close(self) -> None:
        pass


class OverNats:
    def __init__(self, server: NatsServer) -> None:
        self.server = server
        self.clients: list[NatsBus] = []

    async def client(self, name: str) -> Bus:
        bus = await NatsBus.connect(self.server.url, SITE, name, SystemClock())
        self.clients.append(bus)
        return bus

    async def raw(self, subject: Subject, body: bytes, *tokens: str) -> None:
        await self.clients[0]._client.publish(subject.name(SITE, *tokens), body)

    async def die(self) -> None:
        self.server.kill()
        await until(lambda: not any(c.connected for c in self.clients))

    async def return_(self) -> None:
        self.server.start()
        await provision(self.server.url, SITE)

    async def close(self) -> None:
        for client in self.clients:
            await client.close()


@pytest.fixture(params=["memory", "memory+wire", pytest.param("nats", marks=pytest.mark.integration)])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    if request.param == "nats":
        server = NatsServer(tmp_path).start()
        await provision(server.url, SITE)
        over_nats = OverNats(server)
        yield over_nats
        await over_nats.close()
        server.kill()
    else:
        yield InMemory(wire=request.param == "memory+wire")


def beat(cycles: int, instance: str = "main") -> Heartbeat:
    return Heartbeat(
        service="s", instance=instance, state=ServiceState.RUNNING, cycle_ms=1.5, cycles=cycles, version="1",
        fingerprint="f", published_at_ms=cycles,
    )  # fmt: skip


def fallback(entity: str, max_current_a: float) -> Fallback:
    return Fallback(
        entity=entity, active=True, cause="silent", assets=("a1",), max_current_a=max_current_a, since_ms=1,
        published_at_ms=2, lifetime_ms=3000,
    )  # fmt: skip


def limit(collector: str, import_limit_w: float, source: str = "page") -> CollectorLimit:
    return CollectorLimit(collector=collector, source=source, import_limit_w=import_limit_w, published_at_ms=1)


def alarm(code: str) -> Alarm:
    return Alarm(
        entity="grid", code=code, severity=Severity.WARNING, active=True, text="t", service="s", raised_at_ms=1,
        published_at_ms=1,
    )  # fmt: skip


def transaction(event_id: str, energy_wh: float = 0.0) -> Transaction:
    return Transaction(
        event_id=event_id, session_id="x", connector="a1", phase=SessionPhase.STARTED, energy_wh=energy_wh,
        measured_at_ms=1,
    )  # fmt: skip


def command(verb: str = "clear") -> Command:
    return Command(verb=verb, args={"entity": "grid"}, author="test", published_at_ms=1)


class Inbox:
    def __init__(self) -> None:
        self.all: list[Received[Any]] = []

    def __call__(self, received: Received[Any]) -> None:
        self.all.append(received)


# -- live subjects


async def test_events_arrive_equal_and_in_the_order_of_their_publisher(broker: Broker) -> None:
    sender, receiver, inbox = await broker.client("sender"), await broker.client("receiver"), Inbox()
    await receiver.subscribe(HEARTBEAT, inbox)
    sent = [beat(n) for n in range(200)]
    for event in sent:
        await sender.publish(HEARTBEAT, event, "s", "main")
    await until(lambda: len(inbox.all) == 200)
    assert [r.event for r in inbox.all] == sent
    assert {r.subject for r in inbox.all} == {"busbar.v1.test.heartbeat.s.main"}
    assert all(r.stored_seq is None for r in inbox.all)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ((),              ["a.1", "a.2", "b.1"]),
        (("a",),          ["a.1", "a.2"]),
        (("*", "1"),      ["a.1", "b.1"]),
        (("b", "1"),      ["b.1"]),
        (("c",),          []),
    ],
)  # fmt: skip
async def test_missing_tokens_and_stars_are_wildcards(
    broker: Broker, pattern: tuple[str, ...], expected: list[str]
) -> None:
    bus, inbox, everything = await broker.client("bus"), Inbox(), Inbox()
    await bus.subscribe(HEARTBEAT, inbox, *pattern)
    await bus.subscribe(HEARTBEAT, everything)
    for service, instance in (("a", "1"), ("a", "2"), ("b", "1")):
        await bus.publish(HEARTBEAT, beat(1), service, instance)
    await until(lambda: len(everything.all) == 3)
    await asyncio.sleep(0.01)
    assert [r.subject.removeprefix("busbar.v1.test.heartbeat.") for r in inbox.all] == expected


async def test_two_clients_on_one_machine_measure_the_transit(broker: Broker) -> None:
    sender, receiver, inbox = await broker.client("sender"), await broker.client("receiver"), Inbox()
    await receiver.subscribe(HEARTBEAT, inbox)
    await sender.publish(HEARTBEAT, beat(1), "s", "main")
    await until(lambda: inbox.all)
    transit_s = inbox.all[0].transit_s
    assert transit_s is not None
    assert 0.0 <= transit_s < 10.0


async def test_a_closed_subscription_hears_nothing_more(broker: Broker) -> None:
    bus, closed, open_ = await broker.client("bus"), Inbox(), Inbox()
    subscription = await bus.subscribe(HEARTBEAT, closed)
    await bus.subscribe(HEARTBEAT, open_)
    await bus.publish(HEARTBEAT, beat(1), "s", "main")
    await until(lambda: open_.all and closed.all)
    await subscription.close()
    await subscription.close()
    await bus.publish(HEARTBEAT, beat(2), "s", "main")
    await until(lambda: len(open_.all) == 2)
    assert [r.event.cycles for r in closed.all] == [1]


async def test_a_body_that_does_not_decode_is_dropped_and_the_next_one_arrives(broker: Broker) -> None:
    bus, inbox = await broker.client("bus"), Inbox()
    await bus.subscribe(HEARTBEAT, inbox)
    await broker.raw(HEARTBEAT, b"{not json", "s", "main")
    await broker.raw(HEARTBEAT, b'{"service": "s"}', "s", "main")
    await bus.publish(HEARTBEAT, beat(7), "s", "main")
    await until(lambda: inbox.all)
    assert [r.event.cycles for r in inbox.all] == [7]
    assert bus.counters.undecodable == 2  # type: ignore[attr-defined]  # both carriers count; the protocol does not say
    assert not bus.failed.done()


async def test_an_unknown_field_of_a_newer_writer_is_ignored(broker: Broker) -> None:
    bus, inbox = await broker.client("bus"), Inbox()
    await bus.subscribe(HEARTBEAT, inbox)
    body = beat(3).model_dump_json().replace('"cycles":3', '"cycles":3,"mood":"good"').encode()
    await broker.raw(HEARTBEAT, body, "s", "main")
    await until(lambda: inbox.all)
    assert inbox.all[0].event == beat(3)


async def test_a_handler_that_raises_ends_the_service(broker: Broker) -> None:
    bus, other = await broker.client("bus"), await broker.client("other")

    def broken(_received: Received[Heartbeat]) -> None:
        raise KeyError("bug")

    await bus.subscribe(HEARTBEAT, broken)
    await other.publish(HEARTBEAT, beat(1), "s", "main")
    await until(bus.failed.done)
    assert isinstance(bus.failed.exception(), KeyError)
    assert not other.failed.done()


@pytest.mark.parametrize("tokens", [(), ("s",), ("s", "main", "more")])
async def test_publishing_needs_every_token(broker: Broker, tokens: tuple[str, ...]) -> None:
    bus = await broker.client("bus")
    with pytest.raises(ValueError, match="token"):
        await bus.publish(HEARTBEAT, beat(1), *tokens)


# -- stored subjects


async def test_the_last_value_per_subject_is_kept_in_the_order_of_storing(broker: Broker) -> None:
    bus = await broker.client("bus")
    first = await bus.store(LIMIT, limit("grid", 1000), "page", "grid")
    await bus.store(LIMIT, limit("roof", 2000), "page", "roof")
    third = await bus.store(LIMIT, limit("grid", 3000), "page", "grid")
    assert third > first
    last = await bus.last(LIMIT)
    assert [(r.event.collector, r.event.import_limit_w) for r in last] == [("roof", 2000), ("grid", 3000)]  # type: ignore[attr-defined]
    assert last[1].stored_seq == third
    assert last[0].subject == "busbar.v1.test.limit.page.roof"


async def test_last_values_can_be_asked_for_by_token(broker: Broker) -> None:
    bus = await broker.client("bus")
    await bus.store(LIMIT, limit("grid", 1, "page"), "page", "grid")
    await bus.store(LIMIT, limit("grid", 2, "gateway"), "gateway", "grid")
    await bus.store(LIMIT, limit("roof", 3, "gateway"), "gateway", "roof")

    async def found(*tokens: str) -> list[float]:
        return [r.event.import_limit_w for r in await bus.last(LIMIT, *tokens)]  # type: ignore[attr-defined]

    assert await found("gateway") == [2, 3]
    assert await found("*", "grid") == [1, 2]
    assert await found("page", "grid") == [1]
    assert await found("page", "roof") == []


async def test_what_is_stored_is_also_live(broker: Broker) -> None:
    bus, inbox = await broker.client("bus"), Inbox()
    await bus.subscribe(LIMIT, inbox)
    await bus.store(LIMIT, limit("grid", 5), "page", "grid")
    await until(lambda: inbox.all)
    assert inbox.all[0].event == limit("grid", 5)


async def test_what_is_published_on_a_last_subject_is_there_for_late_starters(broker: Broker) -> None:
    early = await broker.client("early")
    await early.publish(FALLBACK, fallback("grid-meter", 6.0), "grid-meter")
    await early.publish(FALLBACK, fallback("grid-meter", 0.0), "grid-meter")
    late = await broker.client("late")
    found: list[Received[Any]] = []

    async def stored() -> bool:
        found[:] = await late.last(FALLBACK)
        return bool(found) and found[0].event.max_current_a == 0.0

    await until(stored)
    assert len(found) == 1
    assert found[0].transit_s is not None  # its true age, measured on the common clock


async def test_no_last_value_is_an_empty_list(broker: Broker) -> None:
    bus = await broker.client("bus")
    assert await bus.last(FALLBACK) == []
    assert await bus.last(LIMIT, "page") == []


async def test_hundreds_of_last_values_are_read_whole(broker: Broker) -> None:
    bus = await broker.client("bus")
    for n in range(700):
        await bus.publish(FALLBACK, fallback(f"e{n}", 6.0), f"e{n}")
    await bus.store(LIMIT, limit("grid", 1), "page", "grid")  # acknowledged after all of them
    assert len(await bus.last(FALLBACK)) == 700


async def test_a_transaction_sent_twice_is_stored_once(broker: Broker) -> None:
    bus = await broker.client("bus")
    first = await bus.store(TRANSACTION, transaction("e1"), "a1", "e1")
    second = await bus.store(TRANSACTION, transaction("e2"), "a1", "e2")
    again = await bus.store(TRANSACTION, transaction("e1", energy_wh=5.0), "a1", "e1")
    assert (again, second) == (first, first + 1)


async def test_the_same_report_sent_twice_is_stored_once_and_another_one_is_new(broker: Broker) -> None:
    bus = await broker.client("bus")
    first = await bus.store(ALARM, alarm("meter_silent"), "grid")
    assert await bus.store(ALARM, alarm("meter_silent"), "grid") == first
    assert await bus.store(ALARM, alarm("other"), "grid") == first + 1


async def test_a_live_subject_cannot_be_stored_or_read_back(broker: Broker) -> None:
    bus = await broker.client("bus")
    with pytest.raises(BusError, match="not stored"):
        await bus.store(HEARTBEAT, beat(1), "s", "main")
    with pytest.raises(BusError, match="no last value"):
        await bus.last(SETPOINT)


# -- requests


async def test_a_request_is_answered_by_one_of_the_instances(broker: Broker) -> None:
    asking, answered = await broker.client("asking"), []
    for instance in ("one", "two"):
        answering = await broker.client(instance)

        async def respond(asked: Command, who: str = instance) -> CommandReply:
            answered.append((who, asked.verb, asked.args))
            return CommandReply(ok=True, text=who, published_at_ms=1)

        await answering.respond("historian", "clear", respond)
    reply = await asking.request("historian", "clear", command())
    assert reply.ok
    assert answered == [(reply.text, "clear", {"entity": "grid"})]


async def test_a_request_that_nobody_answers_fails_at_once(broker: Broker) -> None:
    bus = await broker.client("bus")
    with pytest.raises(BusError, match="nobody answers historian clear"):
        await bus.request("historian", "clear", command(), timeout_s=3600.0)


async def test_a_request_to_a_silent_service_ends_with_its_timeout(broker: Broker) -> None:
    asking, answering = await broker.client("asking"), await broker.client("answering")

    async def silent(_asked: Command) -> CommandReply:
        await asyncio.sleep(3600)
        raise AssertionError

    await answering.respond("historian", "clear", silent)
    with pytest.raises(BusError, match="did not answer clear within"):
        await asking.request("historian", "clear", command(), timeout_s=0.05)


async def test_a_responder_that_raises_ends_its_service_not_the_asker(broker: Broker) -> None:
    asking, answering = await broker.client("asking"), await broker.client("answering")

    async def broken(_asked: Command) -> CommandReply:
        raise KeyError("bug")

    await answering.respond("historian", "clear", broken)
    with pytest.raises(BusError):
        await asking.request("historian", "clear", command(), timeout_s=0.3)
    assert isinstance(answering.failed.exception(), KeyError)
    assert not asking.failed.done()


# -- outages


async def test_while_disconnected_nothing_is_sent_and_the_sender_knows(broker: Broker) -> None:
    bus = await broker.client("bus")
    await broker.die()
    with pytest.raises(NotConnectedError):
        await bus.publish(HEARTBEAT, beat(1), "s", "main")
    with pytest.raises(NotConnectedError):
        await bus.store(LIMIT, limit("grid", 1), "page", "grid")
    with pytest.raises(NotConnectedError):
        await bus.last(LIMIT)
    with pytest.raises(NotConnectedError):
        await bus.request("historian", "clear", command())


async def test_after_an_outage_subscriptions_live_on_standing_limits_stand_and_nothing_old_arrives(
    broker: Broker,
) -> None:
    sender, receiver, inbox, reconnects = await broker.client("sender"), await broker.client("receiver"), Inbox(), []
    await receiver.subscribe(HEARTBEAT, inbox)
    receiver.on_reconnect(lambda: reconnects.append(1))
    await sender.publish(HEARTBEAT, beat(1), "s", "main")
    await until(lambda: inbox.all)
    await sender.store(LIMIT, limit("grid", 1234), "page", "grid")
    await sender.publish(FALLBACK, fallback("grid-meter", 6.0), "grid-meter")
    await broker.die()
    with pytest.raises(NotConnectedError):
        await sender.publish(HEARTBEAT, beat(2), "s", "main")
    assert reconnects == []
    await broker.return_()
    await until(lambda: sender.connected and receiver.connected and reconnects)
    assert reconnects == [1]
    assert [r.event for r in await receiver.last(LIMIT)] == [limit("grid", 1234)]
    assert await receiver.last(FALLBACK) == []  # memory is gone with the broker; the next cycle brings it again
    await sender.publish(HEARTBEAT, beat(3), "s", "main")
    await until(lambda: len(inbox.all) > 1)
    await asyncio.sleep(0.05)
    assert [r.event.cycles for r in inbox.all] == [1, 3]


async def test_a_closed_bus_sends_nothing_and_closing_twice_is_fine(broker: Broker) -> None:
    bus = await broker.client("bus")
    await bus.close()
    await bus.close()
    with pytest.raises(NotConnectedError):
        await bus.publish(HEARTBEAT, beat(1), "s", "main")
    with pytest.raises(NotConnectedError):
        await bus.subscribe(HEARTBEAT, Inbox())


async def test_closing_delivers_what_was_sent_before(broker: Broker) -> None:
    sender, receiver, inbox = await broker.client("sender"), await broker.client("receiver"), Inbox()
    await receiver.subscribe(HEARTBEAT, inbox)
    await sender.publish(HEARTBEAT, beat(1), "s", "main")
    await sender.close()
    await until(lambda: inbox.all)
