"""A rise only into what is free now: beside everything that others may still take or give (algorithms.md, Booked).

Of each asset the most that it may be doing now counts (`seen.py`) until a sample shows that it has let go; so a lost
write or a slow device never lets two be served from one watt. Nothing rises where a value it needs is too old, or for
the first 15 s, until the windows have no hole; what a battery gives against a peak is only held to the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from busbar.events import ReasonCode
from spc_allocator.flexible.ground import four
from spc_allocator.flexible.heat import step
from spc_allocator.flexible.plan import because

if TYPE_CHECKING:
    from spc_allocator.flexible.plan import Plan
    from spc_allocator.rows import Bools, Floats


def gate(plan: Plan) -> None:
    """Batteries, and heat that runs on surplus."""
    _hold(plan)
    ground = plan.ground
    assets, seen = ground.assets, ground.seen
    gated = assets.is_battery | (assets.is_heat & ~assets.runs_by_itself)
    high, low = np.maximum(seen.high_w, 0.0), seen.low_w
    top, least = high.sum(axis=0), np.minimum(low, 0.0).sum(axis=0)
    drawing = four(np.where(assets.generates, 0.0, high) @ assets.under)
    _raise(plan, gated, top, ground.limit_in_w - ground.rest_high_w - ground.held_w - drawing, sign=1.0)
    giving = ground.limit_out_w + ground.bare_low_w + ground.drawn_w + four(np.minimum(low, 0.0) @ assets.under)
    _raise(plan, gated, -least, giving, sign=-1.0)
    for at in assets.heats:
        if not assets.runs_by_itself[at]:
            plan.want_w[at] = step(assets.files[at], float(plan.want_w[at]))


def _raise(plan: Plan, gated: Bools, now_w: Floats, room_w: Floats, sign: float) -> None:
    """In one direction: `sign` 1 draws more, -1 gives more. `now_w`: as a magnitude."""
    more = np.where(gated, np.maximum(sign * plan.want_w - now_w, 0.0), 0.0)
    if not more.any():
        return
    level, row = plan.fit(more, room_w)
    for at in (level < 1.0).nonzero()[0].tolist():
        if more[at]:
            why = plan.ground.reason_in(int(row[at])) if sign > 0.0 else plan.ground.reason_out(int(row[at]))
            plan.set(at, sign * float(now_w[at] + level[at] * more[at]), why)


def _hold(plan: Plan) -> None:
    """Values that are too old, or a window with a hole."""
    ground = plan.ground
    told, generates = ground.state.told_w, ground.assets.generates
    for at in ((ground.old | ground.holes | ground.blind) & ~generates).nonzero()[0].tolist():
        want, last = float(plan.want_w[at]), float(told[at])
        stuck = bool(ground.old[at] or ground.blind[at])
        if want > max(last, 0.0):
            plan.set(at, max(last, 0.0), because(ReasonCode.STALE if stuck else ReasonCode.STARTING))
        elif stuck and want < min(last, 0.0):
            plan.set(at, min(last, 0.0), because(ReasonCode.STALE))
