"""Limit on the difference between two conductors of a collector that charging may cause or widen (SPC-23).

One row a conductor: what vehicles on fewer than three conductors take there fits into the limit, less how far the
background of that conductor already lies above that of the least loaded one (the maximum of 15 s). Vehicles on all
three change no difference and are not counted. Those on the other conductors are, but as if they had stopped: a vehicle
that leaves must not leave an excess behind. So it is a row like a fuse, and nothing else needs to know of it; where the
background alone is too uneven, one-phase vehicles on its heavy conductors pause and the others go on.
"""

from __future__ import annotations

import numpy as np

from spc_allocator.rows import IMBALANCE, Bools, Floats, Network


def with_unbalanced(load: Floats, used: Bools) -> Floats:
    """The load in all eight channels. `used`: 3 x n, conductors that each vehicle uses."""
    channels = np.zeros((IMBALANCE + 3, load.shape[1]))
    channels[: len(load)] = load
    channels[IMBALANCE:] = used & (used.sum(axis=0) < 3)
    return channels


def uneven(per_phase_a: Floats) -> Floats:
    """3 x n: of currents that are no setpoints, what lies above their smallest conductor."""
    spread: Floats = per_phase_a - per_phase_a.min(axis=0)
    return spread


def of_background(net: Network, background_a: Floats) -> Floats:
    """3 x V, flat: how far each conductor lies above the least loaded one of its collector. What is not valid is -inf:
    nothing is known of it, and it bounds nothing beside what charging itself makes."""
    lowest = np.where(net.rated_a > 0.0, background_a, np.inf).min(axis=0)
    known = np.isfinite(background_a) & np.isfinite(lowest)
    above: Floats = np.subtract(background_a, lowest, out=np.full(background_a.shape, -np.inf), where=known)
    return above.ravel()


def room(net: Network, uneven_a: Floats) -> Floats:
    """Room in the rows of imbalance. `uneven_a`: 3 x V, flat, the maximum of 15 s."""
    rows = slice(net.rows.imbalance, net.rows.surplus)
    collector, phase = net.rows.collector[rows], net.rows.channel[rows] - IMBALANCE
    made: Floats = net.imbalance_a[collector] - np.maximum(uneven_a.reshape(3, -1)[phase, collector], 0.0)
    return made
