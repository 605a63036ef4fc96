"""PV, wind and CHP: how far each may go (SPC-12, SPC-14), last in the order: what nobody takes is curtailed.

Every row is kept on its export side: fuses, power limits, the fixed and every variable export limit, and targets that
nothing else can reach. PV and wind are curtailed in equal percent of their ratings; before them CHP, which burns fuel
for it, goes down. A generator that gives less than its percent leaves the rest to the others: it counts with what it
does and a tenth of its rating, or with what it says it could give.

**Curtail at once, release slowly**: a tenth of the rating within the time in which a mistake would be seen and mended
(poll + cycle + the device's reaction), so that a false release exceeds a limit by a tenth at most. Not heard of, or
values above it too old: the limit in force is kept, or lowered. Below a collector without valid monitoring nothing
counts as drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.config.assets import Chp
from busbar.events import Reason, ReasonCode
from spc_allocator.flexible.filling import fill
from spc_allocator.flexible.plan import because
from spc_allocator.flexible.seen import AT_LIMIT
from spc_allocator.rows import POWER

if TYPE_CHECKING:
    from spc_allocator.flexible.ground import Ground
    from spc_allocator.flexible.plan import Plan
    from spc_allocator.rows import Bools, Floats

MARGIN: Final = 0.1
_HARD: Final = (ReasonCode.ROW, ReasonCode.EXPORT_LIMIT, ReasonCode.POWER_LIMIT)


def bounds(ground: Ground) -> tuple[Floats, list[Reason | None]]:
    """Magnitude that hand and advice allow, and who bounds it below its rating."""
    most, why = ground.assets.most_out_w.copy(), list[Reason | None]([None] * ground.assets.count)
    for table, code in ((ground.aims.by_hand, ReasonCode.MANUAL), (ground.aims.advised, ReasonCode.ADVICE)):
        for at, (power_w, source) in table.items():
            if ground.assets.generates[at] and max(0.0, -power_w) < most[at]:
                most[at], why[at] = max(0.0, -power_w), because(code, power_w, source=source)
    return most, why


def held_down(ground: Ground) -> Bools:
    """Gives as much as it may: it could give more."""
    rated, does = ground.assets.most_out_w, -ground.state.power_w.sum(axis=0)
    limited = -ground.state.told_w < rated
    held: Bools = ground.assets.generates & limited & (does >= -ground.state.told_w - AT_LIMIT * rated)
    return held


def could_give(ground: Ground) -> Floats:
    """Magnitude that each might give at once if it were free."""
    rated, does = ground.assets.most_out_w, np.maximum(-ground.state.power_w.sum(axis=0), 0.0)
    unknown = held_down(ground) | ~ground.seen.fresh
    could = np.where(unknown, rated, np.minimum(rated, does + MARGIN * rated))
    for at, sample in enumerate(ground.seen.samples):
        said = sample.available_power_w if sample is not None and ground.seen.fresh[at] else None
        if said is not None and said >= 0.0:
            could[at] = min(float(rated[at]), said + MARGIN * float(rated[at]))
    return np.where(ground.assets.generates, could, 0.0)


def hidden(ground: Ground) -> Floats:
    """V: what generators held down by a limit of this collector say that they would give, if somebody took it. Of one
    that does not say so it shows as it is released, for what batteries could still take is room for it."""
    found = np.zeros(ground.net.collectors)
    held = held_down(ground) & ground.seen.fresh & (ground.state.stopped >= 0)
    for at in held.nonzero()[0].tolist():
        if at in ground.aims.by_hand or at in ground.aims.advised:
            continue
        sample = ground.seen.samples[at]
        said = sample.available_power_w if sample is not None else None
        more = said + float(ground.state.power_w[:, at].sum()) if said is not None else 0.0
        found[ground.state.stopped[at]] += max(0.0, more)
    return found


def curtail(plan: Plan) -> None:
    """After all others are planned."""
    ground = plan.ground
    assets = ground.assets
    if not assets.generates.any():
        return
    most, by_whom = bounds(ground)
    could = np.minimum(could_give(ground), most)
    room = _room(plan)
    ground.state.stopped[assets.generates] = -1
    for group in (assets.is_renewable, assets.is_chp):
        if not group.any():
            continue
        level, row = fill(assets.share, room, assets.most_out_w, np.where(group, could, 0.0))
        for at in group.nonzero()[0].tolist():
            _set(plan, at, min(float(most[at]), float(level[at] * assets.most_out_w[at])), int(row[at]), by_whom[at])
        room = room - np.where(group, np.minimum(-plan.want_w, could), 0.0) @ assets.share


def _room(plan: Plan) -> Floats:
    """What generators may give together: limits, what is surely drawn, and what will be as soon as there is more."""
    ground = plan.ground
    expected = plan.expected_w()
    taken = np.where(ground.blind, np.minimum(expected, 0.0), expected)
    limit = ground.limit_out_w.copy()
    for collector, power_w in plan.target_out_w.items():
        row = ground.index(collector)
        limit[row] = min(limit[row], -power_w)
    return limit + ground.bare_low_w + ground.drawn_w + (taken + plan.spare_w) @ ground.assets.share


def _set(plan: Plan, at: int, magnitude: float, row: int, by_whom: Reason | None) -> None:
    """What it may give, with times and release."""
    ground, rated = plan.ground, float(plan.ground.assets.most_out_w[at])
    why = by_whom or because(ReasonCode.DEVICE, rated)
    last = -float(ground.state.told_w[at])
    if row >= 0 and magnitude < rated:
        why = _row_reason(plan, row)
        ground.state.stopped[at] = row % ground.net.collectors
    if magnitude > last:
        held = bool(ground.old[at] or ground.blind[at] or ground.holes[at]) or not ground.seen.fresh[at]
        released = last if held else _released(ground, at, last)
        if released < magnitude:
            magnitude = released
            why = _held_because(ground, at) if held else because(ReasonCode.RELEASE)
    plan.set(at, -magnitude, why)
    if isinstance(ground.assets.files[at], Chp):
        _switch(plan, at)


def _released(ground: Ground, at: int, last: float) -> float:
    """One step on; what has a smallest power begins with it."""
    file = ground.assets.files[at]
    least = file.min_power_w if isinstance(file, Chp) else 0.0
    return max(least, last + float(ground.assets.release_w_per_s[at]) * ground.since_ms / 1000.0)


def _held_because(ground: Ground, at: int) -> Reason:
    if not ground.seen.fresh[at]:
        return because(ReasonCode.UNREACHABLE)
    return because(ReasonCode.STALE if ground.old[at] or ground.blind[at] else ReasonCode.STARTING)


def _row_reason(plan: Plan, row: int) -> Reason:
    channel, collector = divmod(row, plan.ground.net.collectors)
    target_w = plan.target_out_w.get(collector)
    if channel == POWER and target_w is not None and -target_w <= plan.ground.limit_out_w[row]:
        name = plan.ground.net.site.collectors[collector].id
        source = plan.ground.aims.targets[collector][1]
        return because(ReasonCode.TARGET, target_w, collector=name, source=source)
    return plan.ground.reason_out(row)


def _switch(plan: Plan, at: int) -> None:
    """CHP: smallest power and minimum times; a minimum on time ends where a limit would be exceeded by it."""
    ground, file = plan.ground, plan.ground.assets.files[at]
    assert isinstance(file, Chp)  # noqa: S101 - the caller has looked
    magnitude, last = -float(plan.want_w[at]), -float(ground.state.told_w[at])
    lasted_s = (ground.now_ms - int(ground.state.switched_ms[at])) / 1000.0
    begun = ground.state.switched_ms[at] > 0
    if magnitude < file.min_power_w:
        plan.want_w[at] = magnitude = 0.0
    hard = plan.why[at].code in _HARD
    if magnitude == 0.0 and last > 0.0 and begun and lasted_s < file.min_on_s and not hard:
        plan.set(at, -file.min_power_w, because(ReasonCode.MINIMUM_ON))
    elif magnitude > 0.0 and last == 0.0 and begun and lasted_s < file.min_off_s:
        plan.set(at, 0.0, because(ReasonCode.MINIMUM_OFF))
