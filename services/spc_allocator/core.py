"""One allocation: `decide(net, state, snapshot, inputs, now) -> Decided`. Pure: values in, values out (SPC-1 to SPC-5).

    observe   the snapshot as arrays; sessions, phases, flow of current, what the devices confirm
    begin     what other assets do; targets; what of it tightens rows     flexible/begin.py
    limit     room in every row: rating, reserve, background, credit, power limits; guard
    bound     what each connector may have at most: ramp, cap, fallback, stale inputs ...
    share     step A: who is on                                    sharing.py, admission.py
              step B: how much, max-min fair in watts              filling.py, checked by certificate.py
              step C: whole steps; raises only into what is free   rounding.py
    explain   every setpoint with the bounds that made it          binding.py, explain.py
    finish    batteries, heat, PV and the rest                     flexible/finish.py

It comes before everything else that no fuse is loaded above its rating minus reserve: for every row, what is told plus
what does not obey fits, or everything below that may be 0 is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from busbar.events import Reason, SiteSnapshot
from spc_allocator import admission, guard
from spc_allocator.booking import book
from spc_allocator.bounds import Bound
from spc_allocator.cycle import Cycle
from spc_allocator.explain import reasons
from spc_allocator.flexible.begin import begin
from spc_allocator.flexible.finish import Flexed, finish
from spc_allocator.inputs import Inputs, observe
from spc_allocator.learning import adopt, follow_sessions, learn, take_currents
from spc_allocator.limits import push_background
from spc_allocator.phases import being_switched, choose, follow
from spc_allocator.power_test import advance
from spc_allocator.rows import EPS, Bools, Floats, Network, slots_of, some
from spc_allocator.sharing import Seen, frame, share
from spc_allocator.standing import standing
from spc_allocator.state import AllocatorState
from spc_allocator.waking import ASLEEP, released, wake


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
    does_not_switch: tuple[str, ...] = ()
    export: tuple[tuple[str, str], ...] = ()
    """Collectors that inject more than they may, with words."""
    flexible: Flexed | None = None
    """What assets other than connectors are told; None: there are none, and nothing is wanted of any collector."""

    def told(self) -> dict[str, float]:
        """Setpoint of each connector by id."""
        return dict(zip(self.cycle.net.ids, self.setpoint_a.tolist(), strict=True))

    def phases(self) -> list[int | None]:
        """By slot, what each is to be switched to; None: as it is (SPC-20)."""
        phases = self.state.phases
        if phases is None:
            return [None] * self.cycle.net.count
        return [count or None for count in phases.told.tolist()]

    def why(self) -> dict[str, Reason]:
        """What made each setpoint, by id (SPC-17)."""
        return dict(zip(self.cycle.net.ids, reasons(self.cycle, self.setpoint_a), strict=True))

    def told_w(self) -> dict[str, float]:
        """Setpoint in W of each other asset by id, consumption positive."""
        return {name: power_w for name, (power_w, _, _) in self.powers().items()}

    def powers(self) -> dict[str, tuple[float, float | None, Reason]]:
        """What each other asset is told, by id: W, var, and why."""
        flexed = self.flexible
        if flexed is None:
            return {}
        told = zip(flexed.power_w, flexed.reactive_power_var, flexed.why, strict=True)
        return dict(zip(self.cycle.net.assets.ids, told, strict=True))


def decide(
    net: Network, previous: AllocatorState, snapshot: SiteSnapshot, inputs: Inputs, now_ms: int, *, check: bool = False
) -> Decided:
    """A time before the last one counts as the last one (failure.md, Ages). `check`: verify the certificate; raises
    UnfairError."""
    now_ms = max(now_ms, previous.now_ms)
    state, seen = see(net, previous, snapshot, inputs, now_ms)
    cycle = share(frame(net, state, seen, inputs, now_ms), check=check)
    wake(state, net.devices.toggles, now_ms)
    choose(cycle)
    setpoint_a = _setpoints(cycle, state, now_ms)
    flexed = finish(cycle, state, seen.begun, now_ms) if seen.begun else None
    state.now_ms, state.snapshot = now_ms, snapshot.number
    names = net.site.collectors
    return Decided(
        state, setpoint_a, cycle,
        guarded=tuple([names[index].id for index in seen.alert.collectors]),
        uncontrollable=_ids(net, state.uncontrollable),
        does_not_switch=_ids(net, state.phases.failed) if state.phases is not None else (),
        does_not_wake=_ids(net, state.wake_tries >= ASLEEP),
        export=tuple({names[index].id: words for index, words in cycle.limits.export}.items()),
        flexible=flexed,
    )  # fmt: skip


def see(
    net: Network, previous: AllocatorState, snapshot: SiteSnapshot, inputs: Inputs, now_ms: int
) -> tuple[AllocatorState, Seen]:
    """Take the snapshot in: what is measured, learned and booked, before anything is bounded or shared."""
    state = previous.copy()
    obs = observe(net, snapshot, inputs.snapshot_age_ms, state.kept)
    adopt(net, state, obs, now_ms)
    follow_sessions(state, obs)
    top_a = take_currents(net, state, obs, now_ms)
    follow(net, state, obs, now_ms)
    learn(net, state, obs, top_a, now_ms)
    booked = book(net, state, obs, top_a, now_ms)
    advance(net, state, obs, inputs, now_ms)
    alert = guard.assess(net, state, obs, booked, now_ms)
    begun = begin(net, state, obs, snapshot, inputs, now_ms=now_ms)
    push_background(net, state, obs, alert.raised_a, begun.unlent_w if begun else None, now_ms=now_ms)
    return state, Seen(obs, booked, alert, begun)


def _ids(net: Network, mask: Bools) -> tuple[str, ...]:
    return tuple([net.ids[slot] for slot in slots_of(mask)]) if some(mask) else ()


def _setpoints(cycle: Cycle, state: AllocatorState, now_ms: int) -> Floats:
    """Put all kinds together and remember what was told, and since when."""
    net, obs, before, least_a = cycle.net, cycle.obs, state.setpoint_a, state.kept.fixed.least_a
    told = np.where(cycle.present, cycle.wanted_a, standing(net, obs.kind))
    steered_off = None if cycle.bounds.steered is None else cycle.bounds.steered.off
    for off in (steered_off, cycle.bounds.dark):
        if off is not None:
            told[off & ~cycle.present] = 0.0
    if obs.who.any_lost:
        held = net.devices.whole(np.minimum(before, cycle.booked.lost_a) + EPS)
        told = np.where(obs.who.lost, np.where(held >= least_a, held, 0.0), told)
    cycle.released = released(state, now_ms)
    if cycle.released is not None:
        told[cycle.released] = 0.0
    cycle.switching = being_switched(net, state)
    if cycle.switching is not None:
        told[cycle.switching & ~obs.who.lost] = 0.0
    if net.pauses:
        told = np.maximum(told, net.devices.pause_a)
    begun = (cycle.present > state.started) & (told >= least_a)
    if some(told != before):
        _changed(cycle, state, told, now_ms)
        begun |= cycle.present & (told >= least_a) & (before < least_a) & (state.wake_tries <= 1)
        state.setpoint_a = told
    admission.note_starts(state, begun, now_ms)
    state.flowing = state.flowing & (told >= least_a)
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
