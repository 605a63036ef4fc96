"""The device's own watchdog: armed, read back, compared for ever (FB-3, devices.md 11, 12). Pure.

Rule: after every connect the device is read first. Where its fallback value or watchdog time differ from what they must
be, both are written, fallback first; from then on they are compared with every poll. A difference that appears later
means that the device has restarted or somebody else has changed it: written again, and the setpoint after it. What does
not take is retried and reported; where only the installer can set it, the difference itself is the alarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from busbar.devices.commands import Check, WatchdogPlan, WatchdogSetup, Write
from busbar.domain.quality import Quality
from busbar.events import Outcome, Severity

ATTEMPTS_BEFORE_ALARM: Final = 3
RETRY_S: Final = 5.0
SLOW_RETRY_S: Final = 30.0

Points = Mapping[str, float | str | None]
Qualities = Mapping[str, Quality]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to alarm about, until it is over."""

    text: str
    severity: Severity = Severity.ERROR


def number(points: Points, quality: Qualities, name: str) -> float | None:
    """The point where it may be compared: a number of good quality."""
    value = points.get(name)
    return None if value is None or isinstance(value, str) or name in quality else value


class WatchdogKeeper:
    """Fallback value and watchdog time of one entity of a device."""

    def __init__(self, plan: WatchdogPlan, fallback: float, timeout_s: float) -> None:
        """`fallback` in A for a connector, in W for any other asset; `timeout_s` 0: it is not to act."""
        self.plan = plan
        self._setup: WatchdogSetup = plan.configure(fallback=fallback, timeout_s=timeout_s)
        self._wanted_timeout_s = timeout_s
        self._seen_timeout_s: float | None = None
        self.problems: dict[str, Problem] = {}
        if self._setup.outcome_hint is not Outcome.APPLIED:
            self.problems["watchdog_limited"] = Problem(
                f"the device's watchdog cannot be set as planned: {self._setup.detail}", Severity.WARNING
            )
        self.lost()

    def lost(self) -> None:
        """The connection is gone: what the device does meanwhile is not known."""
        self._wrong: tuple[Check, ...] | None = None
        self._unread: tuple[Check, ...] = ()
        self._written_s: float | None = None
        self._attempts = 0
        self._next_try_s = 0.0
        self._was_right = False

    @property
    def refresh_s(self) -> float | None:
        """The setpoint is to be repeated this often while the control side lives; None: repeating refreshes nothing."""
        if self.plan.mechanism not in ("any_write", "rewrite_setpoint", "heartbeat_register"):
            return None
        timeout_s = self.plan.timeout_s if self.plan.timeout_point is None else None
        candidates = [t for t in (timeout_s, self._seen_timeout_s, self._wanted_timeout_s) if t]
        return self.plan.refresh_s(min(candidates)) if candidates else None

    @property
    def falls_anywhere(self) -> bool:
        """Nobody knows to which value the device goes by itself: the plan's holds only while it is repeated."""
        return self.plan.fallback == "unknown"

    def observe(self, points: Points, quality: Qualities, asked_s: float, now_s: float) -> None:
        """Compare a poll that was requested at `asked_s`."""
        if self.plan.timeout_point is not None:
            self._seen_timeout_s = number(points, quality, self.plan.timeout_point) or None
        if self._written_s is not None and asked_s < self._written_s:
            return
        if self._was_right and self._holds(points, quality):
            self._attempts, self._next_try_s = 0, now_s
            return
        if any(quality.get(check.point) is Quality.COMM_FAIL for check in self._setup.checks):
            return
        found = [(check, number(points, quality, check.point)) for check in self._setup.checks]
        self._unread = tuple(check for check, value in found if value is None)
        self._wrong = tuple(c for c, value in found if value is not None and abs(value - c.value) > c.tolerance + 1e-9)
        right = not self._wrong and not self._unread
        if right or self._was_right:
            self._attempts, self._next_try_s = 0, now_s
        self._was_right = right
        self._report(points)

    def _holds(self, points: Points, quality: Qualities) -> bool:
        """Everything still is as it must be: what nearly every poll shows."""
        for check in self._setup.checks:
            value = points.get(check.point)
            if value is None or isinstance(value, str) or abs(value - check.value) > check.tolerance + 1e-9:
                return False
            if check.point in quality:
                return False
        return True

    def writes(self, now_s: float) -> tuple[Write, ...]:
        """What is to be written now, in this order; empty: nothing."""
        if self._wrong is None or not self._setup.writes or now_s < self._next_try_s:
            return ()
        blind = bool(self._unread) and self._attempts < ATTEMPTS_BEFORE_ALARM
        return self._setup.writes if self._wrong or blind else ()

    def written(self, now_s: float, error: str = "") -> None:
        """The writes of `writes` were tried; `error` where the device refused one."""
        self._written_s = now_s
        self._attempts += 1
        self._next_try_s = now_s + (RETRY_S if self._attempts < ATTEMPTS_BEFORE_ALARM else SLOW_RETRY_S)
        if error:
            self.problems["watchdog_refused"] = Problem(f"the device refused its watchdog settings: {error}")
        else:
            self.problems.pop("watchdog_refused", None)

    def _report(self, points: Points) -> None:
        wrong = self._wrong or ()
        if wrong and (not self._setup.writes or self._attempts >= ATTEMPTS_BEFORE_ALARM):
            found = ", ".join(f"{c.point} is {points.get(c.point)}, must be {c.value:g}" for c in wrong)
            remedy = "retried" if self._setup.writes else "set it on the device with the maker's tool"
            self.problems["watchdog_mismatch"] = Problem(f"{found}: {remedy}")
        else:
            self.problems.pop("watchdog_mismatch", None)
        if self._unread and (not self._setup.writes or self._attempts >= ATTEMPTS_BEFORE_ALARM):
            names = ", ".join(check.point for check in self._unread)
            self.problems["watchdog_unverified"] = Problem(f"cannot read back {names}", Severity.WARNING)
        else:
            self.problems.pop("watchdog_unverified", None)
