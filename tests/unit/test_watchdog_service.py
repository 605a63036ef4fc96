"""fallback-watchdog, actor: what it publishes, in virtual time on the in-memory bus (FB-1, FB-2, FB-5)."""

from __future__ import annotations

import asyncio
import itertools

from busbar.bus.faults import SeededFaults
from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.events import Alarm, Fallback, Heartbeat, Measurement, ServiceState, Severity, SiteSnapshot
from busbar.subjects import FALLBACK, HEARTBEAT, SNAPSHOT, TELEMETRY
from fallback_watchdog.service import FallbackWatchdog
from unit.actor_rig import Rig, play
from unit.site_files import compiled, demo

SITE: Site = compiled(demo())
METERS = ("grid-meter", "parking-meter", "row-b-meter")
SERVICES = (("field-driver-modbus", "modbus-1"), ("collector-aggregator", "main"), ("spc-allocator", "main"))


class World:
    """Everything that gives signs of life; what is `silent` gives none, what is `blind` says so."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.silent: set[str] = set()
        self.blind: set[str] = set()
        self.cycles = 0

    async def second(self) -> None:
        rig, now_ms = self.rig, self.rig.clock.utc_ms()
        self.cycles += 1
        for meter in METERS:
            if meter not in self.silent:
                await rig.others.publish(TELEMETRY, self._measured(meter, now_ms), "modbus-1", meter)
        for service, instance in SERVICES:
            if service not in self.silent:
                await rig.others.publish(HEARTBEAT, self._beat(service, instance, now_ms), service, instance)
        if "snapshot" not in self.silent:
            await rig.others.publish(SNAPSHOT, self._snapshot(now_ms))

    def _measured(self, meter: str, now_ms: int) -> Measurement:
        seen = meter not in self.blind
        return Measurement(
            asset=meter, driver="modbus-1", kind=AssetKind.METER, seq=self.cycles, measured_at_ms=now_ms,
            lifetime_ms=600, reachable=seen, points={"power_w": 1.0 if seen else None},
        )  # fmt: skip

    def _beat(self, service: str, instance: str, now_ms: int) -> Heartbeat:
        return Heartbeat(
            service=service, instance=instance, state=ServiceState.RUNNING, cycle_ms=1.0, cycles=self.cycles,
            version="0", fingerprint=self.rig.site.fingerprint, boot="b:1", published_at_ms=now_ms,
        )  # fmt: skip

    def _snapshot(self, now_ms: int) -> SiteSnapshot:
        return SiteSnapshot(
            number=self.cycles, taken_at_ms=now_ms, published_at_ms=now_ms, lifetime_ms=5000,
            fingerprint=self.rig.site.fingerprint, collectors=(), connectors=(),
        )  # fmt: skip

    async def live(self, until_s: float) -> None:
        await self.rig.every(1.0, until_s, self.second)


def active(rig: Rig, entity: str) -> list[float]:
    return [at for at, event in rig.of(Fallback) if event.entity == entity and event.active]


def ended(rig: Rig, entity: str) -> list[float]:
    return [at for at, event in rig.of(Fallback) if event.entity == entity and not event.active]


def alarms(rig: Rig) -> list[tuple[float, str, bool]]:
    return [(at, event.entity, event.active) for at, event in rig.of(Alarm)]


def test_a_site_where_everybody_talks_has_no_fallback_and_no_alarm() -> None:
    async def story(rig: Rig) -> None:
        await World(rig).live(120.0)

    rig = play(SITE, FallbackWatchdog, story)
    assert rig.of(Fallback) == []
    assert rig.of(Alarm) == []


def test_a_silent_meter_binds_after_its_timeout_each_second_and_ends_once() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        await world.live(10.5)
        world.silent.add("parking-meter")
        await world.live(60.5)
        world.silent.clear()
        await world.live(90.0)

    rig = play(SITE, FallbackWatchdog, story)
    times = active(rig, "parking-meter")
    assert 40.0 <= times[0] <= 41.5
    assert times == [times[0] + i for i in range(len(times))]
    assert ended(rig, "parking-meter") == [times[-1] + 1.0]
    assert 65.0 <= ended(rig, "parking-meter")[0] <= 68.0
    event = next(e for _, e in rig.of(Fallback))
    assert (event.max_current_a, event.lifetime_ms) == (0.0, 5000)
    assert event.assets == ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4")
    assert "Car park meter" in event.cause
    assert [e for _, e, _ in alarms(rig)] == ["parking-meter", "parking-meter"]
    words = next(e for _, e in rig.of(Alarm))
    assert "paused" in words.text
    assert "check the meter" in words.text
    assert words.severity is Severity.ERROR


def test_a_meter_that_only_says_that_it_cannot_be_reached_is_silent() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        world.blind.add("row-b-meter")
        await world.live(35.0)

    rig = play(SITE, FallbackWatchdog, story)
    assert active(rig, "row-b-meter")[0] == 30.0
    assert active(rig, "grid-meter") == []


def test_a_message_that_calls_itself_otherwise_than_its_subject_harms_nobody() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        await world.live(10.0)
        stranger = world._measured("grid-meter", rig.clock.utc_ms()).model_copy(update={"asset": "nobody"})
        await rig.others.publish(TELEMETRY, stranger, "modbus-1", "grid-meter")
        await world.live(20.0)

    rig = play(SITE, FallbackWatchdog, story)  # raises what the watchdog raised
    assert max(at for at, beat in rig.of(Heartbeat) if beat.service == "fallback-watchdog") >= 19.0
    assert rig.of(Fallback) == []


def test_silence_is_measured_from_when_a_value_was_sent_not_from_when_it_came() -> None:
    async def story(rig: Rig) -> None:
        rig.network.faults = SeededFaults(seed=1, min_delay_s=8.0, nouns=("telemetry", "snapshot"))
        world = World(rig)
        await world.live(10.5)
        world.silent |= {"parking-meter", "snapshot"}
        await world.live(50.0)

    rig = play(SITE, FallbackWatchdog, story)
    for rule in ("parking-meter", "snapshots"):
        assert 40.0 <= active(rig, rule)[0] <= 41.5
    assert active(rig, "grid-meter") == []


def test_without_snapshots_all_connectors_are_bound_to_the_fallback_plan() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        await world.live(10.5)
        world.silent.add("snapshot")
        await world.live(50.0)

    rig = play(SITE, FallbackWatchdog, story)
    assert 40.0 <= active(rig, "snapshots")[0] <= 41.5
    assert {e.max_current_a for _, e in rig.of(Fallback)} == {6.0}


def test_a_dead_driver_is_told_within_its_timeout_and_one_cycle_and_binds_nothing() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        await world.live(10.5)  # last heard at 10
        world.silent.add("field-driver-modbus")
        await world.live(30.0)

    rig = play(SITE, FallbackWatchdog, story)
    assert [(e, on) for _, e, on in alarms(rig)] == [("modbus-1", True)]
    assert 13.0 <= alarms(rig)[0][0] <= 14.0
    assert rig.of(Fallback) == []


def test_a_watchdog_that_was_killed_goes_on_binding_where_it_was() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        world.silent.add("grid-meter")
        living = asyncio.get_running_loop().create_task(world.live(80.0))
        await rig.until(40.5)
        await rig.kill()
        await rig.until(42.5)
        rig.start()
        await rig.until(60.5)
        world.silent.clear()
        await living

    rig = play(SITE, FallbackWatchdog, story)
    times = active(rig, "grid-meter")
    assert max(b - a for a, b in itertools.pairwise(times)) <= 3.0  # never longer than a bound lives
    assert len(ended(rig, "grid-meter")) == 1
    assert ended(rig, "grid-meter")[0] > 65.0


def test_a_bound_that_was_over_long_ago_is_not_taken_up_again() -> None:
    async def story(rig: Rig) -> None:
        await rig.kill()
        old = Fallback(
            entity="grid-meter", active=True, cause="", assets=("a1",), max_current_a=6.0, since_ms=1,
            published_at_ms=1, lifetime_ms=5000,
        )  # fmt: skip
        await rig.others.publish(FALLBACK, old, "grid-meter")
        await rig.until(100.0)
        rig.seen.clear()
        rig.start()
        await World(rig).live(120.0)

    assert play(SITE, FallbackWatchdog, story).of(Fallback) == []


def test_a_short_loss_of_the_bus_binds_nobody() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        await world.live(10.0)
        rig.network.stop()
        await rig.until(60.0)
        rig.network.start()
        await world.live(80.0)

    rig = play(SITE, FallbackWatchdog, story)
    assert rig.of(Fallback) == []
    assert rig.of(Alarm) == []


def test_what_is_still_silent_after_a_loss_of_the_bus_binds() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        await world.live(10.0)
        rig.network.stop()
        await rig.until(60.0)
        rig.network.start()
        world.silent.add("grid-meter")
        await world.live(70.0)

    rig = play(SITE, FallbackWatchdog, story)
    assert 62.0 <= active(rig, "grid-meter")[0] <= 63.0
    assert active(rig, "parking-meter") == []


def test_snapshots_of_another_configuration_do_not_count() -> None:
    other = demo()
    other["collectors"][0]["fixed_reserve_a"] = 7

    async def story(rig: Rig) -> None:
        world = World(rig)
        living = world.live(35.0)
        rig.site = SITE  # everybody but the watchdog runs on the old file
        await living

    rig = play(compiled(other), FallbackWatchdog, story)
    assert active(rig, "snapshots")[0] == 30.0


def test_the_same_story_is_published_byte_for_byte_again() -> None:
    async def story(rig: Rig) -> None:
        world = World(rig)
        world.silent |= {"grid-meter", "snapshot", "spc-allocator"}
        await world.live(40.0)
        world.silent.clear()
        await world.live(60.0)

    def told() -> list[str]:
        rig = play(SITE, FallbackWatchdog, story)
        return [
            f"{at} {subject} {event.model_dump_json()}" for at, subject, event in rig.seen if subject[0] != "heartbeat"
        ]

    first = told()
    assert any("fallback" in line for line in first)
    assert first == told()
