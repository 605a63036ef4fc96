"""What one cycle worked out: the ground on which setpoints are explained."""

from __future__ import annotations

from dataclasses import dataclass

from spc_allocator.admission import Admitted
from spc_allocator.booking import Booked
from spc_allocator.bounds import Bounds
from spc_allocator.filling import Filled
from spc_allocator.inputs import Observed
from spc_allocator.ledger import Room
from spc_allocator.limits import Limits
from spc_allocator.rows import Bools, Floats, Network
from spc_allocator.state import AllocatorState


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
    allotted_a: Floats
    """The same before raises had to wait."""
    before_a: Floats
    """Setpoints of the last cycle."""
    state: AllocatorState
    now_ms: int
    present: Bools
    room: Room
    """For who is on, and for raises."""
    shared_room: Room
    """For how much: the same, with the rows of surplus."""
    other_a: Floats
    """3 x n: booked beside setpoints: lost connectors, currents where nothing is booked."""
    waits: dict[int, int]
    """Raises that wait for others to let go: slot -> row."""
    cut_by: dict[int, dict[int, float]]
    """The guard's cuts: slot -> row -> what it leaves."""
    released: Bools | None = None
    """Whose release is taken back for a moment, to wake the vehicle."""
    switching: Bools | None = None
    """Who has 0 A while its phases are switched."""

    @property
    def load(self) -> Floats:
        """Channels x n: amperes in each channel for one ampere of setpoint."""
        return self.room.load
