"""Upper bounds of a connector (SPC-4, FB-2, algorithms.md "Bounds of a connector").

The lowest of these, never below the minimum; they stand before the sharing, so that what one cannot take the others
get in the same cycle:

| bound | rule |
|---|---|
| guard | the proportional cut of this cycle |
| fallback | lowest of the fallback events and of the policies of collectors above without valid monitoring |
| stale | nothing rises where an input is older than 3 s, a status unknown, or the 15 s window has a hole |
| ramp | 6 A at the start, 1 A more each 60 s since current flows; after a decrease on from the lower value |
| cap | 5 A above the largest measured current of 60 s, at least 6 A |
| vehicle | 1 A above the most it ever drew, once that is known |
| cable | 1 A above the limit that the device itself keeps although it was told more |
| device | the connector's maximum |

A vehicle that is being woken may have 8 A whatever ramp and cap say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from busbar.units import MIN_CURRENT_A
from spc_allocator.admission import WAKE_A
from spc_allocator.booking import READ_BACK_A, VERIFY_MS
from spc_allocator.inputs import ACTIVE, Inputs, Observed
from spc_allocator.learning import FRESH_MS
from spc_allocator.limits import COVERED_MS
from spc_allocator.rows import EPS, Bools, Floats, Ints, Network, slots_of, some
from spc_allocator.state import AllocatorState

_NOISE_A: Final = 0.3
"""A vehicle that drew 16.2 A is a 16 A one."""


class Bound(IntEnum):
    """In order of precedence where several are equal: the ramp last, for until it is due it equals all of them."""

    GUARD = 0
    FALLBACK = 1
    STALE = 2
    DEVICE = 3
    CABLE = 4
    VEHICLE = 5
    CAP = 6
    RAMP = 7


@dataclass(slots=True)
class Bounds:
    """Upper bound of each slot in whole steps, and which rule it is."""

    high_a: Floats
    which: Ints
    able: Bools
    """No bound forbids the minimum."""
    may_raise: Bools
    starting: Bools
    """May not rise only because the allocator or a collector's monitoring has just begun."""
    fallback_source: dict[int, str]


def bounds(
    net: Network, state: AllocatorState, obs: Observed, inputs: Inputs, *, guard_a: Floats | None, now_ms: int
) -> Bounds:
    n, options = net.count, net.site.options
    table = np.full((8, n), np.inf)
    setpoint = state.setpoint_a
    fresh, covered = _may_raise(net, state, obs, now_ms)
    may_raise = fresh & covered
    sources = _fallbacks(net, obs, inputs, table[Bound.FALLBACK])
    if guard_a is not None:
        table[Bound.GUARD] = guard_a
    if some(~may_raise):
        table[Bound.STALE] = np.where(may_raise, np.inf, np.maximum(setpoint, MIN_CURRENT_A))
    interval_ms = 60_000.0 / options.ramp_a_per_min
    due = state.flowing & (now_ms - state.anchor_ms >= interval_ms)
    table[Bound.RAMP] = np.maximum(setpoint + due, MIN_CURRENT_A)
    cap = np.maximum(state.cap_window.maximum() + options.cap_above_measured_a, MIN_CURRENT_A)
    table[Bound.CAP] = cap
    if some(state.maximum_known):
        most = np.ceil(state.highest_a - _NOISE_A) + 1.0
        table[Bound.VEHICLE] = np.where(state.maximum_known, np.maximum(most, MIN_CURRENT_A), np.inf)
    table[Bound.CABLE] = _kept_by_device(net, state, obs)
    table[Bound.DEVICE] = net.devices.max_a
    waking = state.on & (state.wake_tries == 1)
    if some(waking):
        for bound in (Bound.RAMP, Bound.CAP, Bound.CABLE):
            table[bound, waking] = np.maximum(table[bound, waking], WAKE_A)
    which = table.argmin(axis=0)
    high = np.floor(np.minimum.reduce(table) + EPS)
    able = np.floor(np.minimum(table[Bound.FALLBACK], net.devices.max_a) + EPS) >= net.devices.minimum_a
    able |= net.devices.must_run
    return Bounds(np.maximum(high, net.devices.minimum_a), which, able, may_raise, fresh & ~covered, sources)


def _may_raise(net: Network, state: AllocatorState, obs: Observed, now_ms: int) -> tuple[Bools, Bools]:
    """Inputs young enough; windows without a hole."""
    works_on = ~obs.valid & np.isinf(net.on_lost_a)
    matters = (net.protected | np.isfinite(net.power_limit_w)) & ~works_on
    old = (obs.collector_age_ms > net.fresh_ms) & matters
    fresh = (obs.age_ms <= FRESH_MS) & (obs.kind == ACTIVE)
    if some(old):
        fresh &= ~net.under[old].any(axis=0)
    holes = (now_ms - state.covered_since_ms < COVERED_MS) & obs.valid & matters
    covered = np.ones(net.count, dtype=bool)
    if some(holes):
        covered = ~net.under[holes].any(axis=0)
    return fresh, covered


def _fallbacks(net: Network, obs: Observed, inputs: Inputs, lowest: Floats) -> dict[int, str]:
    """Write the lowest fallback bound of each slot into `lowest`; returns whose it is."""
    source: dict[int, str] = {}
    for event in inputs.fallbacks:
        for asset in event.assets if event.active else ():
            slot = net.slot.get(asset)
            if slot is not None and event.max_current_a < lowest[slot]:
                lowest[slot], source[slot] = event.max_current_a, event.entity
    if some(~obs.valid):
        for index in slots_of(~obs.valid & net.protected):
            bound = net.on_lost_a[index]
            for slot in range(int(net.begin[index]), int(net.end[index])):
                if bound < lowest[slot]:
                    lowest[slot], source[slot] = bound, net.site.collectors[index].id
    return source


def _kept_by_device(net: Network, state: AllocatorState, obs: Observed) -> Floats:
    """A cable or the device's own limit: it was told more long ago and still keeps to less; one step above, to notice
    when that ends."""
    told_ms = state.changed_at_ms + net.devices.reaction_ms + VERIFY_MS
    with np.errstate(invalid="ignore"):
        keeps = (obs.limit_a < state.setpoint_a - READ_BACK_A) & (state.sampled_at_ms > told_ms)
    return np.where(keeps, np.floor(obs.limit_a + EPS) + 1.0, np.inf)
