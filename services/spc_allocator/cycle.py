"""What one cycle worked out: the ground on which setpoints are explained."""

from __future__ import annotations

from dataclasses import dataclass

from spc_allocator.admission import Admitted
from spc_allocator.booking import Booked
from spc_allocator.bounds import Bounds
from spc_allocator.filling import Filled
from spc_allocator.inputs import Observed
from spc_allocator.ledger import Ledger
from spc_allocator.limits import Limits
from spc_allocator.rows import Bools, Floats, Network


@dataclass(slots=True)
class Cycle:
    """Values of one cycle, by slot or by row."""

    net: Network
    obs: Observed
    limits: Limits
    booked: Booked
    bounds: Bounds
    admitted: Admitted
    filled: Filled
    wanted_a: Floats
    """Whole steps for connectors with a vehicle."""
    present: Bools
    load: Floats
    """4 x n: amperes in each channel for one ampere of setpoint."""
    other_a: Floats
    """3 x n: booked beside setpoints: lost connectors, currents where nothing is booked."""
    waits: dict[int, int]
    """Raises that wait for others to let go: slot -> row."""
    left: Ledger
    cut_by: dict[int, int]
    """The guard's cuts: slot -> row."""
    released: Bools | None = None
    """Whose release is taken back for a moment, to wake the vehicle."""
