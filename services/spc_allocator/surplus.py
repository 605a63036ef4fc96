"""PV surplus mode of connectors: 6 A plus what would be exported, or that alone (SPC-20).

**Surplus** of a region is what it would export without the connectors in surplus mode: minus its background (the
maximum of 15 s: a cloud counts at once, the sun when it has lasted), minus what other connectors below draw. It is
taken at the topmost metered collector above the connector, which is the grid connection wherever that has a meter: what
another part of the site uses is nobody's surplus. The connectors' own consumption is no background, so it counts once.
What batteries and heat take of it counts in the order that the site gives (`flexible/order.py`, SPC-24).
Where that collector's monitoring is invalid there is none.

All connectors in surplus mode of a region share it by the same filling as everything else: one power row in which only
they count. Their minima are no matter of that row, so it never pauses anybody:

- `minimum`: 6 A always, as other connectors; more only from surplus.
- `only`: on from the moment that surplus has covered its minimum, 300 W more than that, for 60 s, in order of need
  beside those of its priority that are on, and after all of higher ones (SPC-24); off when it has not for 180 s. In
  between it stays at its minimum. Start budget and rest hold as ever: who is kept off by them waits for surplus anew
  as soon as there is too little, so that nobody starts with a stop already half counted.

A connector that is run by hand is in no surplus mode.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from busbar.units import NOMINAL_VOLTAGE_V
from spc_allocator.dc import as_flowing
from spc_allocator.flexible import order as kinds
from spc_allocator.flexible.begin import Begun
from spc_allocator.inputs import Observed
from spc_allocator.rows import POWER, SURPLUS, Bools, Floats, Network, slots_of, some
from spc_allocator.state import AllocatorState

START_MS: Final = 60_000
STOP_MS: Final = 180_000
HYSTERESIS_W: Final = 300.0


def weighted(net: Network, load: Floats, by_hand: Bools | None) -> Floats:
    """With a channel in which only connectors in surplus mode count, with their power."""
    made = np.zeros((max(len(load), SURPLUS + 1), load.shape[1]))
    made[: len(load)] = load
    made[SURPLUS] = load[POWER] * _wants(net.devices.surplus, by_hand)
    return made


def surplus_a(
    net: Network, state: AllocatorState, obs: Observed, background_w: Floats, load: Floats, *, begun: Begun | None
) -> Floats:  # fmt: skip
    """Of each region, in amperes at 230 V: room for connectors in surplus mode.

    `background_w`: V, the maximum of 15 s. `begun`: other kinds, some of which may take surplus as well."""
    flowing_a = as_flowing(net, state.voltage_v, state.current_a)
    drawn_w = state.voltage_v @ np.where(load[SURPLUS] > 0.0, 0.0, flowing_a)
    made = np.zeros(len(net.regions))
    for number, index in enumerate(net.regions):
        if obs.valid[index]:
            others_w = float(drawn_w[net.begin[index] : net.end[index]].sum())
            left_w = kinds.surplus_w(net, begun, index, others_w) if begun else None
            made[number] = (-float(background_w[index]) - others_w if left_w is None else left_w) / NOMINAL_VOLTAGE_V
    return made


def choose(
    net: Network, state: AllocatorState, obs: Observed, room_a: Floats, *, load: Floats, by_hand: Bools | None,
    order: list[int], now_ms: int,
) -> Bools:  # fmt: skip
    """Who in mode `only` is off for want of surplus. Timers are in `state`. `room_a`: of each region."""
    wants = _wants(net.devices.surplus_only, by_hand)
    state.surplus_on = state.surplus_on & wants & obs.who.present
    waiting = wants & obs.who.present
    state.surplus_since_ms = np.where(waiting, state.surplus_since_ms, 0)
    if some(waiting):
        minimum_a = load[SURPLUS] * net.devices.minimum_a
        left_a = room_a - _always(net, state, obs, minimum_a, wants)
        more_a = HYSTERESIS_W / NOMINAL_VOLTAGE_V
        asking = [slot for slot in order if waiting[slot]]
        asking.sort(key=lambda slot: (-net.devices.priority[slot], not state.surplus_on[slot]))
        for slot in asking:
            on = bool(state.surplus_on[slot])
            region, margin_a = int(net.region[slot]), 0.0 if on else more_a
            enough = left_a[region] >= minimum_a[slot] + margin_a
            left_a[region] -= minimum_a[slot] if enough else 0.0
            wait_ms = START_MS if not on else STOP_MS if state.on[slot] else 0
            _move_on(state, slot, bool(enough) is on, wait_ms=wait_ms, now_ms=now_ms)
    off: Bools = wants & ~state.surplus_on
    return off


def _wants(mode: Bools, by_hand: Bools | None) -> Bools:
    return mode if by_hand is None else mode & ~by_hand


def _always(net: Network, state: AllocatorState, obs: Observed, minimum_a: Floats, only: Bools) -> Floats:
    """What connectors in mode `minimum` take first, of each region."""
    taken = np.zeros(len(net.regions))
    for slot in slots_of(obs.who.present & state.on & net.devices.surplus & ~only):
        taken[int(net.region[slot])] += minimum_a[slot]
    return taken


def _move_on(state: AllocatorState, slot: int, settled: bool, *, wait_ms: int, now_ms: int) -> None:
    """Count how long it has been otherwise than it is; change it when that has lasted."""
    since = state.own("surplus_since_ms")
    if settled:
        since[slot] = 0
        return
    since[slot] = since[slot] or now_ms
    if now_ms - since[slot] >= wait_ms:
        since[slot] = 0
        state.own("surplus_on")[slot] = not state.surplus_on[slot]
