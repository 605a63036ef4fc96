"""Faults of a simulated day, planned from the seed before it starts: what goes wrong, when, for how long.

Three kinds so far (failure.md, Who acts, when): messages lost between services, a collector meter that falls silent,
a service that is killed and comes back, mostly within seconds, sometimes after its devices have fallen back.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from busbar.sim.chance import stream


class Fault(StrEnum):
    """What `busbar simulate --fault` accepts."""

    LOST = "lost"
    """2 % of all messages between services are lost."""
    STALE = "stale"
    """A collector meter does not answer for 5 to 90 s, about once an hour."""
    CRASH = "crash"
    """A service is killed, about twice an hour; one time in four it stays away for 35 to 60 s."""


LOST_SHARE: Final = 0.02
_STALE_EVERY_S: Final = 3600.0
_CRASH_EVERY_S: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Incident:
    """One fault on one victim: a device id (stale) or a process name (crash)."""

    at_s: float
    kind: Fault
    victim: str
    lasts_s: float


def incidents(
    kinds: Sequence[Fault], seed: int, duration_s: float, meters: Sequence[str], processes: Sequence[str]
) -> tuple[Incident, ...]:
    """All incidents of a run in order of time. Each kind has its own stream: one kind more changes no other's times."""
    planned: list[Incident] = []
    if Fault.STALE in kinds and meters:
        planned += _at_random(Fault.STALE, stream(seed, "trouble", "stale"), _STALE_EVERY_S, duration_s, meters)
    if Fault.CRASH in kinds and processes:
        planned += _at_random(Fault.CRASH, stream(seed, "trouble", "crash"), _CRASH_EVERY_S, duration_s, processes)
    return tuple(sorted(planned, key=lambda incident: (incident.at_s, incident.kind, incident.victim)))


def _at_random(
    kind: Fault, chance: random.Random, every_s: float, duration_s: float, victims: Sequence[str]
) -> list[Incident]:
    planned = []
    at_s = chance.expovariate(1.0 / every_s)
    while at_s < duration_s:
        planned.append(Incident(at_s, kind, chance.choice(victims), _lasts_s(kind, chance)))
        at_s += planned[-1].lasts_s + 10.0 + chance.expovariate(1.0 / every_s)
    return planned


def _lasts_s(kind: Fault, chance: random.Random) -> float:
    if kind is Fault.STALE:
        return chance.uniform(5.0, 90.0)
    return chance.uniform(35.0, 60.0) if chance.random() < 0.25 else chance.uniform(0.3, 5.0)
