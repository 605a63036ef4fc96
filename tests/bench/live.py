"""The full site as real processes: how long from a meter's registers to the chargers', and what the services cost.

    PYTHONPATH=tests python -m bench.live [--zones 4] [--start 11:00]

`busbar up examples/full-site.yaml` runs everything. Some zones are played by this process instead of the twin: the same
simulated devices, but their meter shows what we say, and the moment of each write is taken. A trial lets a zone's load
jump by so much that its fuse is overloaded; what counts is the first lower limit written to each charger after that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import yaml

from busbar.sim.devices import build_device
from busbar.sim.devices.alfen import AlfenStation
from busbar.sim.devices.base import SimDevice
from busbar.sim.devices.charx import CharxController
from busbar.sim.plant import BatteryPort, EvsePort, MeterPort, PvPort
from busbar.sim.server import serve

FULL_SITE = Path(__file__).parents[2] / "examples" / "full-site.yaml"
STEP_S = 0.05
START_A, MINIMUM_A, VEHICLES = 24.0, 6.0, 12
FIRST_LOAD_A, OVERLOAD_A, RATED_A = 80.0, 10.0, 400.0
BETWEEN_TRIALS_S = 6.0
AIM_MS = 300.0


@dataclass
class Zone:
    """One controller's devices over plain ports; balanced loads, so rotations do not matter."""

    name: str
    devices: dict[str, tuple[SimDevice, str, int]] = field(default_factory=dict)
    evses: dict[str, EvsePort] = field(default_factory=dict)
    inner: set[str] = field(default_factory=set)
    """Connectors below the metered row."""
    limit_of: dict[str, Callable[[], float]] = field(default_factory=dict)
    package_of: dict[str, str] = field(default_factory=dict)
    meter: MeterPort = field(default_factory=lambda: MeterPort("zone"))
    row_meter: MeterPort = field(default_factory=lambda: MeterPort("row"))
    load_a: float = FIRST_LOAD_A
    lowered: list[tuple[float, str]] = field(default_factory=list)
    """Monotonic time and connector of each write that lowered a limit."""
    told: set[str] = field(default_factory=set)
    ours: bool = True
    """Until the allocator runs the devices do what we say; it takes that over."""

    def charging_a(self, names: set[str] | None = None) -> float:
        return sum(p.current_a[0] for name, p in self.evses.items() if names is None or name in names)

    def step(self, now_s: float) -> None:
        for device, _, _ in self.devices.values():
            device.step(now_s)
        for port in self.evses.values():
            current_a = min(port.offered_a, 32.0) if port.plugged and port.offered_a >= MINIMUM_A else 0.0
            port.current_a[:] = [current_a] * 3
            port.power_w[:] = [230.0 * current_a] * 3
        _show(self.row_meter, self.charging_a(self.inner))
        self.show()

    def show(self) -> None:
        """The zone's meter, now."""
        _show(self.meter, self.load_a + self.charging_a())

    def watch(self, device: SimDevice, names: Sequence[str]) -> None:
        """Note each write that lowers a limit."""
        write = device.write_holding

        def noted(unit: int, address: int, values: Sequence[int], fc: int) -> None:
            before = {name: self.limit_of[name]() for name in names}
            write(unit, address, values, fc)
            now_s = time.monotonic()
            for name, was_a in before.items():
                if self.limit_of[name]() != was_a:
                    self.told.add(name)
                if self.limit_of[name]() < was_a:
                    self.lowered.append((now_s, name))

        device.write_holding = noted  # type: ignore[method-assign]


def _show(port: MeterPort, current_a: float) -> None:
    port.current_a[:] = [current_a] * 3
    port.power_w[:] = [230.0 * current_a] * 3


