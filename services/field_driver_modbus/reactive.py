"""The reactive setpoint of an inverter beside its power (SPC-12). Pure.

Obeyed while the setpoint that carried it is fresh, kept in hold; in fallback, and where the allocator leaves it to the
inverter again, 0 var if it was ever told anything, for nobody decides any more. What the device was told runs out by
itself 60 s after the last repetition. An inverter that was never told anything keeps its own choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from busbar.devices.plan import DevicePlan
from busbar.events import Setpoint
from busbar.units import clamp
from field_driver_modbus.keeper import Points, Problem, Qualities
from field_driver_modbus.stages import Stage, Target
from field_driver_modbus.writer import Order, Writer

SET_REACTIVE: Final = "set_reactive_power"
ECHO_VAR: Final = "setpoint_reactive_power_var"
REFRESH_S: Final = 20.0
"""A third of the time that the packages give the command."""


class Reactive:
    """One inverter that may be asked for at most `most_var` in either direction; 0: for none."""

    def __init__(self, most_var: float) -> None:
        self._most_var = most_var
        self._asked_var: float | None = None
        self._writer: Writer | None = None
        self._missing = False

    def fit(self, plan: DevicePlan, exponents: Mapping[str, int]) -> None:
        """The device is known, and may be written to."""
        command = plan.commands.get(SET_REACTIVE) if self._most_var > 0.0 else None
        self._missing = command is None and self._most_var > 0.0
        max_age_s = plan.fast.max_age_for_control_ms / 1000.0
        self._writer = None
        if command is not None:
            self._writer = Writer(
                command, None, max_age_s, echo=ECHO_VAR, exponents=exponents, refresh_s=REFRESH_S
            )  # fmt: skip

    def lost(self) -> None:
        if self._writer is not None:
            self._writer.lost()

    def setpoint(self, setpoint: Setpoint) -> None:
        """One that was obeyed for its power."""
        asked_var = setpoint.reactive_power_var
        if asked_var is not None:
            self._asked_var = clamp(asked_var, -self._most_var, self._most_var)
        elif self._asked_var is not None:
            self._asked_var = 0.0

    def observe(self, points: Points, quality: Qualities, asked_s: float, now_s: float) -> None:
        if self._writer is not None:
            self._writer.observe(points, quality, asked_s, now_s)

    def order(self, power: Target, now_s: float) -> tuple[Order, Writer] | None:
        """What is to be written now; `power` says in which stage the driver is."""
        if self._writer is None or self._asked_var is None:
            return None
        wanted_var = 0.0 if power.stage is Stage.FALLBACK else self._asked_var
        order = self._writer.order(power._replace(value=wanted_var), now_s)
        return None if order is None else (order, self._writer)

    @property
    def problems(self) -> dict[str, Problem]:
        """Open problems by code."""
        if self._missing and self._asked_var is not None:
            return {"no_reactive": Problem("the device cannot be asked for reactive power by its package")}
        theirs = {} if self._writer is None else self._writer.problems
        return {f"reactive_{code}": problem for code, problem in theirs.items()}
