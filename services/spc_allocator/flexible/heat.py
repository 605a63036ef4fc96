"""Heat pumps, e-boilers, thermal stores (SPC-14): how much each may draw, in steps or modulated.

`follows: always` runs by itself and is only turned down: at scarcity, in equal percent of ratings, before vehicles and
batteries or after them (`yield_order`), and by a target above. `follows: surplus` may draw what would be exported. A
setpoint by hand or an advice bounds both. Below the smallest power it is off; minimum on and off times are kept, except
that a full fuse ends a minimum on time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.config.assets import EBoiler, HeatPump, ThermalStorage
from busbar.events import Reason, ReasonCode
from spc_allocator.booking import VERIFY_MS
from spc_allocator.flexible.filling import fill
from spc_allocator.flexible.plan import STEP_W, because
from spc_allocator.rows import POWER

if TYPE_CHECKING:
    from busbar.config.assets import Flexible
    from spc_allocator.flexible.aims import Aims
    from spc_allocator.flexible.assets import Assets
    from spc_allocator.flexible.ground import Ground
    from spc_allocator.flexible.plan import Plan
    from spc_allocator.flexible.seen import Seen
    from spc_allocator.flexible.state import FlexState
    from spc_allocator.rows import Floats, Ints

HELD_DOWN: Final = 0.05
"""Of its rating: so near to what it is told it is that which holds it down."""
MARGIN: Final = 0.1
"""Of its rating: so much more than now one that runs by itself may draw before it is seen."""


def bound(assets: Assets, aims: Aims, at: int) -> tuple[float, Reason]:
    """The most that anybody allows it, rows aside: rating, hand, advice."""
    most, why = float(assets.most_in_w[at]), because(ReasonCode.DEVICE, float(assets.most_in_w[at]))
    for table, code in ((aims.by_hand, ReasonCode.MANUAL), (aims.advised, ReasonCode.ADVICE)):
        if at in table and table[at][0] < most:
            most, why = max(0.0, table[at][0]), because(code, table[at][0], source=table[at][1])
    return most, why


def run_by_itself(plan: Plan) -> None:
    """Heat that follows nothing: free, unless rows are full."""
    for at in plan.ground.assets.heats:
        if plan.ground.assets.runs_by_itself[at]:
            plan.set(at, *bound(plan.ground.assets, plan.ground.aims, at))


def take_surplus(plan: Plan, hidden_w: Floats) -> None:
    """Heat that follows surplus: what the grid connection would export, by rating; steps as far as they go."""
    ground = plan.ground
    waiting = [at for at in ground.assets.heats if not ground.assets.runs_by_itself[at]]
    row = ground.index(0)
    for at in waiting:
        plan.set(at, 0.0, because(ReasonCode.SURPLUS))
    left_w = float(hidden_w[0] - plan.flow_w(ground.drawn_w)[row]) if waiting else 0.0
    for at in sorted(waiting, key=lambda at: (-ground.assets.most_in_w[at], ground.assets.ids[at])):
        most, why = bound(ground.assets, ground.aims, at)
        allowed = step(ground.assets.files[at], min(most, max(0.0, left_w)))
        plan.set(at, allowed, why if allowed >= most else because(ReasonCode.SURPLUS, left_w))
        if not _has_enough(ground, at):
            left_w -= allowed


def _has_enough(ground: Ground, at: int) -> bool:
    """It may run, and after its reaction time it draws nothing worth the name."""
    ran_ms = ground.now_ms - int(ground.state.switched_ms[at])
    idle = ground.state.power_w[:, at].sum() < MARGIN * ground.assets.most_in_w[at]
    return bool(ground.state.on[at] and idle and ran_ms > ground.assets.reaction_ms[at] + VERIFY_MS)


def absorb(plan: Plan, row: int, need_w: float, why: Reason) -> float:
    """Draw against an export limit, where it may run on surplus. Returns what is left."""
    ground = plan.ground
    for at in ground.assets.heats:
        part = float(ground.assets.share[at, row])
        if part <= 0.0 or ground.assets.runs_by_itself[at] or need_w <= 0.0:
            continue
        before, most = float(plan.want_w[at]), bound(ground.assets, ground.aims, at)[0]
        after = step(ground.assets.files[at], min(most, before + need_w / part))
        if after > before:
            plan.set(at, after, why)
            need_w -= (after - before) * part
    return need_w


def keep_import(plan: Plan, ceilings_w: Floats) -> None:
    """Turned down to what rows leave, in equal percent; then steps and times. `ceilings_w`: rows of targets. Where it
    gives way first, what it does not draw is left to vehicles; else it may take what they leave free for it (`order`),
    and never what they and batteries hold."""
    ground = plan.ground
    assets = ground.assets
    if not assets.heats:
        return
    first = ground.net.yields_before("heat", "vehicles")
    beside_w = ground.liked_w if first else ground.held_w
    does_w = np.maximum(ground.seen.high_w, 0.0).sum(axis=0)
    charging_w = np.zeros(assets.count) if first else np.where(assets.is_battery, does_w, 0.0)
    if ground.net.yields_before("heat", "batteries"):
        planned = assets.is_battery & ground.seen.obedient
        charging_w = np.maximum(charging_w, np.where(planned, plan.want_w, 0.0))
    beside_w = beside_w + charging_w @ assets.share
    likely_w = np.minimum(plan.want_w, does_w + MARGIN * assets.most_in_w)
    could = np.where(assets.runs_by_itself & first, likely_w, plan.want_w)
    could = np.where(assets.is_heat, np.maximum(could, 0.0), 0.0)
    room = np.minimum(ground.limit_in_w, ceilings_w) - ground.rest_high_w - beside_w
    level, row = fill(assets.share, room, assets.most_in_w, could)
    for at in assets.heats:
        allowed = float(level[at] * assets.most_in_w[at])
        if level[at] < 1.0 and allowed < plan.want_w[at]:
            plan.set(at, allowed, ground.reason_in(int(row[at])))
        _hold(plan, at)
        _switch(plan, at, row)
        plan.spare_w[at] = _spare(plan, at, float(level[at]))


def _hold(plan: Plan, at: int) -> None:
    """Nothing rises on a value that is too old."""
    ground = plan.ground
    last = float(ground.state.told_w[at])
    if (ground.old[at] or ground.blind[at]) and plan.want_w[at] > last:
        plan.set(at, last, because(ReasonCode.STALE))


def _switch(plan: Plan, at: int, row: Ints) -> None:
    """Steps, smallest power, minimum times."""
    ground, file = plan.ground, plan.ground.assets.files[at]
    assert isinstance(file, HeatPump | EBoiler | ThermalStorage)  # noqa: S101 - it is listed as one
    allowed, last = step(file, float(plan.want_w[at])), float(ground.state.told_w[at])
    plan.want_w[at] = allowed
    lasted_s = (ground.now_ms - int(ground.state.switched_ms[at])) / 1000.0
    begun = ground.state.switched_ms[at] > 0
    if allowed == 0.0 and last > 0.0 and begun and lasted_s < file.min_on_s and not _fuse_is_full(ground, int(row[at])):
        plan.set(at, least(file), because(ReasonCode.MINIMUM_ON))
    elif allowed > 0.0 and last == 0.0 and begun and lasted_s < file.min_off_s:
        plan.set(at, 0.0, because(ReasonCode.MINIMUM_OFF))


def _spare(plan: Plan, at: int, level: float) -> float:
    """What it could draw beyond the plan without a jump; nothing where it does not even draw what it is told."""
    ground, file = plan.ground, plan.ground.assets.files[at]
    assert isinstance(file, HeatPump | EBoiler | ThermalStorage)  # noqa: S101 - it is listed as one
    stuck = ground.old[at] or ground.holes[at] or ground.blind[at] or not ground.seen.obedient[at]
    stuck = stuck or not _held_down(ground.assets, ground.state, ground.seen, at)
    if file.follows == "always" or file.steps_w or level < 1.0 or stuck or plan.want_w[at] < file.min_power_w:
        return 0.0
    return max(0.0, bound(ground.assets, ground.aims, at)[0] - float(plan.want_w[at]))


def _fuse_is_full(ground: Ground, row: int) -> bool:
    return 0 <= row < POWER * ground.net.collectors


def wish_w(assets: Assets, state: FlexState, seen: Seen, aims: Aims, at: int) -> float:
    """All that it may where it draws all that it is told, or has not had the time to; else so much more than it draws
    that it would show: a tenth of its rating, or its next step. So what nobody needs is not kept free for it."""
    file, most_w, allowed_w = assets.files[at], float(assets.most_in_w[at]), bound(assets, aims, at)[0]
    assert isinstance(file, HeatPump | EBoiler | ThermalStorage)  # noqa: S101 - it is listed as one
    does_w = max(0.0, float(state.power_w[:, at].sum()))
    if not seen.fresh[at]:
        return min(allowed_w, does_w)
    if state.told_w[at] < allowed_w and _held_down(assets, state, seen, at):
        return allowed_w
    above_w = [power for power in file.steps_w if power > does_w + HELD_DOWN * most_w]
    return min(allowed_w, min(above_w) if above_w else max(does_w + MARGIN * most_w, least(file)))


def _held_down(assets: Assets, state: FlexState, seen: Seen, at: int) -> bool:
    """It draws all that it is told, or has not had the time to."""
    does_w, near_w = float(state.power_w[:, at].sum()), HELD_DOWN * float(assets.most_in_w[at])
    return bool(does_w >= state.told_w[at] - near_w or seen.high_w[:, at].sum() > does_w + near_w)


def least(file: Flexible) -> float:
    """Smallest power while it runs."""
    assert isinstance(file, HeatPump | EBoiler | ThermalStorage)  # noqa: S101 - as above
    return min(file.steps_w) if file.steps_w else file.min_power_w


def step(file: Flexible, allowed_w: float) -> float:
    """The largest power that it can be told and that is allowed."""
    assert isinstance(file, HeatPump | EBoiler | ThermalStorage)  # noqa: S101 - as above
    if file.steps_w:
        return max([0.0, *(power for power in file.steps_w if power <= allowed_w + 1e-6)])
    if allowed_w < file.min_power_w:
        return 0.0
    return allowed_w if allowed_w >= file.rated_power_w else max(file.min_power_w, allowed_w // STEP_W * STEP_W)
