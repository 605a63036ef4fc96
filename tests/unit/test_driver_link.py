"""One connection against a device that answers as the test says, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from busbar.clock import Clock
from busbar.config.load import load_site
from busbar.config.site import Entity
from busbar.devices.package import DevicePackage
from busbar.devices.transport import DeviceRefusedError, Table, TransportError
from busbar.domain.quality import Quality
from busbar.events import Measurement, Reason, ReasonCode, Session, Setpoint
from busbar.loops import VirtualClock, VirtualLoop, run_virtual
from driver_bench import FALLBACK, LIMIT, SETPOINT, TIMEOUT, Box, package, plan_of
from driver_rig import DEMO
from field_driver_modbus.connector import ConnectorUnit
from field_driver_modbus.device import DeviceLink, Member
from field_driver_modbus.keeper import Problem
from field_driver_modbus.readings import Readings
from field_driver_modbus.stages import ConnectorStages
from field_driver_modbus.unit import Unit

SITE = load_site(DEMO)


class Wire:
    """A transport whose device is a function of the block asked for."""

    def __init__(self, loop: VirtualLoop, box: Box) -> None:
        self.loop, self.box = loop, box
        self.connected = False
        self.refuse_connect = False
        self.connects = 0
        self.asked: list[tuple[float, int, int, int]] = []
        self.answer: Callable[[int, int, int], bytes | Exception | None] = lambda unit, address, count: None

    async def connect(self) -> None:
        self.connects += 1
        if self.refuse_connect:
            raise TransportError("connection refused")
        self.connected = True

    async def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
        self.asked.append((self.loop.time(), unit, address, count))
        special = self.answer(unit, address, count)
        if isinstance(special, TransportError):
            await asyncio.sleep(1.0)
            self.connected = False
        if isinstance(special, Exception):
            raise special
        words = [self.box.registers.get(address + i, 0) for i in range(count)]
        return special if special is not None else b"".join(word.to_bytes(2, "big") for word in words)

    async def write(self, table: Table, unit: int, address: int, values: Sequence[int], fc: int | None = None) -> None:
        for offset, value in enumerate(values):
            self.box.write(address + offset, value)

    async def close(self) -> None:
        self.connected = False


class Desk:
    """The service around a link, as far as a link sees it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.measurements: list[Measurement] = []
        self.notes: list[str] = []
        self.open: dict[str, Problem] = {}

    async def measured(self, measurement: Measurement) -> None:
        self.measurements.append(measurement)

    async def told(self, unit: Unit, sessions: Sequence[Session]) -> None: ...

    async def problems(self, entity: str, problems: dict[str, Problem]) -> None:
        self.open = dict(problems)

    def may_write(self, now_s: float) -> bool:
        return True

    def note(self, text: str) -> None:
        self.notes.append(text)

    def of(self, entity: str) -> list[Measurement]:
        return [m for m in self.measurements if m.asset == entity]


class Stand:
    def __init__(self, loop: VirtualLoop, described: DevicePackage, *connectors: str) -> None:
        self.wire = Wire(loop, Box())
        self.desk = Desk(VirtualClock(loop, 0))
        self.units: dict[str, ConnectorUnit] = {}
        members = []
        for name in connectors or ("a1",):
            entity: Entity = SITE.entities[name]
            stages = ConnectorStages(name, 6.0, 32.0, loop.time())
            self.units[name] = ConnectorUnit(entity, "modbus-1", stages, None, None)
            members.append(Member(entity, "modbus-1", self.units[name]))
        device = SITE.devices["charx"].model_copy(update={"unit_id": 1})
        self.link = DeviceLink(device, described, self.wire, members, self.desk)
        self.task = loop.create_task(self.link.run())

    @property
    def last(self) -> Measurement:
        return self.desk.measurements[-1]


