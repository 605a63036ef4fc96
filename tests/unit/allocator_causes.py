"""Decides a cycle again for one connector with some bounds relaxed and everybody else kept as he is.

What "as he is" means: docs/decisions/0009. Rows and bounds are those of the kernel's own frame; what is relaxed in it
is taken away altogether, and the connector is held at its next step, so that it is relaxed exactly as far as the step
needs. The kernel then shares again.
"""

from __future__ import annotations

import copy
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from busbar.events import Binding, Reason, ReasonCode, SiteSnapshot
from busbar.units import NOMINAL_VOLTAGE_V
from spc_allocator.admission import FITS_MS
from spc_allocator.bounds import Bound, Bounds
from spc_allocator.core import decide, see
from spc_allocator.explain import own_phase
from spc_allocator.inputs import Inputs
from spc_allocator.ledger import Room
from spc_allocator.rows import IMBALANCE, POWER, SURPLUS, Network
from spc_allocator.sharing import Frame, frame, share
from spc_allocator.state import AllocatorState
from spc_allocator.waking import released, wake

OWN: Final = {
    ReasonCode.DEVICE: Bound.DEVICE, ReasonCode.CABLE: Bound.CABLE, ReasonCode.VEHICLE: Bound.VEHICLE,
    ReasonCode.CAP: Bound.CAP, ReasonCode.RAMP: Bound.RAMP, ReasonCode.STALE: Bound.STALE,
    ReasonCode.STARTING: Bound.STALE, ReasonCode.MANUAL: Bound.MANUAL, ReasonCode.ADVICE: Bound.ADVICE,
    ReasonCode.SURPLUS: Bound.SURPLUS, ReasonCode.POWER_TEST: Bound.MANUAL,
}  # fmt: skip
PLENTY_A: Final = 1e7
MOST_A: Final = 1000.0
ROW: Final = "row"
WAKING: Final = "waking", None, None, None
BUDGET: Final = "start_budget", None, None, None
Cause = tuple[str, str | None, str | None, str | None]
"""A bound: code, collector, phase, source; a fuse or power limit is the same one for those on and those paused."""


def cause(binding: Binding) -> Cause:
    if binding.code is ReasonCode.PAUSED and binding.source == ReasonCode.IMBALANCE:
        return ReasonCode.IMBALANCE.value, binding.collector, binding.phase, None
    on_a_row = binding.code in (ReasonCode.ROW, ReasonCode.POWER_LIMIT, ReasonCode.PAUSED)
    return ROW if on_a_row else binding.code.value, binding.collector, binding.phase, binding.source


def causes(reason: Reason) -> set[Cause]:
    """All that a reason names."""
    return {cause(binding) for binding in (reason, *reason.also)}


