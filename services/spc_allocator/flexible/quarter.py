"""Quarter-hour peak (SPC-19): a limit on the 15-minute mean of import, as a capacity tariff counts it.

What is left of the quarter's energy, over what is left of its time, is a variable import limit of source
`quarter_peak`, made anew each cycle; the last minute counts as a whole one, so that it neither vanishes nor explodes.
Import alone counts: what is exported in the same quarter is not taken off. Time that was not measured (a start in the
middle of a quarter, a silent meter) counts as spent at the peak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from busbar.events import CollectorLimit

if TYPE_CHECKING:
    from spc_allocator.flexible.state import FlexState
    from spc_allocator.inputs import Observed
    from spc_allocator.rows import Network

QUARTER_PEAK: Final = "quarter_peak"
QUARTER_MS: Final = 900_000
SHORTEST_S: Final = 60.0
_UNMEASURED_MS: Final = 5000
"""Longer between two cycles: nobody knows what was drawn meanwhile."""


def quarter_limits(
    net: Network, state: FlexState, obs: Observed, utc_ms: int, since_ms: int
) -> tuple[CollectorLimit, ...]:
    """The limit of each collector that has a peak; `since_ms`: time since the last cycle."""
    peaks = [(c.index, c.id, c.file.quarter_hour_peak_w) for c in net.site.collectors if c.file.quarter_hour_peak_w]
    if not peaks:
        return ()
    quarter, into_ms = divmod(utc_ms, QUARTER_MS)
    begun, known = quarter != state.quarter, state.quarter >= 0 and since_ms <= _UNMEASURED_MS
    made: list[CollectorLimit] = []
    for index, name, peak_w in peaks:
        drawn_w = max(0.0, sum(obs.parts[index].power_w)) if obs.valid[index] else peak_w
        if begun:
            state.used_ws[index] = (drawn_w if known else peak_w) * into_ms / 1000.0
        else:
            state.used_ws[index] += (drawn_w if known else peak_w) * since_ms / 1000.0
        left_ws = peak_w * QUARTER_MS / 1000.0 - float(state.used_ws[index])
        left_s = max((QUARTER_MS - into_ms) / 1000.0, SHORTEST_S)
        made.append(
            CollectorLimit(
                collector=name, source=QUARTER_PEAK, import_limit_w=max(0.0, left_ws / left_s), published_at_ms=utc_ms
            )
        )
    state.quarter = quarter
    return tuple(made)
