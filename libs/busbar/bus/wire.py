"""How an event travels: JSON in the body, the sender's monotonic clock in a header; and what is counted on the way."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from busbar.clock import Clock
from busbar.events import Event
from busbar.subjects import Subject

CLOCK_HEADER: Final = "Busbar-Clock"
"""`{boot_id}:{milliseconds}` of the sender's monotonic clock: on the same machine transit is exact, whatever the wall
clocks say or do (failure.md, Ages)."""

LOG_PERIOD_S: Final = 60.0
_MAX_REMEMBERED: Final = 1000


class UndecodableError(ValueError):
    """The body is no such event; the text says why, in one line."""


def encode(event: Event) -> bytes:
    return event.model_dump_json().encode()


def decode(subject: Subject, body: bytes) -> Event:
    """Raises UndecodableError."""
    try:
        return subject.event.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise UndecodableError(f"{where}: {first['msg']}") from error


def clock_header(boot_id: str, mono_s: float) -> str:
    return f"{boot_id}:{mono_s * 1000.0:.3f}"


def transit_s(header: str | None, boot_id: str, now_s: float) -> float | None:
    """Time on the way by the common monotonic clock; None where there is none."""
    if not header or not boot_id:
        return None
    sender, _, mono_ms = header.rpartition(":")
    if sender != boot_id:
        return None
    try:
        sent_s = float(mono_ms) / 1000.0
    except ValueError:
        return None
    return max(0.0, now_s - sent_s) if math.isfinite(sent_s) else None


@dataclass
class Counters:
    """What a connection did since its start."""

    published: int = 0
    received: int = 0
    undecodable: int = 0
    dropped: int = 0
    """Lost because a subscription's queue was full: the newest are lost, the next cycle replaces them."""
    handler_errors: int = 0
    reconnects: int = 0


@dataclass
class Complaints:
    """Says each kind of trouble at most once a minute and subject."""

    clock: Clock
    log: logging.Logger
    _said_s: dict[str, float] = field(default_factory=dict)

    def say(self, subject: str, text: str) -> None:
        now_s = self.clock.mono_s()
        said_s = self._said_s.get(subject)
        if said_s is not None and now_s - said_s < LOG_PERIOD_S:
            return
        if len(self._said_s) >= _MAX_REMEMBERED:
            self._said_s.clear()
        self._said_s[subject] = now_s
        self.log.warning("%s: %s", subject, text)
