"""Equal percent: one share of everybody's rating rises until a row is full; its assets stop, the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from spc_allocator.rows import Bools, Floats, Ints

DUST_W: Final = 1e-3


def fill(share: Floats, room_w: Floats, rated_w: Floats, could_w: Floats) -> tuple[Floats, Ints]:
    """Share of each asset (0 to 1) and the row that stopped it (-1: none). `could_w`: it takes no more than that,
    whatever it is allowed; `share`: assets x rows. A row without any room stops its assets at 0."""
    level, row = np.ones(len(rated_w)), np.full(len(rated_w), -1, dtype=np.int64)
    moving = could_w > 0.0
    for _ in range(len(rated_w)):
        used_w = np.minimum(level * rated_w, could_w)
        over = ((used_w @ share > room_w + DUST_W) & ((used_w * moving) @ share > DUST_W)).nonzero()[0]
        if not len(over):
            break
        levels = [
            _level(share[:, at], float(room_w[at]), rated_w, could_w, used_w, moving=moving) for at in over.tolist()
        ]
        first = int(np.argmin(levels))
        at = int(over[first])
        stopped = moving & (share[:, at] > 0.0)
        level[stopped], row[stopped] = levels[first], at
        moving = moving & ~stopped
    return level, row


def _level(share: Floats, room_w: float, rated_w: Floats, could_w: Floats, used_w: Floats, *, moving: Bools) -> float:
    """At which this row alone is full: what cannot use a level leaves its part to the others."""
    here = moving & (share > 0.0)
    left_w = room_w - float((share * used_w)[~here].sum())
    entries = sorted(
        (could / rated, float(s) * rated, float(s) * could)
        for s, rated, could in zip(share[here], rated_w[here].tolist(), could_w[here].tolist(), strict=True)
    )
    slope = sum(entry[1] for entry in entries)
    for reached, weight, most in entries:
        if slope * reached > left_w:
            break
        left_w, slope = left_w - most, slope - weight
    else:
        return 1.0
    return min(1.0, max(0.0, left_w / slope)) if slope > 0.0 else 0.0


def share_out(need_w: float, most_w: list[float], weight: list[float]) -> list[float]:
    """`need_w` by weight, none above its most; what one cannot give the others do."""
    given, open_ = [0.0] * len(most_w), [at for at, most in enumerate(most_w) if most > 0.0 and weight[at] > 0.0]
    while open_ and need_w > DUST_W:
        total = sum(weight[at] for at in open_)
        capped = [at for at in open_ if need_w * weight[at] / total >= most_w[at]]
        if not capped:
            for at in open_:
                given[at] = need_w * weight[at] / total
            break
        for at in capped:
            given[at], need_w = most_w[at], need_w - most_w[at]
            open_.remove(at)
    return given
