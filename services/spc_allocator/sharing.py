"""What a cycle shares within, and steps A to C: who is on, how much, in whole steps (SPC-1 to SPC-4).

A `Frame` is everything that bounds one cycle, made before anything is shared; `share` only takes from it. So the same
cycle can be asked again with one bound less (docs/decisions/0009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from busbar.units import NOMINAL_VOLTAGE_V, THREE_PHASE_V
from spc_allocator import admission, filling, guard, imbalance
from spc_allocator.admission import Admission, Admitted, Candidates
from spc_allocator.booking import Booked
from spc_allocator.bounds import Bounds, bounds
from spc_allocator.certificate import Constraint, violations
from spc_allocator.cycle import Cycle
from spc_allocator.dc import as_flowing
from spc_allocator.filling import Filled
from spc_allocator.flexible.begin import Begun
from spc_allocator.flexible.order import claimed_a
from spc_allocator.inputs import Inputs, Observed
from spc_allocator.kept import Shares, Who
from spc_allocator.learning import booked_phases, fair_phases, maximum_power_w
from spc_allocator.ledger import Room
from spc_allocator.limits import Limits, limits
from spc_allocator.rounding import gate_raises, whole_steps
from spc_allocator.rows import EPS, IMBALANCE, POWER, Bools, Floats, Network, some
from spc_allocator.state import AllocatorState
from spc_allocator.steering import steered
from spc_allocator.surplus import choose, surplus_a, weighted


@dataclass(slots=True)
class Seen:
    """What the cycle starts from."""

    obs: Observed
    booked: Booked
    alert: guard.Guard
    begun: Begun | None
    """Of assets that are no connectors, and of targets."""


@dataclass(slots=True)
class Frame:
    """All that bounds one cycle. `state` is this cycle's own: `share` switches connectors off and on in it."""

    state: AllocatorState
    seen: Seen
    shares: Shares
    limits: Limits
    room: Room
    surplus_a: Floats | None
    """Room in the rows of surplus; None: nobody is in surplus mode."""
    claimed_a: Floats | None
    """By row, what is kept free for kinds that give way after vehicles; None: nothing."""
    other_a: Floats
    """3 x n: booked beside setpoints: lost connectors, currents where nothing is booked."""
    bounds: Bounds
    cut_by: dict[int, dict[int, float]]
    """The guard's cuts: slot -> row -> what it leaves."""
    grid: bool
    """A new quarter of an hour has begun."""
    now_ms: int


@dataclass(slots=True)
class _Shared:
    """What steps A to C came to."""

    admitted: Admitted
    filled: Filled
    wanted_a: Floats


class UnfairError(AssertionError):
    """The certificate found the filling wrong: a bug, never a state of the site."""


def frame(net: Network, state: AllocatorState, seen: Seen, inputs: Inputs, now_ms: int) -> Frame:
    """Rows and bounds of this cycle."""
    obs, shares = seen.obs, _shares(net, state, seen.obs.who)
    other_a = _other(net, state, seen, shares.counted)
    begun = seen.begun
    lim = limits(net, state, obs, begun.limits if begun else inputs.limits)
    if begun and begun.aims.targets:
        begun.narrow(lim, net, shares.load, obs.who.present, _channels(state, shares.load, other_a)[POWER])
    said = steered(net, inputs, shares.fair_v, now_ms, state.trials)
    load, dark, surplus = shares.load, None, None
    if net.regions:
        by_hand = said.by_hand if said is not None else None
        load = weighted(net, load, by_hand)
        surplus = surplus_a(net, state, obs, lim.background_w, load, begun=begun)
        order = admission.order_of_need(net, state, obs.plugged_at_ms)
        dark = choose(net, state, obs, surplus, load=load, by_hand=by_hand, order=order, now_ms=now_ms)
    room = _room(net, state, lim, load=load, other_a=other_a)
    guard_a, cut_by = None, dict[int, dict[int, float]]()
    if seen.alert.collectors:
        on = state.on & obs.who.present
        guard_a, cut_by = guard.cut(seen.alert, room, state.setpoint_a, net.devices.minimum_a, on)
    bnd = bounds(net, state, obs, inputs, guard_a=guard_a, steered=said, dark=dark, now_ms=now_ms)
    grid = _new_quarter(net, state, obs, shares.fair_v, now_ms)
    claimed = claimed_a(net, begun, state.voltage_v) if begun else None
    return Frame(state, seen, shares, lim, room, surplus, claimed, other_a, bnd, cut_by, grid, now_ms)


