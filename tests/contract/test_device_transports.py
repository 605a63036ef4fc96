"""Both Modbus TCP transports against one tiny raw server that can misbehave (devices.md, Transport; FC-4)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from busbar.devices.pymodbus_tcp import PymodbusTransport
from busbar.devices.tcp import TcpTransport
from busbar.devices.transport import DeviceRefusedError, Table, Transport, TransportError, TransportFactory

pytestmark = pytest.mark.integration

TIMEOUT_S = 0.3
Reply = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Registers 0..199 hold their own address; every fifth coil is on. `misbehave` answers the next request instead."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.misbehave: Reply | None = None
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                header = await reader.readexactly(7)
                frame = header + await reader.readexactly(struct.unpack(">H", header[4:6])[0] - 1)
                self.requests.append(frame)
                if self.misbehave is not None:
                    once, self.misbehave = self.misbehave, None
                    await once(frame, writer)
                else:
                    writer.write(answer(frame))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def answer(frame: bytes) -> bytes:
    function, address, count = struct.unpack(">BHH", frame[7:12])
    if function in (1, 2):
        bits = sum(1 << i for i in range(count) if (address + i) % 5 == 0)
        data = bits.to_bytes((count + 7) // 8, "little")
        return reply(frame, struct.pack(">BB", function, len(data)) + data)
    if function in (3, 4):
        if address + count > 200:
            return reply(frame, bytes([function | 0x80, 2]))
        return reply(frame, struct.pack(f">BB{count}H", function, 2 * count, *range(address, address + count)))
    return reply(frame, frame[7:12])


def reply(frame: bytes, pdu: bytes, transaction: int | None = None, unit: int | None = None) -> bytes:
    number = int.from_bytes(frame[:2], "big") if transaction is None else transaction
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, frame[6] if unit is None else unit) + pdu


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as running:
        yield running


@pytest.fixture(params=[TcpTransport, PymodbusTransport], ids=["asyncio", "pymodbus"])
async def transport(request: pytest.FixtureRequest, server: RawServer) -> AsyncIterator[Transport]:
    factory: TransportFactory = request.param
    connection = factory("127.0.0.1", server.port, TIMEOUT_S)
    await connection.connect()
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    ("table", "address", "count", "data"),
    [
        ("holding", 0, 1, "0000"),
        ("holding", 100, 3, "006400650066"),
        ("input", 5, 2, "00050006"),
        ("holding", 0, 125, "".join(f"{i:04x}" for i in range(125))),
        ("coil", 0, 11, "2104"),
        ("discrete", 5, 3, "01"),
    ],
)
async def test_reads_are_the_bytes_of_the_wire(
    transport: Transport, table: Table, address: int, count: int, data: str
) -> None:
    assert (await transport.read(table, 7, address, count)).hex() == data


@pytest.mark.parametrize(
    ("call", "pdu"),
    [
        (("holding", 301, [16]), "06012d0010"),
        (("holding", 301, [16], 16), "10012d0001020010"),
        (("holding", 301, [0x4180, 0]), "10012d00020441800000"),
        (("coil", 301, [1]), "05012dff00"),
        (("coil", 301, [0]), "05012d0000"),
        (("coil", 301, [1, 0, 1]), "0f012d00030105"),
    ],
)
async def test_writes_use_the_function_for_their_size(
    transport: Transport, server: RawServer, call: tuple[Any, ...], pdu: str
) -> None:
    table, *rest = call
    await transport.write(table, 3, *rest)
    assert server.requests[-1][6:].hex() == f"03{pdu}"


async def test_an_exception_reply_is_the_device_refusing_and_the_connection_stays(
    transport: Transport, server: RawServer
) -> None:
    with pytest.raises(DeviceRefusedError) as refused:
        await transport.read("holding", 1, 199, 2)
    assert refused.value.code == 2
    assert transport.connected
    assert await transport.read("holding", 1, 4, 1) == b"\x00\x04"
    assert server.connections == 1


async def _wrong_transaction(frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(frame, b"\x03\x02\xde\xad", transaction=(int.from_bytes(frame[:2], "big") + 1) & 0xFFFF))


async def _wrong_unit(frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(frame, b"\x03\x02\xde\xad", unit=99))


async def _wrong_function(frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(frame, b"\x04\x02\xde\xad"))


async def _too_few_data(frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(frame, b"\x03\x00"))


async def _too_many_data(frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(frame, b"\x03\x04\xde\xad\xbe\xef"))


async def _half_frame(frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(frame, b"\x03\x02\xde\xad")[:-1])


async def _close(_frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _half_then_close(frame: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply(frame, b"\x03\x02\xde\xad")[:5])
    writer.close()


async def _silence(_frame: bytes, _writer: asyncio.StreamWriter) -> None:
    """A black hole."""


async def _late(frame: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(2 * TIMEOUT_S)
    writer.write(reply(frame, b"\x03\x02\xde\xad"))


FAULTS = [
    _wrong_transaction, _wrong_unit, _wrong_function, _too_few_data, _too_many_data, _half_frame, _close,
    _half_then_close, _silence, _late,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__.strip("_"))
async def test_no_fault_is_ever_taken_for_data_and_each_ends_the_connection(
    transport: Transport, server: RawServer, fault: Reply
) -> None:
    server.misbehave = fault
    with pytest.raises(TransportError):
        await transport.read("holding", 1, 8, 1)
    assert not transport.connected
    with pytest.raises(TransportError):
        await transport.read("holding", 1, 9, 1)
    await transport.connect()
    assert await transport.read("holding", 1, 10, 1) == b"\x00\x0a"


async def test_a_write_that_is_confirmed_with_another_value_is_an_error(
    transport: Transport, server: RawServer
) -> None:
    async def confirm_other(frame: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(frame, b"\x06\x01\x2d\x00\x20"))

    server.misbehave = confirm_other
    with pytest.raises(TransportError):
        await transport.write("holding", 1, 301, [16])
    assert not transport.connected


async def test_callers_queue_and_each_gets_its_own_answer(transport: Transport, server: RawServer) -> None:
    answers = await asyncio.gather(*(transport.read("holding", 1, i, 1) for i in range(40)))
    assert [int.from_bytes(a, "big") for a in answers] == list(range(40))
    assert server.connections == 1


async def test_only_one_request_is_in_flight(transport: Transport, server: RawServer) -> None:
    async def slow(frame: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(TIMEOUT_S / 3)
        assert len(server.requests) == 1
        writer.write(answer(frame))

    server.misbehave = slow
    first, second = await asyncio.gather(transport.read("holding", 1, 1, 1), transport.read("holding", 1, 2, 1))
    assert (first, second) == (b"\x00\x01", b"\x00\x02")


@pytest.mark.parametrize("factory", [TcpTransport, PymodbusTransport], ids=["asyncio", "pymodbus"])
async def test_a_refused_connection_names_host_and_port(factory: TransportFactory) -> None:
    async with RawServer() as gone:
        port = gone.port
    with pytest.raises(TransportError, match=f"127.0.0.1:{port}"):
        await factory("127.0.0.1", port, TIMEOUT_S).connect()


@pytest.mark.parametrize("factory", [TcpTransport, PymodbusTransport], ids=["asyncio", "pymodbus"])
async def test_nothing_is_read_before_connecting_and_close_twice_is_fine(factory: TransportFactory) -> None:
    connection = factory("127.0.0.1", 9, TIMEOUT_S)
    with pytest.raises(TransportError):
        await connection.read("holding", 1, 0, 1)
    await connection.close()
    await connection.close()


async def test_a_cancelled_request_leaves_no_connection_on_which_its_answer_could_arrive(
    transport: Transport, server: RawServer
) -> None:
    server.misbehave = _late
    waiting = asyncio.create_task(transport.read("holding", 1, 1, 1))
    await asyncio.sleep(TIMEOUT_S / 3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not transport.connected


@pytest.mark.parametrize("count", [0, 126])
async def test_counts_that_no_device_takes_are_refused_before_the_wire(
    transport: Transport, server: RawServer, count: int
) -> None:
    with pytest.raises(ValueError, match=r"1\.\.125"):
        await transport.read("holding", 1, 0, count)
    assert server.requests == []
