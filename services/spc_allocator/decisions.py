"""Decision events: for each collector the limit, the reserve, the background, what is booked and what is left."""

from __future__ import annotations

import numpy as np

from busbar.domain.limits import SETPOINT_LIFETIME_MS
from busbar.events import Decision, PausedConnector
from busbar.units import PhaseVector
from spc_allocator.binding import left_a
from spc_allocator.core import Decided
from spc_allocator.cycle import Cycle
from spc_allocator.explain import own_phase, pause_ranks
from spc_allocator.rows import EPS, IMBALANCE, Floats, Network, slots_of


def decisions(decided: Decided, epoch: int, published_at_ms: int) -> list[Decision]:
    """One for each collector, depth first."""
    cycle, net = decided.cycle, decided.cycle.net
    held = np.maximum(np.where(cycle.present, cycle.booked.held_a, 0.0), cycle.wanted_a)
    booked = net.below(cycle.load[:3] * held + cycle.other_a)
    lim = cycle.limits
    left = lim.limit_a - lim.background_a - booked
    limit, background, taken, headroom = (_own_frames(net, t) for t in (lim.limit_a, lim.background_a, booked, left))
    paused = _paused(cycle, decided)
    words = _bound_by(decided)
    reserve, snapshot = lim.reserve_a.tolist(), decided.state.snapshot
    return [
        Decision.trusted(
            collector=collector.id, snapshot=snapshot, epoch=epoch, published_at_ms=published_at_ms,
            lifetime_ms=SETPOINT_LIFETIME_MS, limit_a=limit[index], reserve_a=reserve[index],
            background_a=background[index], booked_a=taken[index], headroom_a=headroom[index],
            paused=tuple(paused.get(index, ())),
            bound_by=words.get(index),
        )
        for index, collector in enumerate(net.site.collectors)
    ]  # fmt: skip


def _own_frames(net: Network, root: Floats) -> list[PhaseVector]:
    """By collector, in its own frame; `root` is 3 x V."""
    padded = np.concatenate((root, np.zeros((1, net.collectors))))
    return [*map(PhaseVector._make, np.take_along_axis(padded, net.own_order, axis=0).T.tolist())]


def _paused(cycle: Cycle, decided: Decided) -> dict[int, list[PausedConnector]]:
    """By collector, in order of rank: connectors below it with a vehicle that are off."""
    below: dict[int, list[PausedConnector]] = {}
    ranks = pause_ranks(cycle)
    off = ((ranks > 0) & ~decided.state.on).nonzero()[0]
    for slot in off[ranks[off].argsort()].tolist():
        need = float(decided.state.need[slot])
        paused = PausedConnector.trusted(connector=cycle.net.ids[slot], rank=int(ranks[slot]), need=need)
        for index in cycle.net.path[slot]:
            below.setdefault(index, []).append(paused)
    return below


def _bound_by(decided: Decided) -> dict[int, str]:
    """The hardest thing that holds for each collector, in words."""
    cycle, net = decided.cycle, decided.cycle.net
    words: dict[int, str] = {}
    left = left_a(cycle)
    stopping = [*cycle.filled.row[cycle.filled.row >= 0].tolist(), *cycle.admitted.lacking.values()]
    for row in sorted(set(stopping)):
        index, channel = int(net.rows.collector[row]), int(net.rows.channel[row])
        if row >= net.rows.surplus:
            words.setdefault(index, "surplus is used up")
        elif row >= net.rows.imbalance:
            words.setdefault(index, f"imbalance on {own_phase(net, index, channel - IMBALANCE)}")
        elif row >= net.rows.fuses:
            words[index] = f"power limit of {cycle.limits.source[index]}"
        elif left[row] < 1.0 + EPS:
            words.setdefault(index, f"fuse on {own_phase(net, index, channel)}")
    for name, text in decided.export:
        words[net.site.tree.index[name]] = text
    for name in decided.guarded:
        words[net.site.tree.index[name]] = "guard: measured above the fuse"
    for index in slots_of(cycle.obs.collector_age_ms > net.fresh_ms):
        words[index] = "inputs too old to raise anything"
    for index in slots_of(~cycle.obs.valid):
        words[index] = f"no valid monitoring: {net.site.collectors[index].file.on_lost_meter.action}"
    return words
