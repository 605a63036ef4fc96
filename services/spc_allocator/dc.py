"""DC charge points in the allocator (SPC-11): three-phase participants with other parameters, nothing else.

**Measure.** A DC connector is set in W. It is counted in amperes at 230 V on each of three conductors
(`THREE_PHASE_V`: 690 W are one): so it stands in all arrays beside those that are set in A, equal power is equal power,
and what was told compares exactly with what is read back. What really flows is that times 230 V over the measured
voltage, which is the load that it puts on a conductor (`as_flowing`).

**Bounds.** 5 kW, or its smallest power where that is more, until its measured power is above 1 kW; then measured (the
largest of 60 s) + 7 kW. No ramp: the next step as soon as a sample is newer than the last change. What one vehicle drew
most says nothing of what it will take later, so there is no bound of the vehicle.

**Steps** are those of its device, in W. Drawing more than told by 3 % of its maximum is within what device and stated
efficiency are good for; it is booked with what it draws all the same.

**Pause.** One that forbids 0 W is told its pause value instead, and booked with it from plug-in.

**Reserve.** A free DC connector counts its start power instead of 6 A.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.config.plan import dc_reserve_a
from busbar.config.site import Entity, Site
from busbar.events import Binding, Reason, ReasonCode
from busbar.units import DC_START_W, NOMINAL_VOLTAGE_V, THREE_PHASE_V

if TYPE_CHECKING:
    from spc_allocator.rows import Bools, Floats, Ints, Network
    from spc_allocator.state import AllocatorState

FLOWS_W: Final = 1000.0
"""Above it the vehicle charges."""
ABOVE_MEASURED_W: Final = 7000.0
START_A: Final = DC_START_W / THREE_PHASE_V
OBEYS: Final = 0.03
"""Part of its maximum by which it may miss what it was told."""
_IN_AMPERES: Final = (ReasonCode.ROW, ReasonCode.IMBALANCE)
"""Their value is that of the row, whatever the asset is set in."""


class Dc:
    """The DC connectors of a site; None in its place where there are none."""

    def __init__(self, entities: tuple[Entity, ...], minimum_a: Floats, reserve_a: float) -> None:
        self.of: Bools = np.array([entity.dc for entity in entities], dtype=bool)
        self.slots: Ints = self.of.nonzero()[0]
        self.start_a: Floats = np.maximum(minimum_a, START_A)[self.slots]
        """What each may draw until its vehicle charges."""
        self.reserve_a = reserve_a
        """What a free one counts in a reserve."""

    @classmethod
    def among(cls, site: Site, entities: tuple[Entity, ...], minimum_a: Floats) -> Dc | None:
        reserve_a = dc_reserve_a(site)
        return cls(entities, minimum_a, reserve_a) if reserve_a else None


def set_measured(dc: Dc, obs_current_a: Floats, power_w: list[tuple[float, float, float]]) -> None:
    """Write what DC connectors draw, in their measure. `power_w`: of every connector, per conductor."""
    obs_current_a[:, dc.slots] = np.array([power_w[slot] for slot in dc.slots], dtype=float).T / NOMINAL_VOLTAGE_V


def as_flowing(net: Network, voltage_v: Floats, per_phase_a: Floats) -> Floats:
    """3 x n: what really flows on each conductor."""
    if net.dc is None:
        return per_phase_a
    flowing = per_phase_a.copy()
    flowing[:, net.dc.slots] *= (NOMINAL_VOLTAGE_V / voltage_v)[:, None]
    return flowing


def bound(dc: Dc, state: AllocatorState, *, ramp_a: Floats, cap_a: Floats, vehicle_a: Floats) -> None:
    """Write the bounds of DC connectors into the rows of the table."""
    slots = dc.slots
    measured_a, told_a = state.cap_window.top[slots], state.setpoint_a[slots]
    above_a = np.maximum(measured_a + ABOVE_MEASURED_W / THREE_PHASE_V, dc.start_a)
    cap_a[slots] = np.where(measured_a * THREE_PHASE_V > FLOWS_W, above_a, dc.start_a)
    newer = state.sampled_at_ms[slots] > state.changed_at_ms[slots]
    ramp_a[slots] = np.where(newer, np.inf, np.maximum(told_a, dc.start_a))
    vehicle_a[slots] = np.inf


def free_reserve_a(net: Network, free: Bools, free_of_all: Floats, minimum_a: float) -> Floats:
    """V: `net.dynamic` free connectors of each collector, DC ones first: they need more. `free`: n."""
    assert net.dc is not None  # noqa: S101 - asked for with DC connectors alone
    running = np.zeros(net.count + 1)
    np.add.accumulate(free & net.dc.of, out=running[1:])
    fast = np.minimum(running.take(net.end) - running.take(net.begin), net.dynamic)
    slow = np.minimum(net.dynamic, free_of_all) - fast
    reserve: Floats = fast * net.dc.reserve_a + slow * minimum_a
    return reserve


@lru_cache(maxsize=4096)
def in_watts(why: Reason) -> Reason:
    """The bounds' values in the unit of the setpoint."""
    also = tuple([one.model_copy(update={"value": _watts(one)}) for one in why.also])
    return why.model_copy(update={"value": _watts(why), "also": also})


def _watts(one: Reason | Binding) -> float | None:
    return one.value if one.value is None or one.code in _IN_AMPERES else power_w(one.value)


def power_w(current_a: float) -> float:
    """What is told for a setpoint, which is a whole step of the device or its pause value."""
    return round(current_a * THREE_PHASE_V, 3)
