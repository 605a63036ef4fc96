"""The connection to one device: connect, poll, decode, publish, write. One task, one request in flight.

What can go wrong ends in a value or an alarm, never in silence: no answer closes the connection and, after three polls,
makes everything comm_fail; an address that the device does not know splits its block once; a reply that is no reply has
its quality; a device that is not what its package says is only read. The loop itself never gives up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Final, Protocol

from busbar.clock import Clock
from busbar.config.model import Device
from busbar.config.site import Entity
from busbar.devices.catalog import PackageError
from busbar.devices.package import DevicePackage
from busbar.devices.plan import FAST, DevicePlan, compile_plan
from busbar.devices.sunspec import discover
from busbar.devices.transport import DeviceRefusedError, Transport, TransportError
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import Measurement, Session
from busbar.nap import Nap
from field_driver_modbus.connector import wrong_device
from field_driver_modbus.keeper import Problem
from field_driver_modbus.plausible import Plausibility
from field_driver_modbus.readings import GroupState, Readings, Reply
from field_driver_modbus.schedule import (
    BACKOFF_CAP_S,
    CONTROL_BACKOFF_CAP_S,
    DEAD_AFTER,
    Schedule,
    backoff_s,
    phase_of,
)
from field_driver_modbus.unit import Unit
from field_driver_modbus.writer import Order, Writer

ILLEGAL_ADDRESS: Final = 2
REREAD_S: Final = 10.0
"""Pause before what is read once a connect is read again, where it says that this is another device."""
GATEWAY_CODES: Final = (10, 11)
"""The gateway answers, the unit behind it does not."""


class Host(Protocol):
    """What a link asks of the service around it."""

    clock: Clock

    async def measured(self, measurement: Measurement) -> None: ...

    async def told(self, unit: Unit, sessions: Sequence[Session]) -> None:
        """Sessions to publish, and whatever else has changed at this entity."""
        ...

    async def problems(self, entity: str, problems: dict[str, Problem]) -> None:
        """All open problems of the entity; those missing are over."""
        ...

    def may_write(self, now_s: float) -> bool: ...

    def note(self, text: str) -> None: ...


class Member:
    """One entity on a connection."""

    def __init__(self, entity: Entity, driver: str, unit: Unit | None) -> None:
        """`unit`: what is written to it; None: it is only read."""
        self.entity = entity
        self.unit = unit
        self.readings = Readings(entity, driver)
        self.failures = 0
        self.not_before_s = -math.inf
        self.waiting = False
        """Something may have to be written."""
        self.writable = False
        """It is known to be the device that its package describes."""
        self.problems: dict[str, Problem] = {}
        self.plausibility = Plausibility()

    @property
    def dead(self) -> bool:
        return self.failures >= DEAD_AFTER


class DeviceLink:
    """One device. `run` is its task; `wake` after a setpoint or a fallback event."""

    def __init__(
        self, device: Device, package: DevicePackage, transport: Transport, members: Sequence[Member], host: Host,
        *, forced: bool = False,
    ) -> None:  # fmt: skip
        self.device = device
        self.members = tuple(members)
        self._package = package
        self._transport = transport
        self._host = host
        self._forced = forced
        self._plans: list[DevicePlan] = []
        self._polls: list[tuple[Member, str]] = []
        self._schedule = Schedule(device.id, [])
        self._nap: Nap | None = None
        self._spacing_s = package.transport.request_spacing_ms / 1000.0
        self.drives = any(m.unit is not None for m in members)
        """Something on it is written to."""
        vital = self.drives or any(m.entity.kind is AssetKind.METER for m in members)
        self._cap_s = CONTROL_BACKOFF_CAP_S if vital else BACKOFF_CAP_S
        self._period_s = min(m.entity.poll_ms for m in members) / 1000.0
        if not package.needs_discovery:
            self._fit(package)

    def wake(self) -> None:
        """Look at once whether something is to be written."""
        if self._nap is not None:
            self._nap.wake()

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(phase_of(self.device.id) * min(self._period_s, 1.0))
        clock = self._host.clock
        nap = self._nap = Nap(asyncio.get_running_loop())
        try:
            while True:
                if not self._transport.connected and not await self._connect():
                    continue
                now_s = clock.mono_s()
                order = self._next_order(now_s)
                if order is not None:
                    await self._carry_out(*order)
                    continue
                head = self._schedule.peek()
                due_s, number = head if head is not None else (math.inf, -1)
                if due_s > now_s:
                    await nap.until(due_s)
                else:
                    await self._poll(number, now_s)
        finally:
            await self._transport.close()

    # -- connecting

    async def _connect(self) -> bool:
        for member in self.members:
            if member.unit is not None:
                member.unit.lost()
        await self._pause_until(min(member.not_before_s for member in self.members))
        asked_s = self._host.clock.mono_s()
        try:
            await self._transport.connect()
            if self._package.transport.connect_delay_ms:
                await asyncio.sleep(self._package.transport.connect_delay_ms / 1000.0)
            if self._package.needs_discovery:
                self._fit(await discover(self._transport, self._unit_id, self._package))
        except (TransportError, DeviceRefusedError, PackageError, ValueError) as error:
            await self._transport.close()
            for member in self.members:
                await self._failed(member, f"cannot be reached ({error})", asked_s)
            return False
        now_s = self._host.clock.mono_s()
        for member, plan in zip(self.members, self._plans, strict=True):
            member.readings.fit(plan)
            member.writable = not self._package.detect
        self._schedule.restart(now_s, [member.not_before_s for member, _ in self._polls])
        return True

    @property
    def _unit_id(self) -> int:
        return self._package.transport.unit_id if self.device.unit_id is None else self.device.unit_id

    async def _pause_until(self, until_s: float) -> None:
        delay_s = until_s - self._host.clock.mono_s()
        if delay_s > 0.0:
            await asyncio.sleep(delay_s)

    def _fit(self, package: DevicePackage) -> None:
        """Plans of all entities; anew after each discovery, because firmware may have changed the map."""
        self._plans = [
            compile_plan(
                package,
                unit_id=self.device.unit_id,
                instance=member.entity.instance,
                kind=member.entity.kind,
                reversed=member.entity.reversed,
                period_ms=None if member.entity.charge_point is not None else member.entity.poll_ms,
            )
            for member in self.members
        ]
        self._polls, periods_s = [], list[float | None]()
        for member, plan in zip(self.members, self._plans, strict=True):
            member.readings.fit(plan)
            if member.unit is not None:
                member.unit.fit(plan, member.readings.exponents, self._forced)
            for name, group in plan.groups.items():
                if group.blocks:
                    self._polls.append((member, name))
                    periods_s.append(None if group.once else group.period_ms / 1000.0)
        self._schedule = Schedule(self.device.id, periods_s)

    async def _failed(self, member: Member, text: str, asked_s: float) -> None:
        """One poll of the entity got no answer. From the third on it is unreachable, and everybody is told."""
        member.failures += 1
        pause_s = backoff_s(member.failures, self._cap_s)
        next_slot_s = asked_s + min(self._period_s, 1.0)
        member.not_before_s = max(self._host.clock.mono_s() + pause_s, next_slot_s)
        if member.failures == DEAD_AFTER:
            member.problems["unreachable"] = Problem(f"{self.device.id} {text}: check its power, network and address")
            await self._host.problems(member.entity.id, self._all_problems(member))
            await self.show_dead(member)

    async def show_dead(self, member: Member) -> None:
        """Tell that nothing is known of an unreachable entity."""
        await self._host.measured(member.readings.unreachable(self._host.clock.utc_ms()))

    async def _broken(self, member: Member, error: Exception, asked_s: float) -> None:
        """The connection is not usable any more: whatever comes late on it must not be taken for an answer."""
        await self._transport.close()
        unit, text = self._unit_of(member), f"does not answer ({error})"
        for other in self.members:  # who shares the unit would not have been answered either
            if other is not member and self._unit_of(other) == unit and not other.dead:
                own_s = other.not_before_s
                await self._failed(other, text, asked_s)
                other.not_before_s = other.not_before_s if other.dead else own_s
        await self._failed(member, text, asked_s)

    def _unit_of(self, member: Member) -> int:
        return self._plans[self.members.index(member)].unit

    # -- polling

    async def _poll(self, number: int, asked_s: float) -> None:
        member, name = self._polls[number]
        group = member.readings.groups[name]
        try:
            replies, at_ms = await self._read(member, group)
        except TransportError as error:
            await self._broken(member, error, asked_s)
            return
        except DeviceRefusedError as error:
            await self._failed(member, f"is not reached by its gateway ({error})", asked_s)
            self._retry(number, member)
            return
        now_s = self._host.clock.mono_s()
        member.readings.absorb(name, replies, now_s)
        member.failures, member.not_before_s = 0, -math.inf
        if name != FAST and not self._identify(member) and group.plan.once:
            self._schedule.retry(number, now_s + REREAD_S)
            return
        self._schedule.done(number, now_s)
        if name == FAST:
            await self._publish(member, asked_s, now_s, at_ms)

    def _retry(self, number: int, member: Member) -> None:
        now_s = self._host.clock.mono_s()
        if member.readings.groups[self._polls[number][1]].plan.once:
            self._schedule.retry(number, max(now_s + self._period_s, member.not_before_s))
        else:
            self._schedule.done(number, now_s, member.not_before_s)

    async def _read(self, member: Member, group: GroupState) -> tuple[list[Reply], int]:
        """One reply a block, and when the first arrived. Raises DeviceRefusedError where a gateway lost the unit."""
        replies: list[Reply] = []
        at_ms = 0
        while len(replies) < len(group.blocks):
            index = len(replies)
            block = group.blocks[index]
            if group.refused[index]:
                replies.append(Quality.NA)
                continue
            if self._spacing_s:
                await asyncio.sleep(self._spacing_s)
            try:
                replies.append(await self._transport.read(block.table, block.unit, block.address, block.count))
            except DeviceRefusedError as error:
                if error.code in GATEWAY_CODES:
                    raise
                if error.code != ILLEGAL_ADDRESS:
                    replies.append(Quality.COMM_FAIL)
                elif not self._split(member, group, index):
                    replies.append(Quality.NA)
            at_ms = at_ms or self._host.clock.utc_ms()
        return replies, at_ms or self._host.clock.utc_ms()

    def _split(self, member: Member, group: GroupState, index: int) -> bool:
        """The device does not know an address of the block. True where there are smaller blocks to try."""
        block = group.blocks[index]
        parts = group.refuse(index)
        where = f"{member.entity.id}: {block.table} {block.address}..{block.address + block.count - 1}"
        if parts:
            self._host.note(f"{where} refused (illegal address): read as {parts} blocks until the next connect")
        elif not block.optional:
            self._host.note(f"{where} refused (illegal address): {', '.join(block.names)} not available")
        return parts > 0

    def _identify(self, member: Member) -> bool:
        """Is it the right device? If not, nothing is written to it, and it is asked again: one reply may be wrong."""
        readings = member.readings
        doubt = wrong_device(self._package, member.entity.instance, readings.points, readings.quality)
        member.writable = doubt is None
        if doubt is None:
            member.problems.pop("wrong_device", None)
        else:
            member.problems["wrong_device"] = Problem(
                f"{doubt}; nothing is written to it: correct its package, host or unit_id in the site file"
            )
        return member.writable

    async def _publish(self, member: Member, asked_s: float, now_s: float, at_ms: int) -> None:
        readings = member.readings
        await self._host.measured(readings.measurement(at_ms, now_s))
        member.problems.pop("unreachable", None)
        member.plausibility.judge(readings.quality)
        if member.plausibility.problem is not None:
            member.problems["implausible"] = member.plausibility.problem
        else:
            member.problems.pop("implausible", None)
        unit = member.unit
        if unit is not None:
            sessions = unit.polled(readings.points, readings.quality, asked_s, now_s, at_ms)
            member.waiting = True
            await self._host.told(unit, sessions)
        await self._host.problems(member.entity.id, self._all_problems(member))

    def _all_problems(self, member: Member) -> dict[str, Problem]:
        theirs = None if member.unit is None else member.unit.problems
        return {**member.problems, **theirs} if theirs else member.problems

    # -- writing

    def _next_order(self, now_s: float) -> tuple[Member, Order, Writer] | None:
        """What is to be written now, an order that raises nothing before one that does."""
        chosen: tuple[Member, Order, Writer] | None = None
        for member in self.members:
            if not member.waiting or member.unit is None:
                continue
            found = member.unit.order(now_s) if member.writable and self._host.may_write(now_s) else None
            if found is None:
                member.waiting = False
            elif chosen is None or (chosen[1].raising and not found[0].raising):
                chosen = (member, *found)
        return chosen

    async def _carry_out(self, member: Member, order: Order, writer: Writer) -> None:
        assert member.unit is not None  # noqa: S101 - only members with a unit give orders
        asked_s = self._host.clock.mono_s()
        try:
            for write in order.writes:
                if self._spacing_s:
                    await asyncio.sleep(self._spacing_s)
                await self._transport.write(write.table, write.unit, write.address, write.words, write.fc)
        except DeviceRefusedError as error:
            writer.refused(order, str(error), self._host.clock.mono_s())
        except TransportError as error:
            await self._broken(member, error, asked_s)
            return
        else:
            writer.done(order, self._host.clock.mono_s())
        await self._host.told(member.unit, ())
