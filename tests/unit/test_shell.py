"""The shell around an actor: crash-only, also for handlers; cycles on a grid; a clean stop."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest

from busbar.actor import Actor, Context, Shell
from busbar.bus import Received
from busbar.bus.memory import MemoryNetwork
from busbar.config.load import load_site
from busbar.config.site import Site
from busbar.events import Event, Heartbeat, ServiceState
from busbar.loops import VirtualClock, VirtualLoop, run_virtual
from busbar.store import MemoryStore
from busbar.subjects import SESSION


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(Path(__file__).parents[2] / "examples" / "demo.yaml")


class Recorder(Actor):
    """Notes when it cycles; fails as told."""

    service: ClassVar[str] = "spc-allocator"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cycled_s: list[float] = []
        self.stopped = False
        self.slow_s: dict[int, float] = {}

    async def start(self) -> None:
        await self.bus.subscribe(SESSION, self._on_session)

    def _on_session(self, received: Received[Any]) -> None:
        raise KeyError("bug in a handler")

    async def cycle(self) -> None:
        self.cycled_s.append(self.clock.mono_s())
        await asyncio.sleep(self.slow_s.get(len(self.cycled_s), 0.0))

    async def stop(self) -> None:
        self.stopped = True


def no_transport(host: str, port: int, timeout_s: float) -> Any:
    raise AssertionError("no device here")


def shell(site: Site, network: MemoryNetwork) -> tuple[Shell, Recorder]:
    bus = network.connect("spc-allocator")
    actor = Recorder(Context(site, bus, network.clock, "main", MemoryStore(), no_transport, logging.getLogger("t")))
    return Shell(actor), actor


def test_a_handler_that_raises_ends_the_shell_at_once_even_inside_an_endless_cycle(site: Site) -> None:
    async def main(loop: VirtualLoop) -> float:
        network = MemoryNetwork(site.id, VirtualClock(loop, 0))
        running, actor = shell(site, network)
        actor.slow_s[3] = 1e9
        task = asyncio.create_task(running.run())
        await asyncio.sleep(10)
        actor.bus.failed.set_exception(KeyError("bug in a handler"))
        with pytest.raises(KeyError, match="bug in a handler"):
            await task
        assert actor.stopped
        assert not actor.bus.connected
        return loop.time()

    assert run_virtual(main) == 10.0


def test_the_exception_of_a_subscribed_handler_leaves_the_shell(site: Site) -> None:
    async def main(loop: VirtualLoop) -> None:
        network = MemoryNetwork(site.id, VirtualClock(loop, 0))
        running, actor = shell(site, network)
        task = asyncio.create_task(running.run())
        await asyncio.sleep(1.5)
        body = (
            b'{"session_id":"s","connector":"a1","driver":"d","phase":"Plugged","status":"Charging","plugged_at_ms":1,'
            b'"measured_at_ms":1}'
        )
        network.inject(SESSION, body, "d", "a1")
        with pytest.raises(KeyError, match="bug in a handler"):
            await task
        assert actor.stopped

    run_virtual(main)


def test_being_cancelled_from_outside_stays_a_cancellation(site: Site) -> None:
    async def main(loop: VirtualLoop) -> None:
        running, actor = shell(site, MemoryNetwork(site.id, VirtualClock(loop, 0)))
        task = asyncio.create_task(running.run())
        await asyncio.sleep(1.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert actor.stopped

    run_virtual(main)


def test_missed_cycles_are_skipped_and_the_grid_is_kept(site: Site) -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        running, actor = shell(site, MemoryNetwork(site.id, VirtualClock(loop, 0)))
        actor.slow_s[2] = 2.5
        task = asyncio.create_task(running.run())
        await asyncio.sleep(6.5)
        running.stop()
        await task
        return actor.cycled_s

    assert run_virtual(main) == [0.0, 1.0, 4.0, 5.0, 6.0]


def test_it_beats_from_start_to_stop_and_says_which(site: Site) -> None:
    async def main(loop: VirtualLoop) -> list[tuple[ServiceState, int]]:
        network = MemoryNetwork(site.id, VirtualClock(loop, 0))
        beats: list[Event] = []
        network.tap(lambda _name, event: beats.append(event))
        running, _actor = shell(site, network)
        task = asyncio.create_task(running.run())
        await asyncio.sleep(3.5)
        running.stop()
        await task
        return [(event.state, event.cycles) for event in beats if isinstance(event, Heartbeat)]

    beats = run_virtual(main)
    assert beats[0] == (ServiceState.STARTING, 0)
    assert beats[-1][0] == ServiceState.STOPPING
    assert [cycles for _, cycles in beats] == sorted(cycles for _, cycles in beats)


def test_while_the_bus_is_away_it_goes_on_cycling(site: Site) -> None:
    async def main(loop: VirtualLoop) -> int:
        network = MemoryNetwork(site.id, VirtualClock(loop, 0))
        running, actor = shell(site, network)
        task = asyncio.create_task(running.run())
        await asyncio.sleep(2.5)
        network.stop()
        await asyncio.sleep(5)
        network.start()
        await asyncio.sleep(2)
        running.stop()
        await task
        return len(actor.cycled_s)

    assert run_virtual(main) >= 10


def test_an_alarm_is_told_once_and_its_end_says_what_is_over(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: VirtualLoop) -> None:
        network = MemoryNetwork(site.id, VirtualClock(loop, 0))
        _, actor = shell(site, network)
        for _ in range(3):
            await actor.alarm("a1", "store", "the disk is full: make room")
        for _ in range(3):
            await actor.alarm("a1", "store", "", active=False)

    with caplog.at_level(logging.INFO):
        run_virtual(main, 1.0)
    assert caplog.messages == ["a1: the disk is full: make room", "a1: over: the disk is full: make room"]
