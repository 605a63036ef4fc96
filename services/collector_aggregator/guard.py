"""Which collectors are above a limit right now, once per excess (algorithms.md, Guard). Pure.

- Raw measurements are compared with ratings, both sides, and with the power limits of the site file; no reserve, no
  filter. Current is the meter's own RMS value where that is the larger one: that is what heats a fuse.
- A meter's sample is also a sample of every virtual collector above it, up to the next meter.
- One excess makes one guard event. Another follows when it outlasts the devices' reaction time, not before: they are
  on their way already. It is over after `OVER_S` within all limits, so that a current that dances around a rating
  does not flood.
- A collector that is only monitored has no guard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from busbar.config.site import Site
from busbar.domain.limits import REACTION_TIME_S
from collector_aggregator.nodes import Node, reaction_s
from collector_aggregator.samples import NO_POWER, Six, Three

OVER_S: Final = 3.0


class _Excess:
    __slots__ = ("reaction_s", "told_s", "within_s")

    def __init__(self, reaction_s: float) -> None:
        self.reaction_s = reaction_s
        self.told_s: float | None = None
        """Monotonic time of the last guard event of the excess that lasts; None: there is none."""
        self.within_s: float | None = None

    def see(self, above: bool, at_s: float) -> bool:
        """True: tell it now."""
        if above:
            self.within_s = None
            if self.told_s is None or at_s - self.told_s >= self.reaction_s:
                self.told_s = at_s
                return True
        elif self.told_s is not None:
            if self.within_s is None:
                self.within_s = at_s
            elif at_s - self.within_s >= OVER_S:
                self.told_s = None
        return False


class _Limits:
    """One collector's limits in the root's frame, and its excess."""

    __slots__ = ("_above", "_seen", "excess", "largest_va", "largest_w", "node", "rated_a")

    def __init__(self, node: Node, site: Site) -> None:
        times = [reaction_s(site, t.entity) for t in node.connectors]
        self.node = node
        self.excess = _Excess(max(times, default=REACTION_TIME_S))
        self.rated_a = tuple(
            (int(root), node.collector.rated_a[own]) for own, root in enumerate(node.collector.root_phases)
        )
        self.largest_w = node.collector.file.power_limit_w
        self.largest_va = node.collector.file.power_limit_va
        self._seen: Six = NO_POWER
        """Powers that were compared last: a meter that is read again unchanged gives the same object."""
        self._above = False

    def see(self, at_s: float) -> bool:
        """Look at the newest values. True: tell it now."""
        node = self.node
        if node.meter is None:
            self._above = self._is_above(node.flowing(), None)
        elif node.meter.newest is not None and node.meter.powers is not self._seen:
            self._seen = node.meter.powers
            self._above = self._is_above(self._seen, node.meter.newest.current_a)
        if not self._above and self.excess.told_s is None:
            return False
        return self.excess.see(self._above, at_s)

    def _is_above(self, powers: Six, current_a: Three | None) -> bool:
        voltage_v = self.node.voltage_v
        for root, rated_a in self.rated_a:
            if current_a is not None and current_a[root] > rated_a:
                return True
            p, q, rated_va = powers[root], powers[3 + root], rated_a * voltage_v[root]
            if p * p + q * q > rated_va * rated_va:
                return True
        if self.largest_w is None and self.largest_va is None:
            return False
        power_w, reactive_var = powers[0] + powers[1] + powers[2], powers[3] + powers[4] + powers[5]
        return (self.largest_w is not None and abs(power_w) > self.largest_w) or (
            self.largest_va is not None and math.hypot(power_w, reactive_var) > self.largest_va
        )


class Guard:
    """All collectors of a site."""

    def __init__(self, nodes: Sequence[Node], site: Site) -> None:
        limits = {n.collector.id: _Limits(n, site) for n in nodes if not n.collector.file.monitored_only}
        self._of_meter: dict[str, tuple[_Limits, ...]] = {}
        self._virtual = [limits[n.collector.id] for n in nodes if n.meter is None and n.collector.id in limits]
        self._pending: list[str] = []
        for node in nodes:
            if node.meter is not None:
                ids = [node.collector.id, *_virtual_above(node)]
                self._of_meter[node.meter.entity.id] = tuple(limits[i] for i in ids if i in limits)

    def measured(self, meter: str, at_s: float) -> bool:
        """A new sample of this meter. True: a snapshot is due at once."""
        due = False
        for limits in self._of_meter[meter]:
            if limits.see(at_s):
                self._pending.append(limits.node.collector.id)
                due = True
        return due

    def cycle(self, now_s: float) -> None:
        """Virtual collectors have no meter whose samples could be watched: they are looked at in each cycle."""
        for limits in self._virtual:
            if limits.see(now_s):
                self._pending.append(limits.node.collector.id)

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def take(self) -> tuple[str, ...]:
        """Collectors to be named in the next snapshot, in the order in which they were found."""
        if not self._pending:
            return ()
        found, self._pending = tuple(dict.fromkeys(self._pending)), []
        return found


def _virtual_above(node: Node) -> list[str]:
    found = []
    above = node.parent
    while above is not None and above.meter is None:
        found.append(above.collector.id)
        above = above.parent
    return found
