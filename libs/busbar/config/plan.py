"""The fallback plan (failure.md, The fallback plan; FB-3): what each asset does when nobody tells it anything.

Rule: every connector gets its fallback value, 0 A or its minimum (6 A, DC its smallest power), in site order, each
minimum granted where it still fits. It fits when on every protected fuse of its path, on every phase, all of this
together is within the rating:

- the worst case of what is not controlled below: `max_current_a` of loads and `unmetered_load_a` of collectors;
- generation and discharge counted 0 A;
- a battery that stops by itself at 0 A, another one charging with all its power; heat at its rating;
- every connector below at its value, free ones included; one that is *booked at maximum when lost* at its maximum, one
  that cannot do 0 A or cannot fall back to it at its pause value or minimum, one whose fallback is fixed or set by hand
  at that value.

Reserves are not kept free: in the worst case of everything at once nothing is left to come. A limit in W or VA of a
collector is kept in the same way, at 230 V. Infeasible with every free choice at 0 A: refused, naming the fuse.

In W (`power_w`): batteries stop; generators are free as long as, with nothing drawing, all of them together keep every
`export_limit_w`, power limit and the export side of every fuse above them; else each is held at the same share of its
rating that does (its *standing limit*).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from busbar.config.assets import AcChargePoint
from busbar.config.packages import PackageFacts
from busbar.config.protection import protection
from busbar.config.site import Entity, Site
from busbar.config.standing import silent_current_a, standing_power_w
from busbar.domain.kinds import AssetKind
from busbar.domain.topology import to_own_frame
from busbar.units import DC_START_W, MIN_CURRENT_A, NOMINAL_VOLTAGE_V, THREE_PHASE_V, Phase, PhaseVector

_DUST_A = 1e-9


@dataclass(frozen=True, slots=True)
class FuseLoad:
    """One protected collector in fallback, in its own frame: rating, what is not controlled, and all together."""

    collector: str
    rated_a: PhaseVector
    uncontrolled_a: PhaseVector
    total_a: PhaseVector
    power_limit_a: float | None
    """Sum over the phases that its power limit allows at 230 V; None without a power limit."""

    @property
    def worst_phase(self) -> Phase:
        """The phase with the least room."""
        return min(Phase, key=lambda phase: self.rated_a[phase] - self.total_a[phase])

    @property
    def fits(self) -> bool:
        return self.excess is None

    @property
    def excess(self) -> str | None:
        """In words what is above its limit; None when all holds."""
        for phase in Phase:
            if self.total_a[phase] > self.rated_a[phase] + _DUST_A:
                return f"{_two(self.total_a[phase])} A on {phase.name} against a rating of {self.rated_a[phase]:g} A"
        if self.power_limit_a is not None and self.total_a.total > self.power_limit_a + _DUST_A:
            total_w, limit_w = (value * NOMINAL_VOLTAGE_V for value in (self.total_a.total, self.power_limit_a))
            return f"{total_w:g} W against a power limit of {limit_w:g} W"
        return None


@dataclass(frozen=True)
class FallbackPlan:
    """What holds when nothing commands. `value_a` is written to the devices; `booked_a` is what the fuses must bear."""

    value_a: Mapping[str, float]
    booked_a: Mapping[str, float]
    fuses: tuple[FuseLoad, ...]
    hold_s: Mapping[str, float]
    """How long its driver may hold a setpoint that is no longer repeated (see `protection`)."""
    power_w: Mapping[str, float]
    """Of batteries and generators: consumption positive, so -rated is free."""

    @property
    def feasible(self) -> bool:
        return all(fuse.fits for fuse in self.fuses)

    def table(self) -> str:
        """The plan as text: connectors, then fuses with their worst phase."""
        rows = [("connector", "fallback", "booked", "hold")]
        rows += [
            (c, f"{_two(value)} A", f"{_two(self.booked_a[c])} A", f"{self.hold_s[c]:.3g} s")
            for c, value in self.value_a.items()
        ]
        rows += [(asset, f"{value:g} W", "", f"{self.hold_s[asset]:.3g} s") for asset, value in self.power_w.items()]
        fuses = [("fuse", "worst phase", "rating", "not controlled")]
        for fuse in self.fuses:
            phase = fuse.worst_phase
            worst, rated, uncontrolled = fuse.total_a[phase], fuse.rated_a[phase], fuse.uncontrolled_a[phase]
            fuses.append((fuse.collector, f"{_two(worst)} A {phase.name}", f"{rated:g} A", f"{uncontrolled:g} A"))
        return "\n".join([*_columns(rows), "", *_columns(fuses)])


def fallback_plan(site: Site, packages: Mapping[str, PackageFacts] | None = None) -> FallbackPlan:
    """Compute the plan; it may be infeasible (`plan.feasible`), which `load_site` refuses.

    `packages` are the facts of the site's device packages by the name that the site file uses; left out, the ones that
    the site was compiled with.
    """
    facts = site.packages if packages is None else packages
    grid = _Grid.of(site, facts)
    given = {connector.id: _given_a(connector, site, facts) for connector in site.connectors}
    value = {name: pair[0] if pair else 0.0 for name, pair in given.items()}
    booked = {name: pair[1] if pair else 0.0 for name, pair in given.items()}
    for connector in site.connectors:
        grid.add(connector, booked[connector.id])
    for connector in site.connectors:
        least_a = smallest_current_a(connector, _facts(connector, site, facts))
        if given[connector.id] is None and grid.has_room(connector, least_a):
            grid.add(connector, least_a)
            value[connector.id] = booked[connector.id] = least_a
    return FallbackPlan(value, booked, grid.loads(), protection(site, facts).hold_s, standing_power_w(site))


def smallest_current_a(connector: Entity, package: PackageFacts | None) -> float:
    """Least current at which it charges, a whole step: that of device and site file, whichever is larger."""
    if package is None:
        return max(connector.min_current_a, DC_START_W / THREE_PHASE_V if connector.dc else MIN_CURRENT_A)
    return max(package.minimum_a, math.ceil(connector.min_current_a / package.step_a - _DUST_A) * package.step_a)


def dc_start_a(connector: Entity, package: PackageFacts | None) -> float:
    """What a DC connector may draw until its vehicle charges; a free one counts it in a reserve (SPC-5, SPC-11)."""
    return max(DC_START_W / THREE_PHASE_V, smallest_current_a(connector, package))


def dc_reserve_a(site: Site) -> float:
    """What any free DC connector of the site counts in a reserve; 0 where there is none."""
    return max((dc_start_a(c, _facts(c, site, site.packages)) for c in site.connectors if c.dc), default=0.0)


def _given_a(connector: Entity, site: Site, facts: Mapping[str, PackageFacts]) -> tuple[float, float] | None:
    """(fallback value, booked) where that is not the plan's choice; None where it is: 0 A or the minimum."""
    package, point = _facts(connector, site, facts), connector.charge_point
    fallback = package.fallback_a if package else "settable"
    smallest_a = smallest_current_a(connector, package)
    if (point is not None and point.book_at_max_when_lost) or fallback == "unknown":
        return smallest_a, connector.max_current_a
    if fallback == "by_hand":
        stated = point.fallback_a if isinstance(point, AcChargePoint) else None
        fallback = smallest_a if stated is None else stated
    if fallback != "settable":
        return fallback, fallback
    if package is None:
        return None
    least = max(package.fallback_low_a, package.pause_a)
    return (least, least) if least > 0 else None


