"""The socketless Transport in virtual time: same errors, timeouts and closings as over TCP (architecture: Time)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from busbar.devices.transport import DeviceRefusedError, Transport, TransportError
from busbar.loops import run_virtual
from busbar.sim.devices import AlfenStation, CharxController
from busbar.sim.devices.base import SimDevice
from busbar.sim.faults import Faults
from busbar.sim.memory_transport import MemoryNetwork
from busbar.sim.plant import EvsePort

HOST, PORT, TIMEOUT_S = "127.0.42.11", 1502, 1.0


def on(device: SimDevice, scenario: Callable[[Transport, MemoryNetwork], Awaitable[object]]) -> float:
    """Run a scenario on an open connection; the virtual seconds it took."""
    network = MemoryNetwork()
    network.add(HOST, PORT, device)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        transport = network.factory(HOST, PORT, TIMEOUT_S)
        await transport.connect()
        start_s = loop.time()
        await scenario(transport, network)
        return loop.time() - start_s

    return run_virtual(lambda _: main())


def charx(faults: Faults | None = None) -> CharxController:
    device = CharxController("charx", {1: EvsePort("a1", plugged=True)})
    device.step(0.0)
    device.faults = faults or Faults()
    return device


async def reads(transport: Transport) -> bytes:
    return await transport.read("holding", 1, 1301, 1)


async def write_13(transport: Transport) -> None:
    await transport.write("holding", 1, 1301, [13])


async def fails(action: Awaitable[object], match: str) -> None:
    with pytest.raises(TransportError, match=match):
        await action


def test_a_read_and_a_write_reach_the_device_at_once() -> None:
    async def scenario(transport: Transport, _: MemoryNetwork) -> None:
        assert await reads(transport) == b"\x00\x06"
        await write_13(transport)
        assert await reads(transport) == b"\x00\x0d"
        await transport.write("holding", 1, 1306, [6, 30])

    device = charx()
    assert on(device, scenario) == 0.0
    assert device.points[1].watchdog_s == 30


def test_an_exception_leaves_the_connection_open() -> None:
    async def scenario(transport: Transport, _: MemoryNetwork) -> None:
        with pytest.raises(DeviceRefusedError, match="illegal data address"):
            await transport.read("holding", 1, 1309, 1)
        assert transport.connected
        await reads(transport)

    on(charx(), scenario)


@pytest.mark.parametrize("faults", [Faults(drop_every=1), Faults(silent=True), Faults(latency_s=2.0)])
def test_no_answer_ends_the_connection_after_the_timeout(faults: Faults) -> None:
    async def scenario(transport: Transport, _: MemoryNetwork) -> None:
        await fails(reads(transport), "no answer in 1.0 s")
        assert not transport.connected
        await fails(reads(transport), "not connected")

    assert on(charx(faults), scenario) == TIMEOUT_S


def test_latency_below_the_timeout_only_takes_its_time() -> None:
    async def scenario(transport: Transport, _: MemoryNetwork) -> None:
        await reads(transport)
        await write_13(transport)

    assert on(charx(Faults(latency_s=0.25)), scenario) == 0.5


@pytest.mark.parametrize(
    ("faults", "message", "written"),
    [
        (Faults(drop_every=1), "no answer", 6),
        (Faults(late_every=1), "no answer", 13),
        (Faults(close_every=1), "middle of an answer", 13),
        (Faults(wrong_transaction_every=1), "transaction id", 13),
    ],
)
def test_a_failed_write_may_or_may_not_have_been_carried_out(faults: Faults, message: str, written: int) -> None:
    async def scenario(transport: Transport, _: MemoryNetwork) -> None:
        await fails(write_13(transport), message)
        assert not transport.connected

    device = charx(faults)
    on(device, scenario)
    assert device.points[1].setpoint_a == written


def test_a_busy_device_does_nothing_and_keeps_the_connection() -> None:
    async def scenario(transport: Transport, _: MemoryNetwork) -> None:
        with pytest.raises(DeviceRefusedError, match="device busy"):
            await write_13(transport)
        assert transport.connected

    device = charx(Faults(busy_every=1))
    on(device, scenario)
    assert device.points[1].setpoint_a == 6


def test_an_unknown_address_and_a_refusing_device_refuse_the_connection() -> None:
    async def scenario(transport: Transport, network: MemoryNetwork) -> None:
        await fails(network.factory("127.0.42.99", PORT, TIMEOUT_S).connect(), r"127\.0\.42\.99:1502.*refused")
        device = network.device(HOST, PORT)
        assert device is not None
        device.faults = Faults(refuse_connections=True)
        await fails(network.factory(HOST, PORT, TIMEOUT_S).connect(), "refused")
        await reads(transport)  # the open connection goes on

    assert on(charx(), scenario) == 0.0


def test_a_cut_cable_times_out_and_works_again_when_mended() -> None:
    async def scenario(transport: Transport, network: MemoryNetwork) -> None:
        network.cut(HOST)
        await fails(reads(transport), "no answer")
        await fails(transport.connect(), "no answer")
        network.mend(HOST)
        await transport.connect()
        await reads(transport)

    assert on(charx(), scenario) == 2 * TIMEOUT_S


def test_an_unknown_unit_says_nothing() -> None:
    async def scenario(transport: Transport, _: MemoryNetwork) -> None:
        await fails(transport.read("holding", 7, 1301, 1), "no answer")

    assert on(charx(), scenario) == TIMEOUT_S


def test_a_restart_ends_connections_and_refuses_new_ones_until_the_device_is_up() -> None:
    device = charx()

    async def scenario(transport: Transport, network: MemoryNetwork) -> None:
        device.restart(down_s=10.0)
        await fails(reads(transport), "no answer")
        await fails(transport.connect(), "refused")
        device.step(10.0)
        await transport.connect()
        await reads(transport)
        device.restart(down_s=1.0)
        device.step(11.0)
        await fails(reads(transport), "closed by the device")

    on(device, scenario)


def test_alfen_closes_after_60_s_of_silence_and_takes_two_clients() -> None:
    async def scenario(transport: Transport, network: MemoryNetwork) -> None:
        second, third = (network.factory(HOST, PORT, TIMEOUT_S) for _ in range(2))
        await second.connect()
        await fails(third.connect(), "too many clients")
        await asyncio.sleep(59.0)
        await transport.read("holding", 1, 1200, 1)
        await asyncio.sleep(1.0)
        await fails(second.read("holding", 1, 1200, 1), "closed by the device")
        await third.connect()
        await asyncio.sleep(58.0)
        await transport.read("holding", 1, 1200, 1)

    on(AlfenStation("alfen", {1: EvsePort("b1")}), scenario)


def test_closing_twice_is_harmless_and_frees_the_place() -> None:
    async def scenario(transport: Transport, network: MemoryNetwork) -> None:
        await transport.close()
        await transport.close()
        assert network.clients(HOST, PORT) == []

    on(charx(), scenario)


def test_two_devices_cannot_have_one_address() -> None:
    network = MemoryNetwork()
    network.add(HOST, PORT, charx())
    with pytest.raises(ValueError, match=r"127\.0\.42\.11:1502 is already device 'charx'"):
        network.add(HOST, PORT, charx())
