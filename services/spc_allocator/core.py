"""One allocation: `decide(net, state, snapshot, inputs, now) -> Decided`. Pure: values in, values out (SPC-1 to SPC-5).

    observe   the snapshot as arrays; sessions, phases, flow of current, what the devices confirm
    limit     room in every row: rating, reserve, background, credit, power limits; guard
    bound     what each connector may have at most: ramp, cap, fallback, stale inputs ...
    step A    who is on                                    admission.py
    step B    how much, max-min fair in watts              filling.py, checked by certificate.py
    step C    whole steps; raises only into what is free   rounding.py
    explain   every setpoint with the bound that made it   explain.py

It comes before everything else that no fuse is loaded above its rating minus reserve: for every row, what is told plus
what does not obey fits, or everything below that may be 0 is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from busbar.events import Reason, SiteSnapshot
from busbar.units import MIN_CURRENT_A, NOMINAL_VOLTAGE_V
from spc_allocator import admission, filling, guard, imbalance
from spc_allocator.admission import Admission, Admitted, Candidates
from spc_allocator.booking import Booked, book
from spc_allocator.bounds import Bound, Bounds, bounds
from spc_allocator.certificate import Constraint, violations
from spc_allocator.cycle import Cycle
from spc_allocator.explain import reasons
from spc_allocator.filling import Filled
from spc_allocator.inputs import Inputs, Observed, observe
from spc_allocator.kept import Shares, Who
from spc_allocator.learning import (
    adopt,
    booked_phases,
    fair_phases,
    follow_sessions,
    learn,
    maximum_power_w,
    take_currents,
)
from spc_allocator.ledger import Ledger, Room
from spc_allocator.limits import Limits, limits, push_background
from spc_allocator.rounding import gate_raises, whole_steps
from spc_allocator.rows import EPS, IMBALANCE, POWER, Bools, Floats, Network, slots_of, some
from spc_allocator.standing import standing
from spc_allocator.state import AllocatorState
from spc_allocator.steering import steered
from spc_allocator.surplus import choose, surplus_a, weighted
from spc_allocator.waking import ASLEEP, released, wake


@dataclass(slots=True)
class _Seen:
    """What the cycle starts from."""

    obs: Observed
    booked: Booked
    alert: guard.Guard


@dataclass(slots=True)
class _Shared:
    """What steps A to C came to."""

    admitted: Admitted
    filled: Filled
    wanted_a: Floats
    left: Ledger


class UnfairError(AssertionError):
    """The certificate found the filling wrong: a bug, never a state of the site."""


@dataclass(slots=True)
class Decided:
    """State for the next cycle, setpoints by slot (`net.ids`), and what a person should know."""

    state: AllocatorState
    setpoint_a: Floats
    cycle: Cycle
    guarded: tuple[str, ...] = ()
    """Collectors whose excess was answered by a cut."""
    uncontrollable: tuple[str, ...] = ()
    does_not_wake: tuple[str, ...] = ()
    export: tuple[tuple[str, str], ...] = ()
    """Collectors that inject more than they may, with words."""

    def told(self) -> dict[str, float]:
        """Setpoint of each connector by id."""
        return dict(zip(self.cycle.net.ids, self.setpoint_a.tolist(), strict=True))

    def why(self) -> dict[str, Reason]:
        """What made each setpoint, by id (SPC-17)."""
        return dict(zip(self.cycle.net.ids, reasons(self.cycle, self.setpoint_a), strict=True))


def decide(
    net: Network, previous: AllocatorState, snapshot: SiteSnapshot, inputs: Inputs, now_ms: int, *, check: bool = False
) -> Decided:
    """A time before the last one counts as the last one (failure.md, Ages). `check`: verify the certificate; raises
    UnfairError."""
    state, now_ms = previous.copy(), max(now_ms, previous.now_ms)
    obs = observe(net, snapshot, inputs.snapshot_age_ms, state.kept)
    adopt(net, state, obs, now_ms)
    follow_sessions(state, obs)
    top_a = take_currents(net, state, obs, now_ms)
    learn(net, state, obs, top_a, now_ms)
    booked = book(net, state, obs, top_a, now_ms)
    alert = guard.assess(net, state, obs, booked, now_ms)
    push_background(net, state, obs, alert.raised_a, now_ms)
    cycle = _share(net, state, _Seen(obs, booked, alert), inputs, now_ms=now_ms, check=check)
    wake(state, net.devices.toggles, now_ms)
    setpoint_a = _setpoints(cycle, state, now_ms)
    state.now_ms, state.snapshot = now_ms, snapshot.number
    names = net.site.collectors
    return Decided(
        state, setpoint_a, cycle,
        guarded=tuple([names[index].id for index in alert.collectors]),
        uncontrollable=_ids(net, state.uncontrollable),
        does_not_wake=_ids(net, state.wake_tries >= ASLEEP),
        export=tuple({names[index].id: words for index, words in cycle.limits.export}.items()),
    )  # fmt: skip


def _ids(net: Network, mask: Bools) -> tuple[str, ...]:
    return tuple([net.ids[slot] for slot in slots_of(mask)]) if some(mask) else ()


def _share(net: Network, state: AllocatorState, seen: _Seen, inputs: Inputs, *, now_ms: int, check: bool) -> Cycle:
    """Rows, bounds, steps A, B and C."""
    obs, booked = seen.obs, seen.booked
    present, shares = obs.who.present, _shares(net, state, obs.who)
    other_a = _other(net, state, seen, shares.counted)
    lim = limits(net, state, obs, inputs.limits)
    said = steered(net, inputs, shares.fair_v, now_ms)
    load, dark, surplus = shares.load, None, None
    if net.regions:
        by_hand = said.by_hand if said is not None else None
        load = weighted(net, load, by_hand)
        surplus = surplus_a(net, state, obs, lim.background_w, load)
        order = admission.order_of_need(state, obs.plugged_at_ms)
        dark = choose(net, state, obs, surplus, load=load, by_hand=by_hand, order=order, now_ms=now_ms)
    room = _room(net, state, lim, load=load, other_a=other_a)
    guard_a, cut_by = None, dict[int, int]()
    if seen.alert.collectors:
        guard_a, cut_by = guard.cut(seen.alert, room, state.setpoint_a, net.devices.minimum_a, state.on & present)
    bnd = bounds(net, state, obs, inputs, guard_a=guard_a, steered=said, dark=dark, now_ms=now_ms)
    grid = _new_quarter(net, state, obs, shares.fair_v, now_ms)
    to_share = room if surplus is None else room.with_surplus(surplus)
    shared = None if grid else _all_at_bound(state, seen, to_share, bnd)
    if shared is None:
        shared = _in_steps(state, seen, room, bnd, rate=shares.rate, now_ms=now_ms, grid=grid, surplus=surplus)
    if check:
        _verify(to_share, shared.filled, shares.rate, *_range(state, room, bnd, booked.stubborn_a))
    wanted_a, order = shared.wanted_a, shared.admitted.order
    waits: dict[int, int] = {}
    if some(wanted_a > state.setpoint_a + EPS):
        held_a = np.where(present, booked.held_a, 0.0)
        waits = gate_raises(room, wanted_a, state.setpoint_a, held_a=held_a, may_raise=bnd.may_raise, order=order)
    return Cycle(
        net, obs, lim, booked, bnd, shared.admitted, shared.filled, wanted_a, present, room.load, other_a, waits,
        shared.left, cut_by,
    )  # fmt: skip


def _all_at_bound(state: AllocatorState, seen: _Seen, room: Room, bnd: Bounds) -> _Shared | None:
    """Steps A to C where nobody waits or has to go and all fit in at their upper bounds, the usual case; else None.

    The same as the steps themselves would find: no minimum lacks room, no row stops anybody, bounds are whole steps."""
    on, fixed = state.on, state.kept.fixed
    if room.net.site.options.reserve_yields or not fixed.whole_minima or some((seen.obs.who.present & bnd.able) != on):
        return None
    stubborn_a = seen.booked.stubborn_a
    most_a = np.where(on, np.maximum(bnd.high_a, stubborn_a), stubborn_a)
    left_a = room.room_a - room.sums(most_a)
    if some(left_a < -EPS):
        return None
    if np.count_nonzero(state.fits_since_ms):
        state.fits_since_ms = np.zeros_like(state.fits_since_ms)
    order = admission.order_of_need(state, seen.obs.plugged_at_ms)
    return _Shared(
        Admitted(order), Filled(most_a, fixed.level, fixed.row), np.where(on, bnd.high_a, 0.0), room.ledger(left_a)
    )


def _in_steps(
    state: AllocatorState, seen: _Seen, room: Room, bnd: Bounds, *, rate: Floats, now_ms: int, grid: bool,
    surplus: Floats | None,
) -> _Shared:  # fmt: skip
    """Steps A to C one by one."""
    net, obs = room.net, seen.obs
    minimum_a, stubborn_a = net.devices.minimum_a, seen.booked.stubborn_a
    may_start = bnd.may_raise | (state.setpoint_a >= minimum_a)
    low_a = np.maximum(minimum_a, stubborn_a)
    by_hand = bnd.steered.by_hand if bnd.steered is not None else state.kept.fixed.none
    able = obs.who.present & bnd.able
    who = Candidates(able, may_start, low_a, stubborn_a, obs.plugged_at_ms, obs.who.lost, by_hand)
    admitted = Admission(room, state, who, now_ms, grid).run()
    on = state.on
    if net.site.options.reserve_yields:
        room.room_a = np.maximum(room.room_a, np.minimum(room.keep_a, room.sums(np.where(on, low_a, stubborn_a))))
    if surplus is not None:
        room = room.with_surplus(surplus)
    low, high = _range(state, room, bnd, stubborn_a)
    filled = filling.fill(net.rows, room.load, room.room_a, rate=rate, low_a=low, high_a=high)
    fair_a = np.minimum(np.maximum(filled.level * rate, minimum_a), bnd.high_a)
    wanted_a, left = whole_steps(room, fair_a, bnd.high_a, stubborn_a=stubborn_a, on=on, order=admitted.order)
    return _Shared(admitted, filled, wanted_a, left)


def _shares(net: Network, state: AllocatorState, who: Who) -> Shares:
    """Loads and rates: the last ones where neither presence, phases nor voltages have changed."""
    phases, kept = booked_phases(net, state), state.kept
    key, last = (phases.tobytes(), state.seen.tobytes(), state.voltage_v.tobytes()), kept.shares
    if last is not None and last.who is who and last.key == key:
        return last
    fair_v, counted = state.voltage_v @ fair_phases(phases, state), phases & who.present
    load = _load(state, counted)
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
        return Room(net, load, room_a, room_a)
    yielding = lim.yielding_a.take(net.rows.collector)
    yielding[net.rows.fuses :] = 0.0
    return Room(net, load, room_a, room_a + yielding)


def _range(state: AllocatorState, room: Room, bnd: Bounds, stubborn_a: Floats) -> tuple[Floats, Floats]:
    """Least and most that each counts for: those that are off count with what they do not let go."""
    low = np.where(state.on, np.maximum(room.net.devices.minimum_a, stubborn_a), stubborn_a)
    return low, np.where(state.on, np.maximum(bnd.high_a, stubborn_a), stubborn_a)


def _verify(room: Room, filled: Filled, rate: Floats, low_a: Floats, high_a: Floats) -> None:
    """By the certificate, however the filling was found."""
    wrong = violations(
        constraints(room), filled.current_a.tolist(), rate=rate.tolist(), low_a=low_a.tolist(), high_a=high_a.tolist()
    )
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


def _load(state: AllocatorState, booked: Bools) -> Floats:
    load = np.empty((4, booked.shape[1]))
    load[:POWER] = booked
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


def _other(net: Network, state: AllocatorState, seen: _Seen, counted: Bools) -> Floats:
    """3 x n: currents where no setpoint is booked, and connectors that do not answer."""
    other = np.where(counted, 0.0, state.current_a)
    if seen.obs.who.any_lost:
        other = np.where(seen.obs.who.lost, np.where(net.devices.wired, seen.booked.lost_a, 0.0), other)
    return other


def _new_quarter(net: Network, state: AllocatorState, obs: Observed, fair_v: Floats, now_ms: int) -> bool:
    """On the 15-minute grid the order of need is made anew from what was charged so far."""
    quarter = now_ms // (60_000 * net.site.options.rotation_min)
    if quarter == state.quarter:
        return False
    state.quarter = quarter
    state.need = np.where(state.present, obs.energy_wh * maximum_power_w(net, state, fair_v), 0.0)
    return True


def _setpoints(cycle: Cycle, state: AllocatorState, now_ms: int) -> Floats:
    """Put all kinds together and remember what was told, and since when."""
    net, obs, before = cycle.net, cycle.obs, state.setpoint_a
    told = np.where(cycle.present, cycle.wanted_a, standing(net, obs.kind))
    steered_off = None if cycle.bounds.steered is None else cycle.bounds.steered.off
    for off in (steered_off, cycle.bounds.dark):
        if off is not None:
            told[off & ~cycle.present] = 0.0
    if obs.who.any_lost:
        held = np.floor(np.minimum(before, cycle.booked.lost_a) + EPS)
        told = np.where(obs.who.lost, np.where(held >= MIN_CURRENT_A, held, 0.0), told)
    cycle.released = released(state, now_ms)
    if cycle.released is not None:
        told[cycle.released] = 0.0
    begun = (cycle.present > state.started) & (told >= MIN_CURRENT_A)
    if some(told != before):
        _changed(cycle, state, told, now_ms)
        begun |= cycle.present & (told >= MIN_CURRENT_A) & (before < MIN_CURRENT_A) & (state.wake_tries <= 1)
        state.setpoint_a = told
    admission.note_starts(state, begun, now_ms)
    state.flowing = state.flowing & (told >= MIN_CURRENT_A)
    state.effective_a = np.maximum(state.effective_a, told)
    return told


def _changed(cycle: Cycle, state: AllocatorState, told: Floats, now_ms: int) -> None:
    """When each rose and fell; the ramp starts anew after both, but for a fall of 1 A with the current."""
    before, which = state.setpoint_a, cycle.bounds.which
    raised, lowered = told > before + EPS, told < before - EPS
    gentle = ((which == Bound.CAP) | (which == Bound.VEHICLE)) & (before - told <= 1.0 + EPS) & cycle.present
    state.anchor_ms = np.where(raised | (lowered & ~gentle), now_ms, state.anchor_ms)
    state.lowered_at_ms = np.where(lowered, now_ms, state.lowered_at_ms)
    state.changed_at_ms = np.where(raised | lowered, now_ms, state.changed_at_ms)
