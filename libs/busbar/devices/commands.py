"""What is written to a device, and how one sees that it took: pure, from package data.

API: `plan.command("set_current").prepare(16.0) -> Prepared`; the caller writes `prepared.writes` in order, waits, reads,
and asks `command.verify.judge(prepared.sent, actual)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from busbar.devices.transport import Table
from busbar.events.result import Outcome


@dataclass(frozen=True, slots=True)
class Write:
    """Registers that go out in one request."""

    table: Table
    unit: int
    address: int
    words: tuple[int, ...]
    fc: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command ready for the wire. `writes` is empty exactly where `outcome_hint` is Refused."""

    writes: tuple[Write, ...]
    requested: float
    sent: float
    """What the device is told after clamping and rounding; compare the read-back with this."""
    outcome_hint: Outcome
    """Applied: as asked, up to rounding down to the step. Clamped: the device's range changed it (maybe upwards, where
    0 is forbidden). Refused: see `detail`."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """Where to look, how long, how close. `point` is the vocabulary name (`actual_limit_current_a`)."""

    point: str
    within_ms: int
    tolerance: float
    one_sided: bool

    def judge(self, sent: float, actual: float | str | None) -> Outcome:
        """Applied, Clamped (one-sided: the device does less) or Unverified (more, other, or not readable)."""
        raise NotImplementedError


@dataclass(frozen=True)
class CommandPlan:
    """One command of one instance of a device."""

    name: str
    unit: str
    low: float
    high: float
    zero: Literal["allowed", "pauses", "withdraws_release", "forbidden"]
    step: float | None
    min_interval_ms: int
    refresh: bool
    verify: VerifyPlan | None

    def prepare(
        self, value: float, args: Mapping[str, float] | None = None, exponents: Mapping[str, int] | None = None
    ) -> Prepared:
        """Clamp, round and encode. `args`: other arguments of the command's steps; `exponents`: scale factors read
        from the device (`Memory.exponents`), needed only where a written point has one."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Check:
    """A point (vocabulary name) that must read `value`."""

    point: str
    value: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class WatchdogSetup:
    """Writes that arm the device's own watchdog, in order (fallback first), and what must be read back for ever.

    Where the installer alone sets it (Alfen), `writes` is empty and `checks` still say what must be found.
    """

    writes: tuple[Write, ...]
    checks: tuple[Check, ...]
    outcome_hint: Outcome
    detail: str = ""


@dataclass(frozen=True)
class WatchdogPlan:
    """The device's own watchdog."""

    mechanism: Literal["none", "any_traffic", "any_write", "rewrite_setpoint", "heartbeat_register"]
    timeout_s: float | None
    """Fixed time; None: `timeout_point`."""
    timeout_point: str | None
    fallback: float | Literal["unknown"] | None
    """Fixed value; None: `fallback_point`."""
    fallback_point: str | None
    remaining_point: str | None
    refresh_factor: float

    def configure(self, *, fallback: float, timeout_s: float) -> WatchdogSetup:
        """Write fallback, then timeout (devices.md 12)."""
        raise NotImplementedError

    def refresh_s(self, timeout_s: float) -> float:
        """How often the control side must write at the latest."""
        raise NotImplementedError

    def heartbeat(self, beat: int) -> Write | None:
        """The write of the `beat`-th refresh for mechanism heartbeat_register, else None."""
        raise NotImplementedError
