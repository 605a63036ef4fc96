"""Steps A and B of whole decisions against linear and integer programs over rows written down from the site's own
words (SPC-1 to SPC-3; algorithms.md, Steps A, B, C; What must never be false 1 to 3)."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest

from scenarios.truths import broken_rows, broken_steps, whole
from scenarios.world import World
from spc_allocator.certificate import Constraint, violations
from spc_allocator.core import Decided
from unit.allocator_sites import Size, booked_conductors, charging_world, how_many
from unit.allocator_truth import Row, best_set, fairest_by_priority, true_rows

MINIMUM_A = 6.0


class Told:
    """One decision on one random site, and what follows from the site's words for it."""

    def __init__(self, number: int, size: Size = Size()) -> None:  # noqa: B008 - frozen
        rng = Random(number)
        self.world = charging_world(rng, size)
        self.world.volts = [rng.uniform(218.0, 242.0) for _ in range(3)] if rng.random() < 0.5 else [230.0] * 3
        booked = booked_conductors(self.world)
        self.rows = true_rows(self.world, booked)
        world = self.world
        self.vehicles = [name for name, outlet in world.outlets.items() if outlet.vehicle]
        self.dc = {name for name in self.vehicles if world.outlets[name].entity.dc}
        self.volts = {
            name: sum(world.volts[p] * world.outlets[name].takes(p, world.volts) for p in booked[name])
            for name in self.vehicles
        }
        self.pause_a = {name: world.pause_a(name) for name in self.vehicles}
        self.low_a = {name: world.minimum_a(name) for name in self.vehicles}
        self.always = {name for name in self.vehicles if world.must_run(name)}
        self.high_a = {name: self._high_a(name) for name in self.vehicles}
        self.priority = {name: world.outlets[name].entity.priority for name in self.vehicles}
        self.rate = {name: world.outlets[name].entity.weight / self.volts[name] for name in self.vehicles}
        self.decided: Decided = world.allocate()
        self.on = {name for name in self.vehicles if self.decided.state.on[world.net.slot[name]]}

    def _high_a(self, name: str) -> float:
        """What is in force, and at most 5 A above what is drawn; a limit nobody raises before all is known."""
        outlet, least_a = self.world.outlets[name], self.world.minimum_a(name)
        if name not in self.dc:
            return max(least_a, min(outlet.limit_a, max(MINIMUM_A, math.floor(outlet.current_a + 5.0))))
        cap_a = outlet.current_a + 7000 / 690 if outlet.current_a * 690 > 1000 else 0.0
        return max(least_a, whole_a(self.world, name, min(outlet.limit_a, cap_a)))

    def beside(self, on: set[str]) -> list[Row]:
        """The rows beside what those that are off cannot let go of."""
        off = {name: pause_a for name, pause_a in self.pause_a.items() if name not in on}
        return [replace(row, room_a=row.room_a - row.used(off)) for row in self.rows]

    def order(self) -> list[str]:
        """By priority, then greatest need first: the highest energy x maximum power is paused first, then the latest
        connected."""
        outlets = self.world.outlets

        def key(name: str) -> tuple[int, float, float]:
            vehicle = outlets[name].vehicle
            assert vehicle
            power_w = outlets[name].entity.max_current_a * self.volts[name]
            return -self.priority[name], vehicle.energy_wh * power_w, outlets[name].plugged_at_s

        return sorted(self.vehicles, key=key)

    def best_set(self, order: list[str]) -> set[str]:
        more_a = {name: low_a - self.pause_a[name] for name, low_a in self.low_a.items()}
        return best_set(self.beside(set()), order, more_a, self.always)

    def filled_a(self) -> dict[str, float]:
        values = self.decided.cycle.filled.current_a
        return {name: float(values[self.world.net.slot[name]]) for name in self.on}

    def fairest(self) -> tuple[dict[str, float], int]:
        rate = {name: self.rate[name] for name in sorted(self.on)}
        if not rate:
            return {}, 0
        rows, priority = self.beside(self.on), {name: self.priority[name] for name in rate}
        return fairest_by_priority(rows, rate=rate, low_a=self.low_a, high_a=self.high_a, priority=priority)


def whole_a(world: World, name: str, value_a: float) -> float:
    """Rounded down to the device's step."""
    step_a = world.step_a(name)
    return math.floor(value_a / step_a + 1e-6) * step_a


SHARES = 2


