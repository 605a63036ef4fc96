"""`make bench`: what things cost, as ratios against a named peer in the same run. Prints Markdown tables.

Absolute times belong to the machine they were taken on; the ratios are the claim. `--write` puts them into
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

from pymodbus.client.mixin import ModbusClientMixin

from bench import cycle, live
from busbar.bus.memory import ANY_SERVICE, MemoryNetwork
from busbar.bus.nats import NatsBus
from busbar.clock import SystemClock
from busbar.config.load import load_site
from busbar.devices.catalog import load_package
from busbar.devices.codec import Memory
from busbar.devices.plan import compile_plan
from busbar.devices.pymodbus_tcp import PymodbusTransport
from busbar.devices.tcp import TcpTransport
from busbar.domain.kinds import AssetKind
from busbar.events import Heartbeat, ServiceState
from busbar.sim.devices import build_device
from busbar.sim.plant import EvsePort
from busbar.sim.server import serve
from busbar.sim.simulation import Run, simulate
from busbar.subjects import HEARTBEAT
from busbar.testing.nats_server import NatsServer

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo.yaml"
TARGET = ROOT / "docs" / "benchmarks.md"
ACN_PEERS = ("FCFS", "EDF", "LLF", "round robin", "offline optimum")
ACN_PUBLISHED = {
    20: (67.719, 71.860, 70.732, 68.831, 78.457),
    30: (80.309, 86.213, 86.533, 83.266, 92.932),
    40: (90.763, 96.632, 97.727, None, 98.691),
    50: (95.709, 99.093, 99.697, None, 99.833),
}
"""As published, and reproduced with acnportal 0.3.3."""


def best_us(work: Callable[[], object], number: int = 2000, rounds: int = 7) -> float:
    """Median over rounds of the mean time of one call."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(number):
            work()
        times.append((time.perf_counter() - started) / number * 1e6)
    return statistics.median(times)


def decode() -> list[str]:
    """One CHARX block of 77 registers: our precompiled block against pymodbus' conversion point by point."""
    plan = compile_plan(load_package("phoenix-charx-sec3xxx"), unit_id=None, instance=1, kind=AssetKind.AC_CONNECTOR)
    block = max((b for g in plan.groups.values() for b in g.blocks), key=lambda b: b.count)
    device = build_device("phoenix-charx-sec3xxx", "bench", evses={1: EvsePort("bench")})
    device.step(0.0)
    image = device.read(block.table, block.unit, block.address, block.count)
    other = bytes([image[0], image[1] ^ 1]) + image[2:]
    memory, turn = Memory(), [image, other]

    def ours() -> None:
        turn.reverse()
        block.decode(turn[0], {}, {}, memory)

    words = [int.from_bytes(image[i : i + 2], "big") for i in range(0, len(image), 2)]
    kinds = ModbusClientMixin.DATATYPE

    def theirs() -> None:
        for at in range(0, 20, 2):
            ModbusClientMixin.convert_from_registers(words[at : at + 2], kinds.INT32)
        for at in (18, 57):
            ModbusClientMixin.convert_from_registers(words[at : at + 4], kinds.UINT64)
        for at in (33, 43):
            ModbusClientMixin.convert_from_registers(words[at : at + 10], kinds.STRING)
        for at in range(61, 77):
            ModbusClientMixin.convert_from_registers(words[at : at + 1], kinds.UINT16)

    mine, peer = best_us(ours), best_us(theirs)
    same = best_us(lambda: block.decode(image, {}, {}, memory))
    return [
        f"| decode a CHARX block ({block.count} registers, {len(block.names)} points) | {mine:.1f} us "
        f"| pymodbus `convert_from_registers`, 30 points | {peer:.1f} us | {mine / peer:.2f} |",
        f"| the same with unchanged bytes | {same:.1f} us | changed bytes | {mine:.1f} us | {same / mine:.2f} |",
    ]


async def reads() -> list[str]:
    """77 registers over real Modbus TCP on loopback: our transport against pymodbus', same server."""
    device = build_device("phoenix-charx-sec3xxx", "bench", evses={1: EvsePort("bench")})
    device.step(0.0)
    server = await serve(device, "127.0.0.1", 0)
    times = {}
    for kind in (TcpTransport, PymodbusTransport):
        transport = kind("127.0.0.1", server.port, 2.0)
        await transport.connect()
        await _each_us(lambda t=transport: t.read("holding", 1, 1232, 77), 200)  # type: ignore[misc]  # warm
        times[kind] = await _each_us(lambda t=transport: t.read("holding", 1, 1232, 77), 2000)  # type: ignore[misc]
        await transport.close()
    await server.close()
    mine, peer = times[TcpTransport], times[PymodbusTransport]
    return [f"| Modbus TCP read of 77 registers, loopback | {mine:.0f} us | pymodbus 3.16.1 client | {peer:.0f} us "
            f"| {mine / peer:.2f} |"]  # fmt: skip