def _facts(connector: Entity, site: Site, facts: Mapping[str, PackageFacts]) -> PackageFacts | None:
    return facts.get(site.devices[connector.device].package) if connector.device else None


class _Grid:
    """Running sums per collector and root phase while connectors are granted their minimum."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._total = [[0.0, 0.0, 0.0] for _ in site.collectors]
        self._uncontrolled: list[tuple[float, ...]] = []
        self._rated = [c.root_rated_a for c in site.collectors]
        self._limit = [_power_limit_a(c.file.power_limit_w, c.file.power_limit_va) for c in site.collectors]

    @classmethod
    def of(cls, site: Site, facts: Mapping[str, PackageFacts]) -> _Grid:
        grid = cls(site)
        for collector in site.collectors:
            virtual = collector.file.virtual
            unmetered = max(collector.file.unmetered_load_a, virtual.unmetered_load_a if virtual else 0.0)
            grid._book(collector.path, collector.root_phases, unmetered)
        for entity in site.entities.values():
            if entity.kind is not AssetKind.METER and entity.charge_point is None:
                grid.add(entity, silent_current_a(entity, site, facts))
        grid._uncontrolled = [tuple(total) for total in grid._total]
        return grid

    def add(self, entity: Entity, current_a: float) -> None:
        self._book(self._path(entity), entity.root_phases, current_a)

    def has_room(self, entity: Entity, current_a: float) -> bool:
        """Whether `current_a` more on the entity's phases keeps every protected fuse of its path, and its power."""
        for index in self._path(entity):
            if self._site.collectors[index].file.monitored_only:
                continue
            total, limit = self._total[index], self._limit[index]
            if any(total[p] + current_a > self._rated[index][p] + _DUST_A for p in entity.root_phases):
                return False
            if limit is not None and sum(total) + current_a * len(entity.root_phases) > limit + _DUST_A:
                return False
        return True

    def loads(self) -> tuple[FuseLoad, ...]:
        return tuple(
            FuseLoad(
                c.id, c.rated_a, to_own_frame(PhaseVector(*self._uncontrolled[c.index]), c.root_phases),
                to_own_frame(PhaseVector(*self._total[c.index]), c.root_phases), self._limit[c.index],
            )
            for c in self._site.collectors
            if not c.file.monitored_only
        )  # fmt: skip

    def _path(self, entity: Entity) -> tuple[int, ...]:
        return self._site.tree.path(entity.collector) if entity.collector else ()

    def _book(self, path: tuple[int, ...], root_phases: tuple[Phase, ...], current_a: float) -> None:
        for index in path:
            for phase in root_phases:
                self._total[index][phase] += current_a


def _power_limit_a(*limits: float | None) -> float | None:
    given = [limit for limit in limits if limit is not None]
    return min(given) / NOMINAL_VOLTAGE_V if given else None


def _columns(rows: list[tuple[str, str, str, str]]) -> list[str]:
    width = max(len(row[0]) for row in rows)
    return [f"{name:<{width}}" + "".join(f"  {cell:>14}" for cell in cells) for name, *cells in rows]


def _two(value: float) -> str:
    """At most two decimals."""
    return f"{round(value, 2):g}"
