"""The bus of the simulation: virtual time, faults by a seed, kills, taps, who may publish what."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.bus import NotConnectedError, Received
from busbar.bus.faults import SeededFaults
from busbar.bus.memory import ANY_SERVICE, ForeignSubjectError, MemoryNetwork
from busbar.events import Command, CommandReply, Heartbeat, Reason, ReasonCode, ServiceState, Setpoint
from busbar.loops import VirtualClock, VirtualLoop, run_virtual
from busbar.subjects import HEARTBEAT, SETPOINT


def beat(cycles: int) -> Heartbeat:
    return Heartbeat(
        service="s", instance="i", state=ServiceState.RUNNING, cycle_ms=0.0, cycles=cycles, version="", fingerprint="",
        published_at_ms=0,
    )  # fmt: skip


def setpoint(current_a: float) -> Setpoint:
    return Setpoint(
        asset="a1", driver="d", epoch=1, seq=1, published_at_ms=0, lifetime_ms=5000, current_a=current_a,
        reason=Reason(code=ReasonCode.RAMP), snapshot=1,
    )  # fmt: skip


def inbox() -> list[Received[Any]]:
    return []


def network(loop: VirtualLoop, **options: Any) -> MemoryNetwork:
    return MemoryNetwork("site", VirtualClock(loop, 0), **options)


def test_events_go_by_reference_on_the_fast_path_and_as_copies_on_the_wire() -> None:
    async def main(loop: VirtualLoop) -> list[bool]:
        same = []
        for wire in (False, True):
            bus, got = network(loop, wire=wire).connect(ANY_SERVICE), inbox()
            await bus.subscribe(HEARTBEAT, got.append)
            event = beat(1)
            await bus.publish(HEARTBEAT, event, "s", "i")
            await asyncio.sleep(0)
            assert got[0].event == event
            same.append(got[0].event is event)
        return same

    assert run_virtual(main) == [True, False]


def test_a_message_arrives_at_the_instant_it_was_sent_and_not_inside_publish() -> None:
    async def main(loop: VirtualLoop) -> None:
        bus, got = network(loop).connect(ANY_SERVICE), inbox()
        await bus.subscribe(HEARTBEAT, got.append)
        await asyncio.sleep(5)
        await bus.publish(HEARTBEAT, beat(1), "s", "i")
        assert got == []
        await asyncio.sleep(1)
        assert [(r.received_s, r.transit_s) for r in got] == [(5.0, 0.0)]

    run_virtual(main)


def test_a_service_may_not_publish_what_belongs_to_another() -> None:
    async def main(loop: VirtualLoop) -> None:
        net = network(loop)
        driver = net.connect("field-driver-modbus", "modbus-1")
        with pytest.raises(ForeignSubjectError, match="only spc-allocator may"):
            await driver.publish(SETPOINT, setpoint(6), "d", "a1")
        await net.connect("spc-allocator").publish(SETPOINT, setpoint(6), "d", "a1")
        await driver.publish(HEARTBEAT, beat(1), "s", "i")  # everybody's

    run_virtual(main)


def test_a_killed_client_hears_nothing_not_even_what_was_on_its_way() -> None:
    async def main(loop: VirtualLoop) -> None:
        net = network(loop)
        sender, victim, other = (net.connect(ANY_SERVICE, name) for name in ("sender", "victim", "other"))
        killed, alive = inbox(), inbox()
        await victim.subscribe(HEARTBEAT, killed.append)
        await other.subscribe(HEARTBEAT, alive.append)
        await sender.publish(HEARTBEAT, beat(1), "s", "i")
        victim.kill()
        await asyncio.sleep(1)
        assert (len(killed), len(alive)) == (0, 1)
        with pytest.raises(NotConnectedError):
            await victim.publish(HEARTBEAT, beat(2), "s", "i")
        net.stop()
        net.start()
        assert not victim.connected  # the dead stay dead

    run_virtual(main)


def test_a_cut_client_misses_what_is_sent_meanwhile_and_is_called_back_once() -> None:
    async def main(loop: VirtualLoop) -> None:
        net = network(loop)
        sender, cut, got = net.connect(ANY_SERVICE, "a"), net.connect(ANY_SERVICE, "b"), inbox()
        back: list[float] = []
        await cut.subscribe(HEARTBEAT, got.append)
        cut.on_reconnect(lambda: back.append(loop.time()))
        cut.disconnect()
        await sender.publish(HEARTBEAT, beat(1), "s", "i")
        with pytest.raises(NotConnectedError):
            await cut.publish(HEARTBEAT, beat(9), "s", "i")
        await asyncio.sleep(10)
        cut.reconnect()
        cut.reconnect()
        await sender.publish(HEARTBEAT, beat(2), "s", "i")
        await asyncio.sleep(1)
        assert [r.event.cycles for r in got] == [2]
        assert back == [10.0]

    run_virtual(main)


def test_the_tap_sees_every_message_in_order_before_anybody_else() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        net = network(loop, faults=SeededFaults(1, drop=1.0))
        seen: list[str] = []
        net.tap(lambda name, event: seen.append(f"{name} {getattr(event, 'cycles', '-')}"))
        bus = net.connect(ANY_SERVICE)
        await bus.publish(HEARTBEAT, beat(1), "s", "i")
        await bus.publish(SETPOINT, setpoint(6), "d", "a1")
        return seen

    assert run_virtual(main) == ["busbar.v1.site.heartbeat.s.i 1", "busbar.v1.site.setpoint.d.a1 -"]


# -- faults


class Scripted:
    """Fate of the n-th delivery."""

    def __init__(self, *fates: Sequence[float]) -> None:
        self.fates = list(fates)

    def deliveries(self, subject: str, sender: str, receiver: str) -> Sequence[float]:
        return self.fates.pop(0)


def test_deliveries_are_dropped_delayed_and_repeated_as_planned_and_keep_their_order() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[int, float, float | None]]:
        net = network(loop, faults=Scripted((), (2.0,), (0.5,), (3.0, 3.0)))
        bus, got = net.connect(ANY_SERVICE), inbox()
        await bus.subscribe(HEARTBEAT, got.append)
        for n in range(4):
            await bus.publish(HEARTBEAT, beat(n), "s", "i")
        await asyncio.sleep(10)
        return [(r.event.cycles, r.received_s, r.transit_s) for r in got]

    assert run_virtual(main) == [(1, 2.0, 2.0), (2, 2.0, 2.0), (3, 3.0, 3.0), (3, 3.0, 3.0)]


def test_faults_can_be_kept_to_some_subjects() -> None:
    plan = SeededFaults(1, drop=1.0, nouns=("setpoint",))
    assert plan.deliveries("busbar.v1.s.setpoint.d.a", "x", "y") == ()
    assert plan.deliveries("busbar.v1.s.heartbeat.d.setpoints", "x", "y") == (0.0,)


def trace(seed: int) -> str:
    """Hash of everything that four chatting clients hear over an hour of faults."""

    async def main(loop: VirtualLoop) -> str:
        digest = hashlib.sha256()
        net = network(loop, faults=SeededFaults(seed, drop=0.1, duplicate=0.1, max_delay_s=0.3))
        for name in ("a", "b", "c", "d"):
            bus = net.connect(ANY_SERVICE, name)

            def hear(received: Received[Heartbeat], who: str = name) -> None:
                digest.update(f"{who} {received.subject} {received.event.cycles} {received.received_s!r}\n".encode())

            await bus.subscribe(HEARTBEAT, hear)
            asyncio.create_task(chat(bus))  # noqa: RUF006
        await asyncio.sleep(600)
        return digest.hexdigest()

    async def chat(bus: Any) -> None:
        for n in range(10_000):
            await bus.publish(HEARTBEAT, beat(n), "s", bus.name.partition(":")[2])
            await asyncio.sleep(1.0)

    return run_virtual(main)


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_run_does_not_depend_on_the_hash_seed_of_python(hash_seed: str) -> None:
    again = subprocess.run(
        [sys.executable, "-c", "import test_memory_bus as t; print(t.trace(1))"],
        cwd=Path(__file__).parent, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert again.stdout.strip() == trace(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_whatever_the_faults_one_sender_is_never_heard_out_of_order(seed: int, count: int) -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        net = network(loop, faults=SeededFaults(seed, drop=0.2, duplicate=0.2, max_delay_s=5.0))
        bus, got = net.connect(ANY_SERVICE), inbox()
        await bus.subscribe(HEARTBEAT, got.append)
        for n in range(count):
            await bus.publish(HEARTBEAT, beat(n), "s", "i")
            await asyncio.sleep(0.7)
        await asyncio.sleep(100)
        return [r.event.cycles for r in got]

    heard = run_virtual(main)
    assert heard == sorted(heard)


# -- requests


def test_requests_go_round_the_instances_and_past_the_dead() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        net = network(loop)
        asking = net.connect("site-page")
        instances = [net.connect("historian", name) for name in ("one", "two", "three")]
        for instance in instances:

            async def respond(_command: Command, who: str = instance.name) -> CommandReply:
                return CommandReply(ok=True, text=who, published_at_ms=0)

            await instance.respond("historian", "clear", respond)
        instances[1].kill()
        command = Command(verb="clear", published_at_ms=0)
        return [(await asking.request("historian", "clear", command)).text for _ in range(4)]

    assert run_virtual(main) == ["historian:one", "historian:three", "historian:one", "historian:three"]
