"""An independent check that a filling is max-min fair: the oracle of the tests and of debug mode (SPC-2).

Shares nothing with `filling`: plain loops over explicit rows. Fair means: no row is exceeded by anything that could
give way, and every connector below its upper bound has a tight row in which no connector that could give way
(x_j > low_j) stands at a higher level or is of a lower priority. Those of a higher priority may stand at any level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constraint:
    """One row: amperes it has room for, and how much one ampere of each connector takes of it."""

    name: str
    room_a: float
    share: dict[int, float]

    def used(self, current_a: Sequence[float]) -> float:
        return sum(share * current_a[slot] for slot, share in self.share.items())


def violations(
    constraints: Sequence[Constraint],
    current_a: Sequence[float],
    *,
    rate: Sequence[float],
    low_a: Sequence[float],
    high_a: Sequence[float],
    priority: Sequence[int] | None = None,
    tolerance: float = 1e-5,
) -> list[str]:
    """In words what is wrong; empty where the filling is the fair one. `rate`: amperes per unit of level. `priority`:
    higher first; None: all the same."""
    ranks = [0] * len(current_a) if priority is None else priority
    wrong = [
        f"connector {slot}: {value:.6f} A outside {low_a[slot]:g}..{high_a[slot]:g} A"
        for slot, value in enumerate(current_a)
        if not low_a[slot] - tolerance <= value <= high_a[slot] + tolerance
    ]
    tight: list[Constraint] = []
    for row in constraints:
        excess = row.used(current_a) - row.room_a
        if excess > tolerance and any(current_a[s] > low_a[s] + tolerance for s, k in row.share.items() if k > 0):
            wrong.append(f"{row.name}: exceeded by {excess:.6f} A though something in it could give way")
        if excess > -tolerance:
            tight.append(row)
    for slot, value in enumerate(current_a):
        if value < high_a[slot] - tolerance and not any(
            _justifies(row, slot, current_a, rate=rate, low_a=low_a, priority=ranks, tolerance=tolerance)
            for row in tight
        ):
            wrong.append(f"connector {slot}: {value:.6f} A of {high_a[slot]:g} A, and no tight row explains it")
    return wrong


def _justifies(
    row: Constraint, slot: int, current_a: Sequence[float], *, rate: Sequence[float], low_a: Sequence[float],
    priority: Sequence[int], tolerance: float,
) -> bool:  # fmt: skip
    if row.share.get(slot, 0.0) <= 0.0:
        return False
    own = current_a[slot] / rate[slot]
    could_give = [
        other for other, share in row.share.items() if share > 0.0 and current_a[other] > low_a[other] + tolerance
    ]
    return not any(
        priority[other] < priority[slot]
        or (priority[other] == priority[slot] and current_a[other] / rate[other] > own + tolerance / rate[other])
        for other in could_give
    )
