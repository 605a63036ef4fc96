"""Standing setpoints of free connectors (algorithms.md, Reserve): 6 A so far as the reserve has a place for them, so
that the next vehicle starts without a recalculation. They are not booked: the reserve is their place."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from busbar.units import MIN_CURRENT_A
from spc_allocator.dc import START_A
from spc_allocator.inputs import FREE
from spc_allocator.limits import reserves
from spc_allocator.rows import EPS, Floats, Ints, Network, slots_of, some


def standing(net: Network, kind: Ints) -> Floats:
    """Setpoint of each free connector; 0 for all others."""
    return _standing(net, kind.tobytes())


@lru_cache(maxsize=16)
def _standing(net: Network, kinds: bytes) -> Floats:
    """Depends on nothing but who is free, which changes when somebody comes or goes."""
    kind = np.frombuffer(kinds, dtype=np.int64)
    reserve, _ = reserves(net, kind)
    left = np.where(net.rated_a > 0.0, reserve, 0.0)
    left[:, ~net.protected] = np.inf
    setpoint = np.zeros(net.count)
    for slot in slots_of(kind == FREE):
        path, phases = np.array(net.path[slot]), np.flatnonzero(net.devices.wired[:, slot])
        need_a = max(START_A if net.entities[slot].dc else MIN_CURRENT_A, float(net.devices.minimum_a[slot]))
        at = np.ix_(phases, path)
        if not some(left[at] < need_a - EPS):
            left[at] -= need_a
            setpoint[slot] = need_a
    setpoint.setflags(write=False)
    return setpoint
