"""After the connectors: every other asset, harder rules last, and what is remembered of it (decision 0010)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spc_allocator.flexible import batteries, generators, heat, surplus, targets
from spc_allocator.flexible.gate import gate
from spc_allocator.flexible.ground import Ground, survey
from spc_allocator.flexible.plan import STEP_W, Plan
from spc_allocator.flexible.reactive import compensate, is_asked

if TYPE_CHECKING:
    from busbar.events import Reason
    from spc_allocator.cycle import Cycle
    from spc_allocator.flexible.begin import Begun
    from spc_allocator.rows import Floats
    from spc_allocator.state import AllocatorState


@dataclass(slots=True)
class Flexed:
    """What assets are told, by asset (`Network.assets.ids`)."""

    power_w: tuple[float, ...]
    reactive_power_var: tuple[float | None, ...]
    why: tuple[Reason, ...]
    missed: tuple[tuple[str, str], ...]
    """Collectors whose target is not reached, with words."""


def finish(cycle: Cycle, whole: AllocatorState, begun: Begun, now_ms: int) -> Flexed:
    """Decide, and remember it in the state."""
    ground = survey(cycle, whole, begun, now_ms)
    plan = Plan.empty(ground)
    if ground.assets.count:
        _decide(plan, begun.able)
        compensate(ground, cycle.obs)
    told = _whole_steps(ground, plan.want_w)
    _remember(ground, told)
    state = ground.state
    return Flexed(
        tuple(told.tolist()),
        tuple([float(state.told_var[at]) if is_asked(ground, at) else None for at in range(ground.assets.count)]),
        tuple(plan.why), targets.missed(ground, cycle.obs),
    )  # fmt: skip


def _decide(plan: Plan, able: batteries.Storage) -> None:
    """Wishes first, then what bounds them."""
    heat.run_by_itself(plan)
    batteries.follow_orders(plan, able)
    targets.serve(plan, able)
    batteries.follow_advice(plan, able)
    surplus.hand_out(plan, able)
    heat.keep_import(plan, targets.ceilings(plan, able))
    batteries.keep_import(plan, able)
    batteries.shave(plan, able)
    most, _ = generators.bounds(plan.ground)
    batteries.keep_export(plan, np.minimum(generators.could_give(plan.ground), most))
    gate(plan)
    generators.curtail(plan)


def _whole_steps(ground: Ground, want_w: Floats) -> Floats:
    """Towards 0, except for what is free."""
    stepped = np.trunc(want_w / STEP_W) * STEP_W
    free = (want_w >= ground.assets.most_in_w) | (-want_w >= ground.assets.most_out_w)
    exact = free | ground.assets.is_heat | ground.assets.is_chp  # they have powers that they can be told
    told: Floats = np.where(exact, want_w, stepped) + 0.0
    return told


def _remember(ground: Ground, told_w: Floats) -> None:
    state = ground.state
    changed = told_w != state.told_w
    state.before_w = np.where(changed, state.told_w, state.before_w)
    state.changed_ms = np.where(changed, ground.now_ms, state.changed_ms)
    runs = told_w != 0.0
    state.switched_ms = np.where(runs != state.on, ground.now_ms, state.switched_ms)
    state.on, state.told_w = runs, told_w
