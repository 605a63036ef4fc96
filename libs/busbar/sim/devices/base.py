"""A simulated device: registers over plain port objects, and the electronics behind them.

A subclass lays out its register images by hand from the maker's map (`data/devices.yaml` facts; never from one of our
device packages: a simulator made from the package would prove nothing about the map) and decides in `run` what the
electronics do: watchdog, reaction time, pilot. It knows no sockets; `server.py` and `memory_transport.py` carry it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple

from busbar.devices.transport import DeviceRefusedError, Table
from busbar.sim.faults import HEALTHY, SILENCE, FaultLine, Faults, Verdict

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
DEVICE_FAILURE: Final = 4
BUSY: Final = 6

READ_CODE: Final[dict[Table, int]] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
MAX_READ: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}
MAX_WRITE: Final = {5: 1, 6: 1, 15: 1968, 16: 123}
_MAX_PLANS: Final = 1024
"""Distinct blocks whose place is remembered; real clients ask for a handful."""


class NoAnswerError(Exception):
    """Nobody lives at this unit id: a Modbus TCP device then says nothing at all."""


class Segment(NamedTuple):
    """`size` registers without a hole; `render` returns 2 * size bytes (for bit tables: one byte, 0 or 1, a bit)."""

    start: int
    size: int
    render: Callable[[], bytes]


class _Plan(NamedTuple):
    renders: tuple[Callable[[], bytes], ...]
    low: int
    high: int


class SimDevice:
    """One protocol endpoint. `step` is called by the plant with its time; reads and writes may come at any moment.

    Device time (`now_s`) starts at 0 with the first step, so it does not matter when the plant's clock began.
    """

    function_codes: ClassVar[frozenset[int]] = frozenset({3, 6, 16})
    idle_timeout_s: ClassVar[float | None] = None
    """Closes a connection after this silence."""
    max_clients: ClassVar[int | None] = None
    boot_s: ClassVar[float] = 20.0
    """How long a restart takes."""

    def __init__(self, device_id: str) -> None:
        self.id = device_id
        self.now_s = 0.0
        self.epoch = 0
        """Counts restarts: connections of an older epoch are dead."""
        self.booted_s = 0.0
        self._started_s: float | None = None
        self._down_until_s: float | None = None
        self._maps: dict[tuple[Table, int], tuple[Segment, ...]] = {}
        self._plans: dict[tuple[Table, int, int, int], _Plan] = {}
        self._faults = HEALTHY
        self._line: FaultLine | None = None

    # -- what a subclass says

    def run(self, now_s: float, dt_s: float) -> None:
        """Let the electronics act; `dt_s` since the last step, never negative."""

    def power_off(self) -> None:
        """Outputs of a device without power."""

    def boot(self, keep_settings: bool) -> None:
        """Power is back. `keep_settings` False: even what should survive is at its factory value."""

    def faults_changed(self) -> None:
        """`self.faults` was replaced."""

    def write_holding(self, unit: int, address: int, values: Sequence[int], fc: int) -> None:
        """Checked for count and unit already; refuse with `DeviceRefusedError`. Default: nothing is writable."""
        raise DeviceRefusedError(ILLEGAL_ADDRESS)

    def write_coils(self, unit: int, address: int, values: Sequence[int]) -> None:
        raise DeviceRefusedError(ILLEGAL_ADDRESS)

    def lay_out(self, table: Table, unit: int, segments: Sequence[Segment]) -> None:
        self._maps[(table, unit)] = tuple(sorted(segments, key=lambda segment: segment.start))

    # -- faults and power

    @property
    def faults(self) -> Faults:
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._line = None if faults == HEALTHY else FaultLine(faults)
        self.faults_changed()

    @property
    def up(self) -> bool:
        return self._down_until_s is None

    def restart(self, down_s: float | None = None) -> None:
        """Power-cycle: dead for `down_s` (default: its boot time), connections lost, volatile values gone."""
        self.epoch += 1
        self._down_until_s = self.now_s + (self.boot_s if down_s is None else down_s)
        self.power_off()

    def judge(self) -> Verdict | None:
        """What the link makes of the next request; None: answered normally and at once."""
        if self._down_until_s is not None:
            return SILENCE
        return None if self._line is None else self._line.judge()

    # -- the three calls

    def step(self, now_s: float) -> None:
        """Advance to the plant's time `now_s`."""
        if self._started_s is None:
            self._started_s = now_s
        now_s -= self._started_s
        dt_s = max(0.0, now_s - self.now_s)
        self.now_s = now_s
        if self._down_until_s is not None:
            if now_s < self._down_until_s:
                return
            self._down_until_s = None
            self.booted_s = now_s
            self.boot(keep_settings=not self._faults.lose_fallback_on_restart)
        self.run(now_s, dt_s)

    def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
        """2 * count bytes, high byte first; for coil and discrete the bits packed low bit first."""
        block = (table, unit, address, count)
        plan = self._plans.get(block) or self._plan(block)
        renders = plan.renders
        image = renders[0]() if len(renders) == 1 else b"".join([render() for render in renders])
        image = image[plan.low : plan.high]
        if table in ("coil", "discrete"):
            return pack_bits(image)
        return image if self._line is None else self._line.distort(block, image)

    def write(self, table: Table, unit: int, address: int, values: Sequence[int], fc: int) -> None:
        """Carry out a write request with function code `fc` (5, 6, 15 or 16), all of it or nothing."""
        self._check_unit(unit)
        if fc not in self.function_codes:
            raise DeviceRefusedError(ILLEGAL_FUNCTION)
        if not 1 <= len(values) <= MAX_WRITE[fc]:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        if table == "coil":
            self.write_coils(unit, address, values)
        else:
            self.write_holding(unit, address, values, fc)

    # -- inside

    def _check_unit(self, unit: int) -> None:
        if not any(unit == known for _, known in self._maps):
            raise NoAnswerError(f"{self.id}: nobody at unit {unit}")

    def _plan(self, block: tuple[Table, int, int, int]) -> _Plan:
        table, unit, address, count = block
        self._check_unit(unit)
        code = READ_CODE[table]
        if code not in self.function_codes:
            raise DeviceRefusedError(ILLEGAL_FUNCTION)
        if not 1 <= count <= MAX_READ[code]:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        plan = _locate(self._maps.get((table, unit), ()), address, count, 1 if code <= 2 else 2)
        if len(self._plans) < _MAX_PLANS:
            self._plans[block] = plan
        return plan


def _locate(segments: Sequence[Segment], address: int, count: int, width: int) -> _Plan:
    """Find the segments that hold a block without a hole, or refuse (exception 2)."""
    used: list[Segment] = []
    wanted = address
    for segment in segments:
        if segment.start <= wanted < segment.start + segment.size:
            used.append(segment)
            wanted = segment.start + segment.size
            if wanted >= address + count:
                low = (address - used[0].start) * width
                return _Plan(tuple(part.render for part in used), low, low + count * width)
    raise DeviceRefusedError(ILLEGAL_ADDRESS)


def constant(image: bytes) -> Callable[[], bytes]:
    """The renderer of registers that never change."""
    return lambda: image


def pack_bits(bits: bytes) -> bytes:
    """One byte a bit into eight bits a byte, the first in the lowest bit (Modbus FC1, FC2)."""
    packed = bytearray((len(bits) + 7) // 8)
    for index, bit in enumerate(bits):
        if bit:
            packed[index // 8] |= 1 << (index % 8)
    return bytes(packed)
