"""The copper: powers summed up the tree in the grid connection's frame, currents and voltages of every collector.

Quantities are active and reactive power per phase, never RMS amperes (algorithms.md, Quantities). Every branch (a
connector, a load, an inverter) is put on the conductors of the grid connection that `root_phases` names; a collector's
current is sqrt(P² + Q²) / U of the sum of all below. The wires lose no power: what goes in below is what the grid
connection sees. Voltage falls along the tree with the active current, 0.8 % a level at the rating.

A phase that is dead (fuse open here or above) has 0 V; whoever hangs there must put 0 W on it.

Flat lists of length 3 x collectors: index = 3 x collector + conductor of the grid connection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from busbar.config.site import Site
from busbar.sim.plant import Triple
from busbar.units import NOMINAL_VOLTAGE_V, Phase

_DROP: Final = 0.008


class Branch:
    """One thing on one collector; `power_w` and `reactive_var` stand in its own frame and are written by its owner."""

    __slots__ = ("at", "power_w", "reactive_var", "voltage_v")

    def __init__(self, at: tuple[int, ...], power_w: Triple, reactive_var: Triple, voltage_v: Triple) -> None:
        self.at = at
        self.power_w = power_w
        self.reactive_var = reactive_var
        self.voltage_v = voltage_v


class Wires:
    """All collectors of a site. Write the branches, call `solve`, read the flat lists."""

    def __init__(self, site: Site) -> None:
        self._site = site
        count = len(site.collectors)
        self.count = count
        self.power_w = [0.0] * (3 * count)
        self.reactive_var = [0.0] * (3 * count)
        self.current_a = [0.0] * (3 * count)
        self.voltage_v = [NOMINAL_VOLTAGE_V] * (3 * count)
        self.rated_a = [math.inf] * (3 * count)
        """By conductor of the grid connection; infinite where the collector has no such conductor."""
        self.source_v: Triple = [NOMINAL_VOLTAGE_V] * 3
        """Voltage before the grid connection's fuse."""
        self.opened = [False] * (3 * count)
        """The collector's own fuse, per phase."""
        self._branches: list[Branch] = []
        self._terms: list[tuple[int, Triple, Triple, int]] = []
        self._parents: list[tuple[int, int]] = []
        self._drops: list[tuple[int, int, float]] = []
        for collector in site.collectors:
            for own, root in enumerate(collector.root_phases):
                self.rated_a[3 * collector.index + root] = collector.rated_a[own]
        for node in site.tree.nodes:
            for root in node.root_phases:
                at = 3 * node.index + root
                above = -1 if node.parent is None else 3 * node.parent + root
                self._drops.append((at, above, _DROP * NOMINAL_VOLTAGE_V / self.rated_a[at]))
        self._parents = [(at, above) for at, above, _ in reversed(self._drops) if above >= 0]

    def add(
        self, collector: str, root_phases: Sequence[Phase], power_w: Triple, reactive_var: Triple, voltage_v: Triple
    ) -> Branch:
        """Hang something on a collector; its three lists are kept and read at every `solve`."""
        base = 3 * self._site.tree.index[collector]
        branch = Branch(tuple(base + phase for phase in root_phases), power_w, reactive_var, voltage_v)
        self._branches.append(branch)
        self._terms.extend((at, power_w, reactive_var, own) for own, at in enumerate(branch.at))
        return branch

    def solve(self) -> None:
        """Sum all branches up the tree and derive the currents."""
        size = 3 * self.count
        power, reactive = [0.0] * size, [0.0] * size
        for at, p, q, own in self._terms:
            power[at] += p[own]
            reactive[at] += q[own]
        for at, above in self._parents:  # children come before their parents
            power[above] += power[at]
            reactive[above] += reactive[at]
        self.power_w, self.reactive_var = power, reactive
        root = math.sqrt
        self.current_a = [
            root(p * p + q * q) / u if u else 0.0 for p, q, u in zip(power, reactive, self.voltage_v, strict=True)
        ]

    def spread_voltage(self) -> None:
        """New voltages from the last currents, for every collector and branch; dead phases get 0 V."""
        voltage, power = self.voltage_v, self.power_w
        for at, above, ohm in self._drops:  # parents come before their children
            above_v = voltage[above] if above >= 0 else self.source_v[at]
            if above_v and not self.opened[at]:
                voltage[at] = above_v - ohm * power[at] / (voltage[at] or NOMINAL_VOLTAGE_V)
            else:
                voltage[at] = 0.0
        for branch in self._branches:
            own_v = branch.voltage_v
            for own, at in enumerate(branch.at):
                own_v[own] = voltage[at]
