"""What is wanted of collectors and assets from outside, as it holds now: targets, modes, advice (SPC-8, SPC-13).

Several targets of one collector: the grid operator's counts before an optimiser's, that before a person's. Of several
advices for one asset the newest given. Advice for a battery is good for 100 s (SPC-13), for other assets as long as it
stands; an asset in mode `rule` or `manual` does not hear it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from busbar.events import Mode
from spc_allocator.series import power_at

if TYPE_CHECKING:
    from spc_allocator.inputs import Inputs
    from spc_allocator.rows import Network

BATTERY_ADVICE_MS: Final = 100_000
_RANK: Final = {"pcu-grid-interface": 0, "pcu": 0, "gateway": 1, "cloud": 1, "schedule": 2, "page": 3, "site-page": 3}
"""Of sources of targets; whoever is not listed comes last."""


@dataclass(slots=True)
class Aims:
    """By index of the collector or asset: (W, source)."""

    targets: dict[int, tuple[float, str]] = field(default_factory=dict)
    by_hand: dict[int, tuple[float, str]] = field(default_factory=dict)
    advised: dict[int, tuple[float, str]] = field(default_factory=dict)


def aims_of(net: Network, inputs: Inputs, utc_ms: int) -> Aims:
    aims, assets = Aims(), net.assets
    ordered = sorted(inputs.targets, key=lambda t: (_RANK.get(t.source, 9), t.source), reverse=True)
    for target in ordered:  # the last one counts
        index = net.site.tree.index.get(target.collector)
        if index is not None:
            aims.targets[index] = (power_at(target.slots, utc_ms, target.power_w), target.source)
    deaf: set[int] = set()
    for mode in inputs.modes:
        at = assets.index.get(mode.asset)
        if at is None:
            continue
        if mode.mode is not Mode.ADVICE:
            deaf.add(at)
        if mode.mode is Mode.MANUAL and mode.power_w is not None:
            aims.by_hand[at] = (mode.power_w, mode.source)
    for advice in sorted(inputs.advice, key=lambda a: (a.published_at_ms, a.source)):
        at = assets.index.get(advice.asset)
        if at is None or at in deaf:
            continue
        power_w = power_at(advice.slots, utc_ms, None)
        old = assets.is_battery[at] and utc_ms - advice.published_at_ms > BATTERY_ADVICE_MS
        if power_w is not None and not old:
            aims.advised[at] = (power_w, advice.source)
    return aims
