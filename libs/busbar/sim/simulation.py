"""A whole site in virtual time: the real actors, driver and codec on the in-memory bus, the twin behind them.

Only sockets and nats-py are replaced. Everything is decided by the seed: the trace (every setpoint, result, session,
fallback and alarm, and the physical currents each second) is byte for byte the same for the same seed.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from datetime import time as clocktime
from typing import IO, Final

from busbar.bus.faults import SeededFaults
from busbar.bus.memory import MemoryNetwork
from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.events import Event
from busbar.loops import VirtualClock, VirtualLoop, run_virtual
from busbar.nap import Nap
from busbar.registry import SERVICES
from busbar.sim.faults import Faults
from busbar.sim.memory_transport import MemoryNetwork as DeviceNetwork
from busbar.sim.process import Process, Surroundings
from busbar.sim.trouble import LOST_SHARE, Fault, Incident, incidents
from busbar.sim.twin import Twin
from busbar.subjects import ALARM, ENERGY, FALLBACK, RESULT, SESSION, SETPOINT

STEP_S: Final = 0.2
"""Physics moves on this grid; control sees it through its polls."""
TRACED: Final = frozenset(subject.noun for subject in (SETPOINT, RESULT, SESSION, FALLBACK, ALARM, ENERGY))
NOT_SIMULATED: Final = frozenset({"site-page"})
"""Shows, decides nothing, and needs a socket."""


@dataclass(frozen=True)
class Run:
    """What to simulate."""

    site: Site
    day: date
    seed: int
    duration_s: float = 86_400.0
    start: clocktime | None = None
    """Local time to begin at, with vehicles in every state; None: midnight, with an empty car park."""
    faults: tuple[Fault, ...] = ()
    planned: tuple[Incident, ...] = ()
    """Incidents by hand, beside those that `faults` draw from the seed."""
    wire: bool = False
    """Send every event through JSON as NATS would (slower; must give the same trace)."""


@dataclass
class Record:
    """What happened, for the report and the verdict."""

    run: Run
    twin: Twin
    trace_hash: str = ""
    messages: int = 0
    incidents: tuple[Incident, ...] = ()
    bugs: list[str] = field(default_factory=list)
    """Services that ended by their own fault: always a finding."""
    restarts: dict[str, int] = field(default_factory=dict)
    charged_wh: dict[str, float] = field(default_factory=dict)
    """Energy through each connector's own meter during the run."""
    wall_s: float = 0.0


Progress = Callable[[float], None]
"""Called with the simulated seconds done."""


def simulate(run: Run, progress: Progress | None = None, trace: IO[str] | None = None) -> Record:
    """Simulate one run; the caller judges the record. Ctrl-C stops between two events (KeyboardInterrupt)."""
    started = time.perf_counter()  # how long it took is reported, never used
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection each simulated minute instead of at every allocation peak

    async def main(loop: VirtualLoop) -> Record:
        return await _Simulation(run, loop, progress, trace).play()

    try:
        record = run_virtual(main)
    finally:
        if collecting:
            gc.enable()
        gc.unfreeze()
    record.wall_s = time.perf_counter() - started
    return record