def share(frame: Frame, *, check: bool = False) -> Cycle:
    """Steps A, B and C. `check`: verify the filling by its certificate; raises UnfairError."""
    state, room, bnd, booked = frame.state, frame.room, frame.bounds, frame.seen.booked
    present = frame.seen.obs.who.present
    shared = (None if frame.grid else _all_at_bound(frame)) or _in_steps(frame)
    to_share = room.to_share(frame.surplus_a, frame.claimed_a)
    if check:
        _verify(to_share, shared.filled, frame.shares.rate, *_range(state, room, bnd, booked.stubborn_a))
    wanted_a, order = shared.wanted_a, shared.admitted.order
    waits: dict[int, int] = {}
    if some(wanted_a > state.setpoint_a + EPS):
        wanted_a, held_a = wanted_a.copy(), np.where(present, booked.held_a, 0.0)
        waits = gate_raises(room, wanted_a, state.setpoint_a, held_a=held_a, may_raise=bnd.may_raise, order=order)
    return Cycle(
        room.net, frame.seen.obs, frame.limits, booked, bnd, shared.admitted, shared.filled, wanted_a, shared.wanted_a,
        state.setpoint_a, state, frame.now_ms, present, room, to_share, frame.other_a, waits, frame.cut_by,
    )  # fmt: skip


def _all_at_bound(frame: Frame) -> _Shared | None:
    """Steps A to C where nobody waits or has to go and all fit in at their upper bounds, the usual case; else None.

    The same as the steps themselves would find: no minimum lacks room, no row stops anybody, bounds are whole steps."""
    state, room, bnd, obs = frame.state, frame.room, frame.bounds, frame.seen.obs
    on, fixed = state.on, state.kept.fixed
    if room.net.site.options.reserve_yields or not fixed.whole_minima or some((obs.who.present & bnd.able) != on):
        return None
    stubborn_a = frame.seen.booked.stubborn_a
    most_a = np.where(on, np.maximum(bnd.high_a, stubborn_a), stubborn_a)
    if some(room.to_share(frame.surplus_a, frame.claimed_a).room_a - room.sums(most_a) < -EPS):
        return None
    if np.count_nonzero(state.fits_since_ms):
        state.fits_since_ms = np.zeros_like(state.fits_since_ms)
    order = admission.order_of_need(room.net, state, obs.plugged_at_ms)
    return _Shared(Admitted(order), Filled(most_a, fixed.level, fixed.row), np.where(on, bnd.high_a, 0.0))


def _in_steps(frame: Frame) -> _Shared:
    """Steps A to C one by one."""
    state, room, bnd, obs = frame.state, frame.room, frame.bounds, frame.seen.obs
    net, rate = room.net, frame.shares.rate
    minimum_a, stubborn_a = net.devices.minimum_a, frame.seen.booked.stubborn_a
    may_start = bnd.may_raise | (state.setpoint_a >= state.kept.fixed.least_a)
    low_a = np.maximum(minimum_a, stubborn_a)
    by_hand = bnd.steered.by_hand if bnd.steered is not None else state.kept.fixed.none
    able = obs.who.present & bnd.able
    who = Candidates(able, may_start, low_a, stubborn_a, obs.plugged_at_ms, obs.who.lost, by_hand)
    admitted = Admission(room, state, who, frame.now_ms, frame.grid).run()
    on = state.on
    if net.site.options.reserve_yields:
        room.room_a = np.maximum(room.room_a, np.minimum(room.keep_a, room.sums(np.where(on, low_a, stubborn_a))))
    room = room.to_share(frame.surplus_a, frame.claimed_a)
    low, high = _range(state, room, bnd, stubborn_a)
    filled = filling.fill_by_priority(
        net.rows, room.load, room.room_a, rate=rate, low_a=low, high_a=high, priority=net.devices.priority,
        classes=net.devices.classes,
    )  # fmt: skip
    fair_a = np.minimum(np.maximum(filled.level * rate, minimum_a), bnd.high_a)
    wanted_a = whole_steps(room, fair_a, bnd.high_a, stubborn_a=stubborn_a, on=on, order=admitted.order)
    return _Shared(admitted, filled, wanted_a)


