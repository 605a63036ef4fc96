"""The power test of a connector (SPC-10): what its charge point and its vehicle can take, by stepping the setpoint.

It is a setpoint by hand that moves: no ramp, no cap, no start budget, no advice and no surplus mode hold, and **every
row does** like for anybody else. So it takes no more than its fair share, and others give way no further than to that.

- **Steps**: the device's minimum, each a quarter more (at least one step), up to the device's maximum. Never 0: there
  are vehicles that do not wake after a pause. Once the vehicle draws clearly less than it is told, the next step is
  the device's maximum at once: hardly more there is its maximum, much more is one that takes less of every offer.
- **Each is held** from when the device shows it for its reaction time and `HOLD_MS`, longer while the current still
  rises; until any current has flowed, `PATIENCE_MS`. What is drawn in the last part of that is what counts.
- **Found** of the vehicle: lowest setpoint at which current flows, highest current, the conductors. Of the charge
  point: lowest and highest setpoint that it has taken, or what it keeps to whatever it is told.
- **Without room** for a step it holds what there is for `ROOM_MS`, and ends with "at least". For the first step it
  waits until its end.
- **Ends** when the vehicle leaves, by its order's end or release, and once all is found. Then the rules hold as ever,
  the ramp from where it is.
- **Without a vehicle** what the package says is all there is.

The vehicle's maximum and conductors go where learning puts them, so sharing and the order of pauses use them, and they
are forgotten with the session. What is booked on which conductor stays a matter of learning (SPC-18).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from busbar.events import PowerTest, PowerTestState
from spc_allocator.booking import READ_BACK_A, VERIFY_MS
from spc_allocator.inputs import Inputs, Observed
from spc_allocator.learning import UNBOUND_A
from spc_allocator.rows import EPS, Network
from spc_allocator.state import AllocatorState
from spc_allocator.trials import NOTHING, Amperes, ChargePoint, Found, Trial, Trials, device_of

HOLD_MS: Final = 5000
PATIENCE_MS: Final = 30_000
"""A vehicle needs so long until it takes current."""
ROOM_MS: Final = 60_000
FACTOR: Final = 1.25
RISES_A: Final = 0.5
"""The current has risen."""
FLAT: Final = 1.0 / 3.0
"""A vehicle that takes less of a higher step than this has its maximum within it."""


def advance(net: Network, state: AllocatorState, obs: Observed, inputs: Inputs, now_ms: int) -> None:
    """Begin what was ordered, go on with what is under way. `state` is this cycle's own."""
    before = state.trials
    if not inputs.power_tests and (before is None or not any(trial.under_way for trial in before.of.values())):
        return
    trials = before or Trials()
    orders = {net.slot[order.connector]: order for order in inputs.power_tests if order.connector in net.slot}
    of, charge_points = dict(trials.of), dict(trials.charge_points)
    for slot, order in orders.items():
        if not _is_of(of.get(slot), order):
            of[slot] = _begun(net, slot, order)
    utc_ms = now_ms if inputs.utc_ms is None else inputs.utc_ms
    for slot, trial in sorted(of.items()):
        if trial.under_way:
            of[slot] = _Step(net, state, obs, slot, now_ms).of(trial, ordered=slot in orders, utc_ms=utc_ms)
            if not of[slot].under_way:
                _keep(net, state, slot, of[slot], charge_points)
    if of != trials.of:
        state.trials = Trials(of, charge_points)


def _is_of(trial: Trial | None, order: PowerTest) -> bool:
    return trial is not None and (trial.ordered_ms, trial.source) == (order.published_at_ms, order.source)


def _begun(net: Network, slot: int, order: PowerTest) -> Trial:
    return Trial(
        order.published_at_ms,
        order.until_ms or 0,
        order.source,
        order.author,
        asked_a=float(net.devices.minimum_a[slot]),
    )


