"""SPC-17: the named bound is causal. Relaxing it moves the setpoint; relaxing any other row alone does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from busbar.events import ReasonCode
from scenarios.world import U, Vehicle, World, site_of
from spc_allocator import core
from spc_allocator.core import Decided, decide
from spc_allocator.decisions import decisions
from spc_allocator.inputs import Inputs
from spc_allocator.limits import Limits, limits

QUICK = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


def relaxed(world: World, monkeypatch: pytest.MonkeyPatch, row: int, more_a: float) -> Decided:
    """The same cycle with `more_a` more room in one row."""

    def wider(*args: Any) -> Limits:
        found = limits(*args)
        found.room_a = found.room_a.copy()
        found.room_a[row] += more_a
        return found

    with monkeypatch.context() as patch:
        patch.setattr(core, "limits", wider)
        return decide(world.net, world.state, world.snapshot(), Inputs(tuple(world.limits.values())), world.now_ms + 1)


@QUICK
@given(st.data())
def test_relaxing_the_named_row_moves_the_setpoint_and_no_other_row_does(
    monkeypatch: pytest.MonkeyPatch, data: Any
) -> None:
    ratings = st.integers(14, 50)
    collectors = [{"id": "grid", "rated_current_a": data.draw(ratings)}] + [
        {"id": f"c{n}", "parent": "grid", "rated_current_a": data.draw(ratings), "phases": ["L2", "L3", "L1"]}
        for n in range(2)
    ]
    homes = [data.draw(st.sampled_from(["grid", "c0", "c1"])) for _ in range(3)]
    world = World(site_of(collectors, [{"id": f"x{n}", "collector": home} for n, home in enumerate(homes)]))
    for name in world.outlets:
        world.plug(name, Vehicle(phases=data.draw(st.sampled_from([1, 3]))))
    world.run_to(data.draw(st.sampled_from([700, 1500])))
    rows = world.net.rows
    for name, reason in world.why.items():
        if reason.code is not ReasonCode.ROW:
            continue
        slot = world.net.slot[name]
        collector = world.site.collector(reason.collector or "")
        channel = int(collector.root_phases[["L1", "L2", "L3"].index(reason.phase or "")])
        named = next(r for r in range(rows.fuses) if (rows.collector[r], rows.channel[r]) == (collector.index, channel))
        steady = relaxed(world, monkeypatch, named, 0.0).cycle
        mine = [row for row, channel in rows.of_slot[slot] if steady.load[channel, slot] > 0.0]
        full = [row for row in mine if steady.left.left_a[row] < 1.0]
        if full != [named]:
            continue  # two rows bind together: neither alone moves it
        more_a = float(world.net.count)  # one step for everybody in the row
        wanted = steady.wanted_a[slot]
        assert relaxed(world, monkeypatch, named, more_a).cycle.wanted_a[slot] > wanted
        for other in range(rows.count):
            if other != named and other not in full:
                assert relaxed(world, monkeypatch, other, more_a).cycle.wanted_a[slot] <= wanted


def test_a_rotated_collector_names_its_own_conductor() -> None:
    world = World(
        site_of(
            [
                {"id": "grid", "rated_current_a": 63},
                {"id": "sub", "parent": "grid", "rated_current_a": [32, 32, 12], "phases": ["L3", "L1", "L2"]},
            ],
            [{"id": "x", "collector": "sub"}],
        )
    )
    world.plug("x")
    world.run_to(900)
    assert (world.told["x"], world.why["x"].collector, world.why["x"].phase) == (12.0, "sub", "L3")
    assert world.why["x"].value == 12.0


def test_decisions_add_up_in_the_collectors_own_frame() -> None:
    world = World(
        site_of(
            [
                {"id": "grid", "rated_current_a": 63, "fixed_reserve_a": 3},
                {"id": "sub", "parent": "grid", "rated_current_a": 32, "phases": ["L2", "L3", "L1"]},
            ],
            [{"id": "x", "collector": "sub", "phases": ["L1"]}, {"id": "y", "collector": "sub"}],
        )
    )
    world.load_a["grid"] = [1.0, 5.0, 2.0]
    world.plug("x", Vehicle(phases=1))
    world.run_to(700)
    assert world.last is not None
    grid, sub = decisions(world.last, epoch=7, published_at_ms=9)
    drawn = world.told["x"]
    assert (grid.epoch, grid.published_at_ms, grid.reserve_a) == (7, 9, 3.0)
    assert tuple(grid.limit_a) == (60.0, 60.0, 60.0)
    assert tuple(grid.background_a) == pytest.approx((1.0, 5.0, 2.0))
    assert tuple(grid.booked_a) == pytest.approx((0.0, drawn, 0.0))  # sub's L1 is the grid's L2
    assert tuple(sub.booked_a) == pytest.approx((drawn, 0.0, 0.0))
    for decision in (grid, sub):
        left = np.array(decision.limit_a) - np.array(decision.background_a) - np.array(decision.booked_a)
        assert tuple(decision.headroom_a) == pytest.approx(tuple(left))


def test_a_paused_connector_is_listed_with_rank_and_need_where_it_hangs() -> None:
    world = World(
        site_of(
            [{"id": "grid", "rated_current_a": 10}, {"id": "sub", "parent": "grid", "rated_current_a": 32}],
            [{"id": "x", "collector": "sub"}, {"id": "y", "collector": "grid"}],
        )
    )
    world.plug("x", Vehicle(energy_wh=9000.0))
    world.plug("y")
    world.run_to(900)
    assert world.last is not None
    grid, sub = decisions(world.last, 1, 1)
    assert [(p.connector, p.rank) for p in grid.paused] == [("x", 1)]
    assert [p.connector for p in sub.paused] == ["x"]
    assert grid.paused[0].need == pytest.approx(9000.0 * 32 * 3 * U, rel=0.2)
    assert grid.bound_by == "fuse on L1"
