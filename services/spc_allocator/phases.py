"""Switching a connector between one and three phases (SPC-20).

**When.** To one phase when the minimum of three has not fitted in a row of its path for 120 s and that of one does; to
three when their minimum has fitted for 60 s. Rows are fuses, power limits and, in surplus mode, surplus: 300 W more
than enough for three phases; in mode `minimum` it is no matter for one, which that mode has always. Beside it the
others keep their minima, and of what they have more only as much as would be their equal share in watts; those of a
higher priority all of it, those of a lower one none. Never sooner
after the last switch than the site file's dwell, nor on inputs that are too old, nor during a power test, nor to three
for a vehicle that does not take what it is told.

**How.** It is told 0 A, if its package says so, but keeps its place in the rows. When it shows 0 A and nothing flows it
is told its phases. When it has shown them for the package's time it goes on; the ramp starts anew, and what was learned
of the vehicle's phases and maximum is forgotten. What does not come to that in 120 s is given up, with an alarm, until
the dwell is over. From the decision to the end all its conductors are booked, the worst of both; on one phase its own
L1, as long as the device says so and nothing flows on the others. A device that switches by itself is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.units import NOMINAL_VOLTAGE_V
from spc_allocator.bounds import MAY_PAUSE, Bound
from spc_allocator.learning import UNBOUND_A
from spc_allocator.rows import EPS, IMBALANCE, POWER, SURPLUS, Bools, Floats, Network
from spc_allocator.surplus import HYSTERESIS_W
from spc_allocator.switchable import FLOWS_A, PhaseState

if TYPE_CHECKING:
    from spc_allocator.cycle import Cycle
    from spc_allocator.inputs import Observed
    from spc_allocator.state import AllocatorState

UP_MS: Final = 60_000
DOWN_MS: Final = 120_000
LONGEST_MS: Final = 120_000
_OF_PHASES: Final = ("seen", "above_ms", "unseen_ms", "highest_a", "unbound_ms", "maximum_known")
"""What was learned of the vehicle on the other number of phases."""


def follow(net: Network, state: AllocatorState, obs: Observed, now_ms: int) -> None:
    """Take in what the devices show, and move on what is being switched."""
    if net.switchable is None:
        return
    phases = state.phases = state.phases.copy() if state.phases is not None else PhaseState.fresh(net.count)
    for slot in net.switchable.slots:
        if not obs.who.heard[slot]:
            continue
        shown = obs.samples[slot].phases or 0
        if phases.to[slot]:
            _go_on(net, state, slot, shown, now_ms)
        elif shown and shown != phases.told[slot]:
            phases.told[slot], phases.at_ms[slot] = shown, now_ms
            _forget(state, slot)
        if not phases.to[slot]:
            phases.count[slot] = shown


def being_switched(net: Network, state: AllocatorState) -> Bools | None:
    """Who is told 0 A for it; None: nobody."""
    if net.switchable is None or state.phases is None or not state.phases.to.any():
        return None
    return net.switchable.at_zero & (state.phases.to > 0)


def choose(cycle: Cycle) -> None:
    """Begin what is due, and say phases to those that nothing holds up any more."""
    net, state, now_ms = cycle.net, cycle.state, cycle.now_ms
    phases = state.phases
    if net.switchable is None or phases is None:
        return
    able = np.minimum.reduce(cycle.bounds.table[[b for b in MAY_PAUSE if b != Bound.SURPLUS]])
    may = cycle.obs.who.active & cycle.bounds.may_raise & (able >= net.devices.minimum_a)
    may &= ~(net.devices.must_run & net.switchable.at_zero)
    if state.trials is not None:
        may[list(state.trials.asked())] = False
    taken_a = np.zeros(net.rows.count)
    for slot in net.switchable.slots:
        if phases.to[slot]:
            if phases.told[slot] != phases.to[slot] and _may_be_told(cycle, slot):
                phases.told[slot] = phases.to[slot]
            continue
        better = 4 - int(phases.count[slot])
        if not (may[slot] and phases.count[slot] and _is_right(cycle, slot, better, taken_a)):
            phases.due_ms[slot] = 0
            continue
        phases.due_ms[slot] = phases.due_ms[slot] or now_ms
        lasted = now_ms - phases.due_ms[slot] >= (UP_MS if better == 3 else DOWN_MS)
        if lasted and now_ms - phases.at_ms[slot] >= net.switchable.dwell_ms[slot]:
            phases.to[slot], phases.at_ms[slot] = better, now_ms
            phases.due_ms[slot] = phases.took_ms[slot] = 0
            _take(cycle, slot, taken_a)


def _go_on(net: Network, state: AllocatorState, slot: int, shown: int, now_ms: int) -> None:
    """One that is being switched: has it taken, is it done, has it taken too long?"""
    assert net.switchable is not None  # noqa: S101 - somebody is being switched
    phases = state.phases
    assert phases is not None  # noqa: S101
    state.own("surplus_since_ms")[slot] = 0  # no verdict on surplus meanwhile
    to, told = int(phases.to[slot]), int(phases.told[slot])
    if told == to == shown:
        phases.took_ms[slot] = phases.took_ms[slot] or now_ms
        if now_ms - phases.took_ms[slot] >= net.switchable.settle_ms[slot]:
            phases.to[slot], phases.failed[slot] = 0, False
            _forget(state, slot)
        return
    phases.took_ms[slot] = 0
    if now_ms - phases.at_ms[slot] >= LONGEST_MS:
        phases.to[slot], phases.failed[slot] = 0, True
        phases.told[slot] = shown or told
        _forget(state, slot)


def _forget(state: AllocatorState, slot: int) -> None:
    for name in _OF_PHASES:
        state.own(name)[..., slot] = 0


def _may_be_told(cycle: Cycle, slot: int) -> bool:
    """Nothing flows, and the device shows that nothing may; or, where it sees to that itself, all its conductors have
    room for what it may draw now. Never in the cycle that began it: the rows were not shared with it yet."""
    state, switch = cycle.state, cycle.net.switchable
    phases = state.phases
    assert phases is not None  # noqa: S101
    assert switch is not None  # noqa: S101
    if state.sampled_at_ms[slot] <= phases.at_ms[slot] or not cycle.obs.fresh[slot]:
        return False
    if switch.at_zero[slot]:
        quiet = float(state.current_a[:, slot].max()) < FLOWS_A
        return quiet and float(state.effective_a[slot]) == 0.0
    rows, room = cycle.net.rows, cycle.room
    held_a = np.where(cycle.present, np.maximum(cycle.booked.held_a, cycle.wanted_a), 0.0)
    left = room.room_a - room.sums(held_a)
    return all(left[row] >= -EPS for row, _ in rows.of_slot[slot])


def _is_right(cycle: Cycle, slot: int, better: int, taken_a: Floats) -> bool:
    """Whether the other number of phases would be right."""
    minimum_a, told_a = float(cycle.net.devices.minimum_a[slot]), float(cycle.wanted_a[slot])
    if better == 1:
        if told_a > minimum_a + EPS:
            return False  # more than three minima fit
        return not _fits(cycle, slot, 3, taken_a) and _fits(cycle, slot, 1, taken_a)
    sated = told_a >= minimum_a and float(cycle.state.current_a[:, slot].max()) < told_a - UNBOUND_A
    return not sated and _fits(cycle, slot, 3, taken_a, HYSTERESIS_W / NOMINAL_VOLTAGE_V)


def _fits(cycle: Cycle, slot: int, count: int, taken_a: Floats, more_surplus_a: float = 0.0) -> bool:
    """Whether its minimum on so many phases fits beside the others. `taken_a`: by row, of those switched just now."""
    net, room = cycle.net, cycle.shared_room
    minimum_a, load = float(net.devices.minimum_a[slot]), _load_on(cycle, slot, count)
    shares = cycle.state.kept.shares
    assert shares is not None  # noqa: S101 - made in this cycle
    level = minimum_a * float(load[POWER]) * NOMINAL_VOLTAGE_V / float(net.devices.weight[slot])
    equal_a = np.maximum(net.devices.minimum_a, level * shares.rate)
    if len(net.devices.classes) > 1:
        other, own = net.devices.priority, net.devices.priority[slot]
        equal_a = np.where(other > own, np.inf, np.where(other < own, net.devices.minimum_a, equal_a))
    others_a = np.maximum(np.where(cycle.present, np.minimum(cycle.allotted_a, equal_a), 0.0), cycle.booked.stubborn_a)
    others_a[slot] = 0.0
    left = room.room_a - room.sums(others_a) - taken_a
    always = count == 1 and not net.devices.surplus_only[slot]
    return all(
        left[row] + EPS >= load[channel] * minimum_a + (more_surplus_a if row >= net.rows.surplus else 0.0)
        for row, channel in net.rows.of_slot[slot]
        if load[channel] > 0.0 and not (always and row >= net.rows.surplus)
    )


def _take(cycle: Cycle, slot: int, taken_a: Floats) -> None:
    """Who is switched after it in this cycle finds the worst of both taken."""
    load = _load_on(cycle, slot, 3)
    for row, channel in cycle.net.rows.of_slot[slot]:
        taken_a[row] += load[channel] * cycle.net.devices.minimum_a[slot]


def _load_on(cycle: Cycle, slot: int, count: int) -> Floats:
    """By channel, what one ampere of it takes on so many phases; as now, where it is on so many."""
    state, switch = cycle.state, cycle.net.switchable
    phases = state.phases
    assert phases is not None  # noqa: S101
    assert switch is not None  # noqa: S101
    load = cycle.load[:, slot].copy()
    if count == phases.count[slot]:
        return load
    used = switch.first[:, slot] if count == 1 else cycle.net.devices.wired[:, slot]
    load[:POWER] = used
    load[POWER] = float(state.voltage_v @ used) / NOMINAL_VOLTAGE_V
    if len(load) > SURPLUS and load[SURPLUS] > 0.0:
        load[SURPLUS] = load[POWER]
    if len(load) > IMBALANCE:
        load[IMBALANCE:] = used & (used.sum() < 3)
    return load
