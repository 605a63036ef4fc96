"""Upper bounds of a connector (SPC-4, FB-2, algorithms.md "Bounds of a connector").

The lowest of these, never below the minimum; they stand before the sharing, so that what one cannot take the others
get in the same cycle:

| bound | rule |
|---|---|
| guard | the proportional cut of this cycle |
| fallback | lowest of the fallback events and of the policies of collectors above without valid monitoring |
| stale | nothing rises where an input is older than 3 s, a status unknown, or the 15 s window has a hole |
| manual, advice | see `steering`; by hand there is no ramp, cap or vehicle's maximum |
| surplus | 0: in mode `only`, and there is none (`surplus`) |
| ramp | 6 A at the start, 1 A more each 60 s since current flows; after a decrease on from the lower value |
| cap | 5 A above the largest measured current of 60 s, at least 6 A |
| vehicle | 1 A above the most it ever drew, once that is known |
| cable | 1 A above the limit that the device itself keeps although it was told more |
| device | the connector's maximum |

DC connectors have a start power in place of 6 A, a cap of their own and no ramp (`dc`).

A vehicle that is being woken may have 8 A whatever ramp and cap say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np

from busbar.units import MIN_CURRENT_A
from spc_allocator import dc
from spc_allocator.booking import READ_BACK_A, VERIFY_MS
from spc_allocator.inputs import Inputs, Observed
from spc_allocator.limits import COVERED_MS
from spc_allocator.rows import EPS, Bools, Devices, Floats, Ints, Network, slots_of, some
from spc_allocator.state import AllocatorState
from spc_allocator.steering import Steered
from spc_allocator.waking import WAKE_A, being_woken

_NOISE_A: Final = 0.3
"""A vehicle that drew 16.2 A is a 16 A one."""


class Bound(IntEnum):
    """In order of precedence where several are equal: the ramp last, for until it is due it equals all of them."""

    GUARD = 0
    FALLBACK = 1
    STALE = 2
    MANUAL = 3
    ADVICE = 4
    SURPLUS = 5
    DEVICE = 6
    CABLE = 7
    VEHICLE = 8
    CAP = 9
    RAMP = 10


_GUARD, _FALLBACK, _STALE, _MANUAL, _ADVICE, _SURPLUS, _DEVICE, _CABLE, _VEHICLE, _CAP, _RAMP = range(11)
"""The rows of the table: plain integers, for an enum as an index costs more than the row."""
MAY_PAUSE: Final = (_FALLBACK, _MANUAL, _ADVICE, _SURPLUS, _DEVICE)
"""One of these below the minimum switches off; all others bound no lower than the minimum."""


@dataclass(slots=True)
class Bounds:
    """What every rule allows each slot, and what it comes to together."""

    devices: Devices
    table: Floats
    """Bound x n: every rule's own bound, in the order of `Bound`; inf where it does not hold."""
    may_raise: Bools
    starting: Bools
    """May not rise only because the allocator or a collector's monitoring has just begun."""
    fallback_source: dict[int, dict[str, float]]
    """slot -> whose fallbacks bound it, and at what."""
    steered: Steered | None
    dark: Bools | None
    """Off for want of surplus."""
    high_a: Floats = field(init=False)
    """Upper bound of each slot in whole steps."""
    which: Ints = field(init=False)
    """Which rule it is."""
    able: Bools = field(init=False)
    """No bound that may pause is below the minimum."""

    def __post_init__(self) -> None:
        table, devices = self.table, self.devices
        able = np.minimum.reduce(table[list(MAY_PAUSE)])
        self.able = (devices.whole(able + EPS) >= devices.minimum_a - EPS) | devices.must_run
        high = np.minimum.reduce(table)
        high += EPS
        self.high_a = np.maximum(devices.whole(high), devices.minimum_a)
        self.which = table.argmin(axis=0)