@pytest.mark.parametrize("share", range(SHARES))
def test_spc_2_and_spc_3_whole_decisions_equal_linear_and_integer_programs(share: int) -> None:
    programs, binding, paused, ranked, tries = 0, 0, 0, 0, how_many(220)
    for number in range(share, tries, SHARES):
        told = Told(number)
        chosen = told.best_set(told.order())
        assert told.on == chosen, f"site {number}: on is another set"
        truth, more = told.fairest()
        assert told.filled_a() == pytest.approx(truth, abs=1e-6), f"site {number}"
        check_whole_steps(told, number)
        programs += more
        tight = {row.level for row in told.rows if _stops(row, told, truth)}
        binding += len(tight) >= 2
        paused += told.on != set(told.vehicles)
        ranked += len({told.priority[name] for name in told.on}) > 1
    count = len(range(share, tries, SHARES))
    print(f"{count} sites, {programs} linear programs: {binding} with two binding levels, {paused} with pauses,")
    print(f"{ranked} with several priorities")
    assert ranked >= 0.15 * count
    assert binding >= 0.3 * count
    assert paused >= 0.2 * count


def test_spc_2_the_certificate_holds_on_large_sites_of_five_levels() -> None:
    largest, tight = 0, 0
    for number in range(how_many(3, most=100)):
        told = Told(number, Size(collectors=200, connectors=1000, least=200))
        largest = max(largest, told.world.net.count)
        found = certified(told)
        assert found == [], f"site {number}"
        tight += len({row.level for row in told.rows if _stops(row, told, told.filled_a())})
        assert broken_steps(told.world) == []
    assert largest > 500
    assert tight >= 3


def certified(told: Told) -> list[str]:
    """What the certificate finds wrong, by rows from the site's words."""
    filled = told.filled_a()
    names = sorted(filled)
    slot = {name: index for index, name in enumerate(names)}
    constraints = [
        Constraint(row.name, row.room_a, {slot[name]: share for name, share in row.share.items() if name in slot})
        for row in told.beside(told.on)
    ]
    return violations(
        constraints, [filled[name] for name in names], rate=[told.rate[name] for name in names],
        low_a=[told.low_a[name] for name in names], high_a=[told.high_a[name] for name in names],
        priority=[told.priority[name] for name in names],
    )  # fmt: skip


def test_the_ground_truth_can_tell_a_wrong_allocation() -> None:
    told = next(told for told in map(Told, range(100)) if 3 < len(told.on) < len(told.vehicles) and _moved(told))
    assert certified(told) == []
    order = told.order()
    assert told.best_set(order) == told.on
    assert told.best_set(order[::-1]) != told.on
    name = _moved(told)[0]
    told.decided.cycle.filled.current_a[told.world.net.slot[name]] -= 0.01
    assert certified(told) != []
    assert told.filled_a() != pytest.approx(told.fairest()[0], abs=1e-6)


def _moved(told: Told) -> list[str]:
    """Held by a row, above the minimum."""
    return [name for name, value in told.filled_a().items() if told.low_a[name] + 0.1 < value < told.high_a[name] - 0.1]


def _stops(row: Row, told: Told, current_a: dict[str, float]) -> bool:
    """Tight, and somebody in it is below his own bound."""
    off = {name: pause_a for name, pause_a in told.pause_a.items() if name not in told.on}
    tight = row.used({**off, **current_a}) > row.room_a - 1e-6
    return tight and any(name in row.share and current_a[name] < told.high_a[name] - 1e-6 for name in current_a)


def check_whole_steps(told: Told, number: int) -> None:
    """Step C: whole, at least the fair value rounded down, and nobody could take one more."""
    setpoint = {name: told.world.told[name] for name in told.vehicles}
    fair = told.filled_a()
    for name, value in setpoint.items():
        if name not in told.on:
            assert value == told.pause_a[name], f"site {number}: {name} is off"
            continue
        assert whole(told.world, name, value)
        assert whole_a(told.world, name, fair[name]) - 1e-6 <= value <= told.high_a[name] + 1e-6
        step_a = told.world.step_a(name)
        if value + step_a <= told.high_a[name]:
            more = {**setpoint, name: value + step_a}
            assert any(name in r.share and r.used(more) > r.room_a + 1e-9 for r in told.rows), f"{number}: {name}"
    for row in told.rows:
        pausable = any(
            setpoint.get(name, 0.0) > told.pause_a.get(name, 0.0) for name in row.share if name not in told.always
        )
        least = row.used({**told.pause_a, **{name: told.low_a[name] for name in told.always}})
        most = row.room_a if pausable else max(row.room_a, least)
        assert row.used(setpoint) <= max(most, 0.0) + 1e-6, f"site {number}: {row.name}"
    assert broken_rows(told.world) == []
    assert broken_steps(told.world) == []
