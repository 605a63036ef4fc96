"""Decides again what was recorded, with the same core, and compares bit for bit: setpoints, reasons, state (OPS-3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from busbar.config.site import Site
from busbar.events import CycleTrace, Reason, SiteSnapshot
from busbar.record.file import Entry, RecordError
from busbar.registry import core

Told = dict[str, tuple[float, Reason]]
Powers = dict[str, tuple[float, float | None, Reason]]


class Core(Protocol):
    """What is used of `spc_allocator.replayed.ReplayedAllocator`."""

    def restore(self, checkpoint: bytes) -> None: ...
    def decide(self, snapshot: SiteSnapshot, trace: CycleTrace) -> Told: ...
    def powers(self) -> Powers: ...
    def digest(self) -> str: ...
    def allocated(self) -> list[Any]: ...
    def allocated_w(self) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the replay decided otherwise: of a connector or another asset; None: the state after it."""

    at_ms: int
    seq: int
    connector: str | None
    recorded: str
    replayed: str


@dataclass(slots=True)
class Replayed:
    """What a replay found."""

    cycles: int = 0
    skipped: int = 0
    """Cycles before the first state, or after a hole until the next one."""
    holes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    first_ms: int = 0
    last_ms: int = 0


def allocator(site: Site, now_ms: int) -> Core:
    """A fresh core."""
    made: Core = core("replay")(site, now_ms)
    return made


def replay(site: Site, entries: Iterable[Entry], look: Callable[[Entry, Core | None], None] | None = None) -> Replayed:
    """Replay all. `look` sees each entry with the core that has just decided it, None where it was skipped.

    Raises RecordError for a state that cannot be used."""
    found, again = Replayed(), allocator(site, 0)
    in_step, last = False, (0, 0)
    for entry in entries:
        trace = entry.trace
        found.first_ms = found.first_ms or trace.published_at_ms
        found.last_ms = trace.published_at_ms
        hole = _hole(entry, last, in_step)
        last = (trace.epoch, trace.seq)
        if hole:
            found.holes.append(hole)
        in_step = entry.snapshot is not None and ((in_step and not hole) or entry.state is not None)
        if in_step:
            found.differences += _decide(again, entry)
            found.cycles += 1
        else:
            found.skipped += 1
        if look is not None:
            look(entry, again if in_step else None)
    return found


def _hole(entry: Entry, last: tuple[int, int], in_step: bool) -> str:
    """Why the state of the cycle before is not the one that this cycle began with; empty where it is."""
    trace = entry.trace
    if entry.snapshot is None:
        return f"cycle {trace.seq}: its snapshot {trace.snapshot} was not received"
    if entry.state is not None or not in_step or (trace.epoch, trace.seq) == (last[0], last[1] + 1):
        return ""
    return f"cycle {trace.seq}: what came before it was not recorded (last was {last[1]})"


def _decide(again: Core, entry: Entry) -> Iterator[Difference]:
    trace, snapshot = entry.trace, entry.snapshot
    assert snapshot is not None  # noqa: S101 - replay has looked
    if entry.state is not None:
        try:
            again.restore(entry.state)
        except ValueError as error:
            raise RecordError(f"cycle {trace.seq}: the state in it cannot be used: {error}") from error
    told: dict[str, str] = {name: _words(f"{a!r} A", why) for name, (a, why) in again.decide(snapshot, trace).items()}
    recorded = {point.connector: _words(f"{point.current_a!r} A", point.reason) for point in trace.setpoints}
    if trace.powers is not None:
        told |= {name: _words(_in_watts(w, var), why) for name, (w, var, why) in again.powers().items()}
        recorded |= {p.asset: _words(_in_watts(p.power_w, p.reactive_power_var), p.reason) for p in trace.powers}
    for name in [*recorded, *(name for name in told if name not in recorded)]:
        was, now = recorded.get(name, "nothing"), told.get(name, "nothing")
        if was != now:
            yield Difference(trace.published_at_ms, trace.seq, name, was, now)
    if again.digest() != trace.digest:
        yield Difference(trace.published_at_ms, trace.seq, None, f"state {trace.digest}", f"state {again.digest()}")


def _in_watts(power_w: float, reactive_power_var: float | None) -> str:
    return f"{power_w!r} W" if reactive_power_var is None else f"{power_w!r} W {reactive_power_var!r} var"


@lru_cache(maxsize=65536)
def _words(amount: str, why: Reason) -> str:
    """All of it, to the last bit: equal words are equal decisions."""
    parts = [why.model_dump(mode="json", exclude={"also"}), *(one.model_dump(mode="json") for one in why.also)]
    return f"{amount}, {' and '.join(map(_plain, parts))}"


def _plain(binding: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in binding.items() if value is not None)
