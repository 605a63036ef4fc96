"""collector-aggregator, actor: what it publishes, in virtual time on the in-memory bus."""

from __future__ import annotations

from typing import Any

import pytest

from busbar.bus import Received
from busbar.domain.charging import Status
from busbar.events import Alarm, CollectorState, Measurement, Session, SessionPhase, SiteSnapshot
from busbar.subjects import SESSION, TELEMETRY
from collector_aggregator.service import NUMBER_FILE, CollectorAggregator
from unit.actor_rig import START_MS, Rig, play
from unit.aggregator_world import U, electrical, measurement, on
from unit.site_files import compiled, demo

SITE = compiled(demo())
ALL = (0, 1, 2)


def snapshots(rig: Rig) -> list[tuple[float, SiteSnapshot]]:
    return rig.of(SiteSnapshot)


async def meter(rig: Rig, name: str, amps: float) -> None:
    entity = SITE.entities[name]
    event = measurement(entity, electrical(entity, on(ALL, [amps * U] * 3)))
    await rig.others.publish(TELEMETRY, event, "modbus-1", name)


async def hello(rig: Rig) -> None:
    """Everybody is heard of once."""
    for entity in SITE.entities.values():
        event = measurement(entity, electrical(entity, [0.0] * 6))
        await rig.others.publish(TELEMETRY, event, "modbus-1", entity.id)


def session(energy_wh: float) -> Session:
    return Session(
        session_id="s1", connector="a1", driver="modbus-1", phase=SessionPhase.STARTED, status=Status.CHARGING,
        plugged_at_ms=5, energy_wh=energy_wh, measured_at_ms=START_MS,
    )  # fmt: skip


def test_each_second_one_snapshot_with_the_next_number_and_a_state_of_each_collector() -> None:
    async def story(rig: Rig) -> None:
        await rig.until(0.5)
        await hello(rig)
        await rig.until(5.5)

    rig = play(SITE, CollectorAggregator, story)
    found = snapshots(rig)
    assert [at for at, _ in found] == [1.0, 2.0, 3.0, 4.0, 5.0]
    first = found[0][1].number
    assert [event.number for _, event in found] == list(range(first, first + 5))
    assert found[2][1].taken_at_ms == START_MS + 3000
    assert {event.fingerprint for _, event in found} == {SITE.fingerprint}
    states = [event.collector for at, event in rig.of(CollectorState) if at == 2.0]
    assert states == ["grid", "roof", "parking", "row-a", "row-b"]


def test_a_new_process_is_silent_until_everybody_was_heard_of_or_three_seconds() -> None:
    async def lonely(rig: Rig) -> None:
        await rig.until(4.5)

    async def all_but_one(rig: Rig) -> None:
        await rig.until(0.5)
        await hello(rig)
        await rig.kill()
        rig.start()
        await rig.until(4.7)  # the hello was said to the process before

    assert [at for at, _ in snapshots(play(SITE, CollectorAggregator, lonely))] == [3.0, 4.0]
    assert snapshots(play(SITE, CollectorAggregator, all_but_one))[0][0] >= 3.5


def test_an_excess_is_told_even_by_a_process_that_has_just_started() -> None:
    async def story(rig: Rig) -> None:
        await rig.until(0.3)
        await meter(rig, "grid-meter", 120.0)
        await rig.until(2.5)

    found = snapshots(play(SITE, CollectorAggregator, story))
    assert [(at, event.guard) for at, event in found] == [(0.3, ("grid",))]


def test_a_meter_above_its_rating_makes_an_extra_snapshot_at_once_and_only_one() -> None:
    async def story(rig: Rig) -> None:
        await rig.until(0.5)
        await hello(rig)
        await rig.until(2.3)
        for _ in range(10):
            await meter(rig, "grid-meter", 120.0)
            await rig.until(rig.loop.time() + 0.2)

    found = snapshots(play(SITE, CollectorAggregator, story))
    assert [(at, event.guard) for at, event in found] == [
        (1.0, ()), (2.0, ()), (2.3, ("grid",)), (3.0, ()), (4.0, ()),
    ]  # fmt: skip
    extra = found[2][1]
    assert extra.collectors[0].power_w.l1 == pytest.approx(120 * U)
    assert extra.collectors[0].age_ms == 0
    assert extra.number == found[1][1].number + 1


