"""The core with its state, for simulators that call it directly: no bus, no clock, no checkpoints."""

from __future__ import annotations

from busbar.config.site import Site
from busbar.events import CollectorLimit, SiteSnapshot
from spc_allocator.core import decide
from spc_allocator.inputs import Inputs
from spc_allocator.rows import Network
from spc_allocator.state import AllocatorState


class SteppedAllocator:
    """Decides on one snapshot after the other; the same `decide` as live."""

    def __init__(self, site: Site, now_ms: int) -> None:
        self._net = Network(site)
        self._state = AllocatorState.fresh(self._net, now_ms)

    def step(self, snapshot: SiteSnapshot, now_ms: int, limits: tuple[CollectorLimit, ...] = ()) -> dict[str, float]:
        """Setpoint of each asset by id: A of connectors (of a DC one its power at 230 V), W of others. `now_ms`: UTC,
        never stepping back."""
        decided = decide(self._net, self._state, snapshot, Inputs(limits=limits), now_ms)
        self._state = decided.state
        return decided.told() | decided.told_w()

    def paused(self) -> int:
        """How many vehicles are kept at 0 A now."""
        return int((self._state.present & ~self._state.on).sum())
