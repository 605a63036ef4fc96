"""The actor: one shard of a controller's Modbus devices. Thin: subscribes, keeps links running, publishes.

Real devices may be driven without a licence as long as there is none to be had (SC-4): an alarm says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from busbar.actor import Actor, Context
from busbar.bus import NotConnectedError, Received
from busbar.devices.catalog import load_package
from busbar.devices.package import DevicePackage
from busbar.domain.limits import SETPOINT_LIFETIME_MS
from busbar.events import (
    Event,
    Fallback,
    Heartbeat,
    Measurement,
    ServiceState,
    Session,
    Setpoint,
    Severity,
)
from busbar.subjects import FALLBACK, HEARTBEAT, RESULT, SESSION, SETPOINT, TELEMETRY, Subject
from field_driver_modbus.device import DeviceLink, Member
from field_driver_modbus.keeper import Problem
from field_driver_modbus.memory import DriverMemory
from field_driver_modbus.stages import Fence
from field_driver_modbus.twice import QUIET_S, StartedTwiceError, Twins, boot_key
from field_driver_modbus.unit import Unit, Units

KEEP_PERIOD_S: Final = 10.0
OLD_ALLOCATOR_S: Final = 5.0
CLEAR_S: Final = 3.0
"""A problem is over when it was away so long: garbage and a flickering link make one alarm, not fifty."""
AT_ONCE: Final = ("unreachable",)
_NONE: Final[dict[str, Problem]] = {}


class FieldDriverModbus(Actor):
    """Inputs: SETPOINT of its driver, FALLBACK, its own HEARTBEAT. Outputs: TELEMETRY, RESULT, SESSION.

    Newest wins everywhere: a setpoint or a bound replaces the one before, nothing is queued.
    """

    service = "field-driver-modbus"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._driver = context.instance
        self._memory = DriverMemory(context.store)
        self._fence = Fence()
        self._twins = Twins()
        self._links: list[DeviceLink] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._homes: dict[str, tuple[DeviceLink, Member, Unit]] = {}
        self._problems: dict[str, dict[str, Problem]] = {}
        self._problem_seen_s: dict[tuple[str, str], float] = {}
        self._writes_from_s = 0.0
        self._older_s = 0.0
        self._kept_s = 0.0

    async def start(self) -> None:
        """Take up where the driver before this one stopped, then let each device have its own task."""
        now_s = self._kept_s = self.clock.mono_s()
        self._writes_from_s = now_s + QUIET_S
        self._older_s = now_s - 2 * OLD_ALLOCATOR_S
        self._fence.epoch = self._memory.epoch()
        await self._build(now_s)
        await self.bus.subscribe(HEARTBEAT, self._on_heartbeat, self.service, self._driver)
        await self.bus.subscribe(SETPOINT, self._on_setpoint, self._driver)
        await self.bus.subscribe(FALLBACK, self._on_fallback)
        for received in await self.bus.last(FALLBACK):
            if isinstance(received.event, Fallback):
                self._bound(received.event, received)
        for link in self._links:
            task = asyncio.get_running_loop().create_task(link.run(), name=f"device {link.device.id}")
            self._tasks.append(task)
        await self._licence()

    async def _build(self, now_s: float) -> None:
        units = Units(self.site, self._driver, self._memory.booked(), await self._last_sessions(), now_s)
        packages: dict[str, DevicePackage] = {}
        by_device: dict[str, list[Member]] = {}
        for entity in self.site.of_driver(self._driver):
            if entity.device is None:
                continue
            by_device.setdefault(entity.device, []).append(Member(entity, self._driver, units.of(entity)))
        for device_id, members in by_device.items():
            device = self.site.devices[device_id]
            if device.package not in packages:
                packages[device.package] = load_package(device.package)
            package = packages[device.package]
            transport = self.context.transports(device.host, device.port, package.transport.timeout_ms / 1000.0)
            forced = self.context.options.get("force_unproven") == "yes"
            link = DeviceLink(device, package, transport, members, self, forced=forced)
            self._links.append(link)
            self._homes.update({m.entity.id: (link, m, m.unit) for m in members if m.unit is not None})

    async def _last_sessions(self) -> dict[str, Session]:
        """The newest known session of each connector, from the bus or from our own file."""
        found = [received.event for received in await self.bus.last(SESSION, self._driver)]
        newest: dict[str, Session] = {}
        for event in [*found, *self._memory.sessions()]:
            if not isinstance(event, Session):
                continue
            known = newest.get(event.connector)
            if known is None or event.measured_at_ms > known.measured_at_ms:
                newest[event.connector] = event
        return newest

    async def _licence(self) -> None:
        real = [link.device.id for link in self._links if not link.device.simulated]
        if real:
            text = f"real devices are driven without a licence: {', '.join(real)}"
            await self.alarm(self._driver, "no_licence", text, Severity.WARNING)

    # -- inputs: store and return

    def _on_setpoint(self, received: Received[Setpoint]) -> None:
        setpoint = received.event
        home = self._homes.get(setpoint.asset)
        if home is None or setpoint.driver != self._driver:
            return
        now_s, before = self.clock.mono_s(), self._fence.epoch
        if not self._fence.admits(setpoint.asset, setpoint.epoch, setpoint.seq):
            if setpoint.epoch < before:
                self._older_s = now_s
            return
        if self._fence.epoch != before:
            self._memory.keep_epoch(self._fence.epoch)
        lifetime_ms = min(setpoint.lifetime_ms, SETPOINT_LIFETIME_MS)
        link, member, unit = home
        unit.setpoint(setpoint, received.life_left_ms(now_s, lifetime_ms) / 1000.0, now_s)
        member.waiting = True
        link.wake()

    def _on_fallback(self, received: Received[Fallback]) -> None:
        self._bound(received.event, received)

    def _bound(self, event: Fallback, received: Received[Fallback] | Received[Event]) -> None:
        now_s = self.clock.mono_s()
        life_left_s = received.life_left_ms(now_s, event.lifetime_ms) / 1000.0
        for link, member, unit in self._homes.values():
            unit.fallback(event, life_left_s, now_s)
            member.waiting = True
            link.wake()

    def _on_heartbeat(self, received: Received[Heartbeat]) -> None:
        self._twins.heard(received.event.boot, self.boot, self.clock.mono_s())

    # -- each second

    async def cycle(self) -> None:
        now_s = self.clock.mono_s()
        for task in self._tasks:
            if task.done():
                task.result()  # crash-only: a bug in a link ends the process
        await self._check_twins(now_s)
        dead: list[str] = []
        for link in self._links:
            for member in link.members:
                if member.dead:
                    dead.append(member.entity.id)
                    await link.show_dead(member)
                    if member.unit is not None:
                        await self.told(member.unit, ())
                member.waiting = member.unit is not None
            if link.drives:
                link.wake()
        self.state = ServiceState.DEGRADED if dead else ServiceState.RUNNING
        self.detail = f"no answer from {', '.join(dead)}: check power and network" if dead else ""
        older = now_s - self._older_s < OLD_ALLOCATOR_S
        text = (
            "setpoints of an allocator that has lost its place arrive and are not obeyed: stop it; if it is the only "
            "one left, restart it"
        )
        await self.alarm(self._driver, "old_allocator", text, active=older)
        if now_s - self._kept_s >= KEEP_PERIOD_S:
            self._keep(now_s)
        await self.alarm(self._driver, "store", self._memory.trouble, active=bool(self._memory.trouble))

    async def _check_twins(self, now_s: float) -> None:
        others = self._twins.others(now_s)
        text = f"driver {self._driver} was started twice: stop one of them"
        await self.alarm(self._driver, "started_twice", text, Severity.CRITICAL, active=bool(others))
        if others and boot_key(others[0]) < boot_key(self.boot):
            raise StartedTwiceError(text)

    def _keep(self, now_s: float) -> None:
        """Every 10 s at most: the disk of a controller is a card that wears."""
        self._kept_s = now_s
        targets = {name: unit.booked(now_s) for name, (_, _, unit) in self._homes.items()}
        self._memory.keep_booked({name: value for name, value in targets.items() if value is not None})
        self._memory.keep_sessions([s for _, _, unit in self._homes.values() if (s := unit.session) is not None])

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            self._keep(self.clock.mono_s())

    # -- what links ask of us

    def may_write(self, now_s: float) -> bool:
        return now_s >= self._writes_from_s

    def note(self, text: str) -> None:
        self.log.warning("%s", text)

    async def measured(self, measurement: Measurement) -> None:
        try:
            await self.bus.publish(TELEMETRY, measurement, self._driver, measurement.asset)
        except NotConnectedError:
            return

    async def told(self, unit: Unit, sessions: Sequence[Session]) -> None:
        for session in sessions:
            await self._send(SESSION, session, self._driver, unit.id)
        result = unit.result(self.clock.mono_s(), self.clock.utc_ms())
        if result is not None:
            await self._send(RESULT, result, self._driver, unit.id)

    async def problems(self, entity: str, problems: dict[str, Problem]) -> None:
        known = self._problems.get(entity, _NONE)
        if not (problems or known):
            return
        now_s, still = self.clock.mono_s(), dict(problems)
        for code, problem in problems.items():
            self._problem_seen_s[entity, code] = now_s
            if code not in known:
                await self.alarm(entity, code, problem.text, problem.severity)
        for code, problem in known.items():
            if code in problems:
                still[code] = problem
            elif code in AT_ONCE or now_s - self._problem_seen_s[entity, code] >= CLEAR_S:
                await self.alarm(entity, code, problem.text, problem.severity, active=False)
            else:
                still[code] = problem
        self._problems[entity] = still

    async def _send(self, subject: Subject, event: Event, *tokens: str) -> None:
        """Nothing is buffered for later: the next poll brings newer values."""
        try:
            await self.bus.publish(subject, event, *tokens)
        except NotConnectedError:
            return
