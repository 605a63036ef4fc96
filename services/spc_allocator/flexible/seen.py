"""What assets that are set in W do, and what is left of a background once they are taken off it.

A meter and an asset are not read at one instant. An asset may have done anything between its last two samples, and what
it was told since; so what is left lies in an interval, and of that the value is taken that is nearest to the last one:
**nothing else is said to have changed than what an asset cannot have done**. An asset that ramps is no load of others,
and a load of others that an asset cannot explain counts in the same cycle.

Silent: it may still do what it did last, or nothing. What cannot be (an absurd power, no number) counts as silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from spc_allocator.booking import VERIFY_MS
from spc_allocator.inputs import NEVER_MS

if TYPE_CHECKING:
    from busbar.events import AssetSample, SiteSnapshot
    from spc_allocator.flexible.assets import Assets
    from spc_allocator.flexible.state import FlexState
    from spc_allocator.inputs import Observed
    from spc_allocator.rows import Bools, Floats, Network

SAME_SAMPLE_MS: Final = 5
PLAUSIBLE_RATIO: Final = 1.5
AT_LIMIT: Final = 0.05
"""A generator within so much of its rating of its limit is held down by it."""
DISOBEYS: Final = 0.1
"""Of its rating: so far from its setpoint after its reaction time a battery does not do what it is told."""


@dataclass(slots=True)
class Seen:
    """The assets of one snapshot, by asset."""

    samples: tuple[AssetSample | None, ...]
    fresh: Bools
    """Answers, and its values are younger than three polls."""
    low_w: Floats
    """3 x A: between these it may be now."""
    high_w: Floats
    obedient: Bools
    """Does what it was told, or has not had the time to."""


def see(assets: Assets, state: FlexState, snapshot: SiteSnapshot, age_ms: int, now_ms: int) -> Seen:
    """Take the samples into `state`."""
    known = {sample.asset: sample for sample in snapshot.assets}
    samples = tuple([known.get(name) for name in assets.ids])
    fresh = np.zeros(assets.count, dtype=bool)
    for at, sample in enumerate(samples):
        if sample is None or sample.age_ms >= NEVER_MS // 1000:
            continue
        powers = np.array(sample.power_w, dtype=float)
        most_w = PLAUSIBLE_RATIO * max(assets.most_in_w[at], assets.most_out_w[at])
        if not abs(powers).sum() <= most_w:  # also where it is no number
            continue
        own_ms = now_ms - sample.age_ms - age_ms
        if own_ms > state.sampled_ms[at] + SAME_SAMPLE_MS:
            state.past_w[:, at] = state.power_w[:, at] if state.sampled_ms[at] else powers
            state.power_w[:, at], state.sampled_ms[at] = powers, own_ms
        fresh[at] = sample.reachable and now_ms - int(state.sampled_ms[at]) <= assets.stale_ms[at]
        if fresh[at] and not state.adopted[at]:
            _adopt(assets, state, at, sample)
    low_w, high_w = _between(assets, state, fresh, now_ms)
    late = state.sampled_ms > state.changed_ms + assets.reaction_ms + VERIFY_MS
    off_w = np.abs(state.power_w.sum(axis=0) - state.told_w)
    far = off_w > DISOBEYS * np.maximum(assets.most_in_w, assets.most_out_w)
    return Seen(samples, fresh, low_w, high_w, ~(late & far) & fresh)


def _adopt(assets: Assets, state: FlexState, at: int, sample: AssetSample) -> None:
    """After a start the setpoint in force is what we last told; where it cannot be read, what it does; a generator
    without a limit that can be read is free."""
    state.adopted[at] = True
    if sample.setpoint_w is not None:
        told_w = sample.setpoint_w
    elif state.changed_ms[at] or assets.generates[at]:
        return
    else:
        told_w = float(state.power_w[:, at].sum())
    state.told_w[at] = min(max(told_w, -assets.most_out_w[at]), assets.most_in_w[at])
    state.on[at] = bool(state.told_w[at])


def _between(assets: Assets, state: FlexState, fresh: Bools, now_ms: int) -> tuple[Floats, Floats]:
    """3 x A: least and most that each may draw now on each conductor."""
    power, past = state.power_w, state.past_w
    low, high = np.minimum(power, past), np.maximum(power, past)
    total, rated = power.sum(axis=0), np.maximum(assets.most_in_w, assets.most_out_w)
    moving = state.sampled_ms <= state.changed_ms + assets.reaction_ms + VERIFY_MS
    held_down = assets.generates & (np.abs(total) >= np.abs(state.before_w) - AT_LIMIT * rated)
    above = np.abs(total) > np.abs(state.told_w)
    raised = state.told_w > state.before_w
    follows = moving & (assets.is_battery | held_down | above | (assets.is_heat & raised))
    told = assets.wired * state.told_w
    low = np.where(follows, np.minimum(low, told), low)
    high = np.where(follows, np.maximum(high, told), high)
    unseen = moving & assets.is_battery & (state.sampled_ms <= state.changed_ms)
    before = assets.wired * state.before_w
    low = np.where(unseen, np.minimum(low, before), low)
    high = np.where(unseen, np.maximum(high, before), high)
    return np.where(fresh, low, np.minimum(low, 0.0)), np.where(fresh, high, np.maximum(high, 0.0))


def take_off(net: Network, state: FlexState, obs: Observed, seen: Seen, now_ms: int) -> None:
    """What is left of each background, into `state`; where there is no valid monitoring nothing is known."""
    assets, background = net.assets, obs.background_w
    state.known &= obs.valid
    for name, mask in (
        ("loads_w", assets.is_battery), ("rest_w", ~assets.generates), ("bare_w", np.ones(assets.count, dtype=bool))
    ):  # fmt: skip
        under = assets.under * mask[:, None]
        newest = background - state.power_w @ under
        kept = np.where(state.known, getattr(state, name), newest)
        least, most = background - seen.high_w @ under, background - seen.low_w @ under
        setattr(state, name, np.minimum(np.maximum(kept, least), most))
    state.known = obs.valid.copy()
    table = np.concatenate((state.rest_w, -state.bare_w))
    table[:, ~obs.valid] = -np.inf
    state.window = state.window.pushed(now_ms, table.ravel())
