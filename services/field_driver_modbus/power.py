"""One asset that is set in W as this driver sees it: a battery, or a generator with a limit (SPC-12, SPC-13).

The same parts as a connector: `stages` decide what counts, the `Writer` writes and verifies, the device's own watchdog
is armed and compared for ever (FB-3). A battery stops by itself when nobody talks to it. A generator that is free in
the fallback plan goes back to free by itself; one with a standing limit must not: there the reversion is switched off,
and what was written last stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from busbar.config.assets import Battery, Pv, Wind, power_range_w
from busbar.config.site import Entity
from busbar.devices.plan import DevicePlan
from busbar.events import Fallback, Outcome, Session, Setpoint, SetpointResult, Severity
from field_driver_modbus.keeper import Points, Problem, Qualities, WatchdogKeeper, number
from field_driver_modbus.obedience import Obedience
from field_driver_modbus.power_stages import PowerStages
from field_driver_modbus.reactive import Reactive
from field_driver_modbus.stages import Target
from field_driver_modbus.writer import Order, Report, Writer

SET_IN_W: Final = (Battery, Pv, Wind)
"""Assets of the site file that are driven by this module."""
SET_POWER: Final = "set_power"
ECHO_W: Final = "setpoint_power_w"
GENERATOR_WATCHDOG_S: Final = 60.0
"""Silence after which a generator without a standing limit is free again."""
RESULT_PERIOD_S: Final = 10.0


class PowerUnit:
    """One asset. `booked_w`: what it was told before this process."""

    def __init__(
        self, entity: Entity, asset: Battery | Pv | Wind, driver: str, stages: PowerStages, booked_w: float | None
    ) -> None:
        self.entity = entity
        self.stages = stages
        self._asset = asset
        self._driver = driver
        self._booked_w = booked_w
        self._writer: Writer | None = None
        self._obedience = Obedience(0.0, 0.0)
        self._reactive = Reactive(asset.reactive_power_max_var if isinstance(asset, Pv) else 0.0)
        self._problems: dict[str, Problem] = {}
        self._reported: tuple[str, Report] | None = None
        self._reported_s = 0.0

    @property
    def id(self) -> str:
        return self.entity.id

    @property
    def session(self) -> Session | None:
        """An asset has no sessions."""
        return None

    def fit(self, plan: DevicePlan, exponents: Mapping[str, int], forced: bool) -> None:
        """The plan of the device is known (for SunSpec: after discovery): set up what writes to it."""
        self._writer, self._problems = None, {}
        self._obedience = Obedience(self.entity.rated_power_w, plan.reaction_s)
        command = plan.commands.get(SET_POWER)
        if command is None or command.verify is None:
            text = f"the device has no verifiable {SET_POWER} command (package {plan.package_id}): it is only read"
            self._problems["no_setpoint"] = Problem(text, Severity.WARNING)
        elif not (plan.writable or forced):
            self._problems["read_only"] = Problem(f"package {plan.package_id} is unproven: nothing is written to it")
        else:
            max_age_s = plan.fast.max_age_for_control_ms / 1000.0
            self._writer = Writer(command, self._keeper(plan), max_age_s, echo=ECHO_W, exponents=exponents)
            self._reactive.fit(plan, exponents)

    def _keeper(self, plan: DevicePlan) -> WatchdogKeeper | None:
        asset = self._asset
        if plan.watchdog is None or plan.watchdog.mechanism == "none":
            if isinstance(asset, Battery):
                text = "the device has no watchdog of its own: lost, it is booked at its maximum charging power"
                self._problems["no_watchdog"] = Problem(text, Severity.WARNING)
            return None
        if isinstance(asset, Battery):
            return WatchdogKeeper(plan.watchdog, 0.0, asset.watchdog_s)
        plan_w = self.stages.plan_w
        free = plan_w <= power_range_w(asset)[0]
        return WatchdogKeeper(plan.watchdog, plan_w, GENERATOR_WATCHDOG_S if free else 0.0)

    def lost(self) -> None:
        """The connection to the device is gone."""
        self._obedience.forget()
        self._reactive.lost()
        if self._writer is not None:
            self._writer.lost()

    def setpoint(self, setpoint: Setpoint, life_left_s: float, now_s: float) -> bool:
        counts = self.stages.setpoint(setpoint, life_left_s, now_s)
        if counts:
            self._reactive.setpoint(setpoint)
        return counts

    def fallback(self, event: Fallback, life_left_s: float, now_s: float) -> None:
        """Fallback events name connectors; an asset falls back by the age of its own setpoint."""

    def polled(self, points: Points, quality: Qualities, asked_s: float, now_s: float, at_ms: int) -> list[Session]:
        """A fast poll has arrived."""
        if self._writer is None:
            return []
        self._writer.observe(points, quality, asked_s, now_s)
        self._reactive.observe(points, quality, asked_s, now_s)
        shown_w = self._writer.device_limit
        if shown_w is not None and not self.stages.adopted:
            self.stages.adopt(shown_w, self._booked_w)
        self._obedience.observe(shown_w, number(points, quality, "power_w"), now_s)
        return []

    def order(self, now_s: float) -> tuple[Order, Writer] | None:
        """What is to be written now, and to whom the outcome is told."""
        if self._writer is None:
            return None
        target = self.stages.target(now_s)
        order = self._writer.order(target, now_s)
        return self._reactive.order(target, now_s) if order is None else (order, self._writer)

    def result(self, now_s: float, at_ms: int) -> SetpointResult | None:
        """The result where it has changed, and every 10 s."""
        target = self.stages.target(now_s)
        report = self._report(target)
        if report is None:
            return None
        shown = (str(target.stage), report)
        if shown == self._reported and now_s - self._reported_s < RESULT_PERIOD_S:
            return None
        self._reported, self._reported_s, why = shown, now_s, target.why(now_s)
        return SetpointResult(
            asset=self.id, driver=self._driver, epoch=target.epoch, seq=max(target.seq, 0), outcome=report.outcome,
            requested_a=None, applied_a=None, requested_w=report.requested, applied_w=report.applied,
            stage=str(target.stage), detail=f"{report.detail}; {why}" if report.detail else why, measured_at_ms=at_ms,
        )  # fmt: skip

    def _report(self, target: Target) -> Report | None:
        if self._writer is None or target.value is None:
            return None
        report = self._writer.report(target)
        problem = self._obedience.problem
        if problem is None or report.outcome is Outcome.REFUSED:
            return report
        return Report(Outcome.UNVERIFIED, report.requested, report.applied, problem.text)

    def booked(self, now_s: float) -> float | None:
        """What this asset was last told to keep to, in W: the bound for what a restarted driver adopts."""
        return self.stages.target(now_s).value

    @property
    def problems(self) -> dict[str, Problem]:
        """Open problems by code."""
        theirs = {} if self._writer is None else self._writer.problems
        own = self._obedience.problem
        return {**self._problems, **theirs, **self._reactive.problems, **({"disobeys": own} if own else {})}
