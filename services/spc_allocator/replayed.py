"""The core for `busbar replay` and `busbar allocate`: from a recorded state, one snapshot after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from busbar.config.site import Site
from busbar.events import CycleTrace, Reason, SiteSnapshot
from spc_allocator.bounds import Bound
from spc_allocator.core import decide
from spc_allocator.cycle import Cycle
from spc_allocator.explain import reasons
from spc_allocator.inputs import Inputs
from spc_allocator.rows import Network
from spc_allocator.state import AllocatorState, restore


@dataclass(frozen=True, slots=True)
class Allocated:
    """One connector: what it is told, between which bounds, which rule made the upper one, and why."""

    connector: str
    setpoint_a: float
    low_a: float
    """What it draws or may draw whatever it is told, at least its minimum; 0 where no vehicle is."""
    high_a: float
    bound: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class AllocatedPower:
    """Any other asset: what it is told, and why."""

    asset: str
    setpoint_w: float
    reactive_power_var: float | None
    reason: Reason


class ReplayedAllocator:
    """The same `decide` as live; whoever calls gives time and inputs."""

    def __init__(self, site: Site, now_ms: int) -> None:
        self._net = Network(site)
        self._state = AllocatorState.fresh(self._net, now_ms)
        self._cycle: Cycle | None = None
        self._powers: dict[str, tuple[float, float | None, Reason]] = {}

    def restore(self, checkpoint: bytes) -> None:
        """Go on from a recorded state. Raises ValueError saying why it cannot be used."""
        self._state = restore(checkpoint, self._net, 0)

    def decide(self, snapshot: SiteSnapshot, trace: CycleTrace) -> dict[str, tuple[float, Reason]]:
        """Setpoint and reason of each connector, with the inputs of a recorded cycle."""
        decided = decide(self._net, self._state, snapshot, Inputs.traced(trace), trace.now_ms)
        self._state, self._cycle, self._powers = decided.state, decided.cycle, decided.powers()
        why = decided.why()
        return {name: (current_a, why[name]) for name, current_a in decided.told().items()}

    def powers(self) -> dict[str, tuple[float, float | None, Reason]]:
        """W, var and reason of each other asset, as of the last decision."""
        return self._powers

    def allocated_w(self) -> list[AllocatedPower]:
        """The same, as it is shown."""
        return [AllocatedPower(name, *told) for name, told in self._powers.items()]

    def digest(self) -> str:
        """Of the state after the last decision."""
        return self._state.digest()

    def allocated(self) -> list[Allocated]:
        """The last decision with its bounds, in the allocator's order. Raises ValueError before the first one."""
        cycle = self._cycle
        if cycle is None:
            raise ValueError("nothing was decided yet")
        told, why = self._state.setpoint_a.tolist(), reasons(cycle, self._state.setpoint_a)
        stubborn, on = cycle.booked.stubborn_a, self._state.on
        low = np.where(on, np.maximum(self._net.devices.minimum_a, stubborn), stubborn)
        low_a = np.where(cycle.present, low, 0.0).tolist()
        high_a, which = cycle.bounds.high_a.tolist(), cycle.bounds.which.tolist()
        return [
            Allocated(name, told[slot], low_a[slot], high_a[slot], Bound(which[slot]).name.lower(), why[slot])
            for slot, name in enumerate(self._net.ids)
        ]
