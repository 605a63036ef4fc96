"""The real driver over the demo site's simulated devices, in virtual time: judged by what the pilots offer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from busbar.bus.memory import ANY_SERVICE
from busbar.devices.transport import Table, Transport, TransportFactory
from busbar.domain.quality import Quality
from busbar.events import Measurement, SessionPhase, SetpointResult
from busbar.sim.devices import CharxController
from busbar.sim.faults import Faults
from driver_rig import DRIVER, QUICK, Rig, play

ALL_16 = dict.fromkeys(QUICK, 16.0)


async def running(rig: Rig, **current_a: float) -> None:
    """All vehicles plugged, all connectors told and verified."""
    rig.plug(*QUICK)
    rig.start()
    await rig.control(12, **(current_a or ALL_16))


def writes_to(rig: Rig, device_id: str) -> list[tuple[int, tuple[int, ...]]]:
    """From now on, every write that the device accepts: (address, words)."""
    device: Any = rig.devices[device_id]
    seen: list[tuple[int, tuple[int, ...]]] = []
    accept = device.write_holding

    def write_holding(unit: int, address: int, values: Any, fc: int) -> None:
        accept(unit, address, values, fc)
        seen.append((address, tuple(values)))

    device.write_holding = write_holding
    return seen


def counting(rig: Rig, written: list[int]) -> TransportFactory:
    """Connections that note the address of every write."""

    def factory(host: str, port: int, timeout_s: float) -> Transport:
        transport = rig.network.factory(host, port, timeout_s)
        plain = transport.write

        async def write(table: Table, unit: int, address: int, values: Sequence[int], fc: int | None = None) -> None:
            written.append(address)
            await plain(table, unit, address, values, fc)

        transport.write = write  # type: ignore[method-assign]  # a test's hand on one connection
        return transport

    return factory


def test_every_entity_of_the_driver_is_measured_in_its_own_rhythm() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await asyncio.sleep(21.0)

    rig = play(story)
    for entity in rig.site.of_driver(DRIVER):
        measured = rig.of(Measurement, entity.id)
        expected = 20.0 * 1000.0 / entity.poll_ms
        assert expected * 0.9 <= len(measured) <= expected * 1.2, entity.id
        assert all(m.reachable for m in measured)
        assert [m.seq for m in measured] == list(range(1, len(measured) + 1))
    assert rig.measurement("a1").text("status") == "Available"
    assert rig.measurement("grid-meter").number("voltage_l1_v") == pytest.approx(230.0)
    assert rig.measurement("pv").number("rated_power_w") == 20000.0


def test_a_setpoint_reaches_the_pilot_and_is_verified_by_the_device() -> None:
    async def story(rig: Rig) -> None:
        await running(rig, a1=16.0, b1=11.0)

    rig = play(story)
    assert (rig.offered_a("a1"), rig.offered_a("b1")) == (16.0, 11.0)
    for connector, current_a in (("a1", 16.0), ("b1", 11.0)):
        result = rig.result(connector)
        assert (str(result.outcome), result.applied_a, result.stage) == ("Applied", current_a, "fresh")
    assert rig.alarms() == []


def test_an_allocator_gone_for_25_s_moves_no_connector_and_for_31_s_brings_all_to_the_plan() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        for _ in range(25):
            await asyncio.sleep(1.0)
            assert {rig.offered_a(c) for c in QUICK} == {16.0}
        await asyncio.sleep(8.0)
        assert {rig.offered_a(c) for c in QUICK} == {6.0}
        assert {rig.result(c).stage for c in QUICK} == {"fallback"}
        await asyncio.sleep(4.0)
        assert {str(rig.result(c).outcome) for c in QUICK} == {"Applied"}
        await rig.control(5, **ALL_16)
        assert {rig.offered_a(c) for c in QUICK} == {16.0}

    play(story)


def test_a_bus_that_dies_is_an_allocator_that_is_silent() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        rig.buses.stop()
        await asyncio.sleep(20.0)
        assert {rig.offered_a(c) for c in QUICK} == {16.0}
        await asyncio.sleep(15.0)
        assert {rig.offered_a(c) for c in QUICK} == {6.0}

    play(story)


def test_a_driver_that_is_killed_leaves_every_charger_to_its_own_watchdog() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        assert rig.task is not None
        rig.task.cancel()
        await asyncio.gather(rig.task, return_exceptions=True)
        await asyncio.sleep(62.0)
        assert {rig.offered_a(c) for c in QUICK} == {6.0}

    play(story)


def test_a_dead_allocators_setpoint_is_not_kept_alive_even_while_the_driver_lives() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        await asyncio.sleep(40.0)
        written = writes_to(rig, "charx") + writes_to(rig, "alfen-1")
        await asyncio.sleep(300.0)
        assert written == []

    play(story)


def test_an_allocator_that_lost_its_place_moves_nothing_also_after_a_restart_of_the_driver() -> None:
    async def story(rig: Rig) -> None:
        rig.epoch = 7
        await running(rig)
        for _ in range(3):
            await rig.tell("a1", 32.0, epoch=6, seq=10_000)
            await asyncio.sleep(1.0)
        assert rig.offered_a("a1") == 16.0
        assert (DRIVER, "old_allocator") in rig.alarms()
        await rig.stop()
        rig.start()
        for _ in range(8):
            await rig.tell("a1", 32.0, epoch=6, seq=20_000)
            await asyncio.sleep(1.0)
        assert rig.offered_a("a1") == 16.0

    play(story)


def test_a_fallback_event_lowers_within_a_second_in_every_stage_and_raises_nothing() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        await rig.bound(8.0, "a1", "b1", lifetime_ms=6000)
        await asyncio.sleep(1.6)
        assert (rig.offered_a("a1"), rig.offered_a("b1"), rig.offered_a("a2")) == (8.0, 8.0, 16.0)
        await asyncio.sleep(6.0)  # in hold now, and the event's life is over
        assert (rig.offered_a("a1"), rig.offered_a("a2")) == (8.0, 16.0)
        await rig.bound(0.0, "a2", lifetime_ms=120_000)
        await asyncio.sleep(2.0)
        assert rig.offered_a("a2") == 0.0
        for _ in range(100):  # in fallback: the device would go to 6 A by itself
            await asyncio.sleep(1.0)
            assert rig.offered_a("a2") == 0.0
        await asyncio.sleep(30.0)
        assert (rig.offered_a("a1"), rig.offered_a("a2")) == (6.0, 6.0)

    play(story)


def test_a_charger_that_falls_silent_is_comm_fail_after_three_polls_and_delays_nobody() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        rig.network.cut(rig.site.devices["alfen-1"].host)
        await rig.control(30, **ALL_16)
        lost = rig.measurement("b1")
        assert not lost.reachable
        result = rig.result("b1")
        assert (str(result.outcome), result.applied_a) == ("Unverified", None)
        assert set(lost.quality.values()) == {Quality.COMM_FAIL}
        assert set(lost.points.values()) == {None}
        assert set(lost.quality) == set(lost.points) >= {"current_l1_a", "status", "model"}
        first = next(m for m in rig.of(Measurement, "b1", since_s=1012.0) if not m.reachable)
        assert first.measured_at_ms - rig.of(Measurement, "b1")[0].measured_at_ms < 20_000
        assert 28 <= len([m for m in rig.of(Measurement, "b3", since_s=1012.0) if m.reachable]) <= 32
        assert ("b1", "unreachable") in rig.alarms()
        rig.network.mend(rig.site.devices["alfen-1"].host)
        await rig.control(20, **ALL_16)
        assert rig.measurement("b1").reachable
        assert rig.alarms() == []
        assert str(rig.result("b1").outcome) == "Applied"

    play(story)


def test_a_charger_that_lost_everything_gets_fallback_timeout_and_setpoint_in_this_order() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        charx = rig.devices["charx"]
        charx.faults = Faults(lose_fallback_on_restart=True)
        charx.restart(10.0)
        written = writes_to(rig, "charx")
        await rig.control(40, **ALL_16)
        of_first = [write for write in written if write[0] // 1000 == 1][:3]
        assert of_first == [(1306, (6,)), (1307, (30,)), (1301, (16,))]
        assert {rig.offered_a(c) for c in ("a1", "a2", "a3", "a4")} == {16.0}
        assert rig.measurement("a1").number("watchdog_timeout_s") == 30.0
        assert rig.alarms() == []

    play(story)


@pytest.mark.parametrize("connector", ["a1", "b1"])
def test_a_restarted_driver_jumps_no_setpoint_and_keeps_the_session(connector: str) -> None:
    async def story(rig: Rig) -> None:
        rig.plug(connector)
        rig.start()
        await rig.control(20, **ALL_16)
        before = rig.session(connector)
        await rig.stop()
        port = rig.plant.evses[connector]
        port.power_w[:], port.current_a[:] = [3680.0] * 3, [16.0] * 3
        await asyncio.sleep(12.0)
        port.power_w[:], port.current_a[:] = [0.0] * 3, [0.0] * 3
        port.energy_wh += 37.0
        port.session_energy_wh += 37.0
        rig.start()
        for _ in range(10):
            await rig.control(1, **ALL_16)
            assert rig.offered_a(connector) == 16.0
        port.plugged = False
        await asyncio.sleep(4.0)
        after = rig.session(connector)
        assert after.session_id == before.session_id
        assert (after.phase, after.badge) == (SessionPhase.ENDED, before.badge)
        assert after.energy_wh - before.energy_wh == pytest.approx(37.0, abs=2.0)

    play(story)


def test_a_device_above_what_was_last_booked_is_brought_down_by_the_driver_that_starts() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        await rig.stop()
        rig.store.write("booked.json", b'{"a1": 10.0, "b1": 20.0}')
        rig.start()
        await asyncio.sleep(8.0)
        assert (rig.offered_a("a1"), rig.offered_a("b1"), rig.offered_a("a2")) == (10.0, 16.0, 16.0)

    play(story)


def test_a_driver_that_restarts_while_nobody_commands_keeps_what_the_devices_do_and_then_falls_back() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        await rig.stop()
        rig.start()
        written = writes_to(rig, "charx") + writes_to(rig, "alfen-1")
        await asyncio.sleep(20.0)
        assert written == []
        await asyncio.sleep(15.0)
        assert {rig.offered_a(c) for c in QUICK} == {6.0}

    play(story)


def test_the_first_start_ever_writes_no_setpoint_before_one_is_given() -> None:
    async def story(rig: Rig) -> None:
        written = writes_to(rig, "alfen-1")
        rig.plug(*QUICK)
        rig.start()
        await asyncio.sleep(20.0)
        assert written == []
        assert rig.offered_a("b1") == 6.0

    play(story)


def test_a_charger_that_ignores_its_setpoint_is_reported_and_alarmed() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        rig.devices["charx"].faults = Faults(ignore_writes=True)
        await rig.control(30, a1=10.0)
        result = rig.result("a1")
        assert (str(result.outcome), result.requested_a, result.applied_a) == ("Unverified", 10.0, 16.0)
        assert ("a1", "setpoint_not_taken") in rig.alarms()
        rig.devices["charx"].faults = Faults()
        await rig.control(15, a1=10.0)
        assert str(rig.result("a1").outcome) == "Applied"
        assert ("a1", "setpoint_not_taken") not in rig.alarms()

    play(story)


def test_an_unknown_status_is_none_with_the_raw_value_in_an_alarm() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        rig.devices["charx"].faults = Faults(unknown_status="Z9")
        await rig.control(5, **ALL_16)
        measured = rig.measurement("a1")
        assert (measured.points["status"], measured.points["status_raw"]) == (None, "Z9")
        assert ("a1", "unknown_status") in rig.alarms()
        assert rig.session("a1").phase is SessionPhase.STARTED
        assert rig.offered_a("a1") == 16.0

    play(story)


def test_garbage_in_a_reply_moves_no_setpoint_and_no_session() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        rig.devices["charx"].faults = Faults(garbage_every=5, seed=3)
        for _ in range(40):
            await rig.control(1, **ALL_16)
            assert {rig.offered_a(c) for c in ("a1", "a2", "a3", "a4")} == {16.0}
        session = rig.session("a1")
        assert session.phase is not SessionPhase.ENDED
        assert session.energy_wh < 10.0

    play(story)


def test_a_device_that_is_not_what_its_package_says_is_only_read() -> None:
    async def story(rig: Rig) -> None:
        charx = rig.devices["charx"]
        assert isinstance(charx, CharxController)
        charx._identity = b"OTHER".ljust(20, b"\0") + charx._identity[20:]
        written = writes_to(rig, "charx")
        await running(rig)
        assert written == []
        assert ("a1", "wrong_device") in rig.alarms()
        assert rig.measurement("a1").number("voltage_l1_v") == pytest.approx(230.0)

    play(story)


def test_a_driver_started_twice_ends_the_younger_before_it_writes_and_alarms_the_older() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        older, older_task = rig.shell, rig.task
        written: list[int] = []
        rig.start(transports=counting(rig, written))
        assert rig.task is not None
        await rig.control(4, **dict.fromkeys(QUICK, 12.0))
        assert rig.offered_a("a1") == 12.0
        assert rig.task.done()
        assert "started twice" in str(rig.task.exception())
        assert written == []
        assert (DRIVER, "started_twice") in rig.alarms()
        rig.shell, rig.task = older, older_task
        await rig.control(15, **ALL_16)
        assert older_task is not None
        assert not older_task.done()
        assert (DRIVER, "started_twice") not in rig.alarms()

    play(story)


def test_a_full_disk_stops_no_control() -> None:
    async def story(rig: Rig) -> None:
        rig.store.full = True
        await running(rig)
        assert {rig.offered_a(c) for c in QUICK} == {16.0}
        assert (DRIVER, "store") in rig.alarms()

    play(story)


def test_real_devices_are_driven_with_an_alarm_as_long_as_there_is_no_licence() -> None:
    async def story(rig: Rig) -> None:
        devices = {k: d.model_copy(update={"simulated": False}) for k, d in rig.site.devices.items()}
        rig.start(replace(rig.site, devices=devices))
        await asyncio.sleep(2.0)
        assert (DRIVER, "no_licence") in rig.alarms()

    play(story)


def test_lost_doubled_and_late_setpoints_never_offer_more_than_the_newest() -> None:
    async def story(rig: Rig) -> None:
        await running(rig, a1=16.0)
        assert rig.buses.connect(ANY_SERVICE) is not None
        await rig.tell("a1", 10.0, seq=1000)
        await rig.tell("a1", 16.0, seq=999)
        await rig.tell("a1", 32.0, seq=1000)
        await asyncio.sleep(3.0)
        assert rig.offered_a("a1") == 10.0

    play(story)


def test_two_runs_of_one_story_say_exactly_the_same() -> None:
    async def story(rig: Rig) -> None:
        await running(rig)
        rig.devices["charx"].faults = Faults(busy_every=7, drop_every=13, seed=5)
        await rig.control(30, **ALL_16)

    first, second = play(story), play(story)
    assert len(first.said) > 1000
    assert first.said == second.said
    assert rig_outcomes(first) == rig_outcomes(second)


def rig_outcomes(rig: Rig) -> list[str]:
    return [event.model_dump_json() for event in rig.of(SetpointResult)]
