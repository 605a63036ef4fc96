"""What may go wrong between two services of a simulation, decided by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

AT_ONCE: Final = (0.0,)


class FaultPlan(Protocol):
    """Decides the fate of each delivery. Called in a fixed order, so a seeded plan gives the same run again."""

    def deliveries(self, subject: str, sender: str, receiver: str) -> Sequence[float]:
        """Delays in s after which the message arrives: `()` drops it, two of them duplicate it."""
        ...


@dataclass
class SeededFaults:
    """Drops, delays and duplicates by chance; one sender's messages to one receiver keep their order."""

    seed: int
    drop: float = 0.0
    """Probability, 0..1."""
    duplicate: float = 0.0
    max_delay_s: float = 0.0
    min_delay_s: float = 0.0
    nouns: tuple[str, ...] = ()
    """Only subjects whose name contains one of these as a token; empty: all."""
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - chance, not cryptography

    def deliveries(self, subject: str, sender: str, receiver: str) -> Sequence[float]:
        if self.nouns and not any(f".{noun}." in f"{subject}." for noun in self.nouns):
            return AT_ONCE
        chance = self._random
        if self.drop and chance.random() < self.drop:
            return ()
        delays = [self._delay_s()]
        if self.duplicate and chance.random() < self.duplicate:
            delays.append(self._delay_s())
        return delays

    def _delay_s(self) -> float:
        if not self.max_delay_s:
            return self.min_delay_s
        return self._random.uniform(self.min_delay_s, self.max_delay_s)
