"""The room in every row: ratings, reserves, background, credit for generation, power limits (SPC-1, SPC-5, SPC-7).

- Active current of a fuse on a conductor: |I_p| <= sqrt(I^2 - I_q^2), I = rating - total reserve, I_q the reactive
  current of background and connectors.
- **Reserve**: max(6 A (DC: its start power) x min(setting, free connectors below), fixed reserve), every level with its
  own; it guards fuses, not power limits.
- **Background** (PV and all else): its maximum over 15 s. **Credit for generation**: only as much as would leave, if it
  were all lost, at most 1.25 x the rating.
- What feeds back without being known as generation is credited no further than generation.
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
from spc_allocator import dc, imbalance
from spc_allocator.inputs import FREE, Observed
from spc_allocator.kept import Fixed, Kept, Reserve, Who
from spc_allocator.rows import Bools, Floats, Ints, Network, some
from spc_allocator.state import BACKGROUND_WINDOW_S, FEATURES, AllocatorState

_NET, _LOAD, _EXPORT, _Q, _MINUS_Q, _P, _MINUS_P, _VAR = 0, 3, 6, 9, 12, 15, 16, 17
GAP_MS: Final = 3000
"""Longer without a value, or longer than three cycles: the window has a hole."""
TARGET_OF: Final = "target of "
"""Before the source of a target among the sources of power limits."""
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
    rivals_w: dict[int, dict[str, float]]
    """Where variable limits hold: collector -> every source's limit."""
    background_w: Floats
    """V: of all phases together, the maximum of 15 s."""
    export: tuple[tuple[int, str], ...]
    """Collectors above a limit on the export side, with the words for it."""
    active_a: Floats
    """3 x V: `limit_a` less what reactive current takes of it."""
    power_w: Floats
    """V: tightest limit in W, of all sources; infinite: none."""
    static_w: Floats
    """V: the same of the site file alone: it holds in both directions."""


def reserves(net: Network, kind: Ints) -> tuple[Floats, Floats]:
    """Total reserve of each collector, and how much of it stems from free connectors beyond the fixed part."""
    running = np.zeros(net.count + 1)
    np.add.accumulate(kind == FREE, out=running[1:])
    free = running.take(net.end) - running.take(net.begin)
    if net.dc is None:
        for_next = MIN_CURRENT_A * np.minimum(net.dynamic, free)
    else:
        for_next = dc.free_reserve_a(net, kind == FREE, free, MIN_CURRENT_A)
    total = np.maximum(for_next, net.fixed_a)
    return total, total - net.fixed_a


def push_background(
    net: Network, state: AllocatorState, obs: Observed, raised_a: Floats | None, unlent_w: Floats | None, *, now_ms: int
) -> None:
    """Take the raw background into the window; `raised_a` (3 x V) is what the guard found on top, `unlent_w` (3 x V)
    what batteries discharge without making room for connectors."""
    volt = state.voltage_v[:, None]
    per_volt = 1.0 / volt
    generation = obs.generation_w * per_volt
    table = np.empty((FEATURES, net.collectors))
    load = np.multiply(obs.background_w, per_volt, out=table[_LOAD : _LOAD + 3])
    load -= generation
    np.maximum(load, net.unmetered_a, out=load)
    if raised_a is not None:
        np.maximum(load, raised_a - generation, out=load)
    net_a = np.add(load, generation, out=table[_NET : _NET + 3])
    np.maximum(load, 0.0, out=load)  # what feeds and is no known generation may be lost like it
    np.negative(net_a, out=table[_EXPORT : _EXPORT + 3])
    reactive = np.multiply(obs.background_var, per_volt, out=table[_Q : _Q + 3])
    np.negative(reactive, out=table[_MINUS_Q : _MINUS_Q + 3])
    power = np.add.reduce(net_a * volt, axis=0, out=table[_P])
    np.negative(power, out=table[_MINUS_P])
    np.abs(np.add.reduce(obs.background_var, axis=0), out=table[_VAR])
    if unlent_w is not None:
        net_a += unlent_w * per_volt
        power += np.add.reduce(unlent_w, axis=0)
    if now_ms - state.now_ms > max(GAP_MS, 3 * net.site.options.cycle_ms):
        state.covered_since_ms = np.full_like(state.covered_since_ms, now_ms)
    if not obs.all_valid:
        table[:, ~obs.valid] = -np.inf
        state.covered_since_ms = np.where(obs.valid, state.covered_since_ms, now_ms)
    state.background_window = state.background_window.pushed(now_ms, table.ravel())
    if net.rows.uneven:
        state.uneven_window = state.uneven_window.pushed(now_ms, imbalance.of_background(net, table[_NET : _NET + 3]))


