"""What a decision is made from: the snapshot as arrays by slot, and what else bounds it.

Ages, never clocks (failure.md): `now_ms` is a clock that does not step, and the time of a sample is `now_ms` minus its
age. Whoever calls states how old the snapshot itself is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import numpy as np

from busbar.domain.charging import Status
from busbar.events import (
    Advice,
    AssetMode,
    CollectorLimit,
    CollectorSample,
    CollectorTarget,
    ConnectorSample,
    CycleTrace,
    Fallback,
    PowerTest,
    SiteSnapshot,
)
from busbar.units import NOMINAL_VOLTAGE_V, ZERO
from spc_allocator.dc import set_measured
from spc_allocator.kept import Kept, Who, every
from spc_allocator.rows import Bools, Floats, Ints, Network, some

FREE: Final = 0
ACTIVE: Final = 1
"""A vehicle is there, or a badge was shown and one is about to be."""
RESERVED: Final = 2
OUT: Final = 3
LOST: Final = 4
"""Does not answer, or was never heard of."""
UNKNOWN: Final = 5
"""Answers, but its status is none we know: booked as if a vehicle were there, never raised."""

NEVER_MS: Final = 10**12
"""Age of what was never seen."""
ABSURD_RATIO: Final = 10.0
"""No fuse carries so many times its rating long enough to be measured: a meter that says so is wrong."""
_MOST: Final = np.array([1e4] * 3 + [1e7] * 3 + [1e4, 1e4, 1e6, 1e9]).reshape(10, 1)
"""Amperes, var, amperes twice, seconds, Wh: nothing that a connector tells can be larger."""
_OPTIONAL: Final = np.array([False] * 6 + [True] * 3 + [False]).reshape(10, 1)
"""What may never have been read (nan)."""
FRESH_MS: Final = 3000
"""Samples older than this teach nothing and raise nothing."""
_NO_COLUMNS: Final[tuple[Any, ...]] = ((),) * 11


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is said from outside, of that alone what holds now, and the age of the snapshot on the monotonic clock."""

    limits: tuple[CollectorLimit, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    snapshot_age_ms: int = 0
    targets: tuple[CollectorTarget, ...] = ()
    modes: tuple[AssetMode, ...] = ()
    """At most one an asset."""
    advice: tuple[Advice, ...] = ()
    """At most one a source and asset."""
    utc_ms: int | None = None
    """Wall time, in which slots are stated; None: the allocator's own time."""
    power_tests: tuple[PowerTest, ...] = ()
    """At most one a connector."""

    @classmethod
    def traced(cls, trace: CycleTrace) -> Inputs:
        """Those of a recorded cycle."""
        return cls(
            trace.limits, trace.fallbacks, trace.snapshot_age_ms, trace.targets, trace.modes, trace.advice,
            trace.utc_ms, trace.power_tests,
        )  # fmt: skip


@dataclass(slots=True)
class Observed:
    """The snapshot. Per slot, or phases x slots; collectors as V, or phases x V; root frame."""

    who: Who
    kind: Ints
    samples: tuple[ConnectorSample, ...]
    current_a: Floats
    reactive_var: Floats
    age_ms: Ints
    fresh: Bools
    """Heard of within `FRESH_MS`."""
    limit_a: Floats
    fallback_a: Floats
    watchdog_s: Floats
    energy_wh: Floats
    sessions: tuple[str | None, ...]
    plugged_at_ms: Ints
    parts: tuple[CollectorSample, ...]
    background_w: Floats
    background_var: Floats
    generation_w: Floats
    collector_age_ms: Ints
    valid: Bools
    all_valid: bool
    guard: tuple[int, ...]
    """Indexes of collectors whose raw measurement is above a limit."""


def _kind(status: Status | None, reachable: bool) -> int:
    if not reachable:
        return LOST
    if status is None:
        return UNKNOWN
    if status.free:
        return FREE
    if status.plugged or status is Status.PREPARING_TAG:
        return ACTIVE
    return OUT if status.out_of_service else RESERVED


_kind_of = lru_cache(maxsize=None)(_kind)


_CONNECTOR: Final = itemgetter(
    "status", "reachable", "age_ms", "current_a", "reactive_power_var", "limit_a", "fallback_a", "watchdog_s",
    "session_energy_wh", "session_id", "plugged_at_ms",
)  # fmt: skip
_COLLECTOR: Final = itemgetter("valid", "age_ms", "background_w", "background_var", "generation_w")


def observe(net: Network, snapshot: SiteSnapshot, age_ms: int, kept: Kept) -> Observed:
    """Sort the snapshot into arrays. What it lacks counts as never seen, and so does what cannot be."""
    given, names = snapshot.connectors, [sample.connector for sample in snapshot.connectors]
    if names != kept.names:
        at = {name: index for index, name in enumerate(names)}
        kept.names, kept.places = names, [at.get(name) for name in net.ids]
    samples = [given[at] if at is not None else _unseen(net.ids[slot]) for slot, at in enumerate(kept.places)]
    return _observe(net, snapshot, age_ms, kept, tuple(samples))


def _observe(
    net: Network, snapshot: SiteSnapshot, age_ms: int, kept: Kept, samples: tuple[ConnectorSample, ...]
) -> Observed:
    # values straight from the events' dictionaries: half the time of asking a thousand events for a dozen attributes
    columns = tuple(zip(*map(_CONNECTOR, map(vars, samples)), strict=True)) or _NO_COLUMNS  # no connector: no rows
    status, reachable, ages, current, reactive, limit, fallback, watchdog, energy, sessions, plugged = columns
    count, flat = net.count, chain.from_iterable
    table = np.empty((10, count))
    vectors = np.array([*flat(current), *flat(reactive)], dtype=float).reshape(2, count, 3)
    table[:6] = vectors.transpose(0, 2, 1).reshape(6, count)
    table[6:] = np.array([*limit, *fallback, *watchdog, *energy], dtype=float).reshape(4, count)  # None becomes nan
    if net.dc is not None:
        set_measured(net.dc, table[0:3], [sample.power_w for sample in samples])
    credible = np.abs(table) <= _MOST
    if not every(credible | _OPTIONAL & np.isnan(table)):
        return _observe(net, snapshot, age_ms, kept, _without_garbage(samples, credible))
    measured = {sample.collector: sample for sample in snapshot.collectors}
    parts = tuple([measured.get(c.id) or _unmeasured(c.id) for c in net.site.collectors])
    is_valid, part_ages, *powers = zip(*map(_COLLECTOR, map(vars, parts)), strict=True)
    by_part = np.array([*flat(flat(powers))], dtype=float).reshape(3, len(parts), 3)
    power = by_part.transpose(0, 2, 1).reshape(9, len(parts))
    age = np.minimum(np.array((*ages, *part_ages), dtype=float), NEVER_MS).astype(np.int64)
    age += age_ms
    sample_age, collector_age = age[:count], age[count:]
    valid = np.array(is_valid, dtype=bool)
    valid &= collector_age <= net.lost_after_ms
    most_w = ABSURD_RATIO * NOMINAL_VOLTAGE_V * net.most_a
    if not np.abs(power).max(initial=0.0) <= most_w.min(initial=np.inf):  # also where one of them is no number
        absurd = ~(np.maximum.reduce(np.abs(power)) <= most_w)
        valid &= ~absurd
        power[:, absurd] = 0.0
    who = _who(kept, status, reachable)
    index = net.site.tree.index
    return Observed(
        who, who.kind, samples, table[0:3], table[3:6], sample_age, sample_age <= FRESH_MS, table[6], table[7],
        table[8], table[9], sessions, _plugged(kept, plugged), parts, power[0:3], power[3:6], power[6:9],
        collector_age, valid, every(valid), tuple([index[name] for name in snapshot.guard if name in index]),
    )  # fmt: skip


def _plugged(kept: Kept, plugged: tuple[int, ...]) -> Ints:
    if plugged != kept.plugged:
        kept.plugged, kept.plugged_at_ms = plugged, np.array(plugged, dtype=np.int64)
    return kept.plugged_at_ms


def _who(kept: Kept, status: tuple[Status | None, ...], reachable: tuple[bool, ...]) -> Who:
    """The one of the last cycle where nobody's status has changed."""
    last = kept.who
    if last is not None and last.status == status and last.reachable == reachable:
        return last
    kind = np.array(list(map(_kind_of, status, reachable)), dtype=np.int64)
    active, lost = kind == ACTIVE, kind == LOST
    present = active | (kind == UNKNOWN)
    charging = np.array([one is Status.CHARGING for one in status], dtype=bool)
    left = (kind == FREE) | (kind == RESERVED)
    kept.who = Who(status, reachable, kind, active, present, left, lost, ~lost, charging, some(lost))
    return kept.who


@lru_cache(maxsize=4096)
def _unseen(connector: str) -> ConnectorSample:
    return ConnectorSample(
        connector=connector, status=None, reachable=False, age_ms=NEVER_MS, sampled_at_ms=0, current_a=ZERO,
        power_w=ZERO, reactive_power_var=ZERO, voltage_v=ZERO, limit_a=None, fallback_a=None, watchdog_s=None,
    )  # fmt: skip


def _without_garbage(samples: tuple[ConnectorSample, ...], credible: Bools) -> tuple[ConnectorSample, ...]:
    """A connector whose currents cannot be does not answer; any other value of it that cannot be was never read."""
    lost: Bools = ~np.logical_and.reduce(credible[:6])
    names = ("limit_a", "fallback_a", "watchdog_s", "session_energy_wh")
    made: list[ConnectorSample] = []
    for slot, sample in enumerate(samples):
        if lost[slot]:
            made.append(_unseen(sample.connector))
            continue
        wrong = [name for name, good in zip(names, credible[6:, slot], strict=True) if not good]
        update: dict[str, float | None] = {n: 0.0 if n == "session_energy_wh" else None for n in wrong}
        made.append(sample.model_copy(update=update) if wrong else sample)
    return tuple(made)


@lru_cache(maxsize=1024)
def _unmeasured(collector: str) -> CollectorSample:
    return CollectorSample(
        collector=collector, valid=False, age_ms=NEVER_MS, power_w=ZERO, reactive_power_var=ZERO, background_w=ZERO,
        background_var=ZERO, generation_w=ZERO,
    )  # fmt: skip
