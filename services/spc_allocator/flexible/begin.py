"""Before the connectors: what assets do, what is wanted, and what of it tightens the rows of connectors.

- **Batteries make room for vehicles only where configured** (`battery_supports_ev`): else what they discharge is put
  back onto the background that connectors see, and vehicles are bounded as if no battery were there. Where it is
  configured, discharge counts like generation: as measured, and on a fuse only as far as its loss would leave 1.25
  times the rating. Whatever an asset does or fails to do, the rows of connectors hold by what is measured.
- A **quarter-hour peak** is one more import limit.
- A **target** bounds vehicles by what it and the batteries below leave them, but never below the minima of those that
  are there, except with `target_may_pause`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from busbar.units import NOMINAL_VOLTAGE_V
from spc_allocator.flexible.aims import Aims, aims_of
from spc_allocator.flexible.batteries import abilities
from spc_allocator.flexible.quarter import quarter_limits
from spc_allocator.flexible.seen import Seen, see, take_off
from spc_allocator.flexible.state import FlexState
from spc_allocator.limits import TARGET_OF
from spc_allocator.rows import POWER, Bools, Floats, Network

if TYPE_CHECKING:
    from busbar.events import CollectorLimit, SiteSnapshot
    from spc_allocator.flexible.batteries import Storage
    from spc_allocator.inputs import Inputs, Observed
    from spc_allocator.limits import Limits
    from spc_allocator.state import AllocatorState


@dataclass(slots=True)
class Begun:
    """What is known before the connectors are decided."""

    state: FlexState
    seen: Seen
    aims: Aims
    able: Storage
    limits: tuple[CollectorLimit, ...]
    """Those from outside and those of this cycle."""
    matters: Bools
    """V: without its values nothing is raised below."""
    blind: Bools
    """By asset: no valid monitoring above."""
    unlent_w: Floats | None
    """3 x V: discharge that is not handed on to vehicles; None: none."""
    source_in: list[str | None] = field(default_factory=list)
    """Of power limits without targets, where there are targets."""

    def narrow(self, lim: Limits, net: Network, load: Floats, present: Bools, other_a: Floats) -> None:
        """Bound vehicles below targets. `load`: amperes in each channel for one of setpoint; `other_a`: amperes of
        power that connectors may draw beside their setpoints."""
        self.source_in = lim.source
        lim.source, top = lim.source.copy(), self.state.window.top.reshape(6, net.collectors)[:3]
        assets = net.assets
        heat_w = np.maximum(self.state.power_w, 0.0) * assets.is_heat @ assets.under
        for index, (power_w, source) in self.aims.targets.items():
            rest_w = float(np.maximum(top[:, index], self.state.rest_w[:, index]).sum() + heat_w[:, index].sum())
            given_w = float(self.able.discharge_w @ assets.under[:, index])
            room_a = (power_w - rest_w + given_w) / NOMINAL_VOLTAGE_V
            if not net.site.options.target_may_pause:
                minima_a = np.where(present, net.devices.minimum_a, 0.0)
                needed_a = np.where(net.under[index], load[POWER] * minima_a + other_a, 0.0)
                room_a = max(room_a, float(needed_a.sum()))
            self._bind(lim, net.rows.fuses + index, index, room_a, TARGET_OF + source)

    @staticmethod
    def _bind(lim: Limits, row: int, index: int, room_a: float, source: str) -> None:
        """One more limit of this collector's power, beside those that there are."""
        had_a, limit_w = float(lim.room_a[row]), float(lim.power_w[index])
        bounded = np.isfinite(limit_w)
        rivals = lim.rivals_w.setdefault(index, {str(lim.source[index]): limit_w} if bounded else {})
        rivals[source] = limit_w + (room_a - had_a) * NOMINAL_VOLTAGE_V if bounded else room_a * NOMINAL_VOLTAGE_V
        if room_a < had_a:
            lim.room_a[row], lim.source[index] = room_a, source


def begin(
    net: Network, whole: AllocatorState, obs: Observed, snapshot: SiteSnapshot, inputs: Inputs, *, now_ms: int
) -> Begun | None:
    """None where nothing is set in W and nothing is wanted of any collector."""
    if not (net.assets.count or net.has_peak or inputs.targets):
        return None
    state = whole.flexible = whole.flexible.copy() if whole.flexible else FlexState.fresh(net)
    utc_ms = now_ms if inputs.utc_ms is None else inputs.utc_ms
    since_ms = now_ms - whole.now_ms
    seen = see(net.assets, state, snapshot, inputs.snapshot_age_ms, now_ms)
    take_off(net, state, obs, seen, now_ms)
    limits = inputs.limits + quarter_limits(net, state, obs, utc_ms, since_ms)
    matters = whole.kept.fixed.matters | np.isfinite(net.export_limit_w)
    for limit in limits:
        index = net.site.tree.index.get(limit.collector)
        if index is not None and limit.export_limit_w is not None:
            matters[index] = True
    blind: Bools = net.assets.under @ (matters & ~obs.valid) > 0.0
    able = abilities(net.assets, state, seen, blind)
    unlent_w = None
    if net.assets.batteries and not net.site.options.battery_supports_ev:
        unlent_w = np.where(obs.valid, np.maximum(state.loads_w - obs.background_w, 0.0), 0.0)
    return Begun(state, seen, aims_of(net, inputs, utc_ms), able, limits, matters, blind, unlent_w)
