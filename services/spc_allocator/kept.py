"""What an earlier cycle worked out and still holds, because nothing that it is made from has changed.

No state: every entry stands beside the very values it was made from and is used only for the same ones, so that a
fresh one decides the same. It is neither dumped nor digested, and all states that follow each other share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spc_allocator.rows import EPS, Bools, Floats, Ints, Network

if TYPE_CHECKING:
    from busbar.domain.charging import Status
    from busbar.events import Reason


def every(mask: Bools) -> bool:
    """Whether all are true, without the Python calls of `mask.all()`."""
    return b"\x00" not in mask.tobytes()


class Fixed:
    """Of the site alone, once for all."""

    __slots__ = (
        "any_apparent", "fresh_ms", "least_a", "level", "matters", "none", "power_limit_va_square", "power_source",
        "row", "whole_minima", "zeros",
    )  # fmt: skip

    def __init__(self, net: Network) -> None:
        self.matters: Bools = net.protected | np.isfinite(net.power_limit_w)
        """V: without its values nothing rises below."""
        self.fresh_ms: Floats = np.where(self.matters, net.fresh_ms, np.inf)
        self.any_apparent = bool(np.isfinite(net.power_limit_va).any())
        self.power_limit_va_square: Floats = net.power_limit_va**2
        self.power_source: list[str | None] = ["site" if finite else None for finite in np.isfinite(net.power_limit_w)]
        minimum_a = net.devices.minimum_a
        self.whole_minima = bool((minimum_a - net.devices.whole(minimum_a + EPS) <= EPS).all())
        self.least_a: Floats = minimum_a - EPS
        """From here on a setpoint lets charge."""
        self.none: Bools = np.zeros(net.count, dtype=bool)
        self.zeros: Floats = np.zeros(net.count)
        self.level: Floats = np.full(net.count, np.inf)
        self.row: Ints = np.full(net.count, -1, dtype=np.int64)
        for shared in (self.none, self.zeros, self.level, self.row):
            shared.setflags(write=False)


@dataclass(slots=True, eq=False)
class Who:
    """By slot what the statuses say; another one as soon as anybody's status changes."""

    status: tuple[Status | None, ...]
    reachable: tuple[bool, ...]
    kind: Ints
    active: Bools
    present: Bools
    """A vehicle is there, so far as we know."""
    left: Bools
    """Answers, and no vehicle is there."""
    lost: Bools
    heard: Bools
    charging: Bools
    any_lost: bool


@dataclass(slots=True, eq=False)
class Reserve:
    """Ratings less reserves, for one `Who`."""

    who: Who
    total_a: Floats
    """V."""
    yielding_a: Floats
    limit_a: Floats
    """3 x V."""
    limit_square: Floats
    credit_square: Floats


@dataclass(slots=True, eq=False)
class Shares:
    """How connectors count: for one `Who`, the booked and seen conductors and the voltages in `key`."""

    who: Who
    key: tuple[bytes, bytes, bytes]
    fair_v: Floats
    """Volts summed over the phases that count for equal power."""
    rate: Floats
    """Amperes per unit of level."""
    counted: Bools
    """3 x n: conductors on which a setpoint is booked."""
    load: Floats
    """4 x n: amperes in each channel for one ampere of setpoint."""


@dataclass(slots=True, eq=False)
class Told:
    """Reasons of a cycle, and what they are made from."""

    limit_a: Floats
    """3 x V."""
    source: list[str | None]
    """V: of each power limit."""
    code: Ints
    """n: own bounds, kind, what is so of the connector, and its rank; see `explain`."""
    setpoint_a: Floats
    pairs: Ints
    """Of slot and row, ascending; see `binding`."""
    reasons: list[Reason]

    def differs(self, last: Told | None, rows: int) -> Bools:
        """By slot, on a site of so many rows."""
        if last is None or self.source != last.source or not np.array_equal(self.limit_a, last.limit_a):
            return np.ones(len(self.code), dtype=bool)
        changed: Bools = (self.code != last.code) | (self.setpoint_a != last.setpoint_a)
        changed[np.setxor1d(self.pairs, last.pairs, assume_unique=True) // rows] = True
        return changed


class Kept:
    """All of it, for one site."""

    __slots__ = (
        "fixed", "names", "order", "order_key", "places", "plugged", "plugged_at_ms", "reserve", "shares",
        "told", "who",
    )  # fmt: skip

    def __init__(self, net: Network) -> None:
        self.fixed = Fixed(net)
        self.names: list[str] = []
        """Connectors in the order of the snapshot."""
        self.places: list[int | None] = [None] * net.count
        """By slot where the snapshot has it."""
        self.who: Who | None = None
        self.reserve: Reserve | None = None
        self.shares: Shares | None = None
        self.order: list[int] = []
        self.order_key: tuple[bytes, ...] = ()
        self.told: Told | None = None
        self.plugged: tuple[int, ...] | None = None
        self.plugged_at_ms: Ints = np.zeros(net.count, dtype=np.int64)
