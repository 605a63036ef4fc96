"""What would be exported, in the order that the site gives (`surplus_order`, SPC-24), before anything is curtailed.

Vehicles take what the rules of connectors let them, whatever the order: what they draw is no surplus. Then batteries
and heat, each serving itself first from what the grid connection would export, then against every export limit above
that would be broken; the lowest limit first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spc_allocator.flexible import batteries, heat
from spc_allocator.flexible.filling import DUST_W
from spc_allocator.flexible.generators import hidden
from spc_allocator.flexible.ground import NO_LIMIT_W

if TYPE_CHECKING:
    from spc_allocator.flexible.batteries import Storage
    from spc_allocator.flexible.plan import Plan
    from spc_allocator.rows import Floats


def hand_out(plan: Plan, able: Storage) -> None:
    ground = plan.ground
    hidden_w = hidden(ground)
    for kind in ground.net.site.options.surplus_order:
        if kind == "batteries":
            batteries.serve_oneself(plan, able, hidden_w)
        elif kind == "heat":
            heat.take_surplus(plan, hidden_w)
    batteries.droop(plan, able)
    reach = ground.assets.share.max(axis=0) > 0.0
    limited = (ground.limit_out_w < NO_LIMIT_W) & reach
    above = limited & (-plan.flow_w(ground.drawn_w) + _at_rows(hidden_w) > ground.limit_out_w + DUST_W)
    for row in sorted(above.nonzero()[0].tolist(), key=lambda row: row % ground.net.collectors, reverse=True):
        excess_w = float(_at_rows(hidden_w)[row] - plan.flow_w(ground.drawn_w)[row] - ground.limit_out_w[row])
        why = ground.reason_out(row)
        for kind in ground.net.site.options.surplus_order:
            if excess_w > DUST_W and kind == "batteries":
                excess_w = batteries.absorb(plan, able, row, excess_w, why)
            elif excess_w > DUST_W and kind == "heat":
                excess_w = heat.absorb(plan, row, excess_w, why)


def _at_rows(hidden_w: Floats) -> Floats:
    """On a conductor a third of what is hidden, all of it in the power row."""
    return np.concatenate((np.tile(hidden_w / 3.0, 3), hidden_w))
