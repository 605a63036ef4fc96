"""The guard path: at once, in proportion, once per excess (algorithms.md, Guard)."""

from __future__ import annotations

from busbar.events import ReasonCode
from scenarios.truths import broken_rows
from scenarios.world import Vehicle, World, site_of


def running(count: int = 2, **collector: object) -> World:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 60, **collector}],
            [{"id": f"x{n}", "collector": "grid"} for n in range(count)],
        )
    )
    for name in world.outlets:
        world.plug(name)
    world.run_to(3000)
    return world


def raise_load(world: World, load_a: float) -> None:
    """The load rises just after a cycle; half a second later a guard snapshot comes."""
    world.load_a["grid"] = [load_a] * 3
    world.now_s += 0.5
    world.allocate(guard=["grid"])


def test_vehicles_go_down_in_proportion_towards_their_minimum() -> None:
    world = running()
    world.unplug("x1")
    world.plug("x1", Vehicle(max_a=9.0))
    world.run_to(world.now_s + 1500)
    before = dict(world.told)
    assert before == {"x0": 32.0, "x1": 10.0}
    raise_load(world, 36.0)
    # room 24, minima 12: 12 / 30 of what each has above 6 A
    assert world.told == {"x0": 16.0, "x1": 7.0}
    assert world.last is not None
    assert world.last.guarded == ("grid",)
    assert {r.code for r in world.why.values()} == {ReasonCode.ROW}


def test_when_minima_do_not_fit_vehicles_are_paused_by_rank_in_the_same_pass() -> None:
    world = running(4)
    raise_load(world, 45.0)
    assert sorted(world.told.values()) == [0.0, 0.0, 6.0, 9.0] or sum(world.told.values()) <= 15.0
    assert sum(value >= 6.0 for value in world.told.values()) == 2
    assert broken_rows(world) == []


def test_one_excess_is_cut_once_and_does_not_cascade_to_zero() -> None:
    world = running()
    world.latency_s = 8.0  # devices take their time: the excess lasts
    raise_load(world, 20.0)
    cut = dict(world.told)
    assert sum(cut.values()) == 40.0
    for _ in range(7):
        world.now_s += 0.5
        world.allocate(guard=["grid"])
        assert world.last is not None
        assert world.last.guarded == ()
        assert world.told == cut
        world.now_s += 0.5
        world.allocate()
        assert world.told == cut


def test_an_excess_that_grows_is_answered_again() -> None:
    world = running()
    world.latency_s = 8.0
    raise_load(world, 20.0)
    raise_load(world, 30.0)
    assert world.last is not None
    assert world.last.guarded == ("grid",)
    assert sum(world.told.values()) == 30.0


def test_an_excess_of_export_cuts_nobody() -> None:
    world = running()
    world.generation_a["grid"] = [-150.0] * 3
    before = dict(world.told)
    world.now_s += 0.5
    world.allocate(guard=["grid"])
    assert world.told == before
    assert world.last is not None
    assert world.last.guarded == ()
    assert [name for name, _ in world.last.export] == ["grid"]


def test_with_the_guard_no_fuse_is_above_its_rating_longer_than_detection_and_reaction() -> None:
    world = running()
    world.use_guard = True
    world.overload_s["grid"] = 0.0
    for load_a in (20.0, 45.0, 10.0, 52.0):
        world.load_a["grid"] = [load_a] * 3
        world.run_to(world.now_s + 200)
    assert 0.0 < world.overload_s["grid"] <= 10.0


def test_constant_load_makes_not_one_spurious_cut_in_an_hour() -> None:
    world = running()
    before = dict(world.told)
    world.use_guard = True
    for _ in range(3600):
        world.step()
        assert world.told == before
