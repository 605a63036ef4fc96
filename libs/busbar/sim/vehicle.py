"""One vehicle at one connector: what it takes of what the pilot offers (IEC 61851-1).

    asleep <--long pause-- paused --offer, wake time--> drawing --energy taken--> full
                             ^------- offer withdrawn -----'

The vehicle sees the offer and the voltage, nothing else. It never draws below an offer of 6 A, follows a higher offer
after its reaction time with its own slope and a lower one at once and faster, takes a little less (some much less, some
a little more) than offered, and its on-board charger and its battery bound it. Currents are RMS per own phase.
"""

from __future__ import annotations

import math
import random

from busbar.sim.chance import Wander
from busbar.sim.fleet import Manners, Model, Waking
from busbar.sim.plant import EvsePort
from busbar.sim.sessions import Visit
from busbar.units import MIN_CURRENT_A

_OPENS_S = 3.0
"""IEC 61851-1: the switch opens within 3 s after the offer is withdrawn."""
_TOGGLE_S = 2.0
"""An offer must have been away this long to count as interrupted."""
_STILL_A = 0.02
_TAPER_SHARE = 0.04
"""Part of the battery over which a tapering vehicle lowers its power ..."""
_TAPER_NEED = 0.25
"""... but at most this part of what it takes in all: a short session is no last percent."""
_TAPER_FLOOR = 0.12
_SWING_TAU_S = 40.0
_SWING_A = 0.06


