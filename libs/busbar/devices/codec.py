"""Registers to values and back: one precompiled `struct.Struct` a block, signs and scales applied here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field

from busbar.devices.package import Point


@dataclass(slots=True)
class Memory:
    """What decoding keeps from poll to poll for one entity. `exponents`: SunSpec scale factors last read."""

    exponents: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget: after a reconnect, so that steps are not measured across the gap."""
        raise NotImplementedError


def encode(point: Point, value: float | str, word_order: str, exponent: int = 0) -> list[int]:
    """Words of an engineering value. Raises ValueError where it does not fit the type."""
    raise NotImplementedError
