"""spc-allocator as an actor: on the in-memory bus, in virtual time, with a small site behind it (FB-3 to FB-5)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from busbar.events import Alarm, CollectorLimit, Decision, Fallback, Heartbeat, ServiceState, Setpoint
from busbar.subjects import FALLBACK, LIMIT, SNAPSHOT
from scenarios.world import World, site_of
from spc_allocator.service import SpcAllocator
from unit.actor_rig import START_MS, Rig, play

SITE = site_of(
    [{"id": "grid", "rated_current_a": 50}, {"id": "sub", "parent": "grid", "rated_current_a": 40}],
    [{"id": f"x{n}", "collector": "sub"} for n in range(3)],
)
Story = Callable[["Stage"], Coroutine[Any, Any, None]]


class Stage:
    """The rig, and the site that obeys what is published."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.world = World(SITE)
        self.world.allocating = False
        self.talking = True

    async def live(self, seconds: float) -> None:
        """The site goes on; a snapshot each second, a little after the allocator's own cycle."""
        until_s = self.rig.loop.time() + seconds
        while self.rig.loop.time() < until_s - 1e-9:
            self.obey()
            self.world.step()
            if self.talking:
                await self.say()
            await self.rig.until(self.rig.loop.time() + 1.0)

    async def say(self, guard: tuple[str, ...] = (), **changes: object) -> None:
        snapshot = self.world.snapshot(guard).model_copy(update={"lifetime_ms": 5000, **changes})
        await self.rig.others.publish(SNAPSHOT, snapshot)

    def obey(self) -> None:
        for name, value in self.told().items():
            outlet = self.world.outlets[name]
            written = outlet.pending[-1][1] if outlet.pending else outlet.limit_a
            if value != written:
                outlet.pending.append((self.world.now_s + 1.0, value))

    def told(self) -> dict[str, float]:
        newest: dict[str, float] = {}
        for _, setpoint in self.rig.of(Setpoint):
            newest[setpoint.asset] = setpoint.current_a
        return newest

    def setpoints(self, after_s: float = 0.0) -> list[tuple[float, Setpoint]]:
        return [(at, event) for at, event in self.rig.of(Setpoint) if at >= after_s]

    def alarms(self) -> list[tuple[str, bool]]:
        return [(event.code, event.active) for _, event in self.rig.of(Alarm)]

    @property
    def service(self) -> SpcAllocator:
        assert isinstance(self.rig.actor, SpcAllocator)
        return self.rig.actor


def run(story: Story, before: Callable[[Rig], None] | None = None) -> Stage:
    stages: list[Stage] = []

    async def told(rig: Rig) -> None:
        if before:
            before(rig)
        stages.append(Stage(rig))
        await rig.until(0.3)
        await story(stages[0])

    play(SITE, SpcAllocator, told)
    return stages[0]


async def charging(stage: Stage, seconds: float = 300.0) -> None:
    stage.world.plug("x0")
    stage.world.plug("x1")
    await stage.live(seconds)


def test_each_cycle_tells_every_connector_with_epoch_growing_seq_lifetime_and_reason() -> None:
    stage = run(charging)
    cycles: dict[float, list[Setpoint]] = {}
    for at, setpoint in stage.setpoints(after_s=2.0):
        cycles.setdefault(at, []).append(setpoint)
    assert sorted(cycles) == [float(second) for second in range(2, 301)]
    for setpoints in cycles.values():
        assert sorted(s.asset for s in setpoints) == ["x0", "x1", "x2"]
    of_one = [s for _, s in stage.setpoints() if s.asset == "x0"]
    assert [s.seq for s in of_one] == sorted({s.seq for s in of_one})
    assert {(s.epoch, s.lifetime_ms, s.driver) for s in of_one} == {(START_MS, 5000, "modbus-1")}
    assert of_one[-1].reason.code == "ramp"
    decided = [d for at, d in stage.rig.of(Decision) if at == 300.0]
    assert [d.collector for d in decided] == ["grid", "sub"]
    assert stage.told()["x0"] >= 10.0


def test_a_guard_snapshot_is_answered_at_once() -> None:
    async def story(stage: Stage) -> None:
        await charging(stage, 1500.0)
        stage.world.load_a["grid"] = [30.0] * 3
        await stage.rig.until(stage.rig.loop.time() + 0.25)
        await stage.say(("grid",))
        await stage.rig.until(stage.rig.loop.time() + 0.1)

    stage = run(story)
    at = stage.rig.of(Setpoint)[-1][0]
    assert at == pytest.approx(1500.55)
    assert stage.told()["x0"] + stage.told()["x1"] <= 20.0


def test_snapshots_of_another_site_file_are_ignored_with_an_alarm() -> None:
    async def story(stage: Stage) -> None:
        for _ in range(5):
            await stage.say(fingerprint="another")
            await stage.rig.until(stage.rig.loop.time() + 1.0)

    stage = run(story)
    assert stage.setpoints() == []
    assert stage.alarms() == [("foreign_snapshot", True)]


def test_without_a_snapshot_since_the_start_nobody_is_told_anything() -> None:
    async def story(stage: Stage) -> None:
        await stage.rig.until(60.0)

    stage = run(story)
    assert stage.setpoints() == []
    beat = stage.rig.of(Heartbeat)[-1][1]
    assert beat.state is ServiceState.DEGRADED
    assert "collector-aggregator" in beat.detail


