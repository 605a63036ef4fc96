"""Sign of life of a service."""

from __future__ import annotations

from enum import StrEnum

from busbar.events.base import Event, UtcMs


class ServiceState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"


class Heartbeat(Event):
    service: str
    instance: str
    state: ServiceState
    detail: str = ""
    """Why it is degraded, in words with the remedy."""
    cycle_ms: float
    """Longest cycle since the last beat."""
    cycles: int
    """Cycles since start: a beat without growth is a service that is stuck."""
    version: str
    fingerprint: str
    boot: str = ""
    """Names this start of the instance: machine's boot, then UTC ms of the start. Another one: it runs twice."""
    published_at_ms: UtcMs
    lifetime_ms: int = 3000
