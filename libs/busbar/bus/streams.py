"""Which streams a site has: derived from the subject registry, one for each delivery class that stores.

| stream | kept | when it is full |
|---|---|---|
| CONTROL | last per subject, file, for ever | a new subject is refused; known ones still change: no limit is lost |
| LAST | last per subject, memory | the oldest goes; all of it goes with the server and is rebuilt within a cycle |
| OUTBOX | 30 days, file | the oldest goes |
| OUTBOX_TX | every step of a transaction, file | a new one is refused: its producer keeps it and alarms |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from busbar.subjects import SUBJECTS, Delivery

MIB: Final = 1024 * 1024
DUPLICATE_WINDOW_S: Final = 600.0
"""Within it the same report sent twice is stored once."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream as it must be; compared with the one that is."""

    name: str
    subjects: tuple[str, ...]
    in_memory: bool
    last_per_subject: bool
    discard_new: bool
    max_bytes: int
    max_age_s: float = 0.0
    """0: no limit."""
    discard_new_per_subject: bool = False


STREAM_OF: Final = {
    Delivery.CONTROL: "CONTROL",
    Delivery.LAST: "LAST",
    Delivery.OUTBOX: "OUTBOX",
    Delivery.OUTBOX_TX: "OUTBOX_TX",
}


def streams(site: str) -> tuple[StreamSpec, ...]:
    """All streams of a site; together below `max_mem` and `max_file` of `provision.server_config`."""
    return (
        StreamSpec("CONTROL", _of(Delivery.CONTROL, site), False, True, True, 16 * MIB),
        StreamSpec("LAST", _of(Delivery.LAST, site), True, True, False, 48 * MIB),
        StreamSpec("OUTBOX", _of(Delivery.OUTBOX, site), False, False, False, 512 * MIB, max_age_s=30 * 86400.0),
        StreamSpec(
            "OUTBOX_TX", _of(Delivery.OUTBOX_TX, site), False, True, True, 256 * MIB, discard_new_per_subject=True
        ),
    )


def _of(delivery: Delivery, site: str) -> tuple[str, ...]:
    return tuple(subject.name(site) for subject in SUBJECTS if subject.delivery is delivery)