def test_when_snapshots_cease_nothing_new_is_told_after_5_s_and_work_goes_on_when_they_return() -> None:
    async def story(stage: Stage) -> None:
        await charging(stage)
        stage.talking = False
        await stage.live(30.0)
        stage.talking = True
        await stage.live(10.0)

    stage = run(story)
    times = sorted({at for at, _ in stage.setpoints(after_s=290.0)})
    assert [at for at in times if 304.5 < at <= 330.3] == []
    assert [at for at in times if at >= 332.0] != []


def test_an_allocator_killed_and_back_within_5_s_moves_no_connector() -> None:
    moved: list[dict[str, float]] = []

    async def story(stage: Stage) -> None:
        stage.world.load_a["sub"] = [3.0, 1.0, 0.0]
        await charging(stage, 1800.0)
        before = stage.told()
        on_disk = stage.rig.store.read("state")
        assert on_disk is not None
        await stage.rig.kill()
        stage.rig.store.write("state", on_disk)  # kill -9 writes nothing more
        await stage.live(4.0)
        stage.rig.start()
        for _ in range(14):
            await stage.live(1.0)
            moved.append({k: v for k, v in stage.told().items() if v != before[k]})
        assert min(before["x0"], before["x1"]) > 12.0

    stage = run(story)
    assert moved == [{}] * 14
    epochs = [s.epoch for _, s in stage.setpoints()]
    assert epochs[-1] > epochs[0]
    assert stage.setpoints()[-1][0] > 1810.0


def test_a_restart_without_any_checkpoint_adopts_the_devices_limits() -> None:
    async def story(stage: Stage) -> None:
        await charging(stage, 600.0)
        before = stage.told()
        await stage.rig.kill()
        stage.rig.store.write("state", b"broken")
        stage.rig.start()
        for _ in range(12):
            await stage.live(1.0)
            assert stage.told() == before

    stage = run(story)
    assert ("state_unreadable", True) in stage.alarms()


def test_the_epoch_is_above_every_one_before_whatever_the_clock_says() -> None:
    stage = run(charging, before=lambda rig: None)
    assert stage.rig.store.read("epoch") == str(START_MS).encode()

    async def story(stage: Stage) -> None:
        await stage.rig.kill()
        stage.rig.store.write("epoch", str(START_MS + 10**12).encode())
        stage.rig.start()
        await charging(stage, 3.0)

    stage = run(story)
    assert stage.setpoints()[-1][1].epoch == START_MS + 10**12 + 1
    assert stage.rig.store.read("epoch") == str(START_MS + 10**12 + 1).encode()


def test_a_full_disk_is_an_alarm_and_control_goes_on() -> None:
    async def story(stage: Stage) -> None:
        stage.rig.store.full = True
        await charging(stage, 130.0)
        assert stage.told()["x0"] >= 7.0
        assert stage.alarms() == [("store_failed", True)]
        stage.rig.store.full = False
        await stage.live(60.0)

    assert run(story).alarms() == [("store_failed", True), ("store_failed", False)]


def limit(import_w: float | None, source: str = "gateway", **more: Any) -> CollectorLimit:
    return CollectorLimit(collector="grid", source=source, import_limit_w=import_w, published_at_ms=START_MS, **more)


def test_a_standing_limit_is_read_at_the_start_and_holds_until_it_is_released() -> None:
    async def story(stage: Stage) -> None:
        await stage.rig.kill()
        await stage.rig.others.store(LIMIT, limit(4200.0), "gateway", "grid")
        stage.rig.start()
        await charging(stage, 60.0)
        assert sorted(stage.told().values()) == [0.0, 0.0, 6.0]
        await stage.rig.others.store(LIMIT, limit(None, released=True), "gateway", "grid")
        await stage.live(10.0)
        assert min(stage.told()["x0"], stage.told()["x1"]) >= 6.0

    run(story)


def test_a_limit_ends_at_its_own_time() -> None:
    async def story(stage: Stage) -> None:
        until_ms = START_MS + 100_000
        await stage.rig.others.store(LIMIT, limit(0.0, until_ms=until_ms), "gateway", "grid")
        await charging(stage, 99.0)
        assert max(stage.told().values()) == 0.0
        await stage.live(20.0)
        assert stage.told()["x0"] == 6.0

    run(story)


def test_limits_that_changed_while_disconnected_are_read_again() -> None:
    async def story(stage: Stage) -> None:
        await charging(stage, 60.0)
        bus = stage.rig._bus
        assert bus is not None
        bus.disconnect()
        await stage.rig.others.store(LIMIT, limit(0.0), "gateway", "grid")
        await stage.live(3.0)
        assert stage.told()["x0"] == 6.0
        bus.reconnect()
        await stage.live(3.0)
        assert stage.told()["x0"] == 0.0

    run(story)


def test_a_fallback_event_bounds_while_it_lives_and_not_longer() -> None:
    def fallback() -> Fallback:
        return Fallback(
            entity="grid-blind", active=True, cause="test", assets=("x0",), max_current_a=0.0, since_ms=START_MS,
            published_at_ms=START_MS, lifetime_ms=3000,
        )  # fmt: skip

    async def story(stage: Stage) -> None:
        await charging(stage, 120.0)
        for _ in range(10):
            await stage.rig.others.publish(FALLBACK, fallback(), "grid-blind")
            await stage.live(1.0)
        assert stage.told()["x0"] == 0.0
        assert stage.setpoints()[-3][1].reason.source in {"grid-blind", None}
        await stage.live(600.0)
        assert stage.told()["x0"] >= 6.0

    run(story)