class _Step:
    """One cycle of one test."""

    def __init__(self, net: Network, state: AllocatorState, obs: Observed, slot: int, now_ms: int) -> None:
        self.net, self.state, self.obs, self.slot, self.now_ms = net, state, obs, slot, now_ms
        devices = net.devices
        self.told_a = float(state.setpoint_a[slot])
        self.minimum_a, self.max_a = float(devices.minimum_a[slot]), float(devices.max_a[slot])
        self.reaction_ms = int(devices.reaction_ms[slot])

    def of(self, trial: Trial, *, ordered: bool, utc_ms: int) -> Trial:
        """The test after this cycle."""
        slot, who = self.slot, self.obs.who
        if not ordered:
            return _ended(trial, PowerTestState.EXPIRED if utc_ms >= trial.until_ms else PowerTestState.STOPPED)
        if who.left[slot]:
            begun = trial.session is not None or trial.state is PowerTestState.RUNNING
            return _ended(trial, PowerTestState.VEHICLE_LEFT if begun else PowerTestState.NO_VEHICLE)
        session = self.state.sessions[slot]
        if trial.session is not None and session != trial.session:
            return _ended(trial, PowerTestState.VEHICLE_LEFT)
        trial = replace(trial, session=session)
        if not (who.active[slot] and self.obs.fresh[slot]):
            return replace(trial, since_ms=0, short_ms=0)
        return self._short(self._held(trial))

    def _held(self, trial: Trial) -> Trial:
        """How long the setpoint has held, what was drawn at it, and the next step where that is enough."""
        kept_a = self._kept_a()
        if kept_a is not None and trial.found.kept_a is None:
            last_a = max(self._whole(kept_a), self.minimum_a)
            return replace(trial, asked_a=last_a, since_ms=0, found=replace(trial.found, kept_a=kept_a))
        if not self._in_force(kept_a) or self.told_a < self.minimum_a - EPS or self.told_a > trial.asked_a + EPS:
            return replace(trial, since_ms=0)
        if trial.since_ms == 0 or trial.held_a != self.told_a:
            trial = replace(
                trial, state=PowerTestState.RUNNING, held_a=self.told_a, since_ms=self.now_ms, peak_a=NOTHING,
                risen_ms=self.now_ms,
            )  # fmt: skip
        if self.now_ms - trial.since_ms < self.reaction_ms:
            return trial
        trial = self._measured(trial)
        patience_ms = PATIENCE_MS if trial.found.flows_from_a is None and not self._flows(trial.peak_a) else 0
        settled_ms = max(trial.since_ms + self.reaction_ms, trial.risen_ms) + HOLD_MS
        return self._settled(trial) if self.now_ms >= max(settled_ms, trial.since_ms + patience_ms) else trial

    def _measured(self, trial: Trial) -> Trial:
        drawn_a = _most(trial.peak_a, self._current_a())
        rises = max(drawn_a) > max(trial.peak_a) + RISES_A
        return replace(trial, peak_a=drawn_a, risen_ms=self.now_ms if rises else trial.risen_ms)

    def _settled(self, trial: Trial) -> Trial:
        """The step is done: note it, and go on with the next one where there is one."""
        found = self._noted(trial)
        trial = replace(trial, found=found)
        if self.told_a < trial.asked_a - EPS:
            return trial  # it has no room for more: see `_short`
        if self.told_a >= self.max_a - EPS or found.kept_a is not None:
            return _ended(trial, PowerTestState.NO_CURRENT if found.flows_from_a is None else PowerTestState.DONE)
        next_a = self.max_a if found.limited else self._next_a()
        return replace(trial, asked_a=next_a, since_ms=0, short_ms=0)

    def _noted(self, trial: Trial) -> Found:
        found, told_a, peak_a = trial.found, self.told_a, trial.peak_a
        found = replace(
            found,
            held_from_a=told_a if found.held_from_a is None else min(found.held_from_a, told_a),
            held_to_a=told_a if found.held_to_a is None else max(found.held_to_a, told_a),
        )
        if not self._flows(peak_a):
            return found
        power_w = self._power_w()
        if found.flows_from_a is None or told_a < found.flows_from_a:
            found = replace(found, flows_from_a=told_a, flows_from_w=power_w)
        limited = max(peak_a) < told_a - max(UNBOUND_A, float(self.net.devices.obeys_a[self.slot]))
        step_a = told_a - (trial.found.held_to_a or told_a)
        no_more = max(peak_a) - max(trial.found.drawn_a) <= max(RISES_A, FLAT * step_a)
        return replace(
            found, drawn_a=_most(found.drawn_a, peak_a), drawn_w=max(found.drawn_w, power_w),
            limited=limited, confirmed=limited and no_more and (step_a > EPS or found.confirmed),
        )  # fmt: skip

    def _short(self, trial: Trial) -> Trial:
        """Told less than asked: it waits for room, and ends where it has waited long enough."""
        if not trial.under_way or self.told_a >= trial.asked_a - EPS:
            return trial if trial.short_ms == 0 else replace(trial, short_ms=0)
        if trial.short_ms == 0:
            return replace(trial, short_ms=self.now_ms)
        if trial.found.held_to_a is None or self.now_ms - trial.short_ms < ROOM_MS:
            return trial
        return _ended(trial, PowerTestState.DONE if trial.found.confirmed else PowerTestState.NO_ROOM)

    # -- what is measured

    def _in_force(self, kept_a: float | None) -> bool:
        """Whether the device shows what it was told; where it shows nothing, whether it has had its time."""
        if kept_a is not None:
            return True
        changed_ms, limit_a = int(self.state.changed_at_ms[self.slot]), float(self.obs.limit_a[self.slot])
        if np.isnan(limit_a):
            return self.now_ms - changed_ms >= self.reaction_ms
        return int(self.state.sampled_at_ms[self.slot]) > changed_ms and abs(limit_a - self.told_a) <= READ_BACK_A

    def _kept_a(self) -> float | None:
        """The device's own limit, where it was told more long ago and keeps to less; None: it does not."""
        limit_a = float(self.obs.limit_a[self.slot])
        long_ms = int(self.state.changed_at_ms[self.slot]) + self.reaction_ms + VERIFY_MS
        keeps = self.minimum_a - EPS <= limit_a < self.told_a - READ_BACK_A  # false where it was not read
        return limit_a if keeps and int(self.state.sampled_at_ms[self.slot]) > long_ms else None

    def _current_a(self) -> Amperes:
        one, two, three = self.state.current_a[:, self.slot].tolist()
        return one, two, three

    def _flows(self, current_a: Amperes) -> bool:
        return max(current_a) > float(self.net.devices.flows_a[self.slot])

    def _power_w(self) -> float:
        """As measured; of a device that measures no power, by the voltages of the site."""
        measured_w = float(sum(self.obs.samples[self.slot].power_w))
        return measured_w if measured_w > 0.0 else float(self.state.voltage_v @ self.state.current_a[:, self.slot])

    def _next_a(self) -> float:
        step_a = float(self.net.devices.step_a[self.slot])
        return min(max(self._whole(FACTOR * self.told_a), self._whole(self.told_a + step_a)), self.max_a)

    def _whole(self, current_a: float) -> float:
        step_a = float(self.net.devices.step_a[self.slot])
        return float(np.floor((current_a + EPS) / step_a)) * step_a


