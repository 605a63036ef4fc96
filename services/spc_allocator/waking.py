"""Vehicles that take no current after a pause (algorithms.md, Waking).

Three minutes without current after a resume: once again with 8 A. Then, where the device's package withdraws its
release at 0 A, the release is taken back for 10 s and given again, up to three times, three minutes apart; the
connector keeps its place in the rows meanwhile, and it is no start of the budget. After that it does not wake: ranked
last for pausing in this session, an alarm, and 6 A stay offered. A new pause begins all of it anew.

`wake_tries`: 0 nothing, 1 offered 8 A, 1 + n the release toggled n times, `ASLEEP` does not wake.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from spc_allocator.rows import Bools, slots_of
from spc_allocator.state import AllocatorState

WAKE_MS: Final = 180_000
WAKE_A: Final = 8.0
TOGGLES: Final = 3
PULSE_MS: Final = 10_000
ASLEEP: Final = 2 + TOGGLES


def wake(state: AllocatorState, toggles: Bools, now_ms: int) -> None:
    """Move on those that drew nothing since their last try. `toggles`: whose release can be toggled."""
    if not np.count_nonzero(state.resumed_at_ms):
        return
    waited = state.on & (state.resumed_at_ms > 0) & (now_ms - state.resumed_at_ms >= WAKE_MS)
    for slot in slots_of(waited & (state.wake_tries < ASLEEP)):
        tries, last = state.own("wake_tries"), 1 + TOGGLES if toggles[slot] else 1
        tries[slot] = tries[slot] + 1 if tries[slot] < last else ASLEEP
        state.own("resumed_at_ms")[slot] = now_ms if tries[slot] < ASLEEP else 0


def being_woken(state: AllocatorState) -> Bools:
    """Who may have 8 A, whatever ramp and cap say."""
    awake: Bools = state.on & (state.wake_tries > 0) & (state.wake_tries < ASLEEP)
    return awake


def released(state: AllocatorState, now_ms: int) -> Bools | None:
    """Whose release is taken back for a moment; None: nobody's."""
    if not np.count_nonzero(state.wake_tries > 1):
        return None
    pulse = being_woken(state) & (state.wake_tries > 1) & (now_ms - state.resumed_at_ms < PULSE_MS)
    return pulse if pulse.any() else None
