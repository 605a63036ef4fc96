"""Simulated devices on real sockets: raw bytes in and out, faults of the link, taken addresses."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from pymodbus.client import AsyncModbusTcpClient

from busbar.sim.devices import AlfenStation, CharxController
from busbar.sim.devices.base import SimDevice
from busbar.sim.faults import Faults
from busbar.sim.plant import EvsePort
from busbar.sim.server import CannotServeError, DeviceServer, serve

pytestmark = pytest.mark.integration

HOST = "127.0.42.199"
PATIENCE_S = 5.0
READ_SETPOINT = bytes.fromhex("0007 0000 0006 01 03 0515 0001")
SETPOINT_6 = bytes.fromhex("0007 0000 0005 01 03 02 0006")

Serve = Callable[[SimDevice], Awaitable[DeviceServer]]


@pytest.fixture
async def served() -> AsyncIterator[Serve]:
    servers: list[DeviceServer] = []

    async def start(device: SimDevice) -> DeviceServer:
        servers.append(await serve(device, HOST, 0))
        return servers[-1]

    yield start
    for server in servers:
        await server.close()


def charx() -> CharxController:
    device = CharxController("charx", {1: EvsePort("a1", plugged=True)})
    device.step(0.0)
    return device


class Wire:
    """A client that knows nothing but bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, server: DeviceServer) -> "Wire":
        return cls(*await asyncio.open_connection(server.host, server.port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), PATIENCE_S)

    async def ended(self) -> bytes:
        """What still came before the device closed the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(-1), PATIENCE_S)
        except ConnectionResetError:
            return b""


async def test_every_request_of_one_segment_is_answered_in_order(served: Serve) -> None:
    wire = await Wire.to(await served(charx()))
    wire.send(b"".join(struct.pack(">H", number) + READ_SETPOINT[2:] for number in range(100)))
    for number in range(100):
        assert await wire.receive(11) == struct.pack(">H", number) + SETPOINT_6[2:]


async def test_a_request_may_come_byte_by_byte(served: Serve) -> None:
    wire = await Wire.to(await served(charx()))
    for at in range(len(READ_SETPOINT)):
        wire.send(READ_SETPOINT[at : at + 1])
        await asyncio.sleep(0)
        await wire.writer.drain()
    assert await wire.receive(11) == SETPOINT_6


async def test_order_is_kept_under_latency_and_jitter(served: Serve) -> None:
    device = charx()
    device.faults = Faults(seed=5, latency_s=0.001, jitter_s=0.02)
    wire = await Wire.to(await served(device))
    wire.send(b"".join(struct.pack(">H", number) + READ_SETPOINT[2:] for number in range(10)))
    answers = [await wire.receive(11) for _ in range(10)]
    assert [struct.unpack_from(">H", reply)[0] for reply in answers] == list(range(10))


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes.fromhex("0001 0000 0000 01 03"), b"\xff" * 300])
async def test_garbage_ends_only_its_own_connection(served: Serve, garbage: bytes) -> None:
    server = await served(charx())
    good, bad = await Wire.to(server), await Wire.to(server)
    bad.send(garbage)
    assert await bad.ended() == b""
    good.send(READ_SETPOINT)
    assert await good.receive(11) == SETPOINT_6


async def test_pymodbus_reads_and_writes_with_every_function_the_device_has(served: Serve) -> None:
    server = await served(charx())
    client = AsyncModbusTcpClient(server.host, port=server.port, timeout=PATIENCE_S, retries=0)
    assert await client.connect()
    assert not (await client.write_register(1301, 16, device_id=1)).isError()
    assert not (await client.write_registers(1306, [6, 30], device_id=1)).isError()
    assert (await client.read_holding_registers(1300, count=9, device_id=1)).registers == [1, 16, 0, 0, 1, 0, 6, 30, 0]
    assert (await client.read_holding_registers(1309, count=1, device_id=1)).exception_code == 2
    assert (await client.read_input_registers(1300, count=1, device_id=1)).exception_code == 1
    assert (await client.read_coils(0, count=1, device_id=1)).exception_code == 1
    client.close()


async def test_a_silent_device_accepts_and_says_nothing_until_it_recovers(served: Serve) -> None:
    device = charx()
    device.faults = Faults(silent=True)
    wire = await Wire.to(await served(device))
    wire.send(READ_SETPOINT)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(1), 0.1)
    device.faults = Faults()
    wire.send(READ_SETPOINT)
    assert await wire.receive(11) == SETPOINT_6


async def test_busy_wrong_transaction_and_half_an_answer_on_the_wire(served: Serve) -> None:
    device = charx()
    wire = await Wire.to(await served(device))
    device.faults = Faults(busy_every=1)
    wire.send(READ_SETPOINT)
    assert await wire.receive(9) == bytes.fromhex("0007 0000 0003 01 83 06")
    device.faults = Faults(wrong_transaction_every=1)
    wire.send(READ_SETPOINT)
    assert await wire.receive(11) == bytes.fromhex("5552") + SETPOINT_6[2:]
    device.faults = Faults(close_every=1)
    wire.send(READ_SETPOINT)
    assert await wire.ended() == SETPOINT_6[:5]


async def test_a_late_answer_comes_after_the_answer_to_the_next_request(served: Serve) -> None:
    device = charx()
    device.faults = Faults(late_every=1, late_s=1.0)
    wire = await Wire.to(await served(device))
    wire.send(READ_SETPOINT)
    await asyncio.sleep(0.02)
    device.faults = Faults()
    wire.send(b"\x00\x08" + READ_SETPOINT[2:])
    assert await wire.receive(22) == b"\x00\x08" + SETPOINT_6[2:] + SETPOINT_6


async def test_a_refusing_or_restarting_device_takes_no_connection(served: Serve) -> None:
    device = charx()
    server = await served(device)
    before = await Wire.to(server)
    device.faults = Faults(refuse_connections=True)
    assert await (await Wire.to(server)).ended() == b""
    device.faults = Faults()
    device.restart(down_s=5.0)
    assert await (await Wire.to(server)).ended() == b""
    device.step(5.0)
    before.send(READ_SETPOINT)
    assert await before.ended() == b""
    after = await Wire.to(server)
    after.send(READ_SETPOINT)
    assert await after.receive(11) == SETPOINT_6


READ_AVAILABILITY = bytes.fromhex("0001 0000 0006 01 03 04B0 0001")
OPERATIVE = bytes.fromhex("0001 0000 0005 01 03 02 0001")


async def test_alfen_takes_two_clients(served: Serve) -> None:
    server = await served(AlfenStation("alfen", {1: EvsePort("b1")}))
    first, second = await Wire.to(server), await Wire.to(server)
    assert await (await Wire.to(server)).ended() == b""
    for wire in (first, second):
        wire.send(READ_AVAILABILITY)
        assert await wire.receive(11) == OPERATIVE


class ImpatientAlfen(AlfenStation):
    """The real one waits 60 s."""

    idle_timeout_s = 0.2


async def test_alfen_closes_a_silent_connection(served: Serve) -> None:
    server = await served(ImpatientAlfen("alfen", {1: EvsePort("b1")}))
    silent = await Wire.to(server)
    assert await silent.ended() == b""
    again = await Wire.to(server)
    again.send(READ_AVAILABILITY)
    assert await again.receive(11) == OPERATIVE


async def test_a_taken_address_is_named_with_its_remedy(served: Serve) -> None:
    server = await served(charx())
    with pytest.raises(CannotServeError) as error:
        await serve(CharxController("other", {1: EvsePort("x")}), server.host, server.port)
    text = str(error.value)
    assert f"device 'other' cannot be served on {HOST}:{server.port}" in text
    assert "something else listens there already" in text
    assert "site file" in text


async def test_an_address_this_machine_has_not_is_named() -> None:
    with pytest.raises(CannotServeError, match=r"no address 192\.0\.2\.1"):
        await serve(charx(), "192.0.2.1", 1502)


async def test_closing_the_server_ends_its_connections(served: Serve) -> None:
    server = await served(charx())
    wire = await Wire.to(server)
    wire.send(READ_SETPOINT)
    await wire.receive(11)
    await server.close()
    assert await wire.ended() == b""
    with pytest.raises(OSError, match=r"refused|failed"):
        await Wire.to(server)