def test_numbers_go_on_over_a_restart_even_if_the_clock_was_set_back() -> None:
    async def story(rig: Rig) -> None:
        await rig.until(5.5)
        await rig.kill()
        await rig.until(6.2)
        rig.start()
        await rig.until(12.5)
        await rig.kill()
        rig.clock._utc_start_ms -= 3_600_000
        rig.start()
        await rig.until(19.5)

    numbers = [event.number for _, event in snapshots(play(SITE, CollectorAggregator, story))]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 8


def test_a_full_disk_is_an_alarm_and_nothing_else() -> None:
    async def story(rig: Rig) -> None:
        await rig.kill()
        rig.seen.clear()
        rig.store.full = True
        rig.start()
        await rig.until(6.5)

    rig = play(SITE, CollectorAggregator, story)
    assert [event.code for _, event in rig.of(Alarm)] == ["store"]
    assert len(snapshots(rig)) >= 3


def test_garbage_where_the_number_is_kept_is_no_number() -> None:
    async def story(rig: Rig) -> None:
        await rig.kill()
        rig.seen.clear()
        rig.store.write(NUMBER_FILE, b"\x00nonsense")
        rig.start()
        await rig.until(3.5)

    assert snapshots(play(SITE, CollectorAggregator, story))[0][1].number == START_MS + 1


def energies(rig: Rig) -> dict[float, float]:
    return {at: event.connectors[0].session_energy_wh for at, event in snapshots(rig)}


def test_sessions_of_before_the_start_and_of_an_outage_are_known() -> None:
    async def story(rig: Rig) -> None:
        await rig.kill()
        rig.seen.clear()
        await rig.others.publish(SESSION, session(100.0), "modbus-1", "a1")
        await rig.until(1.0)
        rig.start()
        await rig.until(1.5)
        await hello(rig)
        await rig.until(3.5)
        assert rig._bus is not None
        rig._bus.disconnect()
        later = session(200.0).model_copy(update={"measured_at_ms": START_MS + 4000})
        await rig.others.publish(SESSION, later, "modbus-1", "a1")
        await rig.until(6.5)
        rig._bus.reconnect()
        await rig.until(8.5)

    found = energies(play(SITE, CollectorAggregator, story))
    assert found == {2.0: 100.0, 3.0: 100.0, 7.0: 200.0, 8.0: 200.0}


def test_while_the_bus_is_away_nothing_is_numbered_and_no_excess_is_forgotten() -> None:
    async def story(rig: Rig) -> None:
        await rig.until(0.5)
        await hello(rig)
        await rig.until(1.5)
        assert rig._bus is not None
        await meter(rig, "grid-meter", 120.0)
        rig.loop.call_soon(rig._bus.disconnect)  # after the sample, before the cycle that it woke
        await rig.until(4.5)
        rig._bus.reconnect()
        await rig.until(6.5)

    found = snapshots(play(SITE, CollectorAggregator, story))
    numbers = [event.number for _, event in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [(at, event.guard) for at, event in found if event.guard] == [(5.0, ("grid",))]


def test_time_on_the_way_counts_as_age() -> None:
    class Late:
        """Every message takes 400 ms."""

        def deliveries(self, subject: str, sender: str, receiver: str) -> tuple[float, ...]:
            return (0.4,) if ".telemetry." in subject else (0.0,)

    async def story(rig: Rig) -> None:
        await rig.until(0.5)
        await hello(rig)
        await rig.until(1.5)
        faults: Any = Late()
        rig.network.faults = faults
        await meter(rig, "grid-meter", 10.0)
        await rig.until(2.5)

    at_two = next(event for at, event in snapshots(play(SITE, CollectorAggregator, story)) if at == 2.0)
    assert at_two.collectors[0].age_ms == 500


def test_a_sample_from_a_machine_with_an_unknown_clock_has_at_most_two_seconds_of_life() -> None:
    async def story(rig: Rig) -> None:
        await rig.until(0.5)
        for name, entity in SITE.entities.items():
            if name != "a1":
                said = measurement(entity, electrical(entity, [0.0] * 6))
                await rig.others.publish(TELEMETRY, said, "modbus-1", name)
        await rig.until(1.5)
        a1 = SITE.entities["a1"]
        event: Measurement = measurement(a1, electrical(a1, [0.0] * 6))
        actor: Any = rig.actor
        actor._on_telemetry(Received("x", event, rig.loop.time(), None))
        await rig.until(5.5)

    found = {at: event.connectors[0] for at, event in snapshots(play(SITE, CollectorAggregator, story))}
    assert (found[2.0].reachable, found[3.0].reachable, found[4.0].reachable) == (True, True, False)
