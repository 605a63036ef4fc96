"""Session status of a connector: twelve canonical states and both vocabularies in use (FC-3).

Devices speak either the IEC 61851 letters (A1 B1 B2 C1 C2 D1 D2 E F) or the twelve numbers. The twelve names are
canonical; the raw value is kept beside. An unknown value is reported (None), never guessed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Canonical session status; `number` is the code of the twelve-number vocabulary."""

    AVAILABLE = "Available"
    PREPARING_TAG = "Preparing-TagId-Ready"
    PREPARING_EV = "Preparing-EV-Ready"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    UNAVAILABLE_FW_UPDATE = "UnavailableFwUpdate"
    FAULTED = "Faulted"
    UNAVAILABLE_CONN_OBJ = "UnavailableConnObj"

    @property
    def number(self) -> int:
        return _NUMBER[self]

    @property
    def plugged(self) -> bool:
        """A vehicle is connected: paused and full vehicles count as connected."""
        return self in PLUGGED

    @property
    def free(self) -> bool:
        """Available and nothing plugged in: not reserved, unavailable or faulted (requirements.md, Entities)."""
        return self is Status.AVAILABLE

    @property
    def out_of_service(self) -> bool:
        """Can neither charge nor be plugged in by a driver; draws nothing by itself."""
        return self in OUT_OF_SERVICE


_NUMBER: Final = {status: number for number, status in enumerate(Status)}
BY_NUMBER: Final = dict(enumerate(Status))

PLUGGED: Final = frozenset(
    {Status.PREPARING_EV, Status.CHARGING, Status.SUSPENDED_EV, Status.SUSPENDED_EVSE, Status.FINISHING}
)
OUT_OF_SERVICE: Final = frozenset(
    {
        Status.UNAVAILABLE,
        Status.UNAVAILABLE_FW_UPDATE,
        Status.FAULTED,
        Status.UNAVAILABLE_CONN_OBJ,
    }
)

BY_LETTER: Final = {
    "A": Status.AVAILABLE,
    "A1": Status.AVAILABLE,
    "A2": Status.AVAILABLE,
    "B1": Status.PREPARING_EV,
    "B2": Status.SUSPENDED_EV,
    "C1": Status.SUSPENDED_EVSE,
    "D1": Status.SUSPENDED_EVSE,
    "C2": Status.CHARGING,
    "D2": Status.CHARGING,
    "E": Status.FAULTED,
    "E0": Status.FAULTED,
    "F": Status.UNAVAILABLE,
    "F0": Status.UNAVAILABLE,
}


def status_of(raw: str | int) -> Status | None:
    """Canonical status of a raw device value in either vocabulary, or None where it is unknown (then report it)."""
    if isinstance(raw, int):
        return BY_NUMBER.get(raw)
    text = raw.strip().strip("\x00")
    if text.isascii() and text.isdigit():
        return BY_NUMBER.get(int(text))
    return BY_LETTER.get(text.upper())
