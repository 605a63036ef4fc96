"""AllocatorState is a value: never changed in place, written and read back whole (algorithms.md, State; OPS-3)."""

from __future__ import annotations

import numpy as np
import pytest

from scenarios.world import Vehicle, World, site_of
from spc_allocator.core import decide
from spc_allocator.inputs import Inputs
from spc_allocator.rows import Network
from spc_allocator.state import AllocatorState, StateError, dump, restore


def busy() -> World:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 40}, {"id": "sub", "parent": "grid", "rated_current_a": 32}],
            [{"id": f"x{n}", "collector": "sub"} for n in range(4)],
        )
    )
    for number, name in enumerate(world.outlets):
        world.plug(name, Vehicle(phases=1 + number % 3, energy_wh=1000.0 * number))
    world.run_to(700)
    world.load_a["grid"] = [22.0] * 3
    world.run_to(720)
    return world


def test_a_decision_does_not_change_the_state_it_was_given() -> None:
    world = busy()
    before = world.state.digest()
    world.load_a["grid"] = [30.0] * 3
    decided = decide(world.net, world.state, world.snapshot(["grid"]), Inputs(), world.now_ms + 1000)
    assert world.state.digest() == before
    assert decided.state.digest() != before


def test_the_same_inputs_give_the_same_state_bit_for_bit() -> None:
    world = busy()
    snapshot = world.snapshot()
    once, again = (decide(world.net, world.state, snapshot, Inputs(), world.now_ms + 1000) for _ in range(2))
    assert once.state.digest() == again.state.digest()
    assert once.told() == again.told()


def test_a_checkpoint_with_windows_is_the_same_state() -> None:
    world = busy()
    assert restore(dump(world.state, world.net), world.net, 0).digest() == world.state.digest()


def test_a_replay_from_a_checkpoint_decides_the_same() -> None:
    world = busy()
    state = restore(dump(world.state, world.net), world.net, 0)
    for _ in range(100):
        world.now_s += 1.0
        snapshot = world.snapshot()
        live = decide(world.net, world.state, snapshot, Inputs(), world.now_ms)
        replayed = decide(world.net, state, snapshot, Inputs(), world.now_ms)
        world.state, state = live.state, replayed.state
        assert live.told() == replayed.told()
    assert state.digest() == world.state.digest()


def test_a_checkpoint_goes_to_the_right_connectors_of_a_changed_site_file() -> None:
    world = busy()
    other = Network(
        site_of(
            [{"id": "grid", "rated_current_a": 40}, {"id": "sub", "parent": "grid", "rated_current_a": 32}],
            [{"id": name, "collector": "sub"} for name in ("new", "x3", "x1")],
        )
    )
    state = restore(dump(world.state, world.net), other, 0)
    for name in ("x3", "x1"):
        assert state.setpoint_a[other.slot[name]] == world.state.setpoint_a[world.net.slot[name]]
        assert state.sessions[other.slot[name]] == world.state.sessions[world.net.slot[name]]
    assert state.setpoint_a[other.slot["new"]] == 0.0
    assert np.isneginf(state.background_window.top).all()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": "other"}', b'{"format": "busbar-allocator-state/2"}'])
def test_what_is_no_checkpoint_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(StateError):
        restore(data, busy().net, 0)


def test_a_vehicle_that_left_leaves_nothing_behind() -> None:
    world = busy()
    slot = world.net.slot["x0"]
    world.unplug("x0")
    world.step()
    fresh = AllocatorState.fresh(world.net, 0)
    for name in ("need", "starts_ms", "seen", "unseen_ms", "highest_a", "maximum_known", "paused_at_ms", "started"):
        assert (getattr(world.state, name)[..., slot] == getattr(fresh, name)[..., slot]).all(), name
