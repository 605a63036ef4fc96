"""collector-aggregator: what it says of a site is what physically flows there (SPC-1, SPC-15, SPC-16)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.domain.kinds import AssetKind
from busbar.domain.topology import to_own_frame
from busbar.units import PhaseVector
from unit.aggregator_world import World, metered_sites, site_of, worlds

EPS = 1e-6


def near(values: Any) -> Any:
    return pytest.approx(tuple(values), abs=EPS)


@settings(max_examples=120, deadline=None)
@given(worlds())
def test_simultaneous_samples_give_the_true_powers_and_background_of_every_collector(world: World) -> None:
    world.say_all(10.0)
    for sample in world.collectors(10.0).values():
        flows, others = world.below(sample.collector), world.others(sample.collector)
        assert sample.valid
        assert sample.power_w == near(flows[:3])
        assert sample.reactive_power_var == near(flows[3:])
        assert sample.background_w == near(others[:3])
        assert sample.background_var == near(others[3:])


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_generation_is_what_generators_give_or_what_the_background_gives_back(world: World) -> None:
    world.say_all(10.0)
    for sample in world.collectors(10.0).values():
        given = world.below(sample.collector, AssetKind.PV)
        assert sample.generation_w == near(given[:3])


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_every_connector_stands_in_the_frame_of_the_grid_connection(world: World) -> None:
    world.say_all(10.0)
    for sample in world.connectors(10.0).values():
        assert sample.power_w == near(world.draws[sample.connector][:3])
        assert sample.reactive_power_var == near(world.draws[sample.connector][3:])
        assert sample.age_ms == 0
        assert sample.reachable


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_states_stand_in_the_collectors_own_frame_and_their_sums_add_up_to_their_power(world: World) -> None:
    world.say_all(10.0)
    world.snapshot(10.0)
    for state in world.aggregator.states(10_000):
        collector = world.site.collector(state.collector)

        def own(powers: list[float], frame: Any = collector.root_phases) -> PhaseVector:
            return to_own_frame(PhaseVector(*powers[:3]), frame)

        assert state.power_w == near(own(world.below(collector.id)))
        assert state.sums.ac_w == near(own(world.below(collector.id, AssetKind.AC_CONNECTOR)))
        assert state.sums.pv_w == near(own(world.below(collector.id, AssetKind.PV)))
        assert state.sums.ucl_w == near(own(world.below(collector.id, AssetKind.LOAD)))
        assert state.virtual == (collector.file.meter is None)


@settings(max_examples=60, deadline=None)
@given(metered_sites(), st.randoms(use_true_random=False), st.integers(0, 2**32))
def test_the_order_of_the_file_and_of_the_messages_changes_nothing(data: Any, shuffler: Any, seed: int) -> None:
    def world(shuffled: bool) -> World:
        if shuffled:
            shuffler.shuffle(data["assets"])
            shuffler.shuffle(data["devices"])
        site = site_of(data)
        draws = {}
        for name in sorted(e.id for e in site.entities.values()):
            chance = random.Random(f"{seed}{name}")
            draws[name] = [chance.uniform(-3000, 3000) if p in site.entities[name].root_phases else 0.0
                           for p in (0, 1, 2)] + [0.0] * 3  # fmt: skip
        return World(site, draws)

    one, other = world(False), world(True)
    for at in (1.0, 2.0, 3.0):
        one.say_all(at)
        names = [e.id for e in other.site.entities.values() if e.device]
        shuffler.shuffle(names)
        for name in names:
            other.say(name, at)
    first, second = one.snapshot(3.5), other.snapshot(3.5)
    assert [c.collector for c in first.collectors] == [c.id for c in one.site.collectors]
    assert [c.connector for c in second.connectors] == [e.id for e in other.site.connectors]
    for a, b in zip(first.collectors, second.collectors, strict=True):
        assert (a.collector, a.valid, a.age_ms) == (b.collector, b.valid, b.age_ms)
        assert a.background_w == near(b.background_w)
        assert a.power_w == near(b.power_w)
    theirs = {c.connector: c for c in second.connectors}
    assert all(theirs[c.connector] == c for c in first.connectors)
    assert {c.connector for c in first.connectors} == set(theirs)


@settings(max_examples=20, deadline=None)
@given(worlds(), st.floats(0, 100))
def test_what_is_published_is_complete_and_reads_back_as_it_was(world: World, age_s: float) -> None:
    world.say_all(1.0)
    for event in (world.snapshot(1.0 + age_s), *world.aggregator.states(1000)):
        read = type(event).model_validate_json(event.model_dump_json())
        assert read == event
        assert set(event.__dict__) == set(type(event).model_fields)


@settings(max_examples=20, deadline=None)
@given(worlds())
def test_the_same_messages_give_the_same_bytes(world: World) -> None:
    twin = World(world.site, world.draws)
    for one in (world, twin):
        one.say_all(1.0)
        one.say_all(2.0)
    assert world.snapshot(2.5).model_dump_json() == twin.snapshot(2.5).model_dump_json()
    assert world.aggregator.states(2500) == twin.aggregator.states(2500)
