"""What is booked for a connector (algorithms.md, What is booked).

Booked = max(effective setpoint, measured). The **effective** setpoint is the highest that may still be in force: the
new one, or the last one until its decrease is confirmed. Confirmed: a sample taken after the decrease shows the limit
at or below the setpoint, *and* the vehicle draws at most 1 A more than it (or has had the device's reaction time plus
verification). Where the limit cannot be read back the reaction time takes its place. What is never confirmed stays
booked, and a device that shows a limit above its setpoint is booked at that limit. One that forbids 0 is booked with
what pauses it (SPC-11).

Two sums follow from it, and both must hold:

- **what will be**: setpoints, plus what does not obey. A connector that draws more than its effective setpoint counts
  with what it draws, one that has not confirmed a decrease in time with what it may still take. This decides cuts and
  pauses; a decrease under way counts as done, or every cycle would cut again what is being cut already.
- **what may be now**: the largest of setpoint, effective setpoint and measured. This decides raises and starts, so
  that nobody is given an ampere that another has not yet let go.

Unreachable: as before until the watchdog time has passed, then the higher of that and its verified fallback for the
reaction time, then the fallback; without a verified watchdog the connector's maximum. Never heard of since the start:
the fallback plan takes the place of "as before".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from spc_allocator.inputs import Observed
from spc_allocator.rows import EPS, Bools, Floats, Network, some
from spc_allocator.state import AllocatorState

VERIFY_MS: Final = 2000
READ_BACK_A: Final = 0.5
UNCONTROLLABLE_MS: Final = 10_000


@dataclass(slots=True)
class Booked:
    """Amperes per slot."""

    stubborn_a: Floats
    """Counts whatever the setpoint: drawn above it, or not let go in time."""
    held_a: Floats
    """May be drawn now."""
    lost_a: Floats
    """Of connectors that do not answer."""


def book(net: Network, state: AllocatorState, obs: Observed, top: Floats, now_ms: int) -> Booked:
    """Confirm decreases, then say what each connector counts for. `top`: the largest phase measured."""
    setpoint, read_back = state.setpoint_a, state.setpoint_a + READ_BACK_A
    above = obs.limit_a > read_back  # false where it was not read, as every comparison with nan
    lost = obs.who.lost
    if not obs.who.any_lost and not some((state.effective_a > setpoint) | above):
        effective = setpoint  # nothing is left to be confirmed
        if not some(top > setpoint + EPS):
            return _obedient(net, state, obs, top)
        late = now_ms - state.lowered_at_ms > net.devices.reaction_ms + VERIFY_MS
        stuck = state.kept.fixed.none
    else:
        present = obs.who.present
        late = now_ms - state.lowered_at_ms > net.devices.reaction_ms + VERIFY_MS
        newer = state.sampled_at_ms > state.lowered_at_ms
        shown, unread = obs.limit_a <= read_back, np.isnan(obs.limit_a)
        confirmed = newer & (shown | (unread & late)) & (late | (top <= setpoint + net.devices.obeys_a))
        effective = np.where(confirmed | ~present, setpoint, np.maximum(state.effective_a, setpoint))
        effective = np.where(above & newer & late & present, np.fmin(obs.limit_a, net.devices.max_a), effective)
        if obs.who.any_lost:
            effective = np.where(lost, np.maximum(state.effective_a, setpoint), effective)
        stuck = late & present & (effective > setpoint + EPS)
    state.effective_a = effective
    slack = np.where(late, EPS, net.devices.obeys_a)  # what is still coming down is not held against anybody
    stubborn = np.where(top > effective + slack, top, np.where(stuck, effective, 0.0))
    _label(state, obs.who.present & (top > effective + net.devices.obeys_a), stuck, now_ms)
    if net.pauses:
        stubborn = np.maximum(stubborn, net.devices.pause_a)
    return Booked(
        np.where(obs.who.present, stubborn, 0.0), np.maximum(effective, top),
        _lost(net, state, now_ms) if obs.who.any_lost else top,
    )  # fmt: skip


def _obedient(net: Network, state: AllocatorState, obs: Observed, top: Floats) -> Booked:
    """The usual case: every device shows what it was told, and nobody draws more."""
    setpoint = state.effective_a = state.setpoint_a
    if np.count_nonzero(state.over_since_ms):
        state.over_since_ms = np.zeros_like(state.over_since_ms)
    if some(state.uncontrollable):
        state.uncontrollable = state.kept.fixed.none
    stubborn = np.where(obs.who.present, net.devices.pause_a, 0.0) if net.pauses else state.kept.fixed.zeros
    return Booked(stubborn, setpoint, top)


def _label(state: AllocatorState, over: Bools, stuck: Bools, now_ms: int) -> None:
    """Uncontrollable: draws more than its setpoint for more than 10 s, or does not take a decrease."""
    state.over_since_ms = np.where(over, np.where(state.over_since_ms > 0, state.over_since_ms, now_ms), 0)
    state.uncontrollable = (over & (now_ms - state.over_since_ms > UNCONTROLLABLE_MS)) | stuck


def _lost(net: Network, state: AllocatorState, now_ms: int) -> Floats:
    devices = net.devices
    heard = state.sampled_at_ms > 0
    silent_ms = now_ms - np.where(heard, state.sampled_at_ms, state.started_at_ms)
    before = np.where(heard | state.adopted, np.maximum(state.effective_a, state.setpoint_a), devices.plan_a)
    verified = ~np.isnan(state.fallback_a) & ~np.isnan(state.watchdog_s)
    watchdog_ms = np.where(verified, state.watchdog_s * 1000.0, devices.watchdog_ms)
    after = np.where(verified, state.fallback_a, devices.max_a)
    falling = np.where(silent_ms > watchdog_ms, np.maximum(before, after), before)
    booked = np.where(silent_ms > watchdog_ms + devices.reaction_ms, after, falling)
    return np.where(devices.max_when_lost, devices.max_a, booked)
