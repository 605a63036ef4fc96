"""Step C: whole steps (SPC-3), then raises only into what is really free.

Floor to 1 A (DC: the device's step), then hand left-over steps out in order of need, higher priorities first (SPC-24),
while every row allows: afterwards no connector can take one more step. Decreases leave at once; a raise or a start must
also fit beside everything that may still be drawn (`booking`, "what may be now"), in the same order, else it waits a
cycle.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spc_allocator.ledger import Ledger, Room
from spc_allocator.rows import EPS, Bools, Devices, Floats, some

LEAST_A: Final = EPS / 10.0
"""A raise takes at least so much, also below what it has not let go yet: where rows are too full it waits as well."""


def whole_steps(
    room: Room, fair_a: Floats, high_a: Floats, *, stubborn_a: Floats, on: Bools, order: list[int]
) -> Floats:
    """Setpoints in whole steps of connectors that are on. `order`: greatest need first."""
    step_a = np.where(on, room.net.devices.whole(fair_a + EPS), 0.0)
    left_a = room.room_a - room.sums(np.maximum(step_a, stubborn_a))
    left, devices = room.ledger(left_a), room.net.devices
    waiting = _could_rise(room, left_a, step_a, high_a, stubborn_a=stubborn_a, on=on, order=order)
    for group in _by_priority(waiting, devices):
        _hand_out(left, group, step_a, high_a, stubborn_a=stubborn_a, one_more=devices.step_a)
    return step_a if devices.in_amperes else devices.whole(step_a + EPS)  # without the dust of adding up


def _by_priority(slots: list[int], devices: Devices) -> list[list[int]]:
    """Highest first, each in the order given."""
    if len(devices.classes) <= 1:
        return [slots]
    return [[slot for slot in slots if devices.priority[slot] == one] for one in devices.classes]


def _hand_out(
    left: Ledger, waiting: list[int], step_a: Floats, high_a: Floats, *, stubborn_a: Floats, one_more: Floats
) -> None:
    """A step to each in turn, until none has room for another."""
    step_of = one_more.tolist()
    while waiting:
        again = []
        for slot in waiting:
            step = step_of[slot]
            more = max(step_a[slot] + step, stubborn_a[slot]) - max(step_a[slot], stubborn_a[slot])
            if left.fits(slot, more):
                left.take(slot, more)
                step_a[slot] += step
                if step_a[slot] + step <= high_a[slot] + EPS:
                    again.append(slot)
        waiting = again


def _could_rise(
    room: Room, left_a: Floats, step_a: Floats, high_a: Floats, *, stubborn_a: Floats, on: Bools, order: list[int]
) -> list[int]:
    """Who is below its upper bound and would have room for one more step if it were the only one, in order."""
    one_more_a = step_a + room.net.devices.step_a
    slots = (on & (one_more_a <= high_a + EPS)).nonzero()[0]
    if not len(slots):
        return []
    more_a = np.maximum(one_more_a, stubborn_a) - np.maximum(step_a, stubborn_a)
    could = set(slots[room.blocking(left_a, slots, more_a[slots]) < 0].tolist())
    return [slot for slot in order if slot in could]


def gate_raises(
    room: Room, wanted_a: Floats, setpoint_a: Floats, *, held_a: Floats, may_raise: Bools, order: list[int]
) -> dict[int, int]:
    """Lower in place what cannot be raised yet; returns for each such slot the row that is still full (-1: none, its
    inputs are too old)."""
    raising = wanted_a > setpoint_a + EPS
    waits: dict[int, int] = {}
    if not some(raising):
        return waits
    free = room.ledger(room.room_a - room.sums(held_a))
    for slot in order:
        if not raising[slot]:
            continue
        more = float(max(wanted_a[slot] - held_a[slot], LEAST_A))
        row = free.blocking(slot, more)
        if row >= 0 or not may_raise[slot]:
            wanted_a[slot] = setpoint_a[slot]
            waits[slot] = row if may_raise[slot] else -1
        else:
            free.take(slot, more)
    return waits
