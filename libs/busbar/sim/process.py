"""Services as processes of a simulation: started, killed at any await, started again with what was on their disk.

A killed process runs no clean-up that the outside could see: its bus client, its device connections and its store are
dead before its tasks are cancelled, exactly as after `kill -9`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from busbar.actor import Context, Shell, StateStore
from busbar.bus.memory import MemoryNetwork
from busbar.clock import Clock
from busbar.config.site import Site
from busbar.devices.transport import Transport
from busbar.registry import SERVICES
from busbar.sim.memory_transport import MemoryNetwork as DeviceNetwork
from busbar.sim.memory_transport import MemoryTransport
from busbar.store import MemoryStore


class Life:
    """Alive until the process is killed; what the process holds asks it."""

    def __init__(self) -> None:
        self.over = False
        self.connections: list[MemoryTransport] = []


class _MortalStore:
    """The process's disk: a dead process writes nothing more."""

    def __init__(self, store: StateStore, life: Life) -> None:
        self._store, self._life = store, life

    def read(self, name: str) -> bytes | None:
        return self._store.read(name)

    def write(self, name: str, data: bytes) -> None:
        if not self._life.over:
            self._store.write(name, data)


@dataclass(frozen=True)
class Surroundings:
    """What all processes of one simulated site share."""

    site: Site
    network: MemoryNetwork
    clock: Clock
    devices: DeviceNetwork


class Process:
    """One service instance. `store` outlives it."""

    def __init__(self, around: Surroundings, service: str, instance: str, on_bug: Callable[[str], None]) -> None:
        self.service, self.instance = service, instance
        self.starts = 0
        self.away = False
        """Killed on purpose: nobody starts it before its time."""
        self._around = around
        self._store = MemoryStore()
        self._on_bug = on_bug
        self._life = Life()
        self._task: asyncio.Task[None] | None = None
        self._kill_bus: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return f"{self.service}:{self.instance}"

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """A fresh process with the old disk."""
        if self.running:
            return
        self.starts += 1
        self.away = False
        life = self._life = Life()
        bus = self._around.network.connect(self.service, self.instance)
        self._kill_bus = bus.kill

        def transports(host: str, port: int, timeout_s: float) -> Transport:
            connection = self._around.devices.factory(host, port, timeout_s)
            life.connections.append(connection)
            return connection

        context = Context(
            site=self._around.site,
            bus=bus,
            clock=self._around.clock,
            instance=self.instance,
            store=_MortalStore(self._store, life),
            transports=transports,
            log=logging.getLogger(f"busbar.sim.{self.service}"),
        )
        actor = SERVICES[self.service].load()(context)
        self._task = asyncio.get_running_loop().create_task(self._run(Shell(actor), life), name=self.name)

    async def _run(self, shell: Shell, life: Life) -> None:
        try:
            await shell.run()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if not life.over:
                logging.getLogger(f"busbar.sim.{self.service}").exception("ended by its own fault")
                self._on_bug(f"{self.name}: {type(error).__name__}: {error}")

    async def kill(self) -> None:
        """`kill -9`: nothing of it reaches the outside any more."""
        self.away = True
        self._life.over = True
        for connection in self._life.connections:
            connection.kill()
        self._kill_bus()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
