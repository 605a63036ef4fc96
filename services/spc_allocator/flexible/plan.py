"""The plan of one cycle: a power for each asset with its reason, and what the rows carry by it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.events import Reason, ReasonCode
from spc_allocator.flexible.filling import fill, share_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spc_allocator.flexible.ground import Ground
    from spc_allocator.rows import Bools, Floats, Ints

STEP_W: Final = 10.0
"""Setpoints are whole steps: noise of a watt is not worth a write."""


@lru_cache(maxsize=1024)
def because(
    code: ReasonCode, value: float | None = None, *, collector: str | None = None, source: str | None = None
) -> Reason:
    """Reasons are few and immutable: made once."""
    return Reason(code=code, value=value, collector=collector, source=source)


@dataclass(slots=True)
class Plan:
    """By asset, W, consumption positive."""

    ground: Ground
    want_w: Floats
    why: list[Reason]
    decided: Bools
    """A target or a hand has decided: lower rules leave it alone, limits do not."""
    spare_w: Floats
    """What obedient batteries and modulated heat that runs could draw beyond the plan within a cycle or two."""
    target_out_w: dict[int, float]
    """Targets that batteries and heat cannot reach alone: collector -> least power, by which generators are bounded."""

    @classmethod
    def empty(cls, ground: Ground) -> Plan:
        count = ground.assets.count
        idle = because(ReasonCode.MODE, source="idle")
        return cls(ground, np.zeros(count), [idle] * count, np.zeros(count, dtype=bool), np.zeros(count), {})

    def set(self, at: int, power_w: float, why: Reason) -> None:
        self.want_w[at], self.why[at] = power_w, why

    def flow_w(self, connectors_w: Floats) -> Floats:
        """What rows carry by the plan: all that is not set, generators as they are, batteries and heat as planned."""
        return self.ground.rest_now_w + connectors_w + self.expected_w() @ self.ground.assets.share

    def expected_w(self) -> Floats:
        """What batteries and heat will do by the plan: a battery that does not obey no more than it does, and heat
        too, for it draws what it needs and not what it may; a generator counts in the background."""
        ground = self.ground
        assets, does_w = ground.assets, ground.state.power_w.sum(axis=0)
        at_most = np.minimum(self.want_w, does_w)
        obeys = assets.is_battery & ground.seen.obedient
        return np.where(assets.generates, 0.0, np.where(obeys, self.want_w, at_most))

    def move(self, who: Iterable[int], need_w: float, row: int, most_w: Floats, weight: Floats) -> dict[int, float]:
        """Power of each of `who`, by weight, that together take `need_w` from a row."""
        share = self.ground.assets.share
        among = [at for at in who if share[at, row] > 0.0]
        parts = [float(share[at, row]) for at in among]
        given = share_out(
            need_w,
            [max(0.0, float(most_w[at])) * part for at, part in zip(among, parts, strict=True)],
            [float(weight[at]) * part for at, part in zip(among, parts, strict=True)],
        )
        return {at: w / part for at, part, w in zip(among, parts, given, strict=True) if w > 0.0}

    def fit(self, amount_w: Floats, room_w: Floats) -> tuple[Floats, Ints]:
        """Part of each amount that fits into the rows, equal percent, and the row that stopped it."""
        return fill(self.ground.assets.share, room_w, amount_w, amount_w)
