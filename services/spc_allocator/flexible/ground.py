"""What there is to decide on: flows and limits of every row on both sides, in W.

A row is a conductor of a collector (its fuse), or all conductors of a collector together (its power): a flat array
of 4 x V. Flows are consumption positive. A limit on the export side is a magnitude.

Connectors count three times: with what they **draw** now (for the export side, and for what really has to be
shaved), with what they **may** draw now (so that nothing rises into what a vehicle may still take), and with what they
**would like** (so that vehicles come before batteries and heat). What nobody controls counts with its largest value
of 15 s for whatever would draw more, and with its least for whatever would feed in more.

A collector without valid monitoring: nothing is known to be drawn there. So its export side holds with what generators
may give alone, batteries below stand still, and heat rises no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.events import CollectorLimit, Reason, ReasonCode
from spc_allocator.dc import as_flowing
from spc_allocator.flexible.quarter import QUARTER_PEAK
from spc_allocator.limits import COVERED_MS
from spc_allocator.rows import POWER

if TYPE_CHECKING:
    from spc_allocator.cycle import Cycle
    from spc_allocator.flexible.aims import Aims
    from spc_allocator.flexible.assets import Assets
    from spc_allocator.flexible.begin import Begun
    from spc_allocator.flexible.seen import Seen
    from spc_allocator.flexible.state import FlexState
    from spc_allocator.limits import Limits
    from spc_allocator.rows import Bools, Floats, Network
    from spc_allocator.state import AllocatorState

NO_LIMIT_W: Final = 1e12
"""W: no limit, and still a number to calculate with."""


@dataclass(slots=True)
class Ground:
    """Flat rows of 4 x V, in W."""

    net: Network
    assets: Assets
    state: FlexState
    seen: Seen
    aims: Aims
    now_ms: int
    since_ms: int
    """Time since the last cycle."""
    rest_now_w: Floats
    """Background less batteries and heat."""
    rest_high_w: Floats
    bare_low_w: Floats
    """Background less all that is set: least of 15 s."""
    drawn_w: Floats
    """Connectors: what they draw, may draw, would like."""
    held_w: Floats
    liked_w: Floats
    limit_in_w: Floats
    limit_out_w: Floats
    source_in: list[str | None]
    """V: of power limits."""
    source_out: list[str | None]
    blind: Bools
    """By asset: a collector above has no valid monitoring."""
    old: Bools
    """By asset: a value that is needed to raise anything is too old."""
    holes: Bools
    """By asset: the 15 s window of a collector above has a hole."""

    def index(self, collector: int, channel: int = POWER) -> int:
        return channel * self.net.collectors + collector

    def reason_in(self, row: int) -> Reason:
        """A row that is full on its import side."""
        return self._reason(row, "import", self.source_in)

    def reason_out(self, row: int) -> Reason:
        return self._reason(row, "export", self.source_out)

    def _reason(self, row: int, side: str, sources: list[str | None]) -> Reason:
        channel, index = divmod(row, self.net.collectors)
        collector = self.net.site.collectors[index]
        if channel != POWER:
            phase = next(name for name, root in zip(("L1", "L2", "L3"), collector.root_phases, strict=False)
                         if root == channel)  # fmt: skip
            return Reason(code=ReasonCode.ROW, collector=collector.id, phase=phase, side=side)
        code = ReasonCode.POWER_LIMIT if side == "import" else ReasonCode.EXPORT_LIMIT
        if sources[index] == QUARTER_PEAK:
            code = ReasonCode.QUARTER_PEAK
        return Reason(code=code, collector=collector.id, source=sources[index], side=side)


def four(per_phase_w: Floats) -> Floats:
    """3 x V as rows: the conductors, then all together."""
    return np.concatenate((per_phase_w.ravel(), per_phase_w.sum(axis=0)))


def survey(cycle: Cycle, whole: AllocatorState, begun: Begun, now_ms: int) -> Ground:
    """After the connectors: `cycle` is theirs."""
    net, state, obs, lim = cycle.net, begun.state, cycle.obs, cycle.limits
    valid, volt = obs.valid, whole.voltage_v[:, None]
    top = state.window.top.reshape(6, net.collectors)
    held_a = np.where(cycle.present, np.maximum(cycle.booked.held_a, cycle.wanted_a), 0.0)
    liked_a = np.where(cycle.present & cycle.bounds.able, np.maximum(cycle.bounds.high_a, held_a), held_a)
    fuse_w = np.where(net.protected, lim.active_a * volt, NO_LIMIT_W).ravel()
    power_in_w = np.minimum(lim.power_w, NO_LIMIT_W)
    power_out_w, source_out = _exports(net, lim, begun.limits)
    matters = begun.matters
    under = net.assets.under
    return Ground(
        net, net.assets, state, begun.seen, begun.aims, now_ms, now_ms - whole.now_ms,
        rest_now_w=four(state.rest_w), rest_high_w=four(np.maximum(top[:3], state.rest_w)),
        bare_low_w=four(np.where(valid, np.minimum(-top[3:], state.bare_w), 0.0)),
        drawn_w=four(net.below(as_flowing(net, whole.voltage_v, whole.current_a)) * volt * valid),
        held_w=four(net.below(cycle.load[:3] * held_a + cycle.other_a) * volt),
        liked_w=four(net.below(cycle.load[:3] * liked_a + cycle.other_a) * volt),
        limit_in_w=np.concatenate((fuse_w, power_in_w)), limit_out_w=np.concatenate((fuse_w, power_out_w)),
        source_in=begun.source_in or lim.source, source_out=source_out,
        blind=begun.blind,
        old=under @ (matters & (obs.collector_age_ms > net.fresh_ms)) > 0.0,
        holes=under @ (matters & (whole.covered_since_ms > now_ms - COVERED_MS)) > 0.0,
    )  # fmt: skip


def _exports(net: Network, lim: Limits, exports: tuple[CollectorLimit, ...]) -> tuple[Floats, list[str | None]]:
    """Tightest export limit of each collector in W, and who set it; power limits hold in both directions."""
    tightest = np.minimum(np.minimum(lim.static_w, net.export_limit_w), NO_LIMIT_W)
    source: list[str | None] = ["site" if limited else None for limited in (tightest < NO_LIMIT_W).tolist()]
    for limit in exports:
        index = net.site.tree.index.get(limit.collector)
        if index is not None and limit.export_limit_w is not None and limit.export_limit_w < tightest[index]:
            tightest[index], source[index] = limit.export_limit_w, limit.source
    return tightest, source