def bounds(
    net: Network, state: AllocatorState, obs: Observed, inputs: Inputs, *, guard_a: Floats | None,
    steered: Steered | None, dark: Bools | None, now_ms: int,
) -> Bounds:  # fmt: skip
    options, devices, setpoint = net.site.options, net.devices, state.setpoint_a
    table = np.empty((len(Bound), net.count))
    table.fill(np.inf)
    may_raise, starting = _may_raise(net, state, obs, now_ms)
    sources = _fallbacks(net, obs, inputs, table[_FALLBACK])
    if guard_a is not None:
        table[_GUARD] = guard_a
    if some(obs.who.present > may_raise):
        table[_STALE] = np.where(may_raise, np.inf, np.maximum(setpoint, MIN_CURRENT_A))
    due = now_ms - state.anchor_ms >= 60_000.0 / options.ramp_a_per_min
    due &= state.flowing
    np.maximum(setpoint + due, MIN_CURRENT_A, out=table[_RAMP])
    np.maximum(state.cap_window.top + options.cap_above_measured_a, MIN_CURRENT_A, out=table[_CAP])
    if some(state.maximum_known):
        most = np.ceil(state.highest_a - _NOISE_A) + 1.0
        table[_VEHICLE] = np.where(state.maximum_known, np.maximum(most, MIN_CURRENT_A), np.inf)
    if net.dc is not None:
        dc.bound(net.dc, state, ramp_a=table[_RAMP], cap_a=table[_CAP], vehicle_a=table[_VEHICLE])
    _kept_by_device(net, state, obs, table[_CABLE])
    table[_DEVICE] = devices.max_a
    if np.count_nonzero(state.wake_tries):
        waking = being_woken(state)
        for bound in (_RAMP, _CAP, _CABLE):
            table[bound, waking] = np.maximum(table[bound, waking], WAKE_A)
    if steered is not None:
        table[_MANUAL], table[_ADVICE] = steered.manual_a, steered.advice_a
        for bound in (_VEHICLE, _CAP, _RAMP):
            table[bound, steered.by_hand] = np.inf
    if dark is not None:
        table[_SURPLUS, dark] = 0.0
    return Bounds(devices, table, may_raise, starting, sources, steered, dark)


def _may_raise(net: Network, state: AllocatorState, obs: Observed, now_ms: int) -> tuple[Bools, Bools]:
    """Who may rise, for its inputs are young enough and the windows without a hole; and who may not only because of a
    hole."""
    fixed, fresh = state.kept.fixed, obs.fresh & obs.who.active
    old = obs.collector_age_ms > fixed.fresh_ms
    holes = state.covered_since_ms > now_ms - COVERED_MS
    if not some(old | holes):
        return fresh, fixed.none
    works_on = ~obs.valid & np.isinf(net.on_lost_a)
    old &= ~works_on
    if some(old):
        fresh &= ~net.under[old].any(axis=0)
    holes &= fixed.matters & ~works_on & obs.valid
    if not some(holes):
        return fresh, fixed.none
    covered = ~net.under[holes].any(axis=0)
    return fresh & covered, fresh & ~covered


def _fallbacks(net: Network, obs: Observed, inputs: Inputs, into: Floats) -> dict[int, dict[str, float]]:
    """Write the lowest fallback bound of each slot; returns everybody's."""
    source: dict[int, dict[str, float]] = {}
    for event in inputs.fallbacks:
        for asset in event.assets if event.active else ():
            slot = net.slot.get(asset)
            if slot is not None:
                into[slot] = min(into[slot], event.max_current_a)
                _note(source, slot, event.entity, event.max_current_a)
    if not obs.all_valid:
        for index in slots_of(~obs.valid & net.protected):
            bound, name = float(net.on_lost_a[index]), net.site.collectors[index].id
            for slot in range(int(net.begin[index]), int(net.end[index])):
                into[slot] = min(into[slot], bound)
                _note(source, slot, name, bound)
    return source


def _note(source: dict[int, dict[str, float]], slot: int, name: str, bound_a: float) -> None:
    known = source.setdefault(slot, {})
    known[name] = min(known.get(name, np.inf), bound_a)


def _kept_by_device(net: Network, state: AllocatorState, obs: Observed, bound: Floats) -> None:
    """A cable or the device's own limit: it was told more long ago and still keeps to less; one step above, to notice
    when that ends."""
    less = obs.limit_a < state.setpoint_a - READ_BACK_A  # false where it was not read
    if some(less):
        keeps = less & (state.sampled_at_ms > state.changed_at_ms + net.devices.reaction_ms + VERIFY_MS)
        bound[keeps] = np.floor(obs.limit_a[keeps] + EPS) + 1.0