def limits(net: Network, state: AllocatorState, obs: Observed, imports: tuple[CollectorLimit, ...]) -> Limits:
    """Room of every row, as of the last push."""
    table = state.background_window.top.reshape(FEATURES, net.collectors)
    reserve = _reserve(net, state.kept, obs.who)
    reactive = net.below(obs.reactive_var / state.voltage_v[:, None])
    reactive_a = np.maximum(table[_Q : _Q + 3] + reactive, table[_MINUS_Q : _MINUS_Q + 3] - reactive)
    square = np.multiply(reactive_a, reactive_a, out=reactive_a)
    active = _root(reserve.limit_square - square)
    room = active - table[_NET : _NET + 3]
    lost_all = _root(reserve.credit_square - square)
    lost_all -= table[_LOAD : _LOAD + 3]
    np.minimum(room, lost_all, out=room)
    background = active - room
    power, var = table[_P], table[_VAR]
    if not obs.all_valid:
        blind = ~obs.valid
        room = np.where(blind, reserve.limit_a - net.worst_a, room)
        background = np.where(blind, net.worst_a, background)
        power = np.where(blind, NOMINAL_VOLTAGE_V * np.add.reduce(net.worst_a, axis=0), power)
        var = np.where(blind, 0.0, var)
    static_w = _static_limits(net, state.kept.fixed, var)
    power_limit_w, source, rivals = _power_limits(net, state.kept.fixed, static_w, imports)
    fuses, rooms = net.rows.fuses, np.empty(net.rows.count)
    room.take(net.fuse_flat, out=rooms[:fuses])
    power_room = np.subtract(power_limit_w, power, out=rooms[fuses : net.rows.imbalance])
    power_room /= NOMINAL_VOLTAGE_V
    if net.rows.uneven:
        rooms[net.rows.imbalance : net.rows.surplus] = imbalance.room(net, state.uneven_window.top)
    rooms[net.rows.surplus :] = np.inf  # a matter of sharing alone
    export = _export(net, obs, state, table, active)
    if imports:
        export += _injection(net, obs, state, table, imports)
    return Limits(
        rooms, reserve.limit_a, background, reserve.total_a, reserve.yielding_a, source, rivals, power, export, active,
        power_limit_w, static_w,
    )  # fmt: skip


def _root(square: Floats) -> Floats:
    """In place; what is below 0 counts as 0."""
    np.maximum(square, 0.0, out=square)
    root: Floats = np.sqrt(square, out=square)
    return root


def _reserve(net: Network, kept: Kept, who: Who) -> Reserve:
    """Changes when somebody comes or goes."""
    last = kept.reserve
    if last is None or last.who is not who:
        total, dynamic_part = reserves(net, who.kind)
        yielding = dynamic_part if net.site.options.reserve_yields else np.zeros_like(total)
        limit = np.maximum(net.rated_a - total, 0.0)
        last = kept.reserve = Reserve(who, total, yielding, limit, limit * limit, (CREDIT_RATIO * net.rated_a) ** 2)
    return last


def _static_limits(net: Network, fixed: Fixed, var: Floats) -> Floats:
    """Tightest limit of the site file in W: in W itself, or what reactive power leaves of one in VA."""
    if not fixed.any_apparent:
        return net.power_limit_w
    return np.minimum(net.power_limit_w, _root(fixed.power_limit_va_square - var * var))


def _power_limits(
    net: Network, fixed: Fixed, static_w: Floats, imports: tuple[CollectorLimit, ...]
) -> tuple[Floats, list[str | None], dict[int, dict[str, float]]]:
    """Tightest import limit of each collector in W, who set it, and all of them where there are variable ones."""
    rivals: dict[int, dict[str, float]] = {}
    tightest, source = static_w, fixed.power_source
    if fixed.any_apparent:
        source = ["site" if finite else None for finite in np.isfinite(tightest).tolist()]
    if imports:
        tightest, source = tightest.copy(), source.copy()
    for limit in imports:
        index = net.site.tree.index.get(limit.collector)
        if index is None or limit.import_limit_w is None:
            continue
        site = {"site": float(tightest[index])} if np.isfinite(tightest[index]) else {}
        rivals.setdefault(index, site)[limit.source] = limit.import_limit_w
        if limit.import_limit_w < tightest[index]:
            tightest[index] = limit.import_limit_w
            source[index] = limit.source
    return tightest, source, rivals


def _export(
    net: Network, obs: Observed, state: AllocatorState, table: Floats, active_a: Floats
) -> tuple[tuple[int, str], ...]:
    """Fuses through which more flows outward than they allow, with what the connectors below really draw."""
    outward = table[_EXPORT : _EXPORT + 3]
    above: Bools = outward > active_a
    if not some(above):
        return ()
    suspects = above & net.protected & obs.valid
    excess = outward - net.below(dc.as_flowing(net, state.voltage_v, state.current_a)) - active_a
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
        drawn_a = net.below(dc.as_flowing(net, state.voltage_v, state.current_a))
        drawn_w = float((drawn_a[:, index] * state.voltage_v).sum())
        excess_w = float(table[_MINUS_P, index]) - drawn_w - limit.export_limit_w
        if excess_w > 0.0:
            found.append((index, f"injection above the limit of {limit.source} by {excess_w:.0f} W"))
    return tuple(found)
