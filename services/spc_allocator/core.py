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
from spc_allocator import admission, filling, guard
from spc_allocator.admission import Admission, Candidates
from spc_allocator.booking import Booked, book
from spc_allocator.bounds import Bound, Bounds, bounds
from spc_allocator.certificate import Constraint, violations
from spc_allocator.cycle import Cycle
from spc_allocator.explain import reasons
from spc_allocator.filling import Filled
from spc_allocator.inputs import ACTIVE, LOST, UNKNOWN, Inputs, Observed, observe
from spc_allocator.learning import (
    adopt,
    booked_phases,
    fair_phases,
    follow_sessions,
    learn,
    maximum_power_w,
    take_currents,
)
from spc_allocator.ledger import Room
from spc_allocator.limits import Limits, limits, push_background
from spc_allocator.rounding import gate_raises, whole_steps
from spc_allocator.rows import EPS, POWER, Bools, Floats, Network, slots_of, some
from spc_allocator.standing import standing
from spc_allocator.state import AllocatorState


@dataclass(slots=True)
class _Seen:
    """What the cycle starts from. `present`: a vehicle is there, so far as we know."""

    obs: Observed
    booked: Booked
    present: Bools
    alert: guard.Guard


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
    """`now_ms` never steps back (failure.md, Ages). `check`: verify the certificate; raises UnfairError."""
    state = previous.copy()
    obs = observe(net, snapshot, inputs.snapshot_age_ms)
    present = (obs.kind == ACTIVE) | (obs.kind == UNKNOWN)
    adopt(net, state, obs, now_ms)
    follow_sessions(state, obs)
    take_currents(net, state, obs, now_ms)
    learn(net, state, obs, now_ms)
    booked = book(net, state, obs, present, now_ms)
    alert = guard.assess(net, state, obs, booked, now_ms)
    push_background(net, state, obs, alert.raised_a, now_ms)
    cycle = _share(net, state, _Seen(obs, booked, present, alert), inputs, now_ms=now_ms, check=check)
    setpoint_a = _setpoints(cycle, state, now_ms)
    state.now_ms, state.snapshot = now_ms, snapshot.number
    ids, names = net.ids, net.site.collectors
    admission.wake(state, now_ms)
    return Decided(
        state, setpoint_a, cycle,
        guarded=tuple(names[index].id for index in alert.collectors),
        uncontrollable=tuple(ids[s] for s in slots_of(state.uncontrollable)),
        does_not_wake=tuple(ids[s] for s in slots_of(state.wake_tries >= 2)),
        export=tuple({names[index].id: words for index, words in cycle.limits.export}.items()),
    )  # fmt: skip


def _share(net: Network, state: AllocatorState, seen: _Seen, inputs: Inputs, *, now_ms: int, check: bool) -> Cycle:
    """Rows, bounds, steps A, B and C."""
    obs, booked, present = seen.obs, seen.booked, seen.present
    phases = booked_phases(net, state)
    fair_v = state.voltage_v @ fair_phases(phases, state)
    other_a = _other(net, state, seen, phases & present)
    lim = limits(net, state, obs, inputs.limits)
    room = _room(net, state, lim, load=_load(state, phases & present), other_a=other_a)
    minimum_a, stubborn_a = net.devices.minimum_a, booked.stubborn_a
    guard_a, cut_by = None, dict[int, int]()
    if seen.alert.collectors:
        guard_a, cut_by = guard.cut(seen.alert, room, state.setpoint_a, minimum_a, state.on & present)
    bnd = bounds(net, state, obs, inputs, guard_a=guard_a, now_ms=now_ms)
    grid = _new_quarter(net, state, obs, fair_v, now_ms)
    may_start = bnd.may_raise | (state.setpoint_a >= minimum_a)
    low_a = np.maximum(minimum_a, stubborn_a)
    who = Candidates(present & bnd.able, may_start, low_a, stubborn_a, obs.plugged_at_ms, obs.kind == LOST)
    admitted = Admission(room, state, who, now_ms, grid).run()
    on, order, rate = state.on, admitted.order, net.devices.weight / fair_v
    if net.site.options.reserve_yields:
        room.room_a = np.maximum(room.room_a, np.minimum(room.keep_a, room.sums(np.where(on, low_a, stubborn_a))))
    filled = _fill(room, bnd, rate, low_a=low_a, stubborn_a=stubborn_a, on=on, check=check)
    fair_a = np.minimum(np.maximum(filled.level * rate, minimum_a), bnd.high_a)
    wanted_a, left = whole_steps(room, fair_a, bnd.high_a, stubborn_a=stubborn_a, on=on, order=order)
    held_a = np.where(present, booked.held_a, 0.0)
    waits = gate_raises(room, wanted_a, state.setpoint_a, held_a=held_a, may_raise=bnd.may_raise, order=order)
    return Cycle(
        net, obs, lim, booked, bnd, admitted, filled, wanted_a, present, room.load, other_a, waits, left, cut_by
    )


