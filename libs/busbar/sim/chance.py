"""Randomness of the twin: a stream of its own for every entity and purpose, decided by the seed and names alone.

Nothing here depends on PYTHONHASHSEED or on the order in which streams are made: one vehicle more or less changes no
other's luck.
"""

from __future__ import annotations

import hashlib
import math
import random


def stream(seed: int, *names: str) -> random.Random:
    """The random stream of one purpose, e.g. `stream(7, "vehicle", session_id)`."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


class Wander:
    """A mean-reverting random walk (Ornstein-Uhlenbeck) around 0 with standard deviation `sigma`."""

    __slots__ = ("_damp", "_dt_s", "_kick", "_rng", "_sigma", "_tau_s", "value")

    def __init__(self, rng: random.Random, sigma: float, tau_s: float) -> None:
        self._rng = rng
        self._sigma = sigma
        self._tau_s = tau_s
        self._dt_s = self._damp = self._kick = 0.0
        self.value = rng.gauss(0.0, sigma)

    def step(self, dt_s: float) -> float:
        """Value `dt_s` later; exact for any step."""
        if dt_s != self._dt_s:
            self._dt_s = dt_s
            self._damp = math.exp(-dt_s / self._tau_s)
            self._kick = self._sigma * math.sqrt(1.0 - self._damp * self._damp)
        self.value = self.value * self._damp + self._rng.gauss(0.0, self._kick)
        return self.value
