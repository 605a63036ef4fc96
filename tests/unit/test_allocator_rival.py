"""Two allocators: the older one stands by, and takes over when the newer one falls silent (FB-4, FB-5)."""

from __future__ import annotations

from busbar.events import Decision, ServiceState, Setpoint
from busbar.subjects import DECISION
from busbar.units import ZERO
from unit.actor_rig import START_MS
from unit.test_allocator_service import Stage, charging, run

RIVAL_EPOCH = START_MS + 500_000


async def rival(stage: Stage, seconds: float, epoch: int = RIVAL_EPOCH) -> None:
    """Another allocator decides for the site, each second."""
    for _ in range(int(seconds)):
        decision = Decision(
            collector="grid", snapshot=1, epoch=epoch, published_at_ms=0, lifetime_ms=5000, limit_a=ZERO,
            reserve_a=0.0, background_a=ZERO, booked_a=ZERO, headroom_a=ZERO,
        )  # fmt: skip
        await stage.rig.others.publish(DECISION, decision, "grid")
        await stage.live(1.0)


def test_it_stands_by_while_a_newer_one_commands_and_says_so() -> None:
    async def story(stage: Stage) -> None:
        await charging(stage, 100.0)
        await rival(stage, 20.0)

    stage = run(story)
    assert stage.setpoints(after_s=102.5) == []
    assert stage.service.state is ServiceState.DEGRADED
    assert ("superseded", True) in stage.alarms()


def test_it_takes_over_with_a_higher_epoch_when_the_newer_one_is_silent_and_moves_nothing() -> None:
    async def story(stage: Stage) -> None:
        await charging(stage, 300.0)
        await rival(stage, 20.0)
        await stage.live(40.0)

    stage = run(story)
    before = {s.asset: s.current_a for _, s in stage.setpoints() if s.epoch == START_MS}
    after: list[Setpoint] = [s for at, s in stage.setpoints(after_s=310.0)]
    assert min(s.epoch for s in after) > RIVAL_EPOCH
    first = {s.asset: s.current_a for s in reversed(after)}
    assert first == before
    assert ("superseded", False) in stage.alarms()
    assert stage.service.state is ServiceState.RUNNING


def test_an_older_one_changes_nothing() -> None:
    async def story(stage: Stage) -> None:
        await charging(stage, 100.0)
        await rival(stage, 20.0, epoch=START_MS - 1)

    stage = run(story)
    assert len({at for at, _ in stage.setpoints(after_s=103.0)}) >= 15
    assert not any(code == "superseded" for code, _ in stage.alarms())


def test_one_that_was_stopped_listens_before_it_takes_over() -> None:
    """SIGSTOP, SIGCONT: what the other said meanwhile still waits in the socket."""

    async def story(stage: Stage) -> None:
        await charging(stage, 100.0)
        await rival(stage, 20.0)
        cycle, stage.service.cycle = stage.service.cycle, stopped  # type: ignore[method-assign]
        await stage.live(10.0)
        stage.service.cycle = cycle  # type: ignore[method-assign]
        await stage.live(1.5)
        await rival(stage, 10.0)

    async def stopped() -> None:
        """Not a single instruction."""

    stage = run(story)
    assert stage.setpoints(after_s=102.5) == []
    assert ("superseded", False) not in stage.alarms()
