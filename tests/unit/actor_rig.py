"""One actor on the in-memory bus in virtual time, with a client that plays everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from busbar.actor import Actor, Context, Shell
from busbar.bus.memory import ANY_SERVICE, MemoryBus, MemoryNetwork
from busbar.config.site import Site
from busbar.devices.transport import Transport
from busbar.events import Event
from busbar.loops import VirtualClock, VirtualLoop, run_virtual
from busbar.store import MemoryStore

START_MS = 1_700_000_000_000


def _no_transport(host: str, port: int, timeout_s: float) -> Transport:
    raise AssertionError("this service has no devices")


class Rig:
    """`seen` holds (seconds since the start, subject's tokens, event) of all that was published."""

    def __init__(self, loop: VirtualLoop, site: Site, actor: type[Actor]) -> None:
        self.loop = loop
        self.site = site
        self.clock = VirtualClock(loop, START_MS)
        self.network = MemoryNetwork(site.id, self.clock)
        self.others: MemoryBus = self.network.connect(ANY_SERVICE)
        self.store = MemoryStore()
        self.seen: list[tuple[float, tuple[str, ...], Event]] = []
        self.network.tap(self._tap)
        self._actor = actor
        self.actor: Actor | None = None
        self._task: asyncio.Task[None] | None = None
        self._bus: MemoryBus | None = None

    def _tap(self, subject: str, event: Event) -> None:
        self.seen.append((round(self.loop.time(), 6), tuple(subject.split(".")[3:]), event))

    def start(self) -> None:
        self._bus = self.network.connect(self._actor.service)
        context = Context(
            site=self.site, bus=self._bus, clock=self.clock, instance="main", store=self.store,
            transports=_no_transport, log=logging.getLogger("test"),
        )  # fmt: skip
        self.actor = self._actor(context)
        self._task = self.loop.create_task(Shell(self.actor).run())

    async def kill(self) -> None:
        """As after `kill -9`."""
        assert self._bus is not None
        assert self._task is not None
        self._bus.kill()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def until(self, at_s: float) -> None:
        await asyncio.sleep(at_s - self.loop.time())

    async def every(self, period_s: float, until_s: float, say: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while self.loop.time() < until_s - 1e-9:
            await say()
            await asyncio.sleep(period_s)

    def of(self, kind: type[Event]) -> list[tuple[float, Any]]:
        return [(at_s, event) for at_s, _, event in self.seen if isinstance(event, kind)]


def play(site: Site, actor: type[Actor], story: Callable[[Rig], Coroutine[Any, Any, None]]) -> Rig:
    """Run `story` with a rig; the actor must not have failed."""
    rigs: list[Rig] = []

    async def main(loop: VirtualLoop) -> None:
        rig = Rig(loop, site, actor)
        rigs.append(rig)
        rig.start()
        await story(rig)
        task = rig._task
        assert task is not None
        if task.done():
            task.result()
        await rig.kill()

    run_virtual(main)
    return rigs[0]
