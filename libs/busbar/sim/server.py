"""A simulated device behind a real socket: `server = await serve(device, "127.0.42.11", 1502)`.

Modbus TCP as devices speak it: all requests of one segment are answered, in their order; bytes that are no Modbus end
the connection. A client that does not read its answers stops being read (the kernel's buffers are the only queue).
Faults, restarts, idle timeout and the number of clients are the device's.
"""

from __future__ import annotations

import asyncio
import errno
from typing import Final

from busbar.sim.devices.base import SimDevice
from busbar.sim.faults import Kind, Verdict
from busbar.sim.frames import BrokenStreamError, Request, answer, busy, frame, split

_IMMEDIATE: Final = Verdict(Kind.ANSWER, 0.0)


class CannotServeError(Exception):
    """The address cannot be listened on; the message names it, the cause and what to do."""


class DeviceServer:
    """A listening device. Closing it ends its connections."""

    def __init__(self, device: SimDevice) -> None:
        self.device = device
        self.connections: list[_Connection] = []
        self.host = ""
        self.port = 0
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), host, port)
        except OSError as error:
            raise CannotServeError(_explain(self.device.id, host, port, error)) from error
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()


async def serve(device: SimDevice, host: str, port: int = 502) -> DeviceServer:
    """Listen for `device`; port 0 takes a free one (`server.port`). Raises CannotServeError."""
    server = DeviceServer(device)
    await server.listen(host, port)
    return server


class _Connection(asyncio.Protocol):
    def __init__(self, server: DeviceServer) -> None:
        self._server = server
        self._device = server.device
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._epoch = self._device.epoch
        self._free_at_s = 0.0
        self._heard_at_s = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what create_server gives
        self._transport = transport
        device = self._device
        full = device.max_clients is not None and len(self._server.connections) >= device.max_clients
        if full or device.faults.refuse_connections or not device.up:
            transport.abort()
            return
        self._server.connections.append(self)
        self._heard_at_s = self._loop.time()
        if device.idle_timeout_s is not None:
            self._idle = self._loop.call_later(device.idle_timeout_s, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._server.connections:
            self._server.connections.remove(self)
        if self._idle is not None:
            self._idle.cancel()
        self._transport = None

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._heard_at_s = self._loop.time()
        if self._epoch != self._device.epoch and self._device.up:
            self.abort()  # the device was restarted and knows nothing of this connection
            return
        self._buffer += data
        try:
            requests = split(self._buffer)
        except BrokenStreamError:
            self.abort()
            return
        for request in requests:
            self._handle(request)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _handle(self, request: Request) -> None:
        verdict = self._device.judge() or _IMMEDIATE
        if verdict.kind is Kind.DROP:
            return
        pdu = busy(request) if verdict.kind is Kind.BUSY else answer(self._device, request)
        if pdu is None:
            return
        wrong = verdict.kind is Kind.WRONG_TRANSACTION
        reply = frame(request.transaction ^ 0x5555 if wrong else request.transaction, request.unit, pdu)
        if verdict.kind is Kind.LATE:
            self._loop.call_later(verdict.delay_s, self._send, reply, False)
            return
        closing = verdict.kind is Kind.CLOSE
        if closing:
            reply = reply[: len(reply) // 2]
        now_s = self._loop.time()
        if verdict.delay_s <= 0.0 and self._free_at_s <= now_s:
            self._send(reply, closing)
        else:
            self._free_at_s = max(self._free_at_s, now_s) + verdict.delay_s
            self._loop.call_at(self._free_at_s, self._send, reply, closing)

    def _send(self, reply: bytes, closing: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(reply)
        if closing:
            self._transport.close()

    def _check_idle(self) -> None:
        limit_s = self._device.idle_timeout_s
        if limit_s is None or self._transport is None:
            return
        left_s = self._heard_at_s + limit_s - self._loop.time()
        if left_s <= 0.0:
            self._transport.close()
        else:
            self._idle = self._loop.call_later(left_s, self._check_idle)


def _explain(device_id: str, host: str, port: int, error: OSError) -> str:
    remedy = {
        errno.EADDRINUSE: (
            f"something else listens there already: stop it (`ss -ltnp 'sport = :{port}'` names it) "
            "or give the device another host or port in the site file"
        ),
        errno.EADDRNOTAVAIL: (
            f"this machine has no address {host}: use one of 127.0.0.0/8, "
            f"on macOS after `sudo ifconfig lo0 alias {host}`"
        ),
        errno.EACCES: "ports below 1024 need privileges: give the device a higher port in the site file",
    }.get(error.errno or 0, str(error))
    return f"device '{device_id}' cannot be served on {host}:{port}: {remedy}"
