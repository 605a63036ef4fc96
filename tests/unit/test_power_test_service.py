"""A power test through the allocator's bus: ordered, followed, stopped, and what survives a restart (SPC-10)."""

from __future__ import annotations

from busbar.events import PowerTest, PowerTestResult, PowerTestState
from busbar.subjects import POWER_TEST
from scenarios.world import Vehicle
from unit.actor_rig import START_MS
from unit.test_allocator_service import Stage, run

MIN_MS = 60_000


async def order(stage: Stage, minutes: float = 15.0, *, released: bool = False) -> None:
    now_ms = stage.rig.clock.utc_ms()
    event = PowerTest(
        connector="x0", source="cli", author="A. Person", until_ms=now_ms + round(minutes * MIN_MS),
        released=released, published_at_ms=now_ms,
    )  # fmt: skip
    await stage.rig.others.store(POWER_TEST, event, "x0")


def told(stage: Stage) -> list[PowerTestResult]:
    return [event for _, event in stage.rig.of(PowerTestResult)]


async def under_way(stage: Stage, seconds: float) -> None:
    stage.world.plug("x0", Vehicle(phases=1, max_a=16.0))
    await stage.live(60.0)
    await order(stage)
    await stage.live(seconds)


def test_spc_10_each_step_is_told_and_in_the_end_what_was_found() -> None:
    async def story(stage: Stage) -> None:
        await under_way(stage, 240.0)

    stage = run(story)
    asked = [one.asked_current_a for one in told(stage)]
    assert [*dict.fromkeys(asked)] == [6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 18.0, 32.0, None]
    last = told(stage)[-1]
    assert (last.state, last.source, last.author, last.session_id) == (
        PowerTestState.DONE, "cli", "A. Person", stage.world.outlets["x0"].sample.session_id,  # type: ignore[union-attr]
    )  # fmt: skip
    assert last.vehicle is not None
    assert (last.vehicle.min_current_a, last.vehicle.max_current_a, last.vehicle.phases) == (6.0, 16.0, ("L1",))
    assert last.charge_point is not None
    assert (last.charge_point.max_current_a, last.charge_point.measured) == (32.0, True)
    assert [one.state.value for one in told(stage)].count("done") == 1  # and no more after that


def test_spc_10_an_allocator_killed_in_mid_test_goes_on_with_it() -> None:
    async def story(stage: Stage) -> None:
        await under_way(stage, 100.0)
        on_disk = stage.rig.store.read("state")  # up to a minute old
        assert on_disk is not None
        await stage.rig.kill()
        stage.rig.store.write("state", on_disk)
        await stage.live(4.0)
        stage.rig.start()
        await stage.live(240.0)

    stage = run(story)
    assert told(stage)[-1].state is PowerTestState.DONE
    assert min(one.asked_current_a or 99.0 for one in told(stage) if one.published_at_ms > START_MS + 170_000) > 6.0


def test_spc_10_a_test_that_is_over_does_not_run_again_after_a_restart() -> None:
    async def story(stage: Stage) -> None:
        await under_way(stage, 225.0)
        assert told(stage)[-1].state is PowerTestState.DONE
        on_disk = stage.rig.store.read("state")  # written when it ended
        assert on_disk is not None
        await stage.rig.kill()
        stage.rig.store.write("state", on_disk)
        stage.rig.start()
        await stage.live(120.0)

    stage = run(story)
    assert told(stage)[-1].state is PowerTestState.DONE
    assert stage.told()["x0"] <= 17.0


def test_spc_10_stopped_by_hand_the_rules_hold_again() -> None:
    async def story(stage: Stage) -> None:
        await under_way(stage, 100.0)
        await order(stage, released=True)
        await stage.live(5.0)

    stage = run(story)
    assert told(stage)[-1].state is PowerTestState.STOPPED
    assert stage.setpoints()[-3][1].reason.code != "power_test"


def test_spc_10_what_was_found_of_the_charge_point_outlives_a_checkpoint_too_old_for_the_rest() -> None:
    async def story(stage: Stage) -> None:
        await under_way(stage, 240.0)
        await stage.rig.kill()
        stage.world.unplug("x0")
        await stage.live(20 * 60.0)
        stage.rig.start()
        await stage.live(30.0)
        await order(stage)
        await stage.live(3.0)

    last = told(run(story))[-1]
    assert (last.state, last.vehicle) == (PowerTestState.NO_VEHICLE, None)
    assert last.charge_point is not None
    assert (last.charge_point.max_current_a, last.charge_point.measured) == (32.0, True)
