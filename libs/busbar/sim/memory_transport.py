"""Simulated devices without sockets: the Transport of the drivers, straight onto the device objects.

For virtual time: latency, timeouts and idle closing follow the running loop's clock. It replaces only the socket: the
same device code answers, the same faults act, and the caller sees the same errors as over TCP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from busbar.devices.transport import DeviceRefusedError, Table, TransportError
from busbar.sim.devices.base import BUSY, NoAnswerError, SimDevice
from busbar.sim.faults import SILENCE, Kind, Verdict

_IMMEDIATE: Final = Verdict(Kind.ANSWER, 0.0)
_BROKEN: Final = {
    Kind.CLOSE: "connection closed in the middle of an answer",
    Kind.WRONG_TRANSACTION: "answer with another transaction id",
}


class MemoryNetwork:
    """Devices by address. `factory` is the TransportFactory of a driver that lives in this network."""

    def __init__(self) -> None:
        self._devices: dict[tuple[str, int], SimDevice] = {}
        self._clients: dict[tuple[str, int], list[MemoryTransport]] = {}
        self.cuts: set[str] = set()
        """Hosts that nothing gets through to."""

    def add(self, host: str, port: int, device: SimDevice) -> None:
        """Raises ValueError where the address is taken."""
        if (host, port) in self._devices:
            raise ValueError(f"{host}:{port} is already device '{self._devices[(host, port)].id}'")
        self._devices[(host, port)] = device
        self._clients[(host, port)] = []

    def cut(self, host: str) -> None:
        """The cable to `host` is out: nothing gets through, nothing is refused."""
        self.cuts.add(host)

    def mend(self, host: str) -> None:
        self.cuts.discard(host)

    def device(self, host: str, port: int) -> SimDevice | None:
        return self._devices.get((host, port))

    def clients(self, host: str, port: int) -> list[MemoryTransport]:
        """Open connections to one device."""
        return self._clients[(host, port)]

    def factory(self, host: str, port: int, timeout_s: float) -> MemoryTransport:
        return MemoryTransport(self, host, port, timeout_s)


class MemoryTransport:
    """One connection of a MemoryNetwork."""

    def __init__(self, network: MemoryNetwork, host: str, port: int, timeout_s: float) -> None:
        self._network = network
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self.connected = False
        self._dead = False
        self._device: SimDevice | None = None
        self._epoch = 0
        self._heard_at_s = 0.0
        self._now_s: Callable[[], float] = lambda: 0.0

    async def connect(self) -> None:
        self._drop()
        if self._dead:
            raise TransportError("the process that held this connection is gone")
        device = self._network.device(self._host, self._port)
        if self._host in self._network.cuts:
            await asyncio.sleep(self._timeout_s)
            raise TransportError(f"cannot connect to {self._host}:{self._port}: no answer in {self._timeout_s} s")
        if device is None or device.faults.refuse_connections or not device.up:
            raise TransportError(f"cannot connect to {self._host}:{self._port}: connection refused")
        clients = self._network.clients(self._host, self._port)
        if device.max_clients is not None and len(clients) >= device.max_clients:
            raise TransportError(
                f"cannot connect to {self._host}:{self._port}: closed by the device (too many clients)"
            )
        clients.append(self)
        self._device = device
        self.connected = True
        self._epoch = device.epoch
        self._now_s = asyncio.get_running_loop().time
        self._heard_at_s = self._now_s()

    async def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
        device = self._usable()
        verdict = SILENCE if self._host in self._network.cuts else device.judge()
        if verdict is not None:
            return await self._impaired(verdict, lambda: device.read(table, unit, address, count))
        try:
            return device.read(table, unit, address, count)
        except NoAnswerError:
            await self._time_out()

    async def write(self, table: Table, unit: int, address: int, values: Sequence[int], fc: int | None = None) -> None:
        device = self._usable()
        if fc is None:
            single, several = (5, 15) if table == "coil" else (6, 16)
            fc = single if len(values) == 1 else several
        code = fc

        def act() -> bytes:
            device.write(table, unit, address, values, code)
            return b""

        verdict = SILENCE if self._host in self._network.cuts else device.judge()
        await self._impaired(verdict or _IMMEDIATE, act)

    async def close(self) -> None:
        self._drop()

    def kill(self) -> None:
        """The process that holds this connection is gone: the kernel closes it, nothing of it is sent any more."""
        self._dead = True
        self._drop()

    # -- inside

    def _usable(self) -> SimDevice:
        device = self._device
        if device is None:
            raise TransportError(f"{self._host}:{self._port}: not connected")
        limit_s = device.idle_timeout_s
        if limit_s is not None:
            before_s, self._heard_at_s = self._heard_at_s, self._now_s()
            if self._heard_at_s - before_s >= limit_s:
                self._closed_by_device()
        if self._epoch != device.epoch and device.up:
            self._closed_by_device()
        return device

    def _closed_by_device(self) -> NoReturn:
        self._drop()
        raise TransportError(f"{self._host}:{self._port}: connection closed by the device")

    async def _impaired(self, verdict: Verdict, act: Callable[[], bytes]) -> bytes:
        """Carry out a request under a verdict: it may be lost before the device sees it, or its answer after."""
        if verdict.kind is Kind.DROP:
            await self._time_out()
        if verdict.kind is Kind.BUSY:
            await self._wait(verdict.delay_s)
            raise DeviceRefusedError(BUSY)
        refused: DeviceRefusedError | None = None
        data = b""
        try:
            data = act()
        except NoAnswerError:
            await self._time_out()
        except DeviceRefusedError as error:
            refused = error
        await self._wait(verdict.delay_s)
        if verdict.kind in _BROKEN:
            self._drop()
            raise TransportError(f"{self._host}:{self._port}: {_BROKEN[verdict.kind]}")
        if refused is not None:
            raise refused
        return data

    async def _wait(self, delay_s: float) -> None:
        if delay_s >= self._timeout_s:
            await self._time_out()
        if delay_s > 0.0:
            await asyncio.sleep(delay_s)

    async def _time_out(self) -> NoReturn:
        await asyncio.sleep(self._timeout_s)
        self._drop()
        raise TransportError(f"{self._host}:{self._port}: no answer in {self._timeout_s} s")

    def _drop(self) -> None:
        if self._device is not None:
            self._device = None
            self.connected = False
            self._network.clients(self._host, self._port).remove(self)
