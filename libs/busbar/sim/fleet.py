"""Which vehicle comes: real models (open-ev-data, `data/SOURCES.md`) with the manners that vehicles have.

Shares: 3 phases 60 %, 1 phase 32 %, 2 phases 8 % (Europe, not the list's). Manners are drawn per vehicle: how fast it
follows, how exactly, what it does at a pause and what wakes it.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from busbar.sim.sessions import DATA, Visit
from busbar.units import NOMINAL_VOLTAGE_V

PHASE_SHARES: Final[Mapping[int, float]] = {3: 0.60, 1: 0.32, 2: 0.08}


class Waking(Enum):
    """What a vehicle that fell asleep in a pause needs before it takes current again (algorithms.md, Waking)."""

    PROMPT = "any offer"
    AT_8_A = "an offer of 8 A or more"
    AFTER_TOGGLE = "a second offer after the first was withdrawn"
    NEVER = "only to be plugged in anew"


_WAKING: Final[Sequence[tuple[Waking, float]]] = (
    (Waking.PROMPT, 0.86),
    (Waking.AT_8_A, 0.05),
    (Waking.AFTER_TOGGLE, 0.06),
    (Waking.NEVER, 0.03),
)


@dataclass(frozen=True, slots=True)
class Model:
    """A car as its maker states it."""

    name: str
    phases: int
    max_current_a: float
    battery_wh: float


@dataclass(frozen=True, slots=True)
class Manners:
    """How one vehicle behaves; drawn once."""

    reaction_s: float
    """From a raised offer to the first change of current."""
    ramp_a_per_s: float
    drop_a_per_s: float
    take: float
    """Share of the offer that it takes; below 0.95: one that never takes what is offered."""
    over_a: float
    """Added to that; positive: it draws a little more than offered."""
    power_factor: float
    inductive: bool
    standby_w: float
    wake_s: float
    """From an offer to the closed switch."""
    opens_at_pause: bool
    """Opens its switch when paused (state B); else it stays closed (state C without offer)."""
    sleeps_after_s: float
    """Length of a pause after which it sleeps."""
    waking: Waking
    tapers: bool
    """Charges to the brim: current falls slowly at the end. Else it stops at once at its target."""
    imbalance: tuple[float, float, float]
    cable_a: float


@lru_cache(maxsize=1)
def models() -> Mapping[int, tuple[Model, ...]]:
    """All cars by number of phases, in the order of the file. Read once; immutable."""
    found: dict[int, list[Model]] = {1: [], 2: [], 3: []}
    with (DATA / "open_ev_vehicles.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            phases = int(row["phases"])
            current_a = round(float(row["ac_power_kw"]) * 1000.0 / phases / NOMINAL_VOLTAGE_V)
            battery_wh = float(row["battery_kwh"]) * 1000.0
            found[phases].append(Model(row["model"], phases, float(min(32, max(8, current_a))), battery_wh))
    return {phases: tuple(cars) for phases, cars in found.items()}


def draw_model(visit: Visit, limit_a: float, phases: int, rng: random.Random) -> Model:
    """A car for a visit, on a connector with `limit_a` and `phases`: one that can take the energy in the time."""
    count = visit.phases or rng.choices(list(PHASE_SHARES), list(PHASE_SHARES.values()))[0]
    hours = max(0.05, (visit.depart_s - visit.arrive_s) / 3600.0)
    power_w = _SPARE * visit.need_wh / hours
    for wanted in (count, 3):
        able = [car for car in models()[wanted] if _fits(car, visit, power_w, limit_a, phases)]
        if able:
            return rng.choice(able)
    return max(models()[3], key=lambda car: (car.max_current_a, car.battery_wh))


_SPARE: Final = 1.35
"""Power that a drawn car has over the mean that the record needs: ramps, taper and a shy car cost time."""


def _fits(car: Model, visit: Visit, power_w: float, limit_a: float, phases: int) -> bool:
    able_w = min(car.max_current_a, limit_a) * min(car.phases, phases) * NOMINAL_VOLTAGE_V
    return able_w >= power_w and car.battery_wh >= visit.need_wh * 1.05


def draw_manners(car: Model, rng: random.Random) -> Manners:
    """Draws the same number of random values whatever they are: one trait more changes no other."""
    spans = [rng.random() for _ in range(17)]

    def between(low: float, high: float) -> float:
        return low + (high - low) * spans.pop()

    shy, greedy = between(0.0, 1.0) < 0.12, between(0.0, 1.0) < 0.15
    ramp_a_per_s = 16.0 / between(1.0, 4.0)
    return Manners(
        reaction_s=between(0.4, 1.5),
        ramp_a_per_s=ramp_a_per_s,
        drop_a_per_s=max(10.0, 3.0 * ramp_a_per_s),
        take=between(0.80, 0.93) if shy else between(0.97, 1.0),
        over_a=between(0.05, 0.35) if greedy else -between(0.0, 0.3),
        power_factor=between(0.980, 0.999),
        inductive=between(0.0, 1.0) < 0.6,
        standby_w=between(2.0, 12.0),
        wake_s=between(1.0, 5.0),
        opens_at_pause=between(0.0, 1.0) < 0.5,
        sleeps_after_s=between(120.0, 900.0),
        waking=_waking(spans.pop()),
        tapers=spans.pop() < 0.6,
        imbalance=(1.0, 1.0 - 0.012 * spans.pop(), 1.0 - 0.012 * spans.pop()),
        cable_a=20.0 if spans.pop() < 0.4 and car.max_current_a <= 20.0 else 32.0,
    )


def _waking(chance: float) -> Waking:
    for waking, share in _WAKING:
        if chance < share:
            return waking
        chance -= share
    return Waking.PROMPT
