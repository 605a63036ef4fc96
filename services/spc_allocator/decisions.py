"""Decision events: for each collector the limit, the reserve, the background, what is booked and what is left."""

from __future__ import annotations

import numpy as np

from busbar.domain.limits import SETPOINT_LIFETIME_MS
from busbar.domain.topology import to_own_frame
from busbar.events import Decision, PausedConnector
from busbar.units import PhaseVector
from spc_allocator.core import Decided
from spc_allocator.cycle import Cycle
from spc_allocator.explain import own_phase, pause_ranks
from spc_allocator.rows import EPS, Floats, slots_of


def decisions(decided: Decided, epoch: int, published_at_ms: int) -> list[Decision]:
    """One for each collector, depth first."""
    cycle, net = decided.cycle, decided.cycle.net
    held = np.maximum(np.where(cycle.present, cycle.booked.held_a, 0.0), cycle.wanted_a)
    booked = net.below(cycle.load[:3] * held + cycle.other_a)
    lim = cycle.limits
    tables = [t.T.tolist() for t in (lim.limit_a, lim.background_a, booked, lim.limit_a - lim.background_a - booked)]
    paused = _paused(cycle, decided)
    words = _bound_by(decided)
    out = []
    for collector in net.site.collectors:
        index, phases = collector.index, collector.root_phases
        limit, background, taken, headroom = (to_own_frame(PhaseVector(*t[index]), phases) for t in tables)
        out.append(
            Decision(
                collector=collector.id, snapshot=decided.state.snapshot, epoch=epoch, published_at_ms=published_at_ms,
                lifetime_ms=SETPOINT_LIFETIME_MS, limit_a=limit, reserve_a=float(lim.reserve_a[index]),
                background_a=background, booked_a=taken, headroom_a=headroom,
                paused=tuple(p for slot, p in paused if net.under[index, slot]), bound_by=words.get(index),
            )
        )  # fmt: skip
    return out


def _paused(cycle: Cycle, decided: Decided) -> list[tuple[int, PausedConnector]]:
    """In order of rank: connectors with a vehicle that are off."""
    ranks = pause_ranks(cycle)
    off = [slot for slot in ranks if not decided.state.on[slot]]
    return [
        (slot, PausedConnector(connector=cycle.net.ids[slot], rank=ranks[slot], need=float(decided.state.need[slot])))
        for slot in sorted(off, key=lambda slot: ranks[slot])
    ]


def _bound_by(decided: Decided) -> dict[int, str]:
    """The hardest thing that holds for each collector, in words."""
    cycle, net = decided.cycle, decided.cycle.net
    words: dict[int, str] = {}
    left: Floats = np.array(cycle.left.left_a)
    stopping = [*cycle.filled.row[cycle.filled.row >= 0].tolist(), *cycle.admitted.lacking.values()]
    for row in sorted(set(stopping)):
        index, channel = int(net.rows.collector[row]), int(net.rows.channel[row])
        if row >= net.rows.fuses:
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
