"""Reasons are made anew only for connectors for which something has changed: the same as if made from nothing."""

from __future__ import annotations

from random import Random

from unit.allocator_sites import charging_world, happen, how_many

SECONDS = 24


def test_a_reason_that_was_kept_is_the_one_that_would_be_made() -> None:
    kept = 0
    for number in range(how_many(16)):
        rng = Random(number)
        world = charging_world(rng, check=False)
        before: list[object] = []
        for second in range(SECONDS):
            if rng.random() < 0.25:
                happen(world, rng)
            world.step()
            assert world.last is not None
            told = world.last.why()
            kept += sum(one is another for one, another in zip(told.values(), before, strict=False))
            before = list(told.values())
            if second % 3 == 2:
                world.last.cycle.state.kept.told = None
                assert world.last.why() == told, f"site {number} at {world.now_s:g} s"
    assert kept