def _most(one: Amperes, other: Amperes) -> Amperes:
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])


def _ended(trial: Trial, state: PowerTestState) -> Trial:
    return replace(trial, state=state, asked_a=0.0, since_ms=0, short_ms=0)


def _keep(net: Network, state: AllocatorState, slot: int, trial: Trial, charge_points: dict[int, ChargePoint]) -> None:
    """The vehicle's part for its session, the charge point's for good."""
    found, max_a = trial.found, float(net.devices.max_a[slot])
    if found.held_from_a is None or found.held_to_a is None:
        return
    complete = found.kept_a is not None or found.held_to_a >= max_a - EPS
    known = charge_points.get(slot)
    if complete or known is None or not known.proven:
        most_a = found.held_to_a if complete or known is None else max(found.held_to_a, known.max_a)
        charge_points[slot] = ChargePoint(device_of(net, slot), found.held_from_a, most_a, complete)
    if trial.state is PowerTestState.VEHICLE_LEFT or not (found.confirmed or complete) or found.flows_from_a is None:
        return
    state.own("highest_a")[slot] = max(found.drawn_a)
    state.own("maximum_known")[slot] = True
    flowed = np.array(found.drawn_a) > net.devices.flows_a[slot]
    state.own("seen")[:, slot] = flowed & net.devices.wired[:, slot]
