"""What happens around a real nats-server that is killed, frozen or not there yet: nothing old ever arrives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from busbar.bus import NotConnectedError, Received
from busbar.bus.nats import NatsBus
from busbar.bus.provision import provision
from busbar.clock import SystemClock
from busbar.events import CollectorLimit, Heartbeat, ServiceState, SiteSnapshot
from busbar.subjects import HEARTBEAT, LIMIT, SNAPSHOT
from busbar.testing.nats_server import NatsServer
from busbar.testing.waiting import until

pytestmark = pytest.mark.integration


def beat(cycles: int) -> Heartbeat:
    return Heartbeat(
        service="s", instance="i", state=ServiceState.RUNNING, cycle_ms=0.0, cycles=cycles, version="", fingerprint="",
        published_at_ms=0,
    )  # fmt: skip


def snapshot(number: int, padding: int = 0) -> SiteSnapshot:
    return SiteSnapshot(
        number=number, taken_at_ms=0, published_at_ms=0, lifetime_ms=3000, fingerprint="f",
        guard=("x" * padding,), collectors=(), connectors=(),
    )  # fmt: skip


@contextlib.asynccontextmanager
async def bus(server: NatsServer, name: str) -> AsyncIterator[NatsBus]:
    client = await NatsBus.connect(server.url, "test", name, SystemClock())
    try:
        yield client
    finally:
        await client.close()


async def test_after_kill_9_of_the_server_both_sides_reconnect_and_nothing_of_the_outage_arrives(
    own_nats_server: NatsServer,
) -> None:
    heard: list[Received[Any]] = []
    async with bus(own_nats_server, "sender") as sender, bus(own_nats_server, "receiver") as receiver:
        await receiver.subscribe(HEARTBEAT, heard.append)
        await sender.publish(HEARTBEAT, beat(1), "s", "i")
        await until(lambda: heard)
        own_nats_server.kill()
        await until(lambda: not sender.connected and not receiver.connected)
        for n in range(100, 120):
            with pytest.raises(NotConnectedError):
                await sender.publish(HEARTBEAT, beat(n), "s", "i")
        own_nats_server.start()
        await until(lambda: sender.counters.reconnects and receiver.counters.reconnects)
        while len(heard) < 2:  # the server may learn of the subscription later
            await sender.publish(HEARTBEAT, beat(2), "s", "i")
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
    assert heard[0].event.cycles == 1
    assert {r.event.cycles for r in heard[1:]} == {2}
    assert sender.counters.reconnects == receiver.counters.reconnects == 1


async def test_what_was_on_its_way_into_a_frozen_server_is_thrown_away_or_arrives_with_its_age(
    own_nats_server: NatsServer,
) -> None:
    heard: list[Received[Any]] = []
    sent = 0
    async with bus(own_nats_server, "sender") as sender, bus(own_nats_server, "receiver") as receiver:
        await receiver.subscribe(SNAPSHOT, heard.append)
        own_nats_server.freeze()
        while sender.connected:  # until the pings are missed; 60 MB, far more than sockets hold
            with contextlib.suppress(NotConnectedError):
                await sender.publish(SNAPSHOT, snapshot(sent, padding=500_000))
                sent += 1
            await asyncio.sleep(0.05)
        assert sent > 50
        own_nats_server.thaw()
        await until(lambda: sender.counters.reconnects and receiver.counters.reconnects)
        while not (heard and heard[-1].event.number == 1_000_000):  # the server may learn of the subscription later
            await sender.publish(SNAPSHOT, snapshot(1_000_000))
            await asyncio.sleep(0.05)
    old = [r for r in heard if r.event.number != 1_000_000]
    assert len(old) < sent / 2  # what had left this process; the rest was thrown away
    assert all(r.transit_s is not None and r.transit_s > 0.5 for r in old)  # and tells its true age
    assert heard[-1].transit_s is not None


async def test_a_client_waits_for_a_server_that_starts_later_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = NatsServer(tmp_path)
    with caplog.at_level(logging.WARNING):
        waiting = asyncio.create_task(NatsBus.connect(server.url, "test", "early", SystemClock()))
        await until(lambda: "waiting for nats-server at" in caplog.text)
        assert not waiting.done()
    server.start()
    client = await waiting
    assert client.connected
    await client.close()
    server.kill()
    assert caplog.text.count("waiting for nats-server at") == 1  # not four times a second


async def test_a_client_with_a_deadline_gives_up_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotConnectedError, match="is `busbar up` running"):
        await NatsBus.connect(NatsServer(tmp_path).url, "test", "status", SystemClock(), timeout_s=0.1)


async def test_closing_while_the_server_is_gone_or_frozen_ends(own_nats_server: NatsServer) -> None:
    first = await NatsBus.connect(own_nats_server.url, "test", "a", SystemClock())
    second = await NatsBus.connect(own_nats_server.url, "test", "b", SystemClock())
    own_nats_server.freeze()
    await first.close()
    own_nats_server.thaw()
    own_nats_server.kill()
    await until(lambda: not second.connected)
    await second.close()
    assert not first.connected


async def test_a_flush_ends_after_what_was_queued_before_it(nats_server: NatsServer) -> None:
    """A PING that overtakes a SUB in nats-py's queue ends `subscribe` before it holds (seen: 5 % of a busy machine)."""
    for number in range(40):
        heard: list[Received[Any]] = []
        async with bus(nats_server, "a") as a, bus(nats_server, "b") as b:
            await b.publish(HEARTBEAT, beat(0), "other", "i")  # the flusher is awake, at an arbitrary point
            await b.subscribe(HEARTBEAT, heard.append, "queue")
            await a.publish(HEARTBEAT, beat(number), "queue", "i")
            await until(lambda: heard)  # noqa: B023


async def test_a_limit_acknowledged_before_kill_9_stands_after_it(own_nats_server: NatsServer) -> None:
    await provision(own_nats_server.url, "test")
    limit = CollectorLimit(collector="grid", source="page", import_limit_w=0.0, published_at_ms=1)
    async with bus(own_nats_server, "page") as page:
        await page.store(LIMIT, limit, "page", "grid")
        own_nats_server.kill()
        own_nats_server.start()
        await until(lambda: page.counters.reconnects == 1)
        again = await provision(own_nats_server.url, "test")
        assert [r.event for r in await page.last(LIMIT)] == [limit]
    assert again.created == ("LAST",)  # the only one in memory
    assert set(again.found) == {"CONTROL", "OUTBOX", "OUTBOX_TX"}


async def test_the_age_of_an_event_is_not_known_when_it_comes_from_another_machine(nats_server: NatsServer) -> None:
    class Elsewhere(SystemClock):
        @property
        def boot_id(self) -> str:
            return "another-machine"

    heard: list[Received[Any]] = []
    stranger = await NatsBus.connect(nats_server.url, "test", "stranger", Elsewhere())
    async with bus(nats_server, "receiver") as receiver:
        await receiver.subscribe(HEARTBEAT, heard.append, "stranger")
        await stranger.publish(HEARTBEAT, beat(1), "stranger", "i")
        await until(lambda: heard)
    await stranger.close()
    assert heard[0].transit_s is None
    assert heard[0].life_left_ms(heard[0].received_s, 5000) == 2000  # failure.md, Ages