def _room(net: Network, state: AllocatorState, lim: Limits, *, load: Floats, other_a: Floats) -> Room:
    room_a = lim.room_a - net.rows.sums(_channels(state, other_a))
    if not net.site.options.reserve_yields:
        return Room(net, load, room_a, room_a)
    yielding = lim.yielding_a.take(net.rows.collector)
    yielding[net.rows.fuses :] = 0.0
    return Room(net, load, room_a, room_a + yielding)


def _fill(
    room: Room, bnd: Bounds, rate: Floats, *, low_a: Floats, stubborn_a: Floats, on: Bools, check: bool
) -> Filled:
    """Step B over those that are on; the others count with what they do not let go."""
    low = np.where(on, low_a, stubborn_a)
    high = np.where(on, np.maximum(bnd.high_a, stubborn_a), stubborn_a)
    filled = filling.fill(room.net.rows, room.load, room.room_a, rate=rate, low_a=low, high_a=high)
    if check:
        wrong = violations(
            constraints(room), filled.current_a.tolist(), rate=rate.tolist(), low_a=low.tolist(), high_a=high.tolist()
        )
        if wrong:
            raise UnfairError("; ".join(wrong))
    return filled


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


def _channels(state: AllocatorState, per_phase_a: Floats) -> Floats:
    return np.concatenate((per_phase_a, [(state.voltage_v / NOMINAL_VOLTAGE_V) @ per_phase_a]))


def _other(net: Network, state: AllocatorState, seen: _Seen, counted: Bools) -> Floats:
    """3 x n: currents where no setpoint is booked, and connectors that do not answer."""
    other = np.where(counted, 0.0, state.current_a)
    lost = seen.obs.kind == LOST
    if some(lost):
        other = np.where(lost, np.where(net.devices.wired, seen.booked.lost_a, 0.0), other)
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
    net, obs = cycle.net, cycle.obs
    told = np.where(cycle.present, cycle.wanted_a, standing(net, obs.kind))
    lost = obs.kind == LOST
    if some(lost):
        held = np.floor(np.minimum(state.setpoint_a, cycle.booked.lost_a) + EPS)
        told = np.where(lost, np.where(held >= MIN_CURRENT_A, held, 0.0), told)
    before = state.setpoint_a
    raised, lowered = told > before + EPS, told < before - EPS
    if some(raised | lowered):
        which = cycle.bounds.which
        gentle = ((which == Bound.CAP) | (which == Bound.VEHICLE)) & (before - told <= 1.0 + EPS) & cycle.present
        restart = raised | (lowered & ~gentle)
        state.anchor_ms[restart] = now_ms
        state.lowered_at_ms[lowered] = now_ms
        state.changed_at_ms[raised | lowered] = now_ms
    running = told >= MIN_CURRENT_A
    admission.note_starts(state, cycle.present & running & ((before < MIN_CURRENT_A) | ~state.started), now_ms)
    state.flowing &= running
    state.setpoint_a = told
    state.effective_a = np.maximum(state.effective_a, told)
    return told