def zone_of(site: dict[str, Any], name: str) -> Zone:
    """Every device of a zone's driver, vehicles at every fourth connector."""
    zone, parents = Zone(name), {c["id"]: c.get("parent") for c in site["collectors"]}
    by_device = {a["device"]: a for a in site["assets"] if "device" in a}
    for entry in site["devices"]:
        if not _plays(entry["id"], name):
            continue
        asset = by_device[entry["id"]]
        device = _device(zone, entry, asset, parents)
        zone.devices[entry["id"]] = device, entry["host"], entry["port"]
    for port in list(zone.evses.values())[:: len(zone.evses) // VEHICLES][:VEHICLES]:
        port.plugged = port.wants_current = True
    return zone


def _plays(device: str, zone: str) -> bool:
    """A zone's driver may also have the meter of the transformer."""
    return device == f"d-{zone}" or device.startswith(f"d-{zone}-")


def _device(zone: Zone, entry: dict[str, Any], asset: dict[str, Any], parents: dict[str, str | None]) -> SimDevice:
    package, name = entry["package"], asset["id"]
    if asset["kind"] == "pv":
        return build_device(package, entry["id"], pv=PvPort(name, asset["rated_power_w"]))
    if asset["kind"] == "battery":
        return build_device(package, entry["id"], battery=BatteryPort(name, asset["capacity_wh"]))
    if asset["kind"] != "ac_charge_point":
        meters = {f"m-{zone.name}": zone.meter, f"m-{zone.name}-r1": zone.row_meter}
        return build_device(package, entry["id"], meter=meters.get(name) or MeterPort(name))
    ports = {c["instance"]: EvsePort(c["id"]) for c in asset["connectors"]}
    device = build_device(package, entry["id"], evses=ports)
    for connector in asset["connectors"]:
        own, instance = connector["id"], connector["instance"]
        zone.evses[own], zone.package_of[own] = ports[instance], package
        if _is_below(connector["collector"], f"{zone.name}-r1", parents):
            zone.inner.add(own)
        zone.limit_of[own] = _limit_of(device, instance)
    zone.watch(device, [c["id"] for c in asset["connectors"]])
    return device


def _is_below(collector: str | None, ancestor: str, parents: dict[str, str | None]) -> bool:
    while collector is not None and collector != ancestor:
        collector = parents[collector]
    return collector is not None


def _limit_of(device: SimDevice, instance: int) -> Callable[[], float]:
    """What the register says that was written last."""
    if isinstance(device, CharxController):
        point = device.points[instance]
        return lambda: float(point.setpoint_a) if point.release else 0.0
    assert isinstance(device, AlfenStation)
    unit = device.sockets[instance]
    return lambda: unit.setpoint_a


def begin_charging(zone: Zone) -> None:
    """What the devices do before a driver has found them: the allocator takes that over as it is."""
    for device, _, _ in zone.devices.values():
        if isinstance(device, CharxController):
            for point in device.points.values():
                point.write(301, round(START_A) if point.port.plugged else 6)
                point.refresh(device.now_s)
        elif isinstance(device, AlfenStation):
            for outlet in device.sockets.values():
                outlet.set_current(START_A if outlet.port.plugged else MINIMUM_A, device.now_s)


async def play(zones: list[Zone], stop: asyncio.Event) -> None:
    while not stop.is_set():
        now_s = time.monotonic()
        for zone in zones:
            if zone.ours:
                begin_charging(zone)
            zone.step(now_s)
        await asyncio.sleep(STEP_S)


async def trials(zones: list[Zone]) -> list[tuple[str, float]]:
    """(package, seconds) of each charger's first lower limit after its zone's load jumped."""
    found: list[tuple[str, float]] = []
    while True:
        for number, zone in enumerate(zones):
            if zone.charging_a() < VEHICLES * MINIMUM_A + RATED_A - 384.0 + OVERLOAD_A:
                return found
            await asyncio.sleep(BETWEEN_TRIALS_S / len(zones) + 0.037 * number)  # not in step with any cycle
            found += await _trial(zone)
            print(
                f"  {zone.name}: {zone.charging_a():.0f} A left, {len(found)} writes timed", file=sys.stderr, flush=True
            )


async def _trial(zone: Zone) -> list[tuple[str, float]]:
    zone.lowered.clear()
    zone.load_a = RATED_A + OVERLOAD_A - zone.charging_a()
    zone.show()
    began_s = time.monotonic()
    await asyncio.sleep(3.0)
    first: dict[str, float] = {}
    for at_s, name in zone.lowered:
        first.setdefault(name, at_s - began_s)
    return [(zone.package_of[name], seconds) for name, seconds in first.items()]


# -- what the services cost


def usage() -> dict[int, tuple[str, float, int]]:
    """Process -> what it is, CPU seconds so far, resident MB."""
    found: dict[int, tuple[str, float, int]] = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            what = _what(words)
            if what:
                numbers = (process / "stat").read_text().rsplit(")", 1)[1].split()
                pages = int((process / "statm").read_text().split()[1])
                megabytes = pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000
                found[int(process.name)] = what, (int(numbers[11]) + int(numbers[12])) / ticks, megabytes
    return found


def _what(words: list[str]) -> str:
    if words and words[0].endswith("nats-server"):
        return "nats-server"
    if "busbar" not in words:
        return ""
    verb = words[words.index("busbar") + 1]
    if verb == "run":
        return words[words.index("run") + 1]
    return verb if verb in ("twin", "up") else ""


async def messages_a_second(url: str, for_s: float) -> float:
    client = await nats.connect(url)
    count = 0

    async def one(_: Any) -> None:
        nonlocal count
        count += 1

    await client.subscribe(">", cb=one)
    await asyncio.sleep(for_s)
    seen = count
    await client.close()
    return seen / for_s


async def cost(for_s: float = 30.0) -> list[str]:
    before, began_s = usage(), time.monotonic()
    await asyncio.sleep(for_s)
    after, lasted_s = usage(), time.monotonic() - began_s
    sums: dict[str, list[float]] = {}
    for process, (what, cpu_s, megabytes) in after.items():
        if process in before:
            row = sums.setdefault(what, [0, 0.0, 0])
            row[0] += 1
            row[1] += (cpu_s - before[process][1]) / lasted_s * 100.0
            row[2] += megabytes
    total = sum(row[1] for what, row in sums.items() if what != "twin")
    rows = [f"| {what} | {row[0]:.0f} | {row[1]:.0f} % | {row[2]:.0f} MB |" for what, row in sorted(sums.items())]
    return [
        "| service | processes | CPU of one core | memory |", "|---|---|---|---|", *rows,
        f"| all without the twin | | {total:.0f} % (aim: under 100 %) | |",
    ]  # fmt: skip


# -- all together


@contextlib.contextmanager
def running(site: Path, folder: Path, nats_port: int, start: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "busbar", "up", str(site), "--nats-port", str(nats_port), "--page-port",
               str(_free_port()), "--data-dir", str(folder / "data"), "--start", start]  # fmt: skip
    with (folder / "up.log").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _site_without(text: str, zones: list[str]) -> str:
    """The same site; the devices of `zones` are somebody else's."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        found = re.match(r"  - \{id: ([\w-]+), package: ", line)
        if found and any(_plays(found[1], zone) for zone in zones):
            lines[at] = line.replace("simulated: true", "simulated: false")
    return "\n".join(lines)


async def measure(zone_names: list[str], start: str, folder: Path) -> list[str]:
    text = FULL_SITE.read_text(encoding="utf-8")
    zones, path, stop = (
        [zone_of(yaml.safe_load(text), name) for name in zone_names],
        folder / "site.yaml",
        asyncio.Event(),
    )
    path.write_text(_site_without(text, zone_names), encoding="utf-8")
    servers = [await serve(d, host, port) for zone in zones for d, host, port in zone.devices.values()]
    playing, nats_port = asyncio.create_task(play(zones, stop)), _free_port()
    try:
        with running(path, folder, nats_port, start) as process:
            print("starting the full site ...", file=sys.stderr, flush=True)
            log = folder / "up.log"
            await _until(lambda: any("running spc-allocator" in line for line in _lines(log)), process, log)
            await asyncio.sleep(2.0)
            for zone in zones:
                zone.ours = False
            await _until(lambda: all(zone.told for zone in zones), process, log)
            await asyncio.sleep(30.0)  # the background window is whole, nothing is adopted any more
            costs = await cost()
            rate = await messages_a_second(f"nats://127.0.0.1:{nats_port}", 5.0)
            found = await trials(zones)
    finally:
        stop.set()
        await playing
        for server in servers:
            await server.close()
    return [*_latencies(found), "", f"{rate:.0f} messages a second.", "", *costs]


async def _until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Looks once a second, for five minutes at most."""
    for _ in range(300):
        if ready():
            return
        await asyncio.sleep(1.0)
        if process.poll() is not None:
            break
    raise SystemExit("the full site did not come up:\n" + "\n".join(_lines(log)[-30:]))


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def _latencies(found: list[tuple[str, float]]) -> list[str]:
    rows = ["| chargers | writes | median | p90 | p99 |", "|---|---|---|---|---|"]
    for package in (*sorted({package for package, _ in found}), "all"):
        times = sorted(1000.0 * s for p, s in found if package in (p, "all"))
        cut = statistics.quantiles(times, n=100)
        rows.append(f"| {package} | {len(times)} | {cut[49]:.0f} ms | {cut[89]:.0f} ms | {cut[98]:.0f} ms |")
    return [*rows, "", f"Aim: p99 <= {AIM_MS:.0f} ms, with meters polled five times a second."]


def table(zones: int = 4, start: str = "11:00") -> list[str]:
    """Runs it all, about six minutes."""
    names = [f"z{number:02d}" for number in range(5, 5 + zones)]
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measure(names, start, Path(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zones", type=int, default=4, help="zones played here (default 4)")
    parser.add_argument("--start", default="11:00", help="time of day of the twin (default 11:00)")
    options = parser.parse_args()
    print("\n".join(table(options.zones, options.start)))


if __name__ == "__main__":
    main()