async def _each_us(work: Callable[[], Awaitable[object]], number: int) -> float:
    started = time.perf_counter()
    for _ in range(number):
        await work()
    return (time.perf_counter() - started) / number * 1e6


async def messages(port: int) -> list[str]:
    """Publish and deliver one heartbeat: in memory against a real nats-server on loopback."""
    clock, count = SystemClock(), 5000
    beat = Heartbeat(
        service="bench", instance="1", state=ServiceState.RUNNING, cycle_ms=1.0, cycles=1, version="1",
        fingerprint="x", published_at_ms=1,
    )  # fmt: skip
    network = MemoryNetwork("bench", clock)
    memory = await _through(network.connect(ANY_SERVICE), beat, count)
    nats = await _through(await NatsBus.connect(f"nats://127.0.0.1:{port}", "bench", "bench", clock), beat, count)
    return [
        f"| one event published and handled, in memory | {memory:.1f} us | over nats-server, loopback "
        f"| {nats:.1f} us | {memory / nats:.2f} |"
    ]


async def _through(bus: object, beat: Heartbeat, count: int) -> float:
    done = asyncio.Event()
    seen = 0

    def handler(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            done.set()

    await bus.subscribe(HEARTBEAT, handler)  # type: ignore[attr-defined]  # either bus
    await asyncio.sleep(0.1)
    started = time.perf_counter()
    for number in range(count):
        await bus.publish(HEARTBEAT, beat, "bench", "1")  # type: ignore[attr-defined]
        if number % 500 == 499:
            await asyncio.sleep(0)
    await asyncio.wait_for(done.wait(), 30)
    elapsed = time.perf_counter() - started
    await bus.close()  # type: ignore[attr-defined]
    return elapsed / count * 1e6


def day() -> list[str]:
    """A whole simulated day of the demo site against real time."""
    record = simulate(Run(load_site(DEMO), date(2019, 9, 11), 1))
    return [f"| the demo site's whole day, all services, codec and physics | {record.wall_s:.0f} s | real time "
            f"| {record.run.duration_s:.0f} s | {record.wall_s / record.run.duration_s:.5f} |"]  # fmt: skip


def acn() -> list[str]:
    """Energy delivered in experiment 2.1 of acnportal-experiments, beside the published figures."""
    done = subprocess.run([sys.executable, "-m", "bench.acn.experiment"], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ours = list(dict.fromkeys(row["algorithm"] for row in found))
    kilowatts = sorted({row["kw"] for row in found})
    percent = {(row["kw"], row["algorithm"]): row["percent"] for row in found}
    lines = [f"| transformer kW | {' | '.join([*ACN_PEERS, *(f'Busbar, {name}' for name in ours)])} |"]
    lines.append("|---" * (1 + len(ACN_PEERS) + len(ours)) + "|")
    for kw in kilowatts:
        published = [f"{value:.1f}" if value else "-" for value in ACN_PUBLISHED[kw]]
        lines.append("| " + " | ".join([str(kw), *published, *(f"{percent[kw, name]:.1f}" for name in ours)]) + " |")
    return ["## Energy delivered, percent of what was asked for (ACN, Caltech, March 2019)", "", *lines, ""]


def main() -> None:
    """Run all, print, and keep with `--write`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"keep the tables in {TARGET.name}")
    parser.add_argument("--quick", action="store_true", help="leave allocation cycles and the simulated day out")
    parser.add_argument("--acn", action="store_true", help="energy of the ACN experiment too (half an hour)")
    parser.add_argument(
        "--live", action="store_true", help="the full site as processes: latency, CPU, memory (5 minutes)"
    )
    arguments = parser.parse_args()
    rows = decode() + asyncio.run(reads())
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder)).start()
        try:
            rows += asyncio.run(messages(server.port))
        finally:
            server.stop()
    if not arguments.quick:
        rows += cycle.table() + day()
    text = "\n".join(
        [
            "# Benchmarks",
            "",
            "Made by `make bench ARGS=--write`. Absolute figures belong to the machine; the ratios are the claim.",
            "",
            f"Machine: {platform.machine()}, Python {platform.python_version()}.",
            "",
            "| what | ours | against | theirs | ratio |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *(acn() if arguments.acn else []),
            *(["## Full site live", "", *live.table(), ""] if arguments.live else []),
        ]
    )
    print(text)
    if arguments.write:
        TARGET.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
