"""One connector as this driver sees it: which setpoint counts, what is written, whether it took, whose session it is.

Holds the three cores (`stages`, `writer`, `sessions`) side by side; no I/O, every call takes `now`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from busbar.config.site import Entity
from busbar.devices.package import DevicePackage
from busbar.devices.plan import DevicePlan
from busbar.domain.charging import Status
from busbar.domain.quality import Quality
from busbar.events import Fallback, Session, Setpoint, SetpointResult, Severity
from busbar.units import THREE_PHASE_V
from field_driver_modbus.keeper import Points, Problem, Qualities, WatchdogKeeper, number
from field_driver_modbus.phases import Phases
from field_driver_modbus.sessions import Sample, SessionTracker
from field_driver_modbus.stages import ConnectorStages, Target
from field_driver_modbus.writer import ECHO, Order, Report, Writer

SET_CURRENT: Final = "set_current"
SET_POWER: Final = "set_power"
"""Of a DC connector: its values are W."""
ECHO_W: Final = "setpoint_power_w"
RESULT_PERIOD_S: Final = 10.0
_STATUS: Final = {str(status): status for status in Status}
_CURRENTS: Final = ("current_l1_a", "current_l2_a", "current_l3_a")


class ConnectorUnit:
    """One connector of a device."""

    def __init__(
        self, entity: Entity, driver: str, stages: ConnectorStages, booked_a: float | None, last: Session | None
    ) -> None:
        """`booked_a`: what it was told before this process; `last`: its last known session."""
        self.entity = entity
        self.stages = stages
        self._driver = driver
        self._booked_a = booked_a
        self._writer: Writer | None = None
        self._phases = Phases(may=entity.phase_dwell_s is not None)
        self._tracker = SessionTracker(entity.id, driver, last)
        self._problems: dict[str, Problem] = {}
        self._reported: tuple[str, Report, Report | None] | None = None
        self._reported_s = 0.0

    @property
    def id(self) -> str:
        return self.entity.id

    def fit(self, plan: DevicePlan, exponents: Mapping[str, int], forced: bool) -> None:
        """The plan of the device is known (for SunSpec: after discovery): set up what writes to it. `exponents`: its
        scale factors, as they are read."""
        self._writer, self._problems = None, {}
        name, echo = (SET_POWER, ECHO_W) if self.entity.dc else (SET_CURRENT, ECHO)
        command = plan.commands.get(name)
        if command is None or command.verify is None:
            self._problems["no_setpoint"] = Problem(f"package {plan.package_id} has no verifiable {name} command")
        elif not (plan.writable or forced):
            self._problems["read_only"] = Problem(f"package {plan.package_id} is unproven: nothing is written to it")
        else:
            max_age_s = plan.fast.max_age_for_control_ms / 1000.0
            self._writer = Writer(command, self._keeper(plan), max_age_s, echo=echo, exponents=exponents)
            self._phases.fit(plan, exponents)

    def _keeper(self, plan: DevicePlan) -> WatchdogKeeper | None:
        point = self.entity.charge_point
        if plan.watchdog is None or plan.watchdog.mechanism == "none" or point is None:
            self._problems["no_watchdog"] = Problem(
                "the device has no watchdog of its own: it is booked at its maximum whenever it is lost",
                Severity.WARNING,
            )
            return None
        return WatchdogKeeper(plan.watchdog, self.stages.plan_a, point.watchdog_s)

    def lost(self) -> None:
        """The connection to the device is gone."""
        self._phases.lost()
        if self._writer is not None:
            self._writer.lost()

    def setpoint(self, setpoint: Setpoint, life_left_s: float, now_s: float) -> bool:
        counts = self.stages.setpoint(setpoint, life_left_s, now_s)
        if counts:
            self._phases.setpoint(setpoint)
        return counts

    def fallback(self, event: Fallback, life_left_s: float, now_s: float) -> None:
        self.stages.fallback(event, life_left_s, now_s)

    def polled(self, points: Points, quality: Qualities, asked_s: float, now_s: float, at_ms: int) -> list[Session]:
        """A fast poll has arrived. Returns what there is to say about the session."""
        status = _STATUS.get(str(points.get("status")))
        raw = points.get("status_raw")
        if status is None and raw is not None and "status_raw" not in quality:
            self._problems["unknown_status"] = Problem(
                f"the device reports status {raw!r}, which its package does not know: it is not given more current; "
                "correct the package, or report it to who wrote it",
                Severity.WARNING,
            )
        else:
            self._problems.pop("unknown_status", None)
        if self._writer is not None:
            self._writer.observe(points, quality, asked_s, now_s)
            self._phases.observe(points, quality, asked_s, now_s)
            limit_a = self._writer.device_limit
            if limit_a is not None and not self.stages.adopted:
                self.stages.adopt(limit_a, self._booked_a)
        return self._tracker.step(_sample(points, quality, status, at_ms))

    def order(self, now_s: float) -> tuple[Order, Writer] | None:
        """What is to be written now, and to whom the outcome is told."""
        if self._writer is None:
            return None
        target = self.stages.target(now_s)
        order = self._writer.order(target, now_s)
        if order is not None or not self._phases.asked:
            return None if order is None else (order, self._writer)
        return self._phases.order(target, self._writer.report(target), self.stages.bounded, now_s)

    def result(self, now_s: float, at_ms: int) -> SetpointResult | None:
        """The result where it has changed, and every 10 s."""
        target = self.stages.target(now_s)
        report = self._report(target)
        if report is None:
            return None
        phases = self._phases.report(target)
        shown = (target.stage, report, phases)
        if shown == self._reported and now_s - self._reported_s < RESULT_PERIOD_S:
            return None
        self._reported, self._reported_s = shown, now_s
        details = [report.detail, f"phases: {phases.detail}" if phases and phases.detail else "", target.why(now_s)]
        return SetpointResult(
            asset=self.id, driver=self._driver, epoch=target.epoch, seq=max(target.seq, 0), outcome=report.outcome,
            **self._in_unit(report), stage=str(target.stage),
            **_of_phases(phases), detail="; ".join([text for text in details if text]), measured_at_ms=at_ms,
        )  # fmt: skip

    def _in_unit(self, report: Report) -> dict[str, float | None]:
        if self.entity.dc:
            return {
                "requested_a": None,
                "applied_a": None,
                "requested_w": report.requested,
                "applied_w": report.applied,
            }
        return {"requested_a": report.requested, "applied_a": report.applied}

    def _report(self, target: Target) -> Report | None:
        if self._writer is None or target.value is None:
            return None
        return self._writer.report(target)

    def booked(self, now_s: float) -> float | None:
        """What this connector was last told to keep to, in A: the bound for what a restarted driver adopts."""
        return self.stages.target(now_s).value

    @property
    def session(self) -> Session | None:
        return self._tracker.current

    @property
    def problems(self) -> dict[str, Problem]:
        """Open problems by code."""
        theirs = None if self._writer is None else self._writer.problems
        if not (theirs or self._phases.asked):
            return self._problems
        return {**self._problems, **(theirs or {}), **self._phases.problems}


def _of_phases(report: Report | None) -> dict[str, Any]:
    """The part of a result that tells of phases."""
    if report is None:
        return {}
    applied = None if report.applied is None else round(report.applied)
    return {"requested_phases": round(report.requested), "applied_phases": applied, "phases_outcome": report.outcome}


def _flow_a(points: Points, quality: Qualities) -> float:
    """What flows to the vehicle; of a DC outlet its power at 230 V on three conductors."""
    if "dc_power_w" in points:
        return (number(points, quality, "power_w") or 0.0) / THREE_PHASE_V
    return max([number(points, quality, name) or 0.0 for name in _CURRENTS])


def _sample(points: Points, quality: Qualities, status: Status | None, at_ms: int) -> Sample:
    badge = points.get("rfid")
    return Sample(
        at_ms, status, number(points, quality, "session_energy_wh"), number(points, quality, "energy_import_wh"),
        badge if isinstance(badge, str) and badge and "rfid" not in quality else None,
        number(points, quality, "connection_time_s"),
        _flow_a(points, quality),
    )  # fmt: skip


def wrong_device(package: DevicePackage, instance: int, points: Points, quality: Qualities) -> str | None:
    """What speaks against this being the device that the package describes; None: nothing (devices.md 13)."""
    for detect in package.detect:
        value = points.get(detect.point)
        if not isinstance(value, str) or quality.get(detect.point) not in (None, Quality.STALE):
            return f"{detect.point} cannot be read, so it is not sure what device this is"
        if not re.match(detect.match, value):
            return f"{detect.point} is {value!r}, which is no {package.package.id}"
    counted = package.device.instances.count_point if package.device.instances else None
    count = number(points, quality, counted) if counted else None
    if count is not None and count < instance:
        return f"the device has {count:g} connectors, this is number {instance}"
    return None
