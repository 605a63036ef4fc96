"""Step B against its independent certificate (SPC-2; algorithms.md, What must never be false 3, 5, 6)."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.world import site_of
from spc_allocator.certificate import Constraint, violations
from spc_allocator.filling import Filled, fill
from spc_allocator.rows import EPS, Floats, Network
from unit.allocator_sites import PACKAGES, Size, random_site


class Case:
    """A random tree with bounds and room in every row."""

    def __init__(self, rng: Random) -> None:
        collectors, connectors = random_site(rng, Size(least=1))
        self.net = Network(site_of(collectors, connectors, packages=PACKAGES))
        n = self.net.count

        def numbers(low: int, high: int) -> Floats:
            return np.array([rng.randint(low, high) for _ in range(n)], float)

        self.low = numbers(0, 8)
        self.high = self.low + numbers(0, 26)
        wired = self.net.devices.wired.astype(float)
        self.load = np.concatenate((wired, wired.sum(axis=0, keepdims=True)))
        self.rate = numbers(1, 3) / (230.0 * wired.sum(axis=0))
        rows = self.net.rows.count
        self.room = np.array([rng.randint(-5, 90) for _ in range(rows)], float)
        self.room[self.net.rows.fuses :] *= 3.0

    def fill(self, room: Floats | None = None) -> Filled:
        room = self.room if room is None else room
        return fill(self.net.rows, self.load, room, rate=self.rate, low_a=self.low, high_a=self.high)

    def violations(self, current_a: Floats) -> list[str]:
        rows = self.net.rows
        constraints = [
            Constraint(
                f"row {row}",
                float(self.room[row]),
                {
                    slot: float(self.load[rows.channel[row], slot])
                    for slot in range(self.net.count)
                    if int(rows.collector[row]) in self.net.path[slot]
                },
            )
            for row in range(rows.count)
        ]
        return violations(
            constraints, current_a.tolist(), rate=self.rate.tolist(), low_a=self.low.tolist(), high_a=self.high.tolist()
        )


def cases() -> st.SearchStrategy[Case]:
    return st.builds(Case, st.randoms(use_true_random=False))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_filling_has_its_certificate(case: Case) -> None:
    assert case.violations(case.fill().current_a) == []


@settings(max_examples=50, deadline=None)
@given(cases(), st.data())
def test_the_certificate_refuses_a_filling_that_takes_from_one_and_gives_to_another(case: Case, data: Any) -> None:
    fair = case.fill().current_a
    movable = [slot for slot in range(case.net.count) if fair[slot] > case.low[slot] + 0.5]
    if not movable:
        return
    slot = data.draw(st.sampled_from(movable))
    worse = fair.copy()
    worse[slot] -= 0.4
    assert case.violations(worse) != []


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_more_room_never_lowers_the_smallest_level(case: Case, data: Any) -> None:
    feasible = case.room - case.net.rows.sums(case.load * case.low)
    case.room = np.where(feasible < 0.0, case.room - feasible, case.room)  # the same set is on, all minima fit
    row = data.draw(st.integers(0, case.net.rows.count - 1))
    more = case.room.copy()
    more[row] += data.draw(st.integers(1, 20))
    before, after = case.fill().current_a, case.fill(more).current_a
    assert (after / case.rate).min() >= (before / case.rate).min() - 1e-6


def test_a_vehicle_on_one_phase_gets_three_times_the_current_for_the_same_watts() -> None:
    site = site_of(
        [{"id": "grid", "rated_current_a": 40}],
        [{"id": "three", "collector": "grid"}, {"id": "one", "collector": "grid", "phases": ["L1"]}],
    )
    net = Network(site)
    wired = net.devices.wired.astype(float)
    load = np.concatenate((wired, wired.sum(axis=0, keepdims=True)))
    room = np.array([40.0, 40.0, 40.0, np.inf])
    rate = 1.0 / (230.0 * wired.sum(axis=0))
    filled = fill(net.rows, load, room, rate=rate, low_a=np.full(2, 6.0), high_a=np.full(2, 32.0))
    assert filled.current_a.tolist() == pytest.approx([10.0, 30.0])  # 6.9 kW each


def test_what_one_cannot_take_the_others_get() -> None:
    site = site_of([{"id": "grid", "rated_current_a": 40}], [{"id": f"x{i}", "collector": "grid"} for i in range(3)])
    net = Network(site)
    load = np.concatenate((np.ones((3, 3)), np.full((1, 3), 3.0)))
    room = np.array([40.0, 40.0, 40.0, np.inf])
    filled = fill(
        net.rows, load, room, rate=np.full(3, 1 / 690), low_a=np.full(3, 6.0), high_a=np.array([8.0, 32.0, 32.0])
    )
    assert filled.current_a.tolist() == pytest.approx([8.0, 16.0, 16.0])


def test_rows_whose_minima_do_not_fit_leave_their_connectors_at_the_minimum() -> None:
    site = site_of([{"id": "grid", "rated_current_a": 40}], [{"id": f"x{i}", "collector": "grid"} for i in range(2)])
    net = Network(site)
    load = np.concatenate((np.ones((3, 2)), np.full((1, 2), 3.0)))
    room = np.array([10.0, 40.0, 40.0, np.inf])
    filled = fill(net.rows, load, room, rate=np.full(2, 1 / 690), low_a=np.full(2, 6.0), high_a=np.full(2, 32.0))
    assert filled.current_a.tolist() == [6.0, 6.0]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 8))
def test_whatever_the_weights_it_ends_and_no_row_is_exceeded(number: int, decades: int) -> None:
    """Weights of a site are 0.01 to 100; far larger ranges neither hang nor overload."""
    rng = Random(number)
    case = Case(rng)
    case.low = np.zeros_like(case.low)
    case.room = np.abs(case.room)
    case.rate = case.rate * np.array([10.0 ** -rng.uniform(0, decades) for _ in case.rate])
    used = case.net.rows.sums(case.load * case.fill().current_a)
    assert (used <= case.room + EPS).all()
