"""Connectors that can be switched between one and three phases, and what is remembered of them (SPC-20).

Facts of the site in `Switchable`; `PhaseState` is a part of AllocatorState, there only on sites that have such
connectors. By slot; times are the allocator's own milliseconds, 0 = never. `phases` decides on it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from busbar.config.packages import PhaseSwitch

if TYPE_CHECKING:
    from busbar.config.site import Entity, Site
    from spc_allocator.rows import Bools, Floats, Ints

FLOWS_A: Final = 1.0
"""Above it current flows to a vehicle."""


@dataclass(frozen=True, slots=True)
class Switchable:
    slots: tuple[int, ...]
    first: Bools
    """3 x n: on one phase, its own L1."""
    dwell_ms: Ints
    at_zero: Bools
    """Nothing may flow while it is switched."""
    settle_ms: Ints


def switchable(site: Site, entities: tuple[Entity, ...]) -> Switchable | None:
    """None where nothing can be switched. Needs the site file's word and the package's, and three conductors."""
    how: dict[int, PhaseSwitch] = {}
    for slot, entity in enumerate(entities):
        facts = site.packages.get(site.devices[entity.device].package) if entity.device else None
        if entity.phase_dwell_s is not None and len(entity.root_phases) == 3 and facts and facts.phase_switch:
            how[slot] = facts.phase_switch
    if not how:
        return None
    n = len(entities)
    first, at_zero = np.zeros((3, n), dtype=bool), np.zeros(n, dtype=bool)
    dwell_ms, settle_ms = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for slot, switch in how.items():
        first[entities[slot].root_phases[0], slot] = True
        at_zero[slot] = switch.at_zero
        dwell_ms[slot] = round(1000.0 * (entities[slot].phase_dwell_s or 0.0))
        settle_ms[slot] = round(1000.0 * switch.settle_s)
    return Switchable(tuple(how), first, dwell_ms, at_zero, settle_ms)


@dataclass(slots=True)
class PhaseState:
    count: Ints
    """Phases that the device has shown and settled on; 0: not known, or being switched: booked on all of them."""
    told: Ints
    """What the driver is told; 0: nothing yet."""
    to: Ints
    """What it is being switched to; 0: it is not."""
    at_ms: Ints
    """Begin of the last switch, also of one that the device made by itself, or when it was first heard of."""
    due_ms: Ints
    """Since when the other number of phases would be right."""
    took_ms: Ints
    """Since when it shows what it is being switched to."""
    failed: Bools
    """Its last switch was given up."""

    @classmethod
    def fresh(cls, count: int) -> PhaseState:
        """Nothing is known."""
        at, due, took, shown, told, to = (np.zeros(count, dtype=np.int64) for _ in range(6))
        return cls(shown, told, to, at, due, took, np.zeros(count, dtype=bool))

    def copy(self) -> PhaseState:
        """With arrays of its own."""
        return PhaseState(*(getattr(self, name).copy() for name in _ALL))

    def narrowed(self, wired: Bools, booked: Bools, first: Bools, current_a: Floats) -> Bools:
        """3 x n: conductors that are booked. One phase alone is, where the device has settled on it and nothing flows
        on the others; all while it is being switched or not known."""
        astray: Bools = (current_a > FLOWS_A) & wired & ~first
        strays = astray[0] | astray[1] | astray[2]
        single = (self.count == 1) & (self.to == 0) & ~strays
        known = (self.count == 3) & (self.to == 0)
        mine = first[0] | first[1] | first[2]
        return np.where(mine, np.where(single, first, np.where(known, booked, wired)), booked)

    def bytes(self) -> bytes:
        """For the digest."""
        return b"".join([getattr(self, name).tobytes() for name in _ALL])

    def dump(self, ids: tuple[str, ...]) -> dict[str, Any]:
        """JSON by connector."""
        known = [(slot, name) for slot, name in enumerate(ids) if self.told[slot]]
        return {name: {key: getattr(self, key)[slot].item() for key in _ALL} for slot, name in known}

    def load(self, body: dict[str, Any], ids: tuple[str, ...]) -> None:
        """Take over what `dump` wrote."""
        for slot, name in enumerate(ids):
            for key in _ALL if name in body else ():
                getattr(self, key)[slot] = body[name][key]


_ALL: Final = tuple(f.name for f in fields(PhaseState))
