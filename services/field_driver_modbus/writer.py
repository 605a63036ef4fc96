"""What is written to one entity, and whether it took (FC-8, devices.md 8 to 12). Pure: state and events to orders.

A connector is told amperes, any other asset watts (consumption positive): one rule for both, in the command's unit. To
*raise* is to go away from 0, or to its other side.

- Nothing is written before the device has been read on this connection, and never a value just because none is known.
- After a connect or a restart of the device: fallback value, watchdog time, setpoint, in this order, each where the
  device does not already show it; then verified.
- A change is written once: a decrease at once, a raise no sooner than the package's interval after the last write, only
  while the device's own data are fresh, and never in hold, not even to give back what the device has lost.
- The watchdog is refreshed from the control side only: a setpoint is repeated after a third of the watchdog's time
  while it is fresh or held. In fallback it is not: the plan's value is written, verified and left to the device, unless
  a living fallback event asks for less than the device would do by itself, or nobody knows what that would be: then the
  plan's value is repeated as long as this driver lives.
- Verified by the package's point, in its time, with its tolerance. Less than asked, while the device shows our
  setpoint, is Clamped (a cable); more, or our setpoint not there, is not taken: written again, an alarm if it lasts.
- Compared for ever: a device that forgets or changes its setpoint gets it again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from busbar.devices.commands import CommandPlan, Prepared, Write
from busbar.domain.quality import Quality
from busbar.events import Outcome
from field_driver_modbus.keeper import Points, Problem, Qualities, WatchdogKeeper, number
from field_driver_modbus.stages import Stage, Target

ATTEMPTS_BEFORE_ALARM: Final = 3
SLOW_RETRY_S: Final = 10.0
ECHO: Final = "setpoint_current_a"
"""Vocabulary name of the register that a setpoint is written to."""

_NO_READING: Final = (Quality.COMM_FAIL, Quality.OUT_OF_RANGE, Quality.SUSPECT)
"""Qualities of a sample that proves nothing; for a while the one before it counts."""


class Step(StrEnum):
    ARM = "arm"
    """Fallback value and watchdog time."""
    SETPOINT = "setpoint"
    BEAT = "beat"
    """A heartbeat register."""


@dataclass(frozen=True, slots=True)
class Order:
    """Writes to be carried out now, in this order, without another request in between where the link allows."""

    step: Step
    writes: tuple[Write, ...]
    value: float = 0.0
    raising: bool = False
    """Waits for orders of others that do not raise anything."""


class Report(NamedTuple):
    """What became of the target so far."""

    outcome: Outcome
    requested: float
    applied: float | None
    detail: str = ""


def away_from_zero(new: float, present: float) -> bool:
    """True where `new` asks for more than `present` in either direction, or for the other direction."""
    return abs(new) > abs(present) or new * present < 0.0


class Writer:
    """One command, its verification, and the watchdog behind it. `echo`: the point that repeats what was written;
    `exponents`: scale factors as the device shows them, kept up to date by the owner; `refresh_s`: how often to repeat
    a command with a time of its own, where no keeper knows."""

    def __init__(
        self, command: CommandPlan, keeper: WatchdogKeeper | None, max_age_s: float, *, echo: str = ECHO,
        exponents: Mapping[str, int] | None = None, refresh_s: float | None = None,
    ) -> None:  # fmt: skip
        self._command = command
        self._own_refresh_s = refresh_s
        self._echo_point = echo
        self._exponents = exponents
        self._whole: float | None = None
        self._keeper = keeper
        self._max_age_s = max_age_s
        self._min_interval_s = command.min_interval_ms / 1000.0
        self._within_s = command.verify.within_ms / 1000.0 if command.verify else 0.0
        self._tolerance = command.verify.tolerance if command.verify else 0.0
        self._asked: float | None = None
        self._prepared: Prepared | None = None
        self._beats = 0
        self._last_write_s = -math.inf
        self._problems: dict[str, Problem] = {}
        self.lost()

    def lost(self) -> None:
        """The connection is gone: whether the last write arrived is not known."""
        self._told: float | None = None
        self._before: float | None = None
        self._seen: float | None = None
        self._echo: float | None = None
        self._observed_s = -math.inf
        self._refreshed_s = -math.inf
        self._verify_from_s = -math.inf
        self._next_try_s = -math.inf
        self._attempts = 0
        self._resigned = False
        self._again = False
        self._doubt_since_s: float | None = None
        self._outcome, self._detail = Outcome.UNVERIFIED, "nothing written on this connection yet"
        if self._keeper is not None:
            self._keeper.lost()

    @property
    def problems(self) -> dict[str, Problem]:
        """Open problems by code."""
        if self._keeper is None or not self._keeper.problems:
            return self._problems
        return {**self._keeper.problems, **self._problems}

    @property
    def device_limit(self) -> float | None:
        """The limit in force as the device shows it; its setpoint register may be a default that nobody has set."""
        return self._seen

    def observe(self, points: Points, quality: Qualities, asked_s: float, now_s: float) -> None:
        """A poll of the device, requested at `asked_s`: older than a write, it proves nothing about it."""
        verify = self._command.verify
        if verify is not None and quality.get(verify.point) in _NO_READING:
            if now_s - self._observed_s > self._max_age_s:
                self._seen = self._echo = None
                self._outcome, self._detail = Outcome.UNVERIFIED, "the limit in force cannot be read"
            return
        self._observed_s = now_s
        self._seen = number(points, quality, verify.point) if verify else None
        self._echo = number(points, quality, self._echo_point)
        if self._command.whole is not None:
            self._rate(number(points, quality, self._command.whole), now_s)
        if self._keeper is not None:
            self._keeper.observe(points, quality, asked_s, now_s)
        if self._told is not None and asked_s >= self._last_write_s:
            self._judge(self._told, now_s)

    def order(self, target: Target, now_s: float) -> Order | None:
        """What has to be written now, or None. The caller carries it out and answers with `done` or `refused`."""
        if self._observed_s == -math.inf:
            return None
        arm = self._keeper.writes(now_s) if self._keeper else ()
        if arm:
            return Order(Step.ARM, arm)
        if target.value is None:
            return None
        prepared = self._prepare(target.value, now_s)
        if not prepared.writes:
            return None
        if self._told != prepared.sent or self._again:
            return self._change(prepared, target, now_s)
        return self._refresh(prepared, target, now_s)

    def done(self, order: Order, now_s: float) -> None:
        """The device acknowledged every write of the order; whether it obeys is still to be seen."""
        if order.step is Step.ARM:
            assert self._keeper is not None  # noqa: S101 - only a keeper gives such an order
            self._keeper.written(now_s)
            self._again = True
            return
        self._refreshed_s = now_s
        if order.step is Step.BEAT:
            self._beats += 1
            return
        self._problems.pop("setpoint_refused", None)
        renewal = self._told == order.value and not self._again and self._attempts == 0
        self._last_write_s = now_s
        if renewal:
            return
        self._before = self._seen
        self._told, self._again, self._verify_from_s = order.value, False, now_s + self._within_s
        self._outcome, self._detail = Outcome.UNVERIFIED, "written, not yet read back"

    def refused(self, order: Order, text: str, now_s: float) -> None:
        """The device answered a write with an exception."""
        if order.step is Step.ARM:
            assert self._keeper is not None  # noqa: S101 - only a keeper gives such an order
            self._keeper.written(now_s, text)
            return
        self._last_write_s = self._refreshed_s = now_s
        if order.step is Step.BEAT:
            return
        self._told, self._again = None, True
        self._attempts += 1
        self._outcome, self._detail = Outcome.REFUSED, text
        self._next_try_s = now_s + self._pause_s()
        if self._attempts >= ATTEMPTS_BEFORE_ALARM:
            self._problems["setpoint_refused"] = Problem(
                f"the device refuses {self._said(order.value)}: {text}; retried"
            )

    def report(self, target: Target) -> Report:
        """Outcome of the target that the last `order` was asked with."""
        requested = 0.0 if target.value is None else target.value
        prepared = self._prepared
        if target.value is None or prepared is None or self._asked != target.value:
            return Report(Outcome.UNVERIFIED, requested, self._seen, self._detail)
        if not prepared.writes:
            return Report(Outcome.REFUSED, requested, self._seen, prepared.detail)
        if self._told != prepared.sent and self._outcome is not Outcome.REFUSED:
            return Report(Outcome.UNVERIFIED, requested, self._seen, "not written yet")
        if self._outcome is Outcome.APPLIED and prepared.outcome_hint is Outcome.CLAMPED:
            return Report(Outcome.CLAMPED, requested, self._seen, prepared.detail)
        return Report(self._outcome, requested, self._seen, self._detail)

    def _rate(self, whole: float | None, now_s: float) -> None:
        """The rating of which the device takes a share: what was prepared with another one is prepared anew."""
        if whole is None or whole == self._whole:
            return
        self._whole, asked = whole, self._asked
        self._asked = None
        if asked is not None:
            self._prepare(asked, now_s)

    def _prepare(self, value: float, now_s: float) -> Prepared:
        prepared = self._prepared
        if prepared is not None and value == self._asked:
            return prepared
        fresh = self._command.prepare(value, exponents=self._exponents, whole=self._whole)
        if prepared is None or fresh.sent != prepared.sent:
            self._attempts, self._next_try_s, self._resigned = 0, now_s, False
            self._problems.pop("setpoint_refused", None)
            if self._outcome is Outcome.REFUSED:
                self._outcome, self._detail = Outcome.UNVERIFIED, "not written yet"
        self._asked, self._prepared = value, fresh
        return fresh

    def _change(self, prepared: Prepared, target: Target, now_s: float) -> Order | None:
        holding = target.stage is Stage.HOLD
        if self._told is None and not self._again and self._shows(prepared.sent, limit_is_enough=holding):
            self._told = prepared.sent
            self._outcome, self._detail = Outcome.APPLIED, ""
            return None
        present = self.device_limit if self._told is None or self._again else self._told
        raising = present is None or away_from_zero(prepared.sent, present)
        if holding and (raising or prepared.sent == present):
            return None
        not_before_s = self._next_try_s
        if raising:
            if now_s - self._observed_s > self._max_age_s:
                return None
            not_before_s = max(not_before_s, self._last_write_s + self._min_interval_s)
        if now_s < not_before_s:
            return None
        return Order(Step.SETPOINT, prepared.writes, prepared.sent, raising)

    def _shows(self, sent: float, limit_is_enough: bool) -> bool:
        """The device already does what it would be told; once commanded, its setpoint register must say so too."""
        verify = self._command.verify
        if verify is None or verify.judge(sent, self._seen) is not Outcome.APPLIED:
            return False
        return limit_is_enough or self._echo is None or abs(self._echo - sent) <= self._tolerance + 1e-9

    def _refresh(self, prepared: Prepared, target: Target, now_s: float) -> Order | None:
        commanded = target.stage is not Stage.FALLBACK and target.seq >= 0
        every_s = self._keeper.refresh_s if self._keeper is not None else self._own_refresh_s
        ours = target.stage is Stage.FALLBACK and self._keeper is not None and self._keeper.falls_anywhere
        if every_s is None or not (commanded or ours or target.bound_by) or now_s - self._refreshed_s < every_s:
            return None
        beat = self._keeper.plan.heartbeat(self._beats) if self._keeper is not None else None
        if beat is not None:
            return Order(Step.BEAT, (beat,))
        return Order(Step.SETPOINT, prepared.writes, prepared.sent)

    def _judge(self, told: float, now_s: float) -> None:
        verify = self._command.verify
        late = now_s >= self._verify_from_s
        if verify is None or self._seen is None:
            if late:
                self._outcome, self._detail = Outcome.UNVERIFIED, "the device shows no limit to compare with"
            return
        verdict = verify.judge(told, self._seen)
        if verdict is Outcome.APPLIED:
            self._taken(verdict, "")
        elif verdict is Outcome.CLAMPED and not self._doubtful(told):
            if late:
                self._taken(verdict, f"the device limits itself to {self._said(self._seen)}")
        else:
            self._doubt(told, now_s)
            if late and not self._again:
                self._not_taken(told, now_s)

    @property
    def _own_setpoint(self) -> float | None:
        """Our setpoint as the device repeats it; None where the limit in force is all it shows."""
        verify = self._command.verify
        return None if verify is None or verify.point == self._echo_point else self._echo

    def _doubtful(self, told: float) -> bool:
        """Less than told, but is it the device's own limit, or did it ignore a raise?"""
        own = self._own_setpoint
        if own is not None:
            return abs(own - told) > self._tolerance + 1e-9
        return self._seen == self._before and not self._resigned

    def _taken(self, outcome: Outcome, detail: str) -> None:
        self._attempts, self._doubt_since_s = 0, None
        self._outcome, self._detail = outcome, detail
        self._problems.pop("setpoint_not_taken", None)

    def _doubt(self, told: float, now_s: float) -> None:
        """The device does not show what it was told: an alarm when that lasts, also while setpoints go on changing."""
        if self._doubt_since_s is None:
            self._doubt_since_s = self._last_write_s
        self._detail = f"told {self._said(told)}, shows {self._said(self._seen)}"
        lasts = now_s - self._doubt_since_s >= ATTEMPTS_BEFORE_ALARM * self._within_s
        if lasts and not self._only_less(told):
            self._problems["setpoint_not_taken"] = Problem(
                f"the device does not take its setpoint: {self._detail}; written again every {SLOW_RETRY_S:g} s. "
                "Check that it may be controlled by Modbus and that nothing else controls it"
            )

    def _said(self, value: float | None) -> str:
        return "nothing" if value is None else f"{value:g} {self._command.unit}".rstrip()

    def _not_taken(self, told: float, now_s: float) -> None:
        self._attempts += 1
        self._again = True
        self._next_try_s = max(now_s, self._last_write_s + self._pause_s())
        self._outcome = Outcome.UNVERIFIED
        self._resigned = self._only_less(told) and self._attempts >= ATTEMPTS_BEFORE_ALARM

    def _only_less(self, told: float) -> bool:
        """It does less, which is safe, and nothing tells why: after some attempts it counts as its own limit."""
        return self._own_setpoint is None and self._seen is not None and abs(self._seen) < abs(told)

    def _pause_s(self) -> float:
        return SLOW_RETRY_S if self._attempts >= ATTEMPTS_BEFORE_ALARM else self._min_interval_s
