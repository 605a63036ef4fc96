"""What the site check needs to know of a device package; the catalogue itself stands one layer above.

`busbar.devices` may import `busbar.config`, not the other way round. So the facts are a value of this module, made by
a lookup that is handed in; the default one finds the catalogue by name, as `busbar.registry` finds services.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from busbar.domain.limits import REACTION_TIME_S
from busbar.units import MIN_CURRENT_A


@dataclass(frozen=True, slots=True)
class PackageFacts:
    """Facts of one device package. `fallback_a` is what the device does by itself when it hears nothing (FB-3)."""

    device_class: str
    fallback_a: float | Literal["settable", "unknown"] = "settable"
    zero_allowed: bool = True
    """False: the device cannot be paused, its smallest current is 6 A (FC-2)."""
    minimum_a: float = MIN_CURRENT_A
    reaction_s: float = REACTION_TIME_S
    watchdog_s: float | None = None
    """Fixed watchdog time of the device; None: written from the site file."""
    max_instances: int = 12


class UnknownPackageError(Exception):
    """No usable device package of that name; the text says why and what to do."""


PackageLookup = Callable[[str], PackageFacts]
"""From a package id (or path) of the site file to its facts. Raises UnknownPackageError."""
