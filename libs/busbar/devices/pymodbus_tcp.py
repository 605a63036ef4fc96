"""Modbus TCP on pymodbus 3.16.1: the second implementation, and the oracle for `tcp.py` in tests.

Settings as measured (devices.md): retries 0, no reconnecting of its own; after any failure the connection is closed:
pymodbus itself keeps it, and reports a lost one only as a timeout.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from busbar.devices.pdu import READ_FUNCTION, check_write_reply, read_request, write_request
from busbar.devices.transport import DeviceRefusedError, Table, TransportError

_GRACE_S = 0.25
"""pymodbus counts its own timeout; ours only catches what it never ends."""


class PymodbusTransport:
    """One connection to one Modbus TCP server."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._where = f"{host}:{port}"
        self._timeout_s = timeout_s
        self._client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0)
        self._turn = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return self._client.connected

    async def connect(self) -> None:
        """Raises TransportError with host, port and cause."""
        async with self._turn:
            self._client.close()
            try:
                async with asyncio.timeout(self._timeout_s + _GRACE_S):
                    connected = await self._client.connect()
            except (TimeoutError, OSError) as error:
                raise TransportError(f"{self._where}: {error}") from error
            if not connected:
                raise TransportError(f"{self._where}: no connection within {self._timeout_s} s, or refused")

    async def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
        """See `Transport.read`."""
        read_request(table, address, count)
        client = self._client
        method = {
            "holding": client.read_holding_registers, "input": client.read_input_registers,
            "coil": client.read_coils, "discrete": client.read_discrete_inputs,
        }[table]  # fmt: skip
        reply = await self._exchange(READ_FUNCTION[table], lambda: method(address, count=count, device_id=unit))
        if table in ("coil", "discrete"):
            return await self._sized(_packed(reply.bits[:count]), (count + 7) // 8)
        return await self._sized(struct.pack(f">{len(reply.registers)}H", *reply.registers), 2 * count)

    async def write(self, table: Table, unit: int, address: int, values: Sequence[int], fc: int | None = None) -> None:
        """See `Transport.write`."""
        request = write_request(table, address, values, fc)
        client, words = self._client, list(values)
        calls = {
            5: lambda: client.write_coil(address, bool(words[0]), device_id=unit),
            6: lambda: client.write_register(address, words[0], device_id=unit),
            15: lambda: client.write_coils(address, [bool(w) for w in words], device_id=unit),
            16: lambda: client.write_registers(address, words, device_id=unit),
        }
        reply = await self._exchange(request[0], calls[request[0]])
        try:
            check_write_reply(request, bytes([reply.function_code]) + reply.encode())
        except TransportError:
            self._client.close()
            raise

    async def close(self) -> None:
        """Idempotent."""
        self._client.close()

    async def _exchange(self, function: int, call: Callable[[], Awaitable[ModbusPDU]]) -> ModbusPDU:
        async with self._turn:
            clean = False
            try:
                if not self._client.connected:
                    raise TransportError(f"{self._where}: not connected")
                async with asyncio.timeout(self._timeout_s + _GRACE_S):
                    reply = await call()
                if reply.function_code & 0x7F != function:  # pymodbus lets it pass
                    raise TransportError(f"{self._where}: a reply to function {reply.function_code}, not {function}")
                clean = True
            except (ModbusException, OSError, TimeoutError) as error:
                raise TransportError(f"{self._where}: {error}") from error
            finally:
                if not clean:
                    self._client.close()
        if reply.isError():
            raise DeviceRefusedError(int(getattr(reply, "exception_code", 0)))
        return reply

    async def _sized(self, data: bytes, size: int) -> bytes:
        if len(data) == size:
            return data
        self._client.close()
        raise TransportError(f"{self._where}: {len(data)} data bytes, wanted {size}")


def _packed(bits: Sequence[bool]) -> bytes:
    return sum(bool(bit) << i for i, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")