def _shares(net: Network, state: AllocatorState, who: Who) -> Shares:
    """Loads and rates: the last ones where neither presence, phases nor voltages have changed."""
    phases, kept = booked_phases(net, state), state.kept
    key, last = (phases.tobytes(), state.seen.tobytes(), state.voltage_v.tobytes()), kept.shares
    if last is not None and last.who is who and last.key == key:
        return last
    fair_v, counted = state.voltage_v @ fair_phases(phases, state), phases & who.present
    if net.dc is not None:
        fair_v[net.dc.slots] = THREE_PHASE_V
    load = _load(net, state, counted)
    if net.rows.uneven:
        load = imbalance.with_unbalanced(load, fair_phases(phases, state) & who.present)
    made = Shares(who, key, fair_v, net.devices.weight / fair_v, counted, load)
    kept.shares = made
    return made


def _room(net: Network, state: AllocatorState, lim: Limits, *, load: Floats, other_a: Floats) -> Room:
    room_a = lim.room_a
    if np.count_nonzero(other_a):
        room_a = room_a - net.rows.sums(_channels(state, load, other_a))
    if not net.site.options.reserve_yields:
        return Room(net, load, room_a, room_a, room_a)
    yielding = lim.yielding_a.take(net.rows.collector)
    yielding[net.rows.fuses :] = 0.0
    return Room(net, load, room_a, room_a + yielding, room_a)


def _range(state: AllocatorState, room: Room, bnd: Bounds, stubborn_a: Floats) -> tuple[Floats, Floats]:
    """Least and most that each counts for: those that are off count with what they do not let go."""
    low = np.where(state.on, np.maximum(room.net.devices.minimum_a, stubborn_a), stubborn_a)
    return low, np.where(state.on, np.maximum(bnd.high_a, stubborn_a), stubborn_a)


def _verify(room: Room, filled: Filled, rate: Floats, low_a: Floats, high_a: Floats) -> None:
    """By the certificate, however the filling was found."""
    wrong = violations(
        constraints(room), filled.current_a.tolist(), rate=rate.tolist(), low_a=low_a.tolist(), high_a=high_a.tolist(),
        priority=room.net.devices.priority.tolist(),
    )  # fmt: skip
    if wrong:
        raise UnfairError("; ".join(wrong))


def constraints(room: Room) -> list[Constraint]:
    """The rows once more, from the tree itself: what the certificate judges by."""
    net, rows = room.net, room.net.rows
    made: list[Constraint] = []
    for row, (collector, channel) in enumerate(zip(rows.collector.tolist(), rows.channel.tolist(), strict=True)):
        share = {slot: float(room.load[channel, slot]) for slot in range(net.count) if collector in net.path[slot]}
        made.append(Constraint(f"{net.site.collectors[collector].id}/{channel}", float(room.room_a[row]), share))
    return made


def _load(net: Network, state: AllocatorState, booked: Bools) -> Floats:
    load = np.empty((4, booked.shape[1]))
    load[:POWER] = as_flowing(net, state.voltage_v, booked.astype(float))
    load[POWER] = (state.voltage_v / NOMINAL_VOLTAGE_V) @ load[:POWER]
    return load


def _channels(state: AllocatorState, load: Floats, per_phase_a: Floats) -> Floats:
    """Of what is no setpoint; it has no part in surplus."""
    channels = np.zeros_like(load)
    channels[:POWER] = per_phase_a
    channels[POWER] = (state.voltage_v / NOMINAL_VOLTAGE_V) @ per_phase_a
    if len(load) > IMBALANCE:
        channels[IMBALANCE:] = imbalance.uneven(per_phase_a)
    return channels


def _other(net: Network, state: AllocatorState, seen: Seen, counted: Bools) -> Floats:
    """3 x n: currents where no setpoint is booked, and connectors that do not answer."""
    other = np.where(counted, 0.0, state.current_a)
    if seen.obs.who.any_lost:
        other = np.where(seen.obs.who.lost, np.where(net.devices.wired, seen.booked.lost_a, 0.0), other)
    return as_flowing(net, state.voltage_v, other)


def _new_quarter(net: Network, state: AllocatorState, obs: Observed, fair_v: Floats, now_ms: int) -> bool:
    """On the 15-minute grid the order of need is made anew from what was charged so far."""
    quarter = now_ms // (60_000 * net.site.options.rotation_min)
    if quarter == state.quarter:
        return False
    state.quarter = quarter
    state.need = np.where(state.present, obs.energy_wh * maximum_power_w(net, state, fair_v), 0.0)
    return True
