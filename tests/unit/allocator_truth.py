"""Ground truth for the allocator, sharing nothing with it: rows written down from the site's own words and the real
currents, max-min fairness as a sequence of linear programs, admission as an integer program (HiGHS, tests only)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import highspy

from scenarios.truths import reserve_a
from scenarios.world import U, World

CREDIT = 1.25
"""So much of a rating may be carried if all generation were lost (algorithms.md, Uncontrollable load)."""
_INF = highspy.kHighsInf


@dataclass(frozen=True)
class Row:
    """Amperes there are, and who takes part (connector id -> share of its current)."""

    name: str
    level: int
    room_a: float
    share: dict[str, float]

    def used(self, current_a: dict[str, float]) -> float:
        return sum(share * current_a.get(name, 0.0) for name, share in self.share.items())


def true_rows(world: World, booked: dict[str, list[int]]) -> list[Row]:
    """Every fuse on every conductor and every power limit. `booked`: conductors that each connector may use."""
    points = [asset for asset in world.site.file.assets if asset.kind in ("ac_charge_point", "dc_charge_point")]
    homes = {connector.id: connector.collector for point in points for connector in point.connectors}
    file = {c.id: c for c in world.site.file.collectors}
    conductors = {name: _conductors(name, file) for name in file}

    def takes(connector: str, conductor: int) -> float:
        return world.outlets[connector].takes(conductor, world.volts)

    rows: list[Row] = []
    for name, words in file.items():
        inside = [other for other in file if name in _path(other, file)]
        load, generation, reactive = (_sum(table, inside, conductors) for table in _tables(world))
        load = [max(a, b) for a, b in zip(load, _unmetered(name, file, conductors), strict=True)]
        below = {x: booked[x] for x, home in homes.items() if home in inside}
        level = len(_path(name, file)) - 1
        if not words.monitored_only:
            rated = words.rated_current_a
            for own, conductor in enumerate(conductors[name]):
                fuse = rated[own] if isinstance(rated, list) else rated
                limit = max(fuse - reserve_a(world, name), 0.0)
                q = reactive[conductor]
                active = math.sqrt(max(limit**2 - q**2, 0.0))
                credit = math.sqrt(max((CREDIT * fuse) ** 2 - q**2, 0.0)) - load[conductor]
                room = min(active - load[conductor] - generation[conductor], credit)
                share = {x: takes(x, conductor) for x, phases in below.items() if conductor in phases}
                rows.append(Row(f"{name} conductor {conductor}", level, room, share))
        volts = world.volts
        net_w = sum(v * (a + b) for v, a, b in zip(volts, load, generation, strict=True))
        var = abs(sum(v * q for v, q in zip(volts, reactive, strict=True)))
        for limit_w in _power_limits(world, name, var):
            share = {x: sum(volts[p] * takes(x, p) for p in phases) / U for x, phases in below.items()}
            rows.append(Row(f"{name} {limit_w:.0f} W", level, (limit_w - net_w) / U, share))
    return rows


def _path(name: str, file: dict[str, Any]) -> list[str]:
    parent = file[name].parent
    return [name, *(_path(parent, file) if parent else [])]


def _conductors(name: str, file: dict[str, Any]) -> list[int]:
    """The grid connection's conductors behind the collector's own."""
    own = [int(p[1]) - 1 for p in file[name].phases]
    parent = file[name].parent
    return [_conductors(parent, file)[p] for p in own] if parent else own


def _tables(world: World) -> list[dict[str, list[float]]]:
    return [world.load_a, world.generation_a, world.reactive_a]


def _sum(table: dict[str, list[float]], names: list[str], conductors: dict[str, list[int]]) -> list[float]:
    total = [0.0, 0.0, 0.0]
    for name in names:
        for own, conductor in enumerate(conductors[name]):
            total[conductor] += table[name][own]
    return total


def _unmetered(name: str, file: dict[str, Any], conductors: dict[str, list[int]]) -> list[float]:
    """A virtual collector carries at least the worst case of what has no meter in its region (SPC-15)."""
    if file[name].meter:
        return [-math.inf] * 3
    floor = [0.0, 0.0, 0.0]
    for other, words in file.items():
        path = _path(other, file)
        if name in path and not any(file[c].meter for c in path[: path.index(name) + 1]):
            for conductor in conductors[other]:
                floor[conductor] += words.virtual.unmetered_load_a
    return floor


def _power_limits(world: World, name: str, var: float) -> list[float]:
    file = world.site.collector(name).file
    limits = [v.import_limit_w for (_, collector), v in world.limits.items() if collector == name]
    found = [limit for limit in [file.power_limit_w, *limits] if limit is not None]
    if file.power_limit_va is not None:
        found.append(math.sqrt(max(file.power_limit_va**2 - var**2, 0.0)))
    return found


# -- max-min fairness by linear programs


def fairest(
    rows: Sequence[Row], *, rate: dict[str, float], low_a: dict[str, float], high_a: dict[str, float]
) -> tuple[dict[str, float], int]:
    """The max-min fair currents over `rate` (amperes per unit of level), and how many programs it took.

    Raise the lowest level as far as it goes, keep those that can go no further, and again with the rest. A row that
    cannot even carry the minima has room for exactly these."""
    names = list(rate)
    column = {name: index for index, name in enumerate(names)}
    scale = max(rate.values())
    slope = {name: rate[name] / scale for name in names}
    solver = _solver()
    for name in names:
        solver.addVar(low_a[name], high_a[name])
    level = len(names)
    solver.addVar(-_INF, _INF)
    for row in rows:
        mine = {name: share for name, share in row.share.items() if name in column}
        if mine:
            room = max(row.room_a, sum(share * low_a[name] for name, share in mine.items()))
            solver.addRow(-_INF, room, len(mine), [column[n] for n in mine], list(mine.values()))
    link = {}
    for name in names:
        link[name] = solver.getNumRow()
        solver.addRow(0.0, _INF, 2, [column[name], level], [1.0, -slope[name]])
    moving, programs = set(names), 0
    while moving:
        solver.changeColBounds(level, -_INF, _INF)
        reached = _most(solver, level)
        solver.changeColBounds(level, reached, reached)
        ended = {name for name in moving if _most(solver, column[name]) <= slope[name] * reached + 1e-7}
        programs += 1 + len(moving)
        if not ended:
            raise AssertionError(f"the lowest level {reached} is nobody's last")
        for name in ended:
            solver.changeColBounds(column[name], slope[name] * reached, slope[name] * reached)
            solver.changeRowBounds(link[name], -_INF, _INF)
        moving -= ended
    return dict(zip(names, solver.getSolution().col_value, strict=False)), programs


def fairest_by_priority(
    rows: Sequence[Row], *, rate: dict[str, float], low_a: dict[str, float], high_a: dict[str, float],
    priority: dict[str, int],
) -> tuple[dict[str, float], int]:  # fmt: skip
    """`fairest` of each class beside what the higher ones have, highest first, while the lower ones have their least
    (SPC-24)."""
    done, programs = dict[str, float](), 0
    for one in sorted(set(priority.values()), reverse=True):
        mine = {name: value for name, value in rate.items() if priority[name] == one}
        others = {name: done.get(name, low_a[name]) for name in rate if name not in mine}
        left = [replace(row, room_a=row.room_a - row.used(others)) for row in rows]
        found, more = fairest(left, rate=mine, low_a=low_a, high_a=high_a)
        done |= found
        programs += more
    return done, programs


def _solver() -> highspy.Highs:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("presolve", "off")
    solver.setOptionValue("primal_feasibility_tolerance", 1e-9)
    solver.setOptionValue("dual_feasibility_tolerance", 1e-9)
    solver.setOptionValue("mip_feasibility_tolerance", 1e-9)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.setOptionValue("threads", 1)
    solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    return solver


def _most(solver: highspy.Highs, column: int) -> float:
    solver.changeColCost(column, 1.0)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise AssertionError(f"HiGHS: {solver.getModelStatus()}")
    solver.changeColCost(column, 0.0)
    return float(solver.getSolution().col_value[column])


# -- admission by an integer program


def best_set(
    rows: Sequence[Row], order: Sequence[str], minimum_a: dict[str, float], always: Collection[str] = ()
) -> set[str]:
    """Who is on: of all sets whose minima fit, the lexicographically first (`order`: greatest need first). `always`:
    cannot be switched off, whether they fit or not.

    One binary each, worth more than all behind it together; exact up to 40 connectors."""
    solver = _solver()
    for index, _ in enumerate(order):
        solver.addVar(0.0, 1.0)
        solver.changeColIntegrality(index, highspy.HighsVarType.kInteger)
        solver.changeColCost(index, float(2 ** (len(order) - index)))
    for row in rows:
        room = row.room_a - sum(row.share.get(name, 0.0) * minimum_a[name] for name in always)
        mine = [i for i, name in enumerate(order) if row.share.get(name, 0.0) > 0.0 and name not in always]
        if not mine:
            continue
        if room < 0.0:
            for index in mine:
                solver.changeColBounds(index, 0.0, 0.0)
        needs = [row.share[order[index]] * minimum_a[order[index]] for index in mine]
        solver.addRow(-_INF, max(room, 0.0) + 1e-6, len(mine), mine, needs)
    solver.run()
    values = solver.getSolution().col_value
    return {name for index, name in enumerate(order) if values[index] > 0.5} | set(always)
