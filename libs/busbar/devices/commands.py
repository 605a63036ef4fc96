"""What is written to a device, and how one sees that it took: pure, from package data (FC-2, FC-8).

API: `plan.command("set_current").prepare(16.0) -> Prepared`; the caller writes `prepared.writes` in order, waits,
reads, and asks `command.verify.judge(prepared.sent, actual)`.

Rules of `prepare`: a value above the range is lowered to it; one inside is rounded down to the step (never up: it is a
limit); one below the range becomes 0 where the device can pause, and its pause value or the smallest value of the range
where 0 is forbidden (said by `Clamped` and `sent`; whoever plans must have booked it). A signed power is rounded
towards 0. Where the device takes a share of its rating, all this happens to the share; what was asked and what was sent
stay in W.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from busbar.devices.package import Command, Step, Watchdog
from busbar.devices.transport import Table
from busbar.devices.wire import MAX_EXPONENT, Placed, encode, resolution
from busbar.events.result import Outcome
from busbar.units import floor_to_step

Zero = Literal["allowed", "pauses", "withdraws_release", "forbidden"]
Rounding = Literal["down", "nearest", "to_zero"]
Mechanism = Literal["none", "any_traffic", "any_write", "rewrite_setpoint", "heartbeat_register"]


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
        if not isinstance(actual, float | int) or not math.isfinite(actual):
            return Outcome.UNVERIFIED
        if abs(actual - sent) <= self.tolerance + 1e-6:
            return Outcome.APPLIED
        less = abs(actual) < abs(sent) and actual * sent >= 0.0
        return Outcome.CLAMPED if self.one_sided and less else Outcome.UNVERIFIED


@dataclass(frozen=True)
class CommandPlan:
    """One command of one instance of a device."""

    name: str
    unit: str
    low: float
    high: float
    zero: Zero
    pause: float | None
    """Where 0 is forbidden: what is sent to pause; below `low`."""
    step: float | None
    min_interval_ms: int
    refresh: bool
    at_zero: bool
    """Told only while nothing flows."""
    verify: VerifyPlan | None
    whole: str | None
    """Vocabulary name of the point of which the device takes a share; None: it takes the value itself."""
    _factor: float = field(repr=False)
    _round: Rounding = field(repr=False)
    _steps: tuple[tuple[Step, Placed], ...] = field(repr=False)
    _max_registers: int = field(repr=False)

    def prepare(
        self, value: float, args: Mapping[str, float] | None = None, exponents: Mapping[str, int] | None = None,
        whole: float | None = None,
    ) -> Prepared:  # fmt: skip
        """Clamp, round and encode. `args`: other arguments of the command's steps; `exponents`: scale factors read
        from the device (`Memory.exponents`), needed only where a written point has one; `whole`: value of the point
        `self.whole`."""
        if self.whole is None:
            return self._prepare(value, args, exponents)
        if whole is None or not (math.isfinite(whole) and whole > 0.0):
            return Prepared((), value, math.nan, Outcome.REFUSED, f"{self.whole} was not read yet")
        unit = whole / self._factor
        share = self._prepare(value / unit, args, exponents)
        detail = share.detail
        if share.outcome_hint is Outcome.CLAMPED:
            detail = f"{value:g} became {share.sent * unit:g}: of {self.whole} the device takes a part"
        return Prepared(share.writes, value, share.sent * unit + 0.0, share.outcome_hint, detail)

    def _prepare(
        self, value: float, args: Mapping[str, float] | None, exponents: Mapping[str, int] | None
    ) -> Prepared:  # fmt: skip
        if not math.isfinite(value) or (value < 0 <= self.low):
            return Prepared((), value, math.nan, Outcome.REFUSED, f"{value} is no value for {self.name}")
        try:
            bounded, clamped = self._bounded(value)
            sent = self._rounded(bounded, exponents or {})
            if bounded == self.pause:
                sent = bounded
            elif bounded >= self.low > sent:
                sent = self.low
            writes = self._encoded(sent, args or {}, exponents or {})
        except ValueError as error:
            return Prepared((), value, math.nan, Outcome.REFUSED, str(error))
        outcome = Outcome.CLAMPED if clamped else Outcome.APPLIED
        detail = f"{value:g} became {sent:g}: the device takes {self.low:g} to {self.high:g}" if clamped else ""
        return Prepared(writes, value, sent, outcome, detail)

    def _bounded(self, value: float) -> tuple[float, bool]:
        """(value inside what the device takes, changed)."""
        if value > self.high:
            return self.high, True
        if value >= self.low:
            return value, False
        if self.zero == "forbidden":
            return (self.low, True) if self.pause is None else (self.pause, value != self.pause)
        if self.zero == "allowed" and self.low < 0:
            return self.low, True
        return 0.0, value != 0.0

    def _rounded(self, value: float, exponents: Mapping[str, int]) -> float:
        step = self.step or self._resolution(exponents)
        if not step:
            return value
        if self._round == "to_zero":
            return math.copysign(floor_to_step(abs(value), step), value) + 0.0
        return floor_to_step(value, step) if self._round == "down" else round(value / step) * step

    def _resolution(self, exponents: Mapping[str, int]) -> float:
        target = next((p for s, p in self._steps if s.value is None and s.arg is None), None)
        return resolution(target.point, _exponent(target, exponents)) if target else 0.0

    def _encoded(self, value: float, args: Mapping[str, float], exponents: Mapping[str, int]) -> tuple[Write, ...]:
        writes: list[Write] = []
        for step, placed in self._steps:
            words = encode(placed.point, _operand(step, value, args), placed.word_order, _exponent(placed, exponents))
            if step.join and writes:
                last = writes.pop()
                writes.append(_write(placed, last.address, (*last.words, *words), 16))
            else:
                writes.append(_write(placed, placed.address, tuple(words), step.fc))
        for write in writes:
            if len(write.words) > self._max_registers:
                raise ValueError(f"{len(write.words)} registers in one write, at most {self._max_registers}")
        return tuple(writes)


def _operand(step: Step, value: float, args: Mapping[str, float]) -> float:
    if step.value is not None:
        return step.value
    if step.arg is None:
        return value
    if step.arg not in args:
        raise ValueError(f"the argument {step.arg} is missing")
    return args[step.arg]


def _exponent(placed: Placed, exponents: Mapping[str, int]) -> int:
    """Scale factor of the point, as last read from the device."""
    name = placed.point.scale_point
    if name is None:
        return 0
    exponent = exponents.get(name)
    if exponent is None or abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"{placed.key}: its scale factor {name} was not read yet")
    return exponent


def _write(placed: Placed, address: int, words: tuple[int, ...], fc: int | None) -> Write:
    coil = placed.table == "coil"
    several = len(words) > 1
    default = (15 if several else 5) if coil else (16 if several else 6)
    return Write(placed.table, placed.unit, address, words, fc or default)


def command_plan(
    name: str, command: Command, placed: Mapping[str, Placed], max_registers: int,
    derived: Mapping[str, str] | None = None,
) -> CommandPlan:  # fmt: skip
    """Resolve a command's points for one instance. `derived`: vocabulary names of what is derived, by name."""
    verify, share = command.verify, command.share
    names = {**(derived or {}), **{key: point.name for key, point in placed.items()}}
    return CommandPlan(
        name, command.unit, command.range[0], command.range[1], command.zero, command.pause, command.step,
        command.min_interval_ms, command.refresh, command.at_zero,
        VerifyPlan(names[verify.point], verify.within_ms, verify.tolerance, verify.one_sided) if verify else None,
        names[share.of] if share else None, share.factor if share else 1.0, command.round,
        tuple((s, placed[s.write]) for s in command.steps), max_registers,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """A point (vocabulary name) that must read `value`."""

    point: str
    value: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class WatchdogSetup:
    """Writes that arm the device's own watchdog, in order (fallback first), and what must be read back for ever.

    Where the installer alone sets it (Alfen), `writes` is empty and `checks` still say what must be found. Refused:
    the device cannot be set so; nothing is written.
    """

    writes: tuple[Write, ...]
    checks: tuple[Check, ...]
    outcome_hint: Outcome
    detail: str = ""


@dataclass(frozen=True)
class WatchdogPlan:
    """The device's own watchdog (FB-3)."""

    mechanism: Mechanism
    timeout_s: float | None
    """Fixed or factory-set time; None: `timeout_point`."""
    timeout_point: str | None
    fallback: float | Literal["unknown", "free"] | None
    """Fixed value; None: `fallback_point`."""
    fallback_point: str | None
    remaining_point: str | None
    refresh_factor: float
    _source: Watchdog = field(repr=False)
    _placed: Mapping[str, Placed] = field(repr=False)

    def configure(self, *, fallback: float, timeout_s: float) -> WatchdogSetup:
        """Write fallback, then timeout (devices.md 12). Rounded down to what the registers can carry: an earlier and
        lower fallback is the safe side."""
        source = self._source
        wanted = ((source.fallback_point, fallback, source.fallback_range),
                  (source.timeout_point, timeout_s, source.timeout_range_s))  # fmt: skip
        writes: list[Write] = []
        checks: list[Check] = []
        for key, value, limits in wanted:
            if key is None:
                continue
            placed = self._placed[key]
            if "w" not in placed.point.access:
                checks.append(Check(placed.name, value, max(resolution(placed.point), 1e-3)))
                continue
            if limits is not None and not limits[0] <= value <= limits[1]:
                return WatchdogSetup((), (), Outcome.REFUSED, f"{key}: {value:g} is not {limits[0]:g} to {limits[1]:g}")
            unit = resolution(placed.point)
            rounded = floor_to_step(value, unit) if unit else value
            words = encode(placed.point, rounded, placed.word_order)
            writes.append(_write(placed, placed.address, tuple(words), None))
            checks.append(Check(placed.name, rounded, unit / 2 + 1e-3))
        return WatchdogSetup(tuple(writes), tuple(checks), Outcome.APPLIED)

    def refresh_s(self, timeout_s: float) -> float:
        """How often the control side must write at the latest."""
        return timeout_s * self.refresh_factor

    def heartbeat(self, beat: int) -> Write | None:
        """The write of the `beat`-th refresh for mechanism heartbeat_register, else None."""
        beating = self._source.heartbeat
        if beating is None:
            return None
        placed = self._placed[beating.point]
        value = 0.0 if beating.toggle and beat % 2 else beating.value
        return _write(placed, placed.address, tuple(encode(placed.point, value, placed.word_order)), None)


def watchdog_plan(watchdog: Watchdog, placed: Mapping[str, Placed]) -> WatchdogPlan:
    """Resolve a package's watchdog for one instance."""

    def name(key: str | None) -> str | None:
        return placed[key].name if key is not None else None

    return WatchdogPlan(
        watchdog.mechanism, watchdog.timeout_s, name(watchdog.timeout_point), watchdog.fallback_value,
        name(watchdog.fallback_point), name(watchdog.remaining_point), watchdog.refresh_factor, watchdog,
        placed,
    )  # fmt: skip
