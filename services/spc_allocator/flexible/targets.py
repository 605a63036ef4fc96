"""Targets (SPC-8): a power to be reached at a collector, by all below it that may move, never past a limit.

A lower collector's target is served first; what it has decided stands for those above. Batteries close the gap first:
by available power and energy, not below `peak_soc_percent`. Too much import: then heat goes down; vehicles have been
given what the target and the batteries leave them before the connectors were decided, down to 6 A each, and are paused
by it only with `target_may_pause`. Too little: heat that may run on surplus, then generators go down.

Not reachable: the best that is possible. What is missed for a minute is told, with how much and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.events import Reason, ReasonCode
from spc_allocator.flexible import heat
from spc_allocator.flexible.plan import because

if TYPE_CHECKING:
    from spc_allocator.flexible.batteries import Storage
    from spc_allocator.flexible.ground import Ground
    from spc_allocator.flexible.plan import Plan
    from spc_allocator.inputs import Observed
    from spc_allocator.rows import Floats

MISSED_MS: Final = 60_000
TOLERANCE: Final = 0.02
LEAST_MISS_W: Final = 500.0


def serve(plan: Plan, able: Storage) -> None:
    ground = plan.ground
    for index in sorted(ground.aims.targets, reverse=True):  # depth first: what is below has a larger index
        power_w, source = ground.aims.targets[index]
        name, row = ground.net.site.collectors[index].id, ground.index(index)
        why = because(ReasonCode.TARGET, power_w, collector=name, source=source)
        gap_w = power_w - float(plan.flow_w(ground.drawn_w)[row])
        gap_w = _by_batteries(plan, able, row, gap_w, why)
        if gap_w > 0.0:
            heat.absorb(plan, row, gap_w, why)
        if gap_w >= 0.0:  # also of 0: else what is held down for it would be let go as soon as it is reached
            plan.target_out_w[index] = power_w


def _by_batteries(plan: Plan, able: Storage, row: int, gap_w: float, why: Reason) -> float:
    """Returns what is left of the gap."""
    ground = plan.ground
    share = ground.assets.share
    who = [at for at in ground.assets.batteries if share[at, row] > 0.0 and not plan.decided[at]]
    most, energy = (able.charge_w, able.headroom_wh) if gap_w > 0.0 else (able.discharge_w, able.energy_wh)
    given = plan.move(who, abs(gap_w), row, most, most * energy)
    for at in who:
        power_w = given.get(at, 0.0)
        plan.set(at, power_w if gap_w > 0.0 else -power_w, why)
        plan.decided[at] = True
    left_w = abs(gap_w) - sum(power_w * float(share[at, row]) for at, power_w in given.items())
    return left_w if gap_w > 0.0 else -left_w


def ceilings(plan: Plan, able: Storage) -> Floats:
    """By row: the most that targets let flow in, with all that batteries can give."""
    ground = plan.ground
    rows = np.full(len(ground.limit_in_w), np.inf)
    for index, (power_w, _) in ground.aims.targets.items():
        row = ground.index(index)
        rows[row] = power_w + float(able.discharge_w @ ground.assets.share[:, row])
    return rows


def missed(ground: Ground, obs: Observed) -> tuple[tuple[str, str], ...]:
    """Collectors whose target is not reached, with words; notes in the state since when."""
    found: list[tuple[str, str]] = []
    since_ms = ground.state.missed_ms
    for collector in ground.net.site.collectors:
        index = collector.index
        if index not in ground.aims.targets or not obs.valid[index]:
            since_ms[index] = 0
            continue
        power_w, source = ground.aims.targets[index]
        more_w = sum(obs.parts[index].power_w) - power_w
        if abs(more_w) <= max(LEAST_MISS_W, TOLERANCE * abs(power_w)):
            since_ms[index] = 0
            continue
        since_ms[index] = since_ms[index] or ground.now_ms
        if ground.now_ms - since_ms[index] >= MISSED_MS:
            side = "more" if more_w > 0.0 else "less"
            found.append(
                (collector.id, f"target {power_w / 1000:.1f} kW of {source}: {abs(more_w) / 1000:.1f} kW {side} "
                 f"is drawn; {_why_missed(ground, index, more_w)}")
            )  # fmt: skip
    return tuple(found)


def _why_missed(ground: Ground, index: int, more_w: float) -> str:
    """What of the assets below can do no more."""
    below = [at for at in ground.assets.batteries if ground.assets.under[at, index]]
    ends = ground.state.low if more_w > 0.0 else ground.state.full
    if not below:
        return "no battery hangs below"
    if all(ends[at] for at in below):
        return f"all batteries below are {'empty' if more_w > 0.0 else 'full'}"
    return "batteries below give all that they can or may"
