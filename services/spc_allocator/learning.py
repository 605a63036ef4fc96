"""What the measured currents teach (SPC-18, FB-5, algorithms.md "What is booked" and "Bounds").

- **Phases.** Current above 1 A for 10 s: the vehicle uses the conductor; that narrows its fairness weight at once. A
  conductor on which nothing was seen in 3 minutes of charging (setpoint 6 A or more, never while suspended or drawing
  less than 2 A) is no longer booked; any current above 1 A books it again in the same cycle.
- **Vehicle's maximum.** What it drew most, known once it has drawn less than it might for 3 minutes.
- **One implausible sample** (negative, or above 1.25 x the connector's maximum) is passed over, two are not.
- **Flow.** The ramp counts from the moment current flows.
- **After a start** the limit that the device has in force is taken over as our own last setpoint: nothing moves.
- Everything of a vehicle is forgotten when it leaves or the session has another id.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from busbar.units import MIN_CURRENT_A, NOMINAL_VOLTAGE_V
from spc_allocator.inputs import Observed
from spc_allocator.kept import every
from spc_allocator.rows import EPS, Bools, Floats, Network, slots_of, some
from spc_allocator.state import AllocatorState
from spc_allocator.waking import ASLEEP

SEEN_MS: Final = 10_000
UNSEEN_MS: Final = 180_000
LEARN_FROM_A: Final = 2.0
UNBOUND_A: Final = 1.5
UNBOUND_MS: Final = 180_000
PLAUSIBLE_RATIO: Final = 1.25
_VOLTAGE_EVERY_MS: Final = 5000
_PLAUSIBLE_V: Final = (180.0, 270.0)
_ADOPTED: Final = (
    "adopted", "anchor_ms", "changed_at_ms", "setpoint_a", "effective_a", "paused_at_ms", "on", "started", "present",
)  # fmt: skip


def adopt(net: Network, state: AllocatorState, obs: Observed, now_ms: int) -> None:
    """Connectors heard of for the first time since the start: what they do is what we last told them."""
    new = obs.who.heard > state.adopted
    if not some(new):
        return
    for name in _ADOPTED:
        state.own(name)
    devices = net.devices
    shown = devices.whole(np.fmin(obs.limit_a, net.devices.max_a) + 1e-3)
    for slot in slots_of(new):
        state.adopted[slot] = True
        limit = obs.limit_a[slot]
        known = state.setpoint_a[slot] if state.changed_at_ms[slot] else devices.plan_a[slot]
        applied = float(known if np.isnan(limit) else shown[slot])
        applied = applied if applied >= devices.minimum_a[slot] - EPS else float(devices.pause_a[slot])
        if applied != state.setpoint_a[slot] or not state.changed_at_ms[slot]:
            state.anchor_ms[slot] = now_ms
            state.changed_at_ms[slot] = now_ms
        state.setpoint_a[slot] = applied
        state.effective_a[slot] = applied if np.isnan(limit) else max(applied, limit)
        _adopt_admission(state, slot, bool(obs.who.present[slot]), float(devices.minimum_a[slot]) - EPS, now_ms)


def _adopt_admission(state: AllocatorState, slot: int, active: bool, least_a: float, now_ms: int) -> None:
    charging = active and state.setpoint_a[slot] >= least_a
    if state.on[slot] and not charging:
        state.paused_at_ms[slot] = now_ms
    state.on[slot] = charging
    state.started[slot] |= charging
    state.present[slot] |= active


def follow_sessions(state: AllocatorState, obs: Observed) -> None:
    """Forget vehicles that left."""
    gone = state.present & obs.who.left
    if some(gone) or obs.sessions != state.sessions:
        sessions = list(state.sessions)
        for slot in slots_of(gone):
            sessions[slot] = None
        for slot, (old, new) in enumerate(zip(sessions, obs.sessions, strict=True)):
            if new is not None and new != old:
                gone[slot] |= old is not None
                sessions[slot] = new
        if some(gone):
            state.forget_vehicles(gone)
        state.sessions = tuple(sessions)
    state.present = state.present | obs.who.present


def take_currents(net: Network, state: AllocatorState, obs: Observed, now_ms: int) -> Floats:
    """The newest plausible current of each connector, and the voltages. Returns the largest phase of each."""
    who, top = obs.who, largest(obs.current_a)
    credible = top <= net.devices.max_a * PLAUSIBLE_RATIO
    credible &= np.minimum.reduce(obs.current_a) >= 0.0
    sampled_at_ms = now_ms - obs.age_ms
    if not who.any_lost and every(credible):
        state.current_a, state.sampled_at_ms = obs.current_a, sampled_at_ms
        state.fallback_a, state.watchdog_s = obs.fallback_a, obs.watchdog_s
        if some(state.implausible):
            state.implausible = ~credible
    else:
        state.current_a = np.where(who.heard & (credible | state.implausible), obs.current_a, state.current_a)
        state.implausible = who.heard & ~credible
        state.sampled_at_ms = np.where(who.heard, sampled_at_ms, state.sampled_at_ms)
        state.fallback_a = np.where(who.heard, obs.fallback_a, state.fallback_a)
        state.watchdog_s = np.where(who.heard, obs.watchdog_s, state.watchdog_s)
        top = largest(state.current_a)
    state.cap_window = state.cap_window.pushed(now_ms, top)
    if now_ms - state.voltage_at_ms >= _VOLTAGE_EVERY_MS:
        state.voltage_at_ms = now_ms
        _take_voltage(state, obs)
    return top


def _take_voltage(state: AllocatorState, obs: Observed) -> None:
    """Mean of what fresh connectors measure on each conductor; 230 V where none does."""
    low, high = _PLAUSIBLE_V
    measured = np.array([sample.voltage_v for sample in obs.samples], dtype=float).reshape(-1, 3).T
    good = (measured > low) & (measured < high) & obs.who.heard & obs.fresh
    count = good.sum(axis=1)
    total = np.where(good, measured, 0.0).sum(axis=1)
    state.voltage_v = np.where(count > 0, total / np.maximum(count, 1), NOMINAL_VOLTAGE_V)


def learn(net: Network, state: AllocatorState, obs: Observed, top: Floats, now_ms: int) -> None:
    """Phases, the vehicle's maximum and the flow of current, from samples that are fresh; `top`: largest phase."""
    dt_ms = min(max(now_ms - state.now_ms, 0), 2 * net.site.options.cycle_ms)
    setpoint, fresh = state.setpoint_a, obs.fresh & obs.who.present
    above = state.current_a > net.devices.flows_a
    above &= fresh
    state.above_ms = (state.above_ms + dt_ms) * above
    state.seen = state.seen | (state.above_ms >= SEEN_MS)
    charging = obs.who.charging & fresh
    charging &= top >= LEARN_FROM_A
    charging &= setpoint >= MIN_CURRENT_A
    state.unseen_ms = np.where(above, 0, state.unseen_ms + dt_ms * charging)
    state.highest_a = np.maximum(state.highest_a, top * fresh)
    charging &= setpoint - top >= UNBOUND_A
    state.unbound_ms = (state.unbound_ms + dt_ms) * charging
    state.maximum_known = state.maximum_known | (state.unbound_ms >= UNBOUND_MS)
    flowing = above[0] | above[1]
    flowing |= above[2]
    started = flowing > state.flowing
    if some(started):
        state.anchor_ms = np.where(started, now_ms, state.anchor_ms)
    state.flowing = flowing | ((state.flowing & state.present) > fresh)
    if np.count_nonzero(state.wake_tries):
        state.wake_tries = np.where(flowing & (state.wake_tries < ASLEEP), 0, state.wake_tries)
    if np.count_nonzero(state.resumed_at_ms):
        state.resumed_at_ms = np.where(flowing, 0, state.resumed_at_ms)


def booked_phases(net: Network, state: AllocatorState) -> Bools:
    """3 x n: conductors on which a connector's setpoint is booked."""
    booked: Bools = net.devices.wired & (state.unseen_ms < UNSEEN_MS)
    if net.switchable is None or state.phases is None:
        return booked
    return state.phases.narrowed(net.devices.wired, booked, net.switchable.first, state.current_a)


def fair_phases(booked: Bools, state: AllocatorState) -> Bools:
    """3 x n: conductors that count for equal power: those seen, or until one was, all that are booked."""
    used = state.seen & booked
    return np.where(used[0] | used[1] | used[2], used, booked)


def maximum_power_w(net: Network, state: AllocatorState, fair_v: Floats) -> Floats:
    """Of each vehicle: what it drew most, once known, else the connector's limit; x the phases seen."""
    current: Floats = np.where(state.maximum_known, state.highest_a, net.devices.max_a)
    power: Floats = current * fair_v
    return power


def largest(per_phase: Floats) -> Floats:
    """Largest phase of each column."""
    top: Floats = np.maximum(per_phase[0], per_phase[1])
    np.maximum(top, per_phase[2], out=top)
    return top
