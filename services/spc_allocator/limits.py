"""The room in every row: ratings, reserves, background, credit for generation, power limits (SPC-1, SPC-5, SPC-7).

- Active current of a fuse on a conductor: |I_p| <= sqrt(I^2 - I_q^2), I = rating - total reserve, I_q the reactive
  current of background and connectors.
- **Reserve**: max(6 A x min(setting, free connectors below), fixed reserve), every level with its own; it guards fuses,
  not power limits.
- **Background** (PV and all else): its maximum over 15 s. **Credit for generation**: only as much as would leave, if it
  were all lost, at most 1.25 x the rating.
- **Virtual collector**: at least its worst-case unmetered load.
- **Monitoring invalid** (or never seen): the worst case of what is not controlled below, generation 0.
- **Power**: the tightest of the static limit in W, the one in VA (P <= sqrt(S^2 - Q^2)) and every source's variable
  import limit. Only AC consumers are controlled here: what exceeds an export limit or the export side of a fuse cannot
  be mended by them and bounds nothing from above; it is reported.

The window holds, per collector, in this order: net current (3), load current without generation (3), minus net (3),
reactive current (3), minus reactive (3), power, minus power, reactive power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from busbar.config.protection import CREDIT_RATIO
from busbar.events import CollectorLimit
from busbar.units import MIN_CURRENT_A, NOMINAL_VOLTAGE_V, Phase
from spc_allocator.inputs import FREE, Observed
from spc_allocator.rows import Bools, Floats, Ints, Network, some
from spc_allocator.state import BACKGROUND_WINDOW_S, FEATURES, AllocatorState

_NET, _LOAD, _EXPORT, _Q, _MINUS_Q, _P, _MINUS_P, _VAR = 0, 3, 6, 9, 12, 15, 16, 17
GAP_MS: Final = 3000
"""Longer without a value, or longer than three cycles: the window has a hole."""
COVERED_MS: Final = 1000 * BACKGROUND_WINDOW_S


@dataclass(slots=True)
class Limits:
    """Room for connectors, and what it was made from (amperes of active current)."""

    room_a: Floats
    """By row: what connectors below may take together."""
    limit_a: Floats
    """3 x V: rating minus total reserve."""
    background_a: Floats
    """3 x V, after filter and credit."""
    reserve_a: Floats
    """V."""
    yielding_a: Floats
    """V: part of the reserve that running sessions at their minimum may use (`reserve_yields`)."""
    source: list[str | None]
    """V: who set the tightest power limit; None: no limit."""
    export: tuple[tuple[int, str], ...]
    """Collectors above a limit on the export side, with the words for it."""


def reserves(net: Network, kind: Ints) -> tuple[Floats, Floats]:
    """Total reserve of each collector, and how much of it stems from free connectors beyond the fixed part."""
    running = np.zeros(net.count + 1)
    np.add.accumulate(kind == FREE, out=running[1:])
    free = running.take(net.end) - running.take(net.begin)
    total = np.maximum(MIN_CURRENT_A * np.minimum(net.dynamic, free), net.fixed_a)
    return total, total - net.fixed_a


def push_background(net: Network, state: AllocatorState, obs: Observed, raised_a: Floats | None, now_ms: int) -> None:
    """Take the raw background into the window; `raised_a` (3 x V) is what the guard found on top."""
    per_volt = (1.0 / state.voltage_v)[:, None]
    generation = obs.generation_w * per_volt
    load = np.maximum(obs.background_w * per_volt - generation, net.unmetered_a)
    if raised_a is not None:
        load = np.maximum(load, raised_a - generation)
    table = np.empty((FEATURES, net.collectors))
    net_a = np.add(load, generation, out=table[_NET : _NET + 3])
    table[_LOAD : _LOAD + 3] = load
    np.negative(net_a, out=table[_EXPORT : _EXPORT + 3])
    reactive = np.multiply(obs.background_var, per_volt, out=table[_Q : _Q + 3])
    np.negative(reactive, out=table[_MINUS_Q : _MINUS_Q + 3])
    power = np.add.reduce(net_a * state.voltage_v[:, None], axis=0, out=table[_P])
    np.negative(power, out=table[_MINUS_P])
    np.abs(np.add.reduce(obs.background_var, axis=0), out=table[_VAR])
    if now_ms - state.now_ms > max(GAP_MS, 3 * net.site.options.cycle_ms):
        state.covered_since_ms[:] = now_ms
    if some(~obs.valid):
        table[:, ~obs.valid] = -np.inf
        state.covered_since_ms[~obs.valid] = now_ms
    state.background_window.push(now_ms, table.ravel())


def limits(net: Network, state: AllocatorState, obs: Observed, imports: tuple[CollectorLimit, ...]) -> Limits:
    """Room of every row, as of the last push."""
    table = state.background_window.maximum().reshape(FEATURES, net.collectors)
    volt = state.voltage_v[:, None]
    reactive = net.below(obs.reactive_var / volt)
    reactive_a = np.maximum(table[_Q : _Q + 3] + reactive, table[_MINUS_Q : _MINUS_Q + 3] - reactive)
    reserve, dynamic_part = reserves(net, obs.kind)
    limit = np.maximum(net.rated_a - reserve, 0.0)
    square = reactive_a * reactive_a
    active = np.sqrt(np.maximum(limit * limit - square, 0.0))
    lost_all = np.sqrt(np.maximum((CREDIT_RATIO * net.rated_a) ** 2 - square, 0.0)) - table[_LOAD : _LOAD + 3]
    room = np.minimum(active - table[_NET : _NET + 3], lost_all)
    background = active - room
    power, var = table[_P], table[_VAR]
    blind = ~obs.valid | np.isneginf(table[_P])
    if some(blind):
        room = np.where(blind, limit - net.worst_a, room)
        background = np.where(blind, net.worst_a, background)
        power = np.where(blind, NOMINAL_VOLTAGE_V * np.add.reduce(net.worst_a, axis=0), power)
        var = np.where(blind, 0.0, var)
    power_limit_w, source = _power_limits(net, var, imports)
    rooms = np.concatenate((room.ravel().take(net.fuse_flat), (power_limit_w - power) / NOMINAL_VOLTAGE_V))
    export = _export(net, obs, state, table, active) + _injection(net, obs, state, table, imports)
    yielding = dynamic_part if net.site.options.reserve_yields else np.zeros_like(reserve)
    return Limits(rooms, limit, background, reserve, yielding, source, export)


def _power_limits(net: Network, var: Floats, imports: tuple[CollectorLimit, ...]) -> tuple[Floats, list[str | None]]:
    """Tightest import limit of each collector in W, and who set it."""
    apparent = np.sqrt(np.maximum(net.power_limit_va**2 - var * var, 0.0))
    tightest = np.minimum(net.power_limit_w, apparent)
    source: list[str | None] = ["site" if finite else None for finite in np.isfinite(tightest).tolist()]
    for limit in imports:
        index = net.site.tree.index.get(limit.collector)
        if index is not None and limit.import_limit_w is not None and limit.import_limit_w < tightest[index]:
            tightest[index] = limit.import_limit_w
            source[index] = limit.source
    return tightest, source


def _export(
    net: Network, obs: Observed, state: AllocatorState, table: Floats, active_a: Floats
) -> tuple[tuple[int, str], ...]:
    """Fuses through which more flows outward than they allow, with what the connectors below really draw."""
    outward = table[_EXPORT : _EXPORT + 3]
    suspects: Bools = (outward > active_a) & net.protected & obs.valid
    if not some(suspects):
        return ()
    excess = outward - net.below(state.current_a) - active_a
    return tuple(
        (index, f"export on {_own_phase(net, index, phase)} above the fuse by {excess[phase, index]:.1f} A")
        for phase, index in np.argwhere(suspects & (excess > 0.0)).tolist()
    )


def _own_phase(net: Network, collector: int, phase: int) -> str:
    return Phase(net.site.collectors[collector].root_phases.index(Phase(phase))).name


def _injection(
    net: Network, obs: Observed, state: AllocatorState, table: Floats, exports: tuple[CollectorLimit, ...]
) -> tuple[tuple[int, str], ...]:
    """Variable export limits that are exceeded."""
    found: list[tuple[int, str]] = []
    for limit in exports:
        index = net.site.tree.index.get(limit.collector)
        if index is None or limit.export_limit_w is None or not obs.valid[index]:
            continue
        drawn_w = float((net.below(state.current_a)[:, index] * state.voltage_v).sum())
        excess_w = float(table[_MINUS_P, index]) - drawn_w - limit.export_limit_w
        if excess_w > 0.0:
            found.append((index, f"injection above the limit of {limit.source} by {excess_w:.0f} W"))
    return tuple(found)