class Again:
    """One decision, and the same one again."""

    def __init__(
        self, net: Network, previous: AllocatorState, snapshot: SiteSnapshot, inputs: Inputs, now_ms: int
    ) -> None:
        self.net, self._inputs, self.now_ms = net, inputs, now_ms
        self.decided = decide(net, previous, snapshot, inputs, now_ms)
        self.cycle = self.decided.cycle
        self.on, self.told_a = self.decided.state.on, self.decided.setpoint_a
        self.target_a = self.cycle.wanted_a + net.devices.step_a
        for slot in self.cycle.waits:
            self.target_a[slot] = self.cycle.allotted_a[slot]
        state, seen = see(net, previous, snapshot, inputs, now_ms)
        self._frame = frame(net, state, seen, inputs, now_ms)

    @cached_property
    def why(self) -> dict[str, Reason]:
        return self.decided.why()

    def bounds(self, slot: int) -> set[Cause]:
        """All that there are for a connector, binding or not."""
        found: set[Cause] = set()
        for row, _ in self.net.rows.of_slot[slot]:
            found |= self._of_row(row) if np.isfinite(self.cycle.shared_room.room_a[row]) else set()
        starting = self._frame.bounds.starting[slot]
        steered = self._frame.bounds.steered
        tested = steered is not None and slot in steered.tested
        two = {Bound.STALE: (ReasonCode.STARTING, starting), Bound.MANUAL: (ReasonCode.POWER_TEST, tested)}
        for code, bound in OWN.items():
            name, holds = two.get(bound, (code, True))
            if (code is name) == holds:
                found.add((code.value, None, None, self._steered_by(slot, bound)))
        found |= {("fallback", None, None, source) for source in self._frame.bounds.fallback_source.get(slot, ())}
        return found | {BUDGET, WAKING}

    def moves(self, slot: int, relaxed: AbstractSet[Cause]) -> bool:
        """Whether the connector gets its next step without these bounds."""
        made = self._relaxed(slot, relaxed)
        self._keep_the_others(made, slot)
        cycle = share(made)
        if not self.on[slot]:
            return bool(cycle.state.on[slot])
        assert cycle.state.on[slot]
        assert cycle.wanted_a[slot] <= self.target_a[slot] + 1e-9
        wake(cycle.state, self.net.devices.toggles, self.now_ms)
        pulse = released(cycle.state, self.now_ms)
        told_a = 0.0 if pulse is not None and pulse[slot] else cycle.wanted_a[slot]
        return bool(told_a > self.told_a[slot] + 1e-9)

    def _steered_by(self, slot: int, bound: Bound) -> str | None:
        steered = self._frame.bounds.steered
        steers = steered is not None and np.isfinite(self._frame.bounds.table[bound, slot])
        return steered.source.get(slot) if steered and steers and bound in (Bound.MANUAL, Bound.ADVICE) else None

    def _of_row(self, row: int) -> set[Cause]:
        collector, channel = int(self.net.rows.collector[row]), int(self.net.rows.channel[row])
        name = self.net.site.collectors[collector].id
        if channel < POWER:
            return {(ROW, name, own_phase(self.net, collector, channel), None)}
        if channel == SURPLUS:
            return {("surplus", name, None, None)}
        if channel >= IMBALANCE:
            return {("imbalance", name, own_phase(self.net, collector, channel - IMBALANCE), None)}
        limits = self._frame.limits
        return {(ROW, name, None, source) for source in limits.rivals_w.get(collector, [limits.source[collector]])}

    def _relaxed(self, slot: int, relaxed: AbstractSet[Cause]) -> Frame:
        """The frame without these bounds."""
        old, state = self._frame, self._frame.state.copy()
        room_a, bnd = self._rooms(relaxed), old.bounds
        table, may_raise = bnd.table.copy(), bnd.may_raise.copy()
        for code, collector, _, _ in relaxed:
            if collector is None and code in {own.value for own in OWN}:
                table[OWN[ReasonCode(code)], slot] = MOST_A
                may_raise[slot] |= code in ("stale", "starting")
        kept = {name: a for name, a in bnd.fallback_source.get(slot, {}).items()
                if ("fallback", None, None, name) not in relaxed}  # fmt: skip
        table[Bound.FALLBACK, slot] = min(kept.values(), default=MOST_A)
        cuts = [a for row, a in old.cut_by.get(slot, {}).items() if not self._of_row(row) & relaxed]
        table[Bound.GUARD, slot] = min(cuts, default=MOST_A)
        self._relax_budget(state, slot, relaxed)
        if WAKING in relaxed:
            state.own("wake_tries")[slot] = 0
        made = Bounds(
            self.net.devices, table, may_raise, bnd.starting, {**bnd.fallback_source, slot: kept}, bnd.steered, bnd.dark
        )
        room = Room(
            self.net, old.room.load, *(a + room_a for a in (old.room.room_a, old.room.keep_a, old.room.start_a))
        )
        surplus_a = None if old.surplus_a is None else old.surplus_a + room_a[self.net.rows.surplus :]
        return replace(old, state=state, room=room, surplus_a=surplus_a, bounds=made)

    def _rooms(self, relaxed: AbstractSet[Cause]) -> Any:
        """What the rows have more."""
        more_a, rows, limits = np.zeros(self.net.rows.count), self.net.rows, self._frame.limits
        for row in range(rows.count):
            of_row = self._of_row(row)
            if of_row <= relaxed:
                more_a[row] = PLENTY_A
            elif of_row & relaxed:
                watts = limits.rivals_w[int(rows.collector[row])]
                kept = min(w for name, w in watts.items() if (ROW, self._name(row), None, name) not in relaxed)
                more_a[row] = (kept - min(watts.values())) / NOMINAL_VOLTAGE_V
        return more_a

    def _name(self, row: int) -> str:
        return self.net.site.collectors[int(self.net.rows.collector[row])].id

    def _relax_budget(self, state: AllocatorState, slot: int, relaxed: AbstractSet[Cause]) -> None:
        """Room that is relaxed counts as there for as long as the rule asks."""
        if BUDGET in relaxed:
            state.own("starts_ms")[:, slot] = 0
            state.own("paused_at_ms")[slot] = 0
        if BUDGET in relaxed or BUDGET not in causes(self.why[self.net.ids[slot]]):
            state.own("fits_since_ms")[slot] = self.now_ms - FITS_MS

    def _keep_the_others(self, made: Frame, slot: int) -> None:
        """Those that are on stay on with what they were allotted, or at their minimum where somebody is to be switched
        on; those that are off stay off; raises that wait go on waiting, the others are granted."""
        others = np.arange(self.net.count) != slot
        minimum_a, must_run = self.net.devices.minimum_a.copy(), self.net.devices.must_run.copy()
        state, bnd, cycle = made.state, made.bounds, self.cycle
        kept_on, kept_off = others & self.on, others & ~self.on
        state.on = np.where(others | self.on, self.on, state.on)
        must_run |= kept_on
        bnd.able = (bnd.able | kept_on) & ~kept_off
        if self.on[slot]:
            must_run[slot] = True
            minimum_a[kept_on] = bnd.high_a[kept_on] = cycle.allotted_a[kept_on]
            bnd.high_a[slot] = min(bnd.high_a[slot], self.target_a[slot])
        bnd.may_raise[[other for other in cycle.waits if other != slot]] = False
        booked = made.seen.booked
        held_a = np.where(others, np.maximum(booked.held_a, cycle.wanted_a), booked.held_a)
        made.seen = replace(made.seen, booked=replace(booked, held_a=held_a))
        made.room.net = copy.copy(self.net)
        made.room.net.devices = replace(self.net.devices, minimum_a=minimum_a, must_run=must_run)