class Vehicle:
    """Call `offer` when the offer changes, `step` when `due_s` is reached and `second` once a second."""

    __slots__ = (
        "_closes_at_s",
        "_cosine",
        "_follow_at_s",
        "_level_a",
        "_opens_at_s",
        "_pause_began_s",
        "_second_offer",
        "_sine",
        "_swing",
        "_taper_wh",
        "_target_a",
        "asleep",
        "closed",
        "current_a",
        "due_s",
        "left_wh",
        "manners",
        "model",
        "offered_a",
        "phases",
        "shares",
        "timer_s",
        "visit",
    )

    def __init__(self, model: Model, manners: Manners, visit: Visit, phases: int, rng: random.Random) -> None:
        """`phases`: how many the connector has; the vehicle uses the first ones."""
        self.model = model
        self.manners = manners
        self.visit = visit
        self.phases = min(model.phases, phases)
        self.left_wh = 0.0 if visit.mood == "full" else max(0.0, visit.need_wh - visit.done_wh)
        self.timer_s = visit.timer_s if visit.mood == "timer" else -math.inf
        self.closed = False
        self.asleep = False
        self.current_a = 0.0
        self.offered_a = 0.0
        self.due_s = math.inf
        self.shares = tuple(manners.imbalance[k] if k < self.phases else 0.0 for k in range(3))
        sine = math.sqrt(1.0 - manners.power_factor**2)
        self._cosine, self._sine = manners.power_factor, sine if manners.inductive else -sine
        self._taper_wh = max(1.0, min(_TAPER_SHARE * model.battery_wh, _TAPER_NEED * visit.need_wh))
        self._swing = Wander(rng, _SWING_A, _SWING_TAU_S)
        self._target_a = 0.0
        self._level_a = 0.0
        self._closes_at_s = self._opens_at_s = self._follow_at_s = math.inf
        self._pause_began_s = visit.arrive_s
        self._second_offer = False

    @property
    def full(self) -> bool:
        return self.left_wh <= 0.0

    def offer(self, offered_a: float, now_s: float) -> None:
        """The pilot's duty cycle changed."""
        before_a, self.offered_a = self.offered_a, offered_a
        if offered_a < MIN_CURRENT_A:
            if before_a >= MIN_CURRENT_A:
                self._pause(now_s)
        elif before_a < MIN_CURRENT_A:
            self._wake(now_s)
        elif self.asleep and self.manners.waking is Waking.AT_8_A and offered_a >= 8.0:
            self.asleep = False
        self._aim(now_s)

    def second(self, now_s: float) -> None:
        """Slow things: battery, timer, sleep, the swing of its current."""
        if self.offered_a < MIN_CURRENT_A:
            slept = now_s - self._pause_began_s >= self.manners.sleeps_after_s
            if slept and self.visit.mood == "normal" and self.manners.waking is not Waking.PROMPT and not self.closed:
                self.asleep = True
        if self.closed:
            self._swing.step(1.0)
        self._aim(now_s)

    def step(self, now_s: float, dt_s: float) -> None:
        """Follow the target for `dt_s`; sets `due_s` to when it wants to be called again."""
        if now_s >= self._closes_at_s:
            self._closes_at_s = math.inf
            self.closed = True
            self._follow_at_s = now_s + self.manners.reaction_s
            self._aim(now_s)
        if now_s >= self._opens_at_s and self.current_a == 0.0:
            self._opens_at_s = math.inf
            self.closed = False
        gap_a = self._target_a - self.current_a
        if gap_a > 0.0 and now_s >= self._follow_at_s:
            self.current_a += min(gap_a, self.manners.ramp_a_per_s * dt_s)
        elif gap_a < 0.0:
            self.current_a += max(gap_a, -self.manners.drop_a_per_s * dt_s)
        self._plan(now_s)

    def power_lost(self, now_s: float) -> None:
        """The supply is gone: the contactor opens at once."""
        self.current_a = 0.0
        self.closed = False
        self._opens_at_s = math.inf
        self._aim(now_s)

    def power_back(self, now_s: float) -> None:
        """To the vehicle a pilot that was gone is a plug put in anew: it starts awake."""
        self.asleep = self._second_offer = False
        self._pause_began_s = now_s

    def stop(self, now_s: float) -> None:
        """The driver unlocks: it stops taking current."""
        self.left_wh = 0.0
        self._aim(now_s)

    def apply(self, port: EvsePort) -> None:
        """Currents and powers of all phases from the current and the port's voltage."""
        standby_w = 0.0 if self.asleep else self.manners.standby_w
        for k, share in enumerate(self.shares):
            voltage_v = port.voltage_v[k]
            apparent_va = voltage_v * self.current_a * share if k < port.phases else 0.0
            power_w = apparent_va * self._cosine + (standby_w if k == 0 and voltage_v else 0.0)
            reactive_var = apparent_va * self._sine
            port.power_w[k] = power_w
            port.reactive_var[k] = reactive_var
            port.current_a[k] = math.hypot(power_w, reactive_var) / voltage_v if power_w else 0.0
        port.wants_current = self.closed

    # -- inside

    def _pause(self, now_s: float) -> None:
        self._pause_began_s = now_s
        self._closes_at_s = math.inf
        if self.closed and self.manners.opens_at_pause:
            self._opens_at_s = now_s + _OPENS_S

    def _wake(self, now_s: float) -> None:
        away_s = now_s - self._pause_began_s
        if self.asleep:
            waking = self.manners.waking
            if waking is Waking.AT_8_A:
                self.asleep = self.offered_a < 8.0
            elif waking is Waking.AFTER_TOGGLE and away_s >= _TOGGLE_S:
                self.asleep = not self._second_offer
                self._second_offer = True
        self._opens_at_s = math.inf
        self._follow_at_s = now_s + self.manners.reaction_s

    def _wants(self, now_s: float) -> bool:
        return self.left_wh > 0.0 and not self.asleep and now_s >= self.timer_s

    def _aim(self, now_s: float) -> None:
        """Set the switch and the target from what is offered and wanted."""
        offered, wants = self.offered_a >= MIN_CURRENT_A, self._wants(now_s)
        if offered and wants and not self.closed and self._closes_at_s == math.inf:
            self._closes_at_s = now_s + self.manners.wake_s
        if not wants:
            self._closes_at_s = math.inf
            if self.closed and self._opens_at_s == math.inf:
                self._opens_at_s = now_s
        target_a = self._wanted_a() if offered and wants and self.closed else 0.0
        if target_a > self._target_a + 0.5 and self.current_a >= self._target_a - _STILL_A:
            self._follow_at_s = now_s + self.manners.reaction_s
        self._target_a = target_a
        self._plan(now_s)

    def _wanted_a(self) -> float:
        taken_a = min(self.offered_a * self.manners.take + self.manners.over_a, self.model.max_current_a)
        if self.manners.tapers:
            share = self.left_wh / self._taper_wh
            if share < 1.0:
                taken_a = min(taken_a, self.model.max_current_a * max(_TAPER_FLOOR, share))
        return max(0.0, taken_a + self._swing.value)

    def _plan(self, now_s: float) -> None:
        """When must `step` run again? Now while the current moves, else when the next thing is due."""
        gap_a = self._target_a - self.current_a
        if gap_a > 0.0:
            waiting_s = self._follow_at_s if self._follow_at_s > now_s else 0.0
        else:
            waiting_s = 0.0 if gap_a < 0.0 else math.inf
        opens_s = self._opens_at_s if self.current_a == 0.0 else math.inf
        self.due_s = min(waiting_s, self._closes_at_s, opens_s)