class _Simulation:
    def __init__(self, run: Run, loop: VirtualLoop, progress: Progress | None, trace: IO[str] | None) -> None:
        self.run = run
        self.progress = progress
        self.twin = Twin(run.site, run.day, run.seed, run.start)
        self.clock = VirtualClock(loop, self.twin.utc_start_ms)
        self.loop = loop
        lost = SeededFaults(run.seed, drop=LOST_SHARE) if Fault.LOST in run.faults else None
        self.network = MemoryNetwork(run.site.id, self.clock, lost, run.wire)
        self.network.tap(self._tap, TRACED)
        self.devices = DeviceNetwork()
        for device_id, device in self.twin.devices.items():
            address = run.site.devices[device_id]
            self.devices.add(address.host, address.port, device)
        self.record = Record(run, self.twin)
        self.processes = self._processes()
        self._digest = hashlib.sha256()
        self._trace = trace
        self._lines: list[str] = []
        """Of the trace, not yet hashed."""

    def _processes(self) -> dict[str, Process]:
        around = Surroundings(self.run.site, self.network, self.clock, self.devices)
        found: dict[str, Process] = {}
        for service in SERVICES.values():
            if service.name in NOT_SIMULATED:
                continue
            drivers = [shard.id for controller in self.run.site.controllers for shard in controller.drivers]
            for instance in drivers if service.per_driver else ["main"]:
                process = Process(around, service.name, instance, self.record.bugs.append)
                found[process.name] = process
        return found

    async def play(self) -> Record:
        """Start everything, let time pass, stop. Returns the record."""
        run = self.run
        drawn = incidents(run.faults, run.seed, run.duration_s, self._meter_devices(), tuple(self.processes))
        plan = (*run.planned, *drawn)
        self.record.incidents = plan
        for process in self.processes.values():
            process.start()
        troubles = [self.loop.create_task(self._trouble(incident)) for incident in plan]
        before_wh = self.twin.plant.counters_wh()
        try:
            await self.loop.create_task(self._physics())
        finally:
            self._flush()  # a run that is broken off leaves its trace
        self.record.charged_wh = {name: wh - before_wh[name] for name, wh in self.twin.plant.counters_wh().items()}
        for trouble in troubles:
            trouble.cancel()
        for process in self.processes.values():
            await process.kill()
        self.record.restarts = {name: p.starts - 1 for name, p in self.processes.items() if p.starts > 1}
        self._flush()
        self.record.messages = self.network.messages
        self.record.trace_hash = self._digest.hexdigest()
        return self.record

    def _meter_devices(self) -> Sequence[str]:
        return [e.device for e in self.run.site.entities.values() if e.kind is AssetKind.METER and e.device]

    async def _physics(self) -> None:
        """Move the twin on its grid; once a second note the truth, once a minute tidy up."""
        twin, nap = self.twin, Nap(self.loop)
        steps = round(self.run.duration_s / STEP_S)
        per_second = round(1.0 / STEP_S)
        start_s = self.loop.time()
        for step in range(1, steps + 1):
            await nap.until(start_s + step * STEP_S)
            twin.advance(step * STEP_S)
            if step % per_second == 0:
                self._write(f"{step // per_second} {twin.trace_line()}\n")
                self._revive()
                if step % (per_second * 60) == 0:
                    self._minute(step * STEP_S)

    def _minute(self, done_s: float) -> None:
        self._flush()
        gc.collect(1)
        if self.progress:
            self.progress(done_s)

    def _revive(self) -> None:
        """A service that ended by its own fault is started again, as its supervisor would; the bug stays recorded."""
        for process in self.processes.values():
            if not process.running and not process.away:
                process.start()

    async def _trouble(self, incident: Incident) -> None:
        await asyncio.sleep(incident.at_s)
        self._write(f"incident {incident.kind} {incident.victim} {incident.lasts_s:.3f}\n")
        if incident.kind is Fault.CRASH:
            process = self.processes[incident.victim]
            await process.kill()
            await asyncio.sleep(incident.lasts_s)
            process.start()
        else:
            device = self.twin.devices[incident.victim]
            before = device.faults
            device.faults = Faults(silent=True)
            await asyncio.sleep(incident.lasts_s)
            device.faults = before

    def _tap(self, subject: str, event: Event) -> None:
        self._write(f"{self.loop.time():.3f} {subject} {event.model_dump_json()}\n")

    def _write(self, line: str) -> None:
        self._lines.append(line)

    def _flush(self) -> None:
        """Into the hash, and onto the trace where one is wanted."""
        text = "".join(self._lines)
        self._lines.clear()
        self._digest.update(text.encode())
        if self._trace:
            self._trace.write(text)
