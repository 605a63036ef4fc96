"""The guard path: a raw measurement above a fuse is answered at once (algorithms.md, Guard).

On a guard snapshot the connectors below the fuse go down towards their minimum in proportion, lower priorities first.
Where not even the minima fit, admission pauses by rank in the same pass, and the rest is shared as ever. **Once per
excess**: not again for the same fuse within the devices' reaction time, or the cut cascades to 0; except that the
excess has grown by more than 1 A since.

The background of that moment is the raw measurement less what the connectors below draw by their newest samples; of a
connector whose sample is older than 1.5 s, less what is booked for it, because the rise may be its own. It goes into
the 15 s window like any other value, so the full cycle that follows decides on no less. Only import is answered: below
a fuse that exports too much, cutting consumers would make it worse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from spc_allocator.booking import Booked
from spc_allocator.dc import as_flowing
from spc_allocator.inputs import Observed
from spc_allocator.ledger import Room
from spc_allocator.rows import Bools, Floats, Network, some
from spc_allocator.state import AllocatorState

CURRENT_SAMPLE_MS: Final = 1500
GROWN_A: Final = 1.0


@dataclass(slots=True)
class Guard:
    """What the guard answers in this cycle."""

    raised_a: Floats | None = None
    """3 x V: background now, -inf where the guard is silent."""
    collectors: list[int] = field(default_factory=list)


def assess(net: Network, state: AllocatorState, obs: Observed, booked: Booked, now_ms: int) -> Guard:
    """Which excesses are new, and the background behind them. Notes them in `state`."""
    guard = Guard()
    if not obs.guard:
        return guard
    power_w = np.array([part.power_w for part in obs.parts], dtype=float).T
    power_var = np.array([part.reactive_power_var for part in obs.parts], dtype=float).T
    real_a = power_w / state.voltage_v[:, None]
    apparent_a = np.hypot(power_w, power_var) / state.voltage_v[:, None]
    newest = obs.age_ms <= CURRENT_SAMPLE_MS
    drawn = np.where(newest, state.current_a, np.where(net.devices.wired, booked.held_a, 0.0))
    background = real_a - net.below(as_flowing(net, state.voltage_v, drawn))
    for index in sorted(set(obs.guard)):
        over = (apparent_a[:, index] > net.rated_a[:, index]) & (real_a[:, index] > 0.0)
        worst = float(np.where(over, apparent_a[:, index] - net.rated_a[:, index], 0.0).max())
        reaction_ms = net.devices.reaction_ms[net.begin[index] : net.end[index]].max(initial=0)
        since_ms = now_ms - int(state.guarded_at_ms[index])
        again = state.guarded_at_ms[index] > 0 and since_ms < reaction_ms and worst <= state.guarded_a[index] + GROWN_A
        if not some(over) or again or not net.protected[index]:
            continue
        state.own("guarded_at_ms")[index], state.own("guarded_a")[index] = now_ms, worst
        guard.collectors.append(index)
        if guard.raised_a is None:
            guard.raised_a = np.full((3, net.collectors), -np.inf)
        guard.raised_a[over, index] = background[over, index]
    return guard


def cut(
    guard: Guard, room: Room, setpoint_a: Floats, low_a: Floats, on: Bools
) -> tuple[Floats, dict[int, dict[int, float]]]:  # fmt: skip
    """Upper bound of each slot, proportionally between its minimum and its setpoint, and what each row made of it."""
    rows, load = room.net.rows, room.load
    bound = np.full(room.net.count, np.inf)
    cause: dict[int, dict[int, float]] = {}
    above = np.where(on, np.maximum(setpoint_a - low_a, 0.0), 0.0)
    left = room.room_a - room.sums(np.where(on, low_a, 0.0))
    span = room.sums(above)
    for row in range(rows.fuses):
        if int(rows.collector[row]) not in guard.collectors or not 0.0 <= left[row] < span[row]:
            continue
        slots = [
            s for s in range(int(rows.begin[row]), int(rows.end[row])) if load[rows.channel[row], s] > 0.0 and on[s]
        ]
        part = _parts(room, slots, above * load[rows.channel[row]], float(left[row]))
        for slot in slots:
            value = float(low_a[slot] + part[slot] * above[slot])
            bound[slot] = min(bound[slot], value)
            cause.setdefault(slot, {})[row] = value
    return bound, cause


def _parts(room: Room, slots: list[int], above_a: Floats, left_a: float) -> dict[int, float]:
    """How much of what is above its minimum each keeps of `left_a`: of one priority all the same, the highest first."""
    priority, parts = room.net.devices.priority, dict[int, float]()
    for one in room.net.devices.classes:
        mine = [slot for slot in slots if priority[slot] == one]
        span_a = float(above_a[mine].sum())
        part = min(1.0, left_a / span_a) if span_a > 0.0 else 1.0
        left_a = max(left_a - span_a, 0.0)
        parts |= dict.fromkeys(mine, part)
    return parts
