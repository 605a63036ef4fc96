"""Kinds in the order that the site gives (SPC-24): what stands before vehicles, told to vehicles beforehand.

Vehicles are decided before all other kinds (docs/decisions/0010), and slower: a battery answers within a second or two,
a vehicle rises by 1 A a minute. What is measured alone would serve whoever is quicker. So vehicles are told more than
that:

- **Surplus** (`surplus_order`). A battery that stores surplus and heat that follows it are no load to connectors in
  surplus mode: their surplus is what would be exported without them, less what those that stand before vehicles would
  take of it. The others then make room by themselves, for what a vehicle draws is no surplus to them.
- **Scarcity** (`yield_order`). What kinds that give way after vehicles would draw beyond what they do is kept free in
  the rows of vehicles: heat that runs by itself, and batteries that charge by hand or by advice. It is a matter of how
  much, not of who is on: vehicles come down to their minima for it and are not paused.

Neither widens a row of a fuse or a limit: what was measured still counts in full (SPC-1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from busbar.config.assets import Battery
from busbar.units import NOMINAL_VOLTAGE_V
from spc_allocator.flexible import heat

if TYPE_CHECKING:
    from spc_allocator.flexible.begin import Begun
    from spc_allocator.rows import Bools, Floats, Network


def surplus_w(net: Network, begun: Begun, index: int, others_w: float) -> float | None:
    """Of a collector: what connectors in surplus mode may share. `others_w`: what other connectors draw. None: nothing
    below it takes surplus but connectors."""
    assets, state = net.assets, begun.state
    below = assets.under[:, index] > 0.0
    takers = _takers(net, begun) & below
    if not takers.any():
        return None
    top = state.window.top.reshape(6, net.collectors)[:3, index]
    rest_w = float(np.maximum(top, state.rest_w[:, index]).sum())
    stays = below & ~takers & ~assets.generates
    does_w = state.power_w.sum(axis=0)
    left_w = -rest_w - others_w - float(np.maximum(does_w, 0.0)[stays].sum())
    for kind in net.site.options.surplus_order:
        if kind == "vehicles":
            break
        mine = takers & (assets.is_battery if kind == "batteries" else assets.is_heat)
        for at in mine.nonzero()[0].tolist():
            left_w -= _would_take(net, begun, at, max(0.0, left_w))
    return left_w


def _takers(net: Network, begun: Begun) -> Bools:
    """Heat that follows surplus, and batteries for which nobody has decided what they do."""
    assets, aims = net.assets, begun.aims
    takers = (assets.is_heat & ~assets.runs_by_itself) | assets.is_battery
    targets = assets.under[:, list(aims.targets)].sum(axis=1) > 0.0
    decided = [*begun.able.unable, *aims.by_hand, *_by_advice(net, begun)]
    takers[[at for at in decided if assets.is_battery[at]]] = False
    made: Bools = takers & ~(assets.is_battery & targets)
    return made


def _by_advice(net: Network, begun: Begun) -> list[int]:
    """Batteries that follow advice."""
    return [at for at in begun.aims.advised if _in_mode(net, at, "advice")]


def _in_mode(net: Network, at: int, mode: str) -> bool:
    file = net.assets.files[at]
    return isinstance(file, Battery) and mode in file.modes


def _would_take(net: Network, begun: Begun, at: int, left_w: float) -> float:
    """Of so much surplus; one that does not obey, or stores surplus only against an export limit, what it does."""
    assets, state = net.assets, begun.state
    does_w = max(0.0, float(state.power_w[:, at].sum()))
    if assets.is_battery[at]:
        most_w = float(begun.able.charge_w[at])
        free = begun.seen.obedient[at] and _in_mode(net, at, "self_consumption")
        return min(left_w, most_w if free else does_w)
    most_w = heat.wish_w(assets, state, begun.seen, begun.aims, at)
    return heat.step(assets.files[at], min(left_w, most_w))


def claimed_a(net: Network, begun: Begun, voltage_v: Floats) -> Floats | None:
    """By row, in amperes: what is kept free of vehicles for kinds that give way after them. None: nothing."""
    assets, after_w = net.assets, np.zeros(net.assets.count)
    if assets.heats and net.yields_before("vehicles", "heat"):
        for at in assets.heats:
            if assets.runs_by_itself[at]:
                after_w[at] = heat.wish_w(assets, begun.state, begun.seen, begun.aims, at)
    if assets.batteries and net.yields_before("vehicles", "batteries"):
        for at in assets.batteries:
            after_w[at] = _charge_wish_w(net, begun, at)
    more_w = after_w - np.maximum(begun.seen.high_w, 0.0).sum(axis=0)
    if not (more_w > 0.0).any():
        return None
    rows, per_phase_w = net.rows, (assets.wired * np.maximum(more_w, 0.0)) @ assets.under
    claimed = np.zeros(rows.count)
    claimed[: rows.fuses] = (per_phase_w / voltage_v[:, None]).take(net.fuse_flat)
    claimed[rows.fuses : rows.imbalance] = per_phase_w.sum(axis=0) / NOMINAL_VOLTAGE_V
    return claimed


def _charge_wish_w(net: Network, begun: Begun, at: int) -> float:
    """What a hand or an advice lets it charge."""
    aims = begun.aims
    said = aims.by_hand.get(at) or (aims.advised.get(at) if _in_mode(net, at, "advice") else None)
    if said is None or at in begun.able.unable or not begun.seen.obedient[at]:
        return 0.0
    return min(said[0], float(begun.able.charge_w[at]))
