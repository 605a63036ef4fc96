"""The streams and the server's configuration: derived from the registry, corrected where they differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from busbar.bus import BusError
from busbar.bus.nats import NatsBus
from busbar.bus.provision import provision, server_config
from busbar.bus.streams import streams
from busbar.clock import SystemClock
from busbar.events import CollectorLimit, Transaction
from busbar.events.session import SessionPhase
from busbar.subjects import LIMIT, SUBJECTS, TRANSACTION, Delivery
from busbar.testing.nats_server import NatsServer

pytestmark = pytest.mark.integration


def test_every_stored_subject_is_in_exactly_one_stream_and_no_live_one_is() -> None:
    listed = [subject for spec in streams("s") for subject in spec.subjects]
    stored = [s.name("s") for s in SUBJECTS if s.delivery not in (Delivery.CORE, Delivery.REQUEST)]
    assert sorted(listed) == sorted(stored)
    assert not any(".setpoint." in subject or ".heartbeat." in subject for subject in listed)


async def test_provisioning_twice_changes_nothing_and_a_drifted_stream_is_corrected(
    own_nats_server: NatsServer,
) -> None:
    everything = {"CONTROL", "LAST", "OUTBOX", "OUTBOX_TX"}
    assert set((await provision(own_nats_server.url, "test")).created) == everything
    assert set((await provision(own_nats_server.url, "test")).found) == everything
    bus = await NatsBus.connect(own_nats_server.url, "test", "hand", SystemClock())
    outbox = next(spec for spec in streams("test") if spec.name == "OUTBOX")
    assert await bus.ensure_stream(replace(outbox, max_age_s=86400.0)) == "changed"
    await bus.close()
    assert (await provision(own_nats_server.url, "test")).changed == ("OUTBOX",)


async def test_without_streams_a_limit_is_not_stored_and_the_sender_is_told_the_remedy(
    own_nats_server: NatsServer,
) -> None:
    bus = await NatsBus.connect(own_nats_server.url, "test", "page", SystemClock())
    limit = CollectorLimit(collector="grid", source="page", published_at_ms=1)
    with pytest.raises(BusError, match=r"CONTROL does not exist.*busbar up"):
        await bus.store(LIMIT, limit, "page", "grid")
    assert await bus.last(LIMIT) == []
    await bus.close()


async def test_a_full_outbox_refuses_a_transaction_instead_of_losing_an_older_one(own_nats_server: NatsServer) -> None:
    bus = await NatsBus.connect(own_nats_server.url, "test", "driver", SystemClock())
    spec = next(spec for spec in streams("test") if spec.name == "OUTBOX_TX")
    await bus.ensure_stream(replace(spec, max_bytes=4000))

    def step(n: int) -> Transaction:
        return Transaction(
            event_id=f"e{n}", session_id="s" * 200, connector="a1", phase=SessionPhase.STARTED, energy_wh=n,
            measured_at_ms=n,
        )  # fmt: skip

    stored: dict[int, int] = {}

    async def store_many() -> None:
        for n in range(100):
            stored[n] = await bus.store(TRANSACTION, step(n), "a1", f"e{n}")

    with pytest.raises(BusError, match="was not stored"):
        await store_many()
    assert 2 < len(stored) < 20
    assert await bus.store(TRANSACTION, step(0), "a1", "e0") == stored[0]  # the first is still there
    await bus.close()


async def test_a_server_without_a_store_carries_control_and_says_that_nothing_is_stored(tmp_path: Path) -> None:
    server = NatsServer(tmp_path, jetstream=False).start()
    bus = await NatsBus.connect(server.url, "test", "page", SystemClock())
    with pytest.raises(BusError):
        await provision(server.url, "test")
    assert await bus.last(LIMIT) == []
    with pytest.raises(BusError, match="was not stored"):
        await bus.store(LIMIT, CollectorLimit(collector="g", source="page", published_at_ms=1), "page", "g")
    assert bus.connected
    await bus.close()
    server.kill()


async def test_acknowledgements_have_the_form_that_nats_py_understands(own_nats_server: NatsServer) -> None:
    # With the second form (feature flag js_ack_fc_v2) nats-py takes a healthy stream for a broken one: messaging.md, 9.
    await provision(own_nats_server.url, "test")
    bus = await NatsBus.connect(own_nats_server.url, "test", "page", SystemClock())
    await bus.store(LIMIT, CollectorLimit(collector="g", source="page", published_at_ms=1), "page", "g")
    messages = await bus._snapshot("CONTROL", LIMIT.name("test"))
    await bus.close()
    assert messages[0].reply.startswith("$JS.ACK.CONTROL.")
    assert len(messages[0].reply.split(".")) == 9


@pytest.mark.parametrize(
    "line",
    [
        'host: "127.0.0.1"',
        "port: 4222",
        "sync_interval: always",
        'domain: "site-1"',
        "feature_flags { js_ack_fc_v2: false }",
        'store_dir: "/data/with \\"quotes\\""',
    ],
)
def test_the_server_configuration_says(line: str) -> None:
    assert line in server_config("site-1", 4222, Path('/data/with "quotes"'))