def play(story: Callable[[Stand], Coroutine[Any, Any, None]], described: DevicePackage, *connectors: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        stand = Stand(loop, described, *connectors)
        await story(stand)
        assert not stand.task.done(), "the link never gives up"
        stand.task.cancel()

    run_virtual(main, 50.0)


def twins(**changes: Any) -> DevicePackage:
    """Two connectors at units 1 and 2 of one connection."""
    text = package().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    text["device"]["instances"] = {"max": 2, "unit_stride": 1}
    for point in text["points"].values():
        point["scope"] = "instance"
    return DevicePackage.model_validate({**text, **changes})


def test_a_block_with_an_unknown_address_is_split_once_logged_and_the_rest_goes_on() -> None:
    def no_timeout_register(unit: int, address: int, count: int) -> Exception | None:
        return DeviceRefusedError(2) if address <= TIMEOUT < address + count else None

    async def story(stand: Stand) -> None:
        stand.wire.answer = no_timeout_register
        await asyncio.sleep(10.5)
        assert stand.last.number("actual_limit_current_a") == 32.0
        assert stand.last.points["watchdog_timeout_s"] is None
        assert stand.last.quality == {"watchdog_timeout_s": Quality.NA}
        assert len(stand.desk.notes) == 2
        assert "read as" in stand.desk.notes[0]
        assert "watchdog_timeout_s not available" in stand.desk.notes[1]
        tried = [ask for ask in stand.wire.asked if ask[2] <= TIMEOUT < ask[2] + ask[3]]
        assert len(tried) == 2, "the refused register is not asked for again on this connection"

    play(story, package())


def test_a_busy_device_loses_one_sample_and_nothing_is_rewritten_because_of_it() -> None:
    async def story(stand: Stand) -> None:
        await asyncio.sleep(8.0)
        stand.wire.box.written.clear()
        stand.wire.answer = lambda unit, address, count: DeviceRefusedError(6)
        await asyncio.sleep(1.0)
        assert set(stand.last.quality.values()) == {Quality.COMM_FAIL}
        assert stand.last.reachable
        stand.wire.answer = lambda unit, address, count: None
        await asyncio.sleep(5.0)
        assert stand.last.quality == {}
        assert stand.wire.box.written == []
        assert stand.wire.connects == 1

    play(story, package())


def test_a_reply_of_the_wrong_length_is_comm_fail_and_not_the_last_value() -> None:
    async def story(stand: Stand) -> None:
        await asyncio.sleep(3.0)
        stand.wire.answer = lambda unit, address, count: b"\x00"
        await asyncio.sleep(1.0)
        assert stand.last.points["actual_limit_current_a"] is None
        assert stand.last.quality["actual_limit_current_a"] is Quality.COMM_FAIL

    play(story, package())


def test_no_answer_closes_the_connection_and_three_make_the_device_unreachable() -> None:
    async def story(stand: Stand) -> None:
        await asyncio.sleep(3.0)
        stand.wire.answer = lambda unit, address, count: TransportError("no answer")
        start = len(stand.wire.asked)
        await asyncio.sleep(4.5)
        assert len(stand.wire.asked) - start >= 3
        assert [m.reachable for m in stand.desk.measurements][-1:] == [False]
        assert "unreachable" in stand.desk.open
        assert stand.wire.connects >= 3
        stand.wire.answer = lambda unit, address, count: None
        await asyncio.sleep(12.0)
        assert stand.last.reachable
        assert stand.desk.open == {}

    play(story, package())


def test_a_dead_device_is_tried_less_and_less_often_but_at_least_each_ten_seconds() -> None:
    async def story(stand: Stand) -> None:
        stand.wire.refuse_connect = True
        await asyncio.sleep(30.0)
        early = stand.wire.connects
        await asyncio.sleep(300.0)
        assert early <= 9
        assert 28 <= stand.wire.connects - early <= 34

    play(story, package())


def test_a_silent_device_is_silent_for_all_its_connectors_at_once() -> None:
    described = package().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    described["device"]["instances"] = {"max": 2, "stride": 100}
    for point in described["points"].values():
        point["scope"] = "instance"

    async def story(stand: Stand) -> None:
        for base in (100, 200):
            stand.wire.box.registers |= {base + SETPOINT: 16, base + LIMIT: 16, base + FALLBACK: 6, base + TIMEOUT: 30}
        await asyncio.sleep(4.0)
        assert all(stand.desk.of(name)[-1].reachable for name in ("a1", "a2"))
        stand.wire.answer = lambda unit, address, count: TransportError("no answer")
        await asyncio.sleep(3.8)  # three polls of 1 s, whoever asks
        assert [stand.desk.of(name)[-1].reachable for name in ("a1", "a2")] == [False, False]

    play(story, DevicePackage.model_validate(described), "a1", "a2")


def test_a_dead_unit_behind_one_connection_leaves_the_other_its_rhythm() -> None:
    def second_is_dead(unit: int, address: int, count: int) -> Exception | None:
        return TransportError("no answer") if unit == 2 else None

    async def story(stand: Stand) -> None:
        stand.wire.answer = second_is_dead
        await asyncio.sleep(120.0)
        alive, dead = stand.desk.of("a1"), stand.desk.of("a2")
        assert len(alive) >= 100
        assert all(m.reachable for m in alive)
        assert [m.reachable for m in dead] == [False]

    play(story, twins(), "a1", "a2")


def test_a_unit_that_the_gateway_does_not_reach_keeps_the_connection() -> None:
    def second_is_lost(unit: int, address: int, count: int) -> Exception | None:
        return DeviceRefusedError(11) if unit == 2 else None

    async def story(stand: Stand) -> None:
        stand.wire.answer = second_is_lost
        await asyncio.sleep(60.0)
        assert stand.wire.connects == 1
        assert len(stand.desk.of("a1")) >= 58
        assert len([unit for _, unit, _, _ in stand.wire.asked if unit == 2]) <= 15
        assert [m.reachable for m in stand.desk.of("a2")] == [False]

    play(story, twins(), "a1", "a2")


def setpoint(connector: str, current_a: float, seq: int) -> Setpoint:
    return Setpoint(
        asset=connector, driver="modbus-1", epoch=1, seq=seq, published_at_ms=0, lifetime_ms=5000,
        current_a=current_a, reason=Reason(code=ReasonCode.RAMP), snapshot=1,
    )  # fmt: skip


def test_a_decrease_leaves_before_a_raise_and_at_once() -> None:
    described = package(mechanism="any_traffic").model_dump(mode="json", exclude_defaults=True, by_alias=True)
    described["device"]["instances"] = {"max": 2, "stride": 100}
    for point in described["points"].values():
        point["scope"] = "instance"

    async def story(stand: Stand) -> None:
        box = stand.wire.box
        for base in (100, 200):
            box.registers |= {base + SETPOINT: 16, base + LIMIT: 16, base + FALLBACK: 6, base + TIMEOUT: 30}
        await asyncio.sleep(4.3)
        box.written.clear()
        now_s = stand.desk.clock.mono_s()
        for name, current_a in (("a1", 20.0), ("a2", 10.0)):
            stand.units[name].setpoint(setpoint(name, current_a, 1), 5.0, now_s)
        for member in stand.link.members:
            member.waiting = True
        stand.link.wake()
        await asyncio.sleep(0.001)
        assert box.written == [(200 + SETPOINT, 10), (100 + SETPOINT, 20)]

    play(story, DevicePackage.model_validate(described), "a1", "a2")


def named() -> DevicePackage:
    text = package().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    text["points"]["model"] = {"address": 50, "type": "str[2]", "group": "identity"}
    text["detect"] = [{"point": "model", "match": "BOX"}]
    return DevicePackage.model_validate(text)


@pytest.mark.parametrize("answer", [DeviceRefusedError(11), DeviceRefusedError(6), DeviceRefusedError(2), b"BAD!", b""])
def test_nothing_is_written_until_the_device_has_said_that_it_is_the_right_one(answer: bytes | Exception) -> None:
    async def story(stand: Stand) -> None:
        stand.wire.answer = lambda unit, address, count: answer if address == 50 else None
        await asyncio.sleep(30.0)
        assert stand.wire.box.written == []
        assert stand.last.number("actual_limit_current_a") == 32.0
        if isinstance(answer, DeviceRefusedError) and answer.code == 2:
            return
        stand.wire.answer = lambda unit, address, count: b"BOX1" if address == 50 else None
        await asyncio.sleep(15.0)
        assert stand.wire.box.written == [(FALLBACK, 6), (TIMEOUT, 30), (SETPOINT, 6)], "it is in fallback by now"

    play(story, named())


def test_an_unproven_package_is_read_only() -> None:
    text = package().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    del text["package"]["proven_by"]

    async def story(stand: Stand) -> None:
        stand.units["a1"].setpoint(setpoint("a1", 10.0, 1), 5.0, stand.desk.clock.mono_s())
        await asyncio.sleep(20.0)
        assert stand.wire.box.written == []
        assert "read_only" in stand.desk.open
        assert stand.last.number("actual_limit_current_a") == 32.0

    play(story, DevicePackage.model_validate(text))


@pytest.mark.parametrize("group", ["slow", "identity"])
def test_values_of_slower_groups_travel_with_every_event(group: str) -> None:
    text = package().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    text["points"]["temperature"] = {"address": 50, "type": "u16", "group": group, "unit": "degC"}

    def cold(unit: int, address: int, count: int) -> Exception | None:
        return DeviceRefusedError(6) if address == 50 and cold_now else None

    cold_now = False

    async def story(stand: Stand) -> None:
        nonlocal cold_now
        stand.wire.box.registers[50] = 21
        stand.wire.answer = cold
        await asyncio.sleep(5.0)
        assert stand.last.number("temperature_degc") == 21.0
        assert len([ask for ask in stand.wire.asked if ask[2] == 50]) <= 2
        cold_now = True
        await asyncio.sleep(60.0)
        usable = stand.last.number("temperature_degc")
        assert usable == (21.0 if group == "identity" else None)

    play(story, DevicePackage.model_validate(text))


def test_a_slow_value_that_is_not_polled_any_more_grows_stale_and_is_never_shown_as_good() -> None:
    text = package().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    text["points"]["temperature"] = {"address": 50, "type": "u16", "group": "slow", "unit": "degC"}
    readings = Readings(SITE.entities["a1"], "modbus-1")
    readings.fit(plan_of(DevicePackage.model_validate(text)))
    readings.absorb("slow", [b"\x00\x15"], 100.0)
    readings.absorb("fast", [bytes(8)], 100.0)
    assert readings.measurement(0, 130.0).number("temperature_degc") == 21.0
    readings.absorb("fast", [bytes(8)], 130.1)
    aged = readings.measurement(0, 130.1)
    assert (aged.points["temperature_degc"], aged.quality["temperature_degc"]) == (21.0, Quality.STALE)
    assert aged.number("setpoint_current_a") == 0.0
    readings.absorb("slow", [b"\x00\x15"], 131.0)
    assert readings.measurement(0, 131.0).number("temperature_degc") == 21.0


def test_an_event_that_was_published_does_not_change_afterwards() -> None:
    readings = Readings(SITE.entities["a1"], "modbus-1")
    readings.fit(plan_of(package()))
    readings.absorb("fast", [bytes(8)], 100.0)
    first = readings.measurement(0, 100.0)
    before = first.model_dump_json()
    again = readings.measurement(1000, 101.0)
    readings.absorb("fast", [b"\x00\x10" * 4], 102.0)
    readings.unreachable(2000)
    assert first.model_dump_json() == before
    assert (again.points, again.seq) == (first.points, first.seq + 1)
    assert readings.measurement(3000, 102.0).number("setpoint_current_a") == 16.0
