"""Modbus TCP on plain asyncio: the default transport.

One request in flight; callers queue. A reply counts only with the transaction id, unit and function of the request;
anything else, a timeout or a close ends the connection: what comes late can then never be taken for the answer to the
next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from busbar.devices.pdu import MBAP, check_write_reply, read_reply, read_request, write_request
from busbar.devices.transport import DeviceRefusedError, Table, TransportError

Result = TypeVar("Result")
_MAX_LENGTH = 254
"""Unit id and PDU: 253 bytes of PDU at most."""


class TcpTransport:
    """One connection to one Modbus TCP server."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._where = f"{host}:{port}"
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._transaction = 0
        self._turn = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return self._writer is not None and self._reader is not None and not self._reader.at_eof()

    async def connect(self) -> None:
        """Raises TransportError with host, port and cause."""
        async with self._turn:
            await self._hang_up()
            try:
                async with asyncio.timeout(self._timeout_s):
                    self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
            except TimeoutError as error:
                raise TransportError(f"{self._where}: no connection within {self._timeout_s} s") from error
            except OSError as error:
                raise TransportError(f"{self._where}: {_words(error)}") from error

    async def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
        """See `Transport.read`."""
        return await self._exchange(unit, read_request(table, address, count), read_reply)

    async def write(self, table: Table, unit: int, address: int, values: Sequence[int], fc: int | None = None) -> None:
        """See `Transport.write`."""
        await self._exchange(unit, write_request(table, address, values, fc), check_write_reply)

    async def close(self) -> None:
        """Idempotent; a request that waits for its reply fails with TransportError."""
        await self._hang_up()

    async def _exchange(self, unit: int, request: bytes, judge: Callable[[bytes, bytes], Result]) -> Result:
        """One request, one reply. Whatever is no clean reply, cancellation included, ends the connection."""
        async with self._turn:
            clean = False
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply = await self._roundtrip(unit, request)
                result = judge(request, reply)
                clean = True
            except DeviceRefusedError:
                clean = True
                raise
            except TimeoutError as error:
                raise TransportError(f"{self._where}: no answer within {self._timeout_s} s") from error
            except (OSError, asyncio.IncompleteReadError) as error:
                raise TransportError(f"{self._where}: connection lost: {_words(error)}") from error
            finally:
                if not clean:
                    await self._hang_up()
            return result

    async def _roundtrip(self, unit: int, request: bytes) -> bytes:
        reader, writer = self._reader, self._writer
        if reader is None or writer is None:
            raise TransportError(f"{self._where}: not connected")
        self._transaction = (self._transaction + 1) & 0xFFFF
        writer.write(MBAP.pack(self._transaction, 0, len(request) + 1, unit) + request)
        await writer.drain()
        header = MBAP.unpack(await reader.readexactly(MBAP.size))
        transaction, protocol, length, from_unit = header
        if (transaction, protocol, from_unit) != (self._transaction, 0, unit) or not 2 <= length <= _MAX_LENGTH:
            raise TransportError(
                f"{self._where}: a reply to something else: {header}, asked {self._transaction}/{unit}"
            )
        return await reader.readexactly(length - 1)

    async def _hang_up(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    await writer.wait_closed()


def _words(error: OSError | asyncio.IncompleteReadError) -> str:
    """What happened, for people: "Connection refused" instead of "[Errno 111] Connect call failed (...)"."""
    if isinstance(error, asyncio.IncompleteReadError):
        return "the device closed it"
    if isinstance(error, socket.gaierror) or not error.errno:
        return str(error)
    return os.strerror(error.errno)
