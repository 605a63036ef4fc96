"""Wires, meters and fuses of the twin (SPC-1, SC-2): what is physically true, whatever anybody reports."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.domain.fuse import clearing_time_s
from busbar.sim.world import World
from unit.sim_site import ALL, Bench, CalmWorld, charger, collector, meter, metered, site_of

ROTATIONS = [list(p) for p in permutations(ALL)]
rotations = st.sampled_from(ROTATIONS)


def loaded(currents: list[float]) -> list[int]:
    return [k for k, current in enumerate(currents) if current > 1.0]


@pytest.mark.parametrize(
    # feeder's rotation,      connector's,          conductors of the grid connection of a 1-phase and a 2-phase car
    ("feeder",                "outlet",             "one", "two"),
    [
        (["L1", "L2", "L3"], ["L1", "L2", "L3"],    [0],   [0, 1]),
        (["L1", "L2", "L3"], ["L2", "L3", "L1"],    [1],   [1, 2]),
        (["L2", "L3", "L1"], ["L1", "L2", "L3"],    [1],   [1, 2]),
        (["L2", "L3", "L1"], ["L2", "L3", "L1"],    [2],   [0, 2]),
        (["L2", "L3", "L1"], ["L3", "L1", "L2"],    [0],   [0, 1]),
        (["L3", "L2", "L1"], ["L2", "L1", "L3"],    [1],   [1, 2]),
        (["L1", "L3", "L2"], ["L2"],                [2],   [2]),      # a single-phase outlet
        (["L3"],             ["L1"],                [2],   [2]),      # on a single-phase tap
    ],
)  # fmt: skip
def test_a_car_loads_the_conductors_that_the_rotations_lead_to(
    feeder: list[str], outlet: list[str], one: list[int], two: list[int]
) -> None:
    site = site_of([collector("root"), collector("feeder", "root", phases=feeder)], [charger("a", "feeder", outlet)])
    for phases, expected in ((1, one), (2, two)):
        bench = Bench(site)
        bench.plug("a", phases).offered_a = 10.0
        bench.run(20)
        assert loaded(bench.currents("root")) == expected
        assert bench.plant.evses["a"].current_a[0] > 7.0  # its own L1, wherever that hangs


@settings(max_examples=25, deadline=None)
@given(rotations, rotations, rotations, st.integers(1, 3))
def test_relabelling_the_grid_connection_relabels_its_currents_and_nothing_else(
    relabel: list[str], feeder: list[str], outlet: list[str], phases: int
) -> None:
    def run(turn: list[str]) -> Bench:
        rotated = [turn[ALL.index(name)] for name in feeder]
        site = site_of(
            [collector("root"), collector("feeder", "root", phases=rotated)], [charger("a", "feeder", outlet)]
        )
        bench = Bench(site)
        bench.plug("a", phases).offered_a = 13.0
        bench.run(15)
        return bench

    plain, turned = run(ALL), run(relabel)
    assert turned.plant.evses["a"].current_a == pytest.approx(plain.plant.evses["a"].current_a)
    expected = [0.0, 0.0, 0.0]
    for k, name in enumerate(relabel):
        expected[ALL.index(name)] = plain.currents("root")[k]
    assert turned.currents("root") == pytest.approx(expected)


def _busy_site() -> Bench:
    site = site_of(
        [
            metered("root", "m-root", rated=100, unmetered_load_a=4),
            collector("roof", "root", rated=63),
            metered("park", "m-park", "root", rated=80, phases=["L2", "L3", "L1"], unmetered_load_a=2),
            collector("row", "park", rated=50, phases=["L3", "L1", "L2"], virtual={"unmetered_load_a": 1}),
        ],
        [
            meter("m-root"),
            meter("m-park"),
            {"kind": "load", "id": "house", "collector": "root", "device": "dev", "max_current_a": 35},
            {"kind": "pv", "id": "pv", "collector": "roof", "device": "dev", "rated_power_w": 30000},
            charger("a", "row"),
            charger("b", "row", ["L2", "L3", "L1"]),
            charger("c", "park", ["L3", "L1", "L2"]),
        ],
    )
    bench = Bench(site, world=World(site, CalmWorld(site).almanac.day, 3, CalmWorld(site).almanac.local(0.0).time()))
    for name, phases in (("a", 3), ("b", 1), ("c", 2)):
        bench.plug(name, phases)
    return bench


def test_what_goes_in_at_the_grid_connection_comes_out_below() -> None:
    bench = _busy_site()
    plant, physics = bench.plant, bench.physics
    before = {m.id: m.energy_import_wh - m.energy_export_wh for m in plant.meters.values()}
    evse_wh = sum(e.energy_wh for e in plant.evses.values())
    pv_wh = plant.pvs["pv"].energy_export_wh
    loose_w_s = 0.0
    for n in range(600):
        plant.evses["a"].offered_a = 6.0 + n % 20
        plant.evses["b"].offered_a = 0.0 if n % 90 < 30 else 16.0
        plant.evses["c"].offered_a = 12.0
        unmetered_w = sum(sum(load.power_w) for load in physics._loads[1:])
        bench.run(1.0)
        loose_w_s += unmetered_w  # constant over the second that follows its update
        parts = [e.power_w for e in plant.evses.values()] + [pv.power_w for pv in plant.pvs.values()]
        parts += [load.power_w for load in physics._loads]
        assert sum(bench.powers("root")) == pytest.approx(sum(map(sum, parts)), abs=1e-6)
    gained = {m.id: m.energy_import_wh - m.energy_export_wh - before[m.id] for m in plant.meters.values()}
    below_wh = sum(e.energy_wh for e in plant.evses.values()) - evse_wh + gained["house"] + loose_w_s / 3600.0
    below_wh -= plant.pvs["pv"].energy_export_wh - pv_wh
    assert abs(gained["m-root"]) > 100.0
    assert gained["m-root"] == pytest.approx(below_wh, abs=1.0)


def test_currents_are_those_of_the_summed_power_not_sums_of_currents() -> None:
    bench = _busy_site()
    for port in bench.plant.evses.values():
        port.offered_a = 16.0
    bench.run(30)
    wires = bench.physics.wires
    for at, current in enumerate(wires.current_a):
        assert current == pytest.approx(math.hypot(wires.power_w[at], wires.reactive_var[at]) / wires.voltage_v[at])
    # sun and cars meet in the root: its current is smaller than the sum of its parts
    root, parts = sum(bench.currents("root")), sum(sum(bench.currents(name)) for name in ("roof", "park"))
    assert root < parts * 0.8


def test_voltage_falls_along_the_wires_and_stays_near_230_v() -> None:
    bench = _busy_site()
    bench.world.source_v[:] = [230.0] * 3
    for port in bench.plant.evses.values():
        port.offered_a = 32.0
    bench.run(30)
    row, park = (bench.site.tree.index[name] for name in ("row", "park"))
    voltage, power = bench.physics.wires.voltage_v, bench.physics.wires.power_w
    falling = [voltage[3 * row + k] < voltage[3 * park + k] for k in range(3) if power[3 * row + k] > 500.0]
    assert falling
    assert all(falling)
    assert all(220.0 < value < 240.0 for value in voltage)


def test_a_meter_sees_its_collector_through_its_stated_wiring() -> None:
    site = site_of(
        [metered("root", "right"), metered("park", "wrong", "root", phases=["L2", "L3", "L1"])],
        [meter("right"), meter("wrong", ["L3", "L1", "L2"], turned=True), charger("a", "park")],
    )
    bench = Bench(site)
    start_wh = bench.plant.meters["wrong"].energy_export_wh
    bench.plug("a", 1).offered_a = 16.0
    bench.run(60)
    right, wrong = bench.plant.meters["right"], bench.plant.meters["wrong"]
    # the car: park's L1 = root's L2; the wrong meter's input 2 sits on park's L1, and counts backwards
    assert loaded(right.current_a) == [1]
    assert right.power_w[1] > 1000.0
    assert loaded(wrong.current_a) == [1]
    assert wrong.power_w[1] == pytest.approx(-right.power_w[1])
    assert min(wrong.current_a) >= 0.0
    assert wrong.energy_export_wh > start_wh + 10.0


def test_a_gg_fuse_opens_one_phase_when_its_curve_is_crossed() -> None:
    site = site_of([collector("root", rated=200), collector("row", "root", rated=10)], [charger("a", "row")])
    bench = Bench(site)
    bench.plug("a", 1, session="greedy").offered_a = 32.0
    bench.run(8)
    current_a = bench.currents("row")[0]
    ratio = current_a / 10.0
    assert ratio > 1.2
    curve_s = clearing_time_s("gG", ratio)
    bench.run(curve_s * 0.5)
    assert not any(bench.physics.wires.opened)
    bench.run(curve_s * 1.5)
    assert bench.physics.wires.opened[3:] == [True, False, False]
    port = bench.plant.evses["a"]
    assert port.voltage_v[0] == 0.0
    assert (sum(port.power_w), port.wants_current, max(bench.currents("row"))) == (0.0, False, 0.0)
    assert not bench.physics.judge.ok


def test_a_breaker_opens_all_poles_and_everything_below_is_dead_until_it_is_reset() -> None:
    site = site_of(
        [collector("root", rated=200), collector("row", "root", rated=8, fuse="mcb_b"), collector("sub", "row")],
        [charger("a", "sub"), charger("b", "row")],
    )
    bench = Bench(site)
    bench.plug("a", 1).offered_a = 32.0
    bench.plug("b", 3).offered_a = 32.0
    bench.run(600)
    assert bench.physics.wires.opened == [False] * 3 + [True] * 3 + [False] * 3
    for name in ("a", "b"):
        assert bench.plant.evses[name].voltage_v == [0.0, 0.0, 0.0]
        assert bench.plant.evses[name].power_w == [0.0, 0.0, 0.0]
    assert max(bench.currents("root")) < 0.1
    for name in ("a", "b"):
        bench.plant.evses[name].offered_a = 6.0 if name == "a" else 0.0
    bench.physics.reset_fuse("row")
    bench.run(20)
    assert 4.0 < bench.plant.evses["a"].current_a[0] < 7.0
    assert not any(bench.physics.wires.opened)


def test_the_judge_counts_runs_and_peaks_of_physical_currents() -> None:
    site = site_of([collector("root", rated=200), collector("row", "root", rated=14)], [charger("a", "row")])
    bench = Bench(site)
    port = bench.plug("a", 3)
    for above_s in (4.0, 7.0):
        port.offered_a = 16.0
        while max(bench.currents("row")) <= 14.0:
            bench.run(0.2)
        bench.run(above_s)
        port.offered_a = 10.0
        bench.run(20)
    row = next(f for f in bench.physics.judge.findings() if (f.collector, f.what) == ("row", "L1"))
    assert 7.0 <= row.longest_s < 8.5
    assert 11.0 <= row.above_s < 14.0
    assert 1.0 < row.ratio < 1.3
    assert row.ok
    port.offered_a = 16.0
    bench.run(30)
    assert not bench.physics.judge.ok  # above for more than 10 s at a time


def test_unmetered_and_building_loads_stay_inside_what_the_site_file_states() -> None:
    bench = _busy_site()
    bench.dt_s = 1.0
    house, *loose = bench.physics._loads
    worst = {0: 4.0, 1: 2.0, 2: 1.0}
    seen = 0.0
    for _ in range(4000):
        bench.run(1.0)
        for index, load in enumerate(loose):
            currents = [
                math.hypot(p, q) / u for p, q, u in zip(load.power_w, load.reactive_var, load.voltage_v, strict=True)
            ]
            assert max(currents) <= worst[index]
        assert max(bench.plant.meters["house"].current_a) <= 35.0
        seen = max(seen, *bench.plant.meters["house"].current_a)
    assert house.power_w[0] > 500.0
    assert seen > 10.0
