"""The number of phases of a connector beside its current (SPC-20). Pure.

Written only while the setpoint that carried it is fresh and no fallback event is in force, so never in hold nor in
fallback: there nobody watches what comes of it. Where the package says that nothing may flow meanwhile, only while the
device shows that it took 0 A, and no conductor carries current in a poll not older than that. Read back, retried and
compared like every setpoint; a setpoint that names no phases leaves the device as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from busbar.devices.commands import CommandPlan
from busbar.devices.plan import DevicePlan
from busbar.events import Outcome, Setpoint
from field_driver_modbus.keeper import Points, Problem, Qualities, number
from field_driver_modbus.stages import Stage, Target
from field_driver_modbus.writer import Order, Report, Writer

SET_PHASES: Final = "set_phases"
FLOWS_A: Final = 1.0
"""Above it current flows to a vehicle; below it is the vehicle's own electronics."""
_NUMBERS: Final = (1, 3)
_CURRENTS: Final = ("current_l1_a", "current_l2_a", "current_l3_a")


class Phases:
    """One connector. `may`: the site file lets it be switched."""

    def __init__(self, *, may: bool) -> None:
        self._may = may
        self._asked: int | None = None
        self._command: CommandPlan | None = None
        self._exponents: Mapping[str, int] = {}
        self._max_age_s = 0.0
        self._writer: Writer | None = None
        self._quiet_s: float | None = None

    @property
    def asked(self) -> bool:
        """A number of phases is asked for, and there is a way to write it."""
        return self._writer is not None

    def fit(self, plan: DevicePlan, exponents: Mapping[str, int]) -> None:
        """The device is known, and may be written to."""
        command = plan.commands.get(SET_PHASES) if self._may else None
        self._command = command if command is not None and command.verify is not None else None
        self._exponents, self._max_age_s = exponents, plan.fast.max_age_for_control_ms / 1000.0
        self._begin()

    def lost(self) -> None:
        self._quiet_s = None
        if self._writer is not None:
            self._writer.lost()

    def setpoint(self, setpoint: Setpoint) -> None:
        """One that was obeyed for its current."""
        asked = setpoint.phases if setpoint.phases in _NUMBERS else None
        if asked != self._asked:
            self._asked = asked
            self._begin()

    def observe(self, points: Points, quality: Qualities, asked_s: float, now_s: float) -> None:
        """A poll of the device, requested at `asked_s`."""
        if self._writer is None:
            return
        currents = [number(points, quality, name) for name in _CURRENTS]
        quiet = all(current_a is not None and abs(current_a) < FLOWS_A for current_a in currents)
        self._quiet_s = asked_s if quiet else None
        self._writer.observe(points, quality, asked_s, now_s)

    def order(self, current: Target, took: Report, bounded: bool, now_s: float) -> tuple[Order, Writer] | None:
        """What is to be written now. `current` and `took`: the setpoint in A and what became of it; `bounded`: a
        fallback event is in force."""
        wanted = self._wanted(current)
        if self._writer is None or wanted is None or current.stage is not Stage.FRESH or bounded:
            return None
        order = self._writer.order(wanted, now_s)
        if order is None or not self._nothing_flows(current, took, now_s):
            return None
        return order, self._writer

    def report(self, current: Target) -> Report | None:
        """What became of the number that was asked for; None: none was, or nothing can be switched here."""
        wanted = self._wanted(current)
        return None if self._writer is None or wanted is None else self._writer.report(wanted)

    @property
    def problems(self) -> dict[str, Problem]:
        """Open problems by code."""
        return {} if self._writer is None else {f"phases_{code}": p for code, p in self._writer.problems.items()}

    def _begin(self) -> None:
        """Another number: nothing that was tried for the one before counts."""
        command, self._writer, self._quiet_s = self._command, None, None
        if command is not None and command.verify is not None and self._asked is not None:
            self._writer = Writer(
                command, None, self._max_age_s, echo=command.verify.point, exponents=self._exponents
            )  # fmt: skip

    def _wanted(self, current: Target) -> Target | None:
        return None if self._asked is None else current._replace(value=float(self._asked))

    def _nothing_flows(self, current: Target, took: Report, now_s: float) -> bool:
        if self._command is None or not self._command.at_zero:
            return True  # the device sees to that itself
        paused = current.value == 0.0 and took.outcome is Outcome.APPLIED and took.applied == 0.0
        return paused and self._quiet_s is not None and now_s - self._quiet_s <= self._max_age_s
