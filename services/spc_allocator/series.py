"""Which entry of a series holds: each from its start until the next one begins (SPC-8, SPC-9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Slot(Protocol):
    @property
    def start_ms(self) -> int: ...
    @property
    def power_w(self) -> float: ...


T = TypeVar("T", float, None)


def power_at(slots: Iterable[Slot], utc_ms: int, before: T) -> float | T:
    """Power in W of the newest slot that has begun at a wall time; `before` where none has. Of slots that begin at the
    same time the last counts."""
    begun = None
    for slot in slots:
        if slot.start_ms <= utc_ms and (begun is None or slot.start_ms >= begun.start_ms):
            begun = slot
    return before if begun is None else begun.power_w
