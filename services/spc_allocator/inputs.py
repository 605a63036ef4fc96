"""What a decision is made from: the snapshot as arrays by slot, and what else bounds it.

Ages, never clocks (failure.md): `now_ms` is a clock that does not step, and the time of a sample is `now_ms` minus its
age. Whoever calls states how old the snapshot itself is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from busbar.domain.charging import Status
from busbar.events import CollectorLimit, CollectorSample, ConnectorSample, Fallback, SiteSnapshot
from busbar.units import ZERO
from spc_allocator.rows import Bools, Floats, Ints, Network

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
_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Bounds from outside, those alone that hold now, and the age of the snapshot on the monotonic clock."""

    limits: tuple[CollectorLimit, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    snapshot_age_ms: int = 0


@dataclass(slots=True)
class Observed:
    """The snapshot. Per slot, or phases x slots; collectors as V, or phases x V; root frame."""

    kind: Ints
    current_a: Floats
    reactive_var: Floats
    voltage_v: Floats
    age_ms: Ints
    limit_a: Floats
    fallback_a: Floats
    watchdog_s: Floats
    energy_wh: Floats
    sessions: list[str | None]
    plugged_at_ms: Ints
    charging: Bools
    power_w: Floats
    power_var: Floats
    background_w: Floats
    background_var: Floats
    generation_w: Floats
    collector_age_ms: Ints
    valid: Bools
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


def observe(net: Network, snapshot: SiteSnapshot, age_ms: int) -> Observed:
    """Sort the snapshot into arrays. What it lacks counts as never seen."""
    connectors = {sample.connector: sample for sample in snapshot.connectors}
    samples = [connectors.get(name) or _unseen(name) for name in net.ids]
    flat = [value for sample in samples for value in _numbers(sample)]
    table = np.array(flat, dtype=float).reshape(net.count, 14).T
    collectors = {sample.collector: sample for sample in snapshot.collectors}
    parts = [collectors.get(c.id) or _unmeasured(c.id) for c in net.site.collectors]
    measured = np.array([value for part in parts for value in _powers(part)], dtype=float).reshape(len(parts), 17).T
    index = net.site.tree.index
    valid = measured[16] > 0.0
    collector_age = measured[15].astype(np.int64) + age_ms
    return Observed(
        kind=np.array([_kind_of(sample.status, sample.reachable) for sample in samples], dtype=np.int64),
        current_a=table[0:3], reactive_var=table[3:6], voltage_v=table[6:9],
        age_ms=table[9].astype(np.int64) + age_ms, limit_a=table[10], fallback_a=table[11], watchdog_s=table[12],
        energy_wh=table[13],
        sessions=[sample.session_id for sample in samples],
        plugged_at_ms=np.array([sample.plugged_at_ms for sample in samples], dtype=np.int64),
        charging=np.array([sample.status is Status.CHARGING for sample in samples], dtype=bool),
        power_w=measured[0:3], power_var=measured[3:6], background_w=measured[6:9], background_var=measured[9:12],
        generation_w=measured[12:15],
        collector_age_ms=collector_age,
        valid=valid & (collector_age <= net.lost_after_ms),
        guard=tuple(index[name] for name in snapshot.guard if name in index),
    )  # fmt: skip


def _numbers(sample: ConnectorSample) -> tuple[float, ...]:
    limit, fallback, watchdog = sample.limit_a, sample.fallback_a, sample.watchdog_s
    return (
        *sample.current_a, *sample.reactive_power_var, *sample.voltage_v, min(sample.age_ms, NEVER_MS),
        _NAN if limit is None else limit, _NAN if fallback is None else fallback,
        _NAN if watchdog is None else watchdog, sample.session_energy_wh,
    )  # fmt: skip


def _powers(sample: CollectorSample) -> tuple[float, ...]:
    return (
        *sample.power_w, *sample.reactive_power_var, *sample.background_w, *sample.background_var,
        *sample.generation_w, min(sample.age_ms, NEVER_MS), sample.valid,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _unseen(connector: str) -> ConnectorSample:
    return ConnectorSample(
        connector=connector, status=None, reachable=False, age_ms=NEVER_MS, sampled_at_ms=0, current_a=ZERO,
        power_w=ZERO, reactive_power_var=ZERO, voltage_v=ZERO, limit_a=None, fallback_a=None, watchdog_s=None,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _unmeasured(collector: str) -> CollectorSample:
    return CollectorSample(
        collector=collector, valid=False, age_ms=NEVER_MS, power_w=ZERO, reactive_power_var=ZERO, background_w=ZERO,
        background_var=ZERO, generation_w=ZERO,
    )  # fmt: skip
