"""What can be wrong with a device or its link, as configuration: `device.faults = Faults(drop_every=3)`, at any time.

The same faults act behind a real socket (`server.py`) and in virtual time (`memory_transport.py`). `..._every = n`
means each n-th request (1: every one, 0: never). Everything random comes from `seed`, so that a run repeats exactly.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Faults:
    """The defaults are a device in good order that answers at once."""

    seed: int = 0

    # the link
    latency_s: float = 0.0
    jitter_s: float = 0.0
    """Added to the latency, uniform between 0 and this."""
    drop_every: int = 0
    """The request never reaches the device: no answer, nothing done."""
    drop_probability: float = 0.0
    late_every: int = 0
    """The request is carried out, but its answer comes `late_s` later, after the client has given up."""
    late_s: float = 5.0
    wrong_transaction_every: int = 0
    """The answer carries another request's transaction id."""
    close_every: int = 0
    """The request is carried out, half of the answer is sent, then the connection is closed."""
    silent: bool = False
    """Accepts connections and requests, and says nothing."""
    refuse_connections: bool = False

    # the device
    busy_every: int = 0
    """Exception 6, nothing done."""
    half_word_every: int = 0
    """A read that falls between two register updates: odd registers new, even ones from the read before."""
    garbage_every: int = 0
    """Random registers, in a well-formed answer."""
    frozen: bool = False
    """Every block keeps answering what it answered first since the fault began."""
    ignore_writes: bool = False
    """Setpoints are acknowledged and read back, but change nothing (evcc issue 23458)."""
    unknown_status: str = ""
    """Reported instead of the true status, in the device's own form ("Z9"; a number where status is one)."""
    lose_fallback_on_restart: bool = False
    """A restart also forgets what should survive it: fallback and watchdog time."""


class Kind(Enum):
    """What becomes of one request."""

    ANSWER = "answer"
    DROP = "drop"
    LATE = "late"
    WRONG_TRANSACTION = "wrong transaction"
    CLOSE = "close"
    BUSY = "busy"


class Verdict(NamedTuple):
    kind: Kind
    delay_s: float
    """Until the answer leaves the device."""


HEALTHY: Final = Faults()
SILENCE: Final = Verdict(Kind.DROP, 0.0)


class FaultLine:
    """The running state of one `Faults`: counters, random numbers, and the register images that it keeps."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._rng = random.Random(faults.seed)
        self._requests = 0
        self._reads = 0
        self._images: dict[tuple[str, int, int, int], bytes] = {}

    def judge(self) -> Verdict:
        """Decide about the next request. Draws the same random numbers whatever the outcome."""
        faults = self._faults
        self._requests += 1
        lost = self._rng.random() < faults.drop_probability
        delay_s = faults.latency_s + self._rng.random() * faults.jitter_s
        if faults.silent or lost or self._turn(faults.drop_every):
            return SILENCE
        for every, kind in (
            (faults.busy_every, Kind.BUSY),
            (faults.close_every, Kind.CLOSE),
            (faults.wrong_transaction_every, Kind.WRONG_TRANSACTION),
        ):
            if self._turn(every):
                return Verdict(kind, delay_s)
        if self._turn(faults.late_every):
            return Verdict(Kind.LATE, delay_s + faults.late_s)
        return Verdict(Kind.ANSWER, delay_s)

    def distort(self, block: tuple[str, int, int, int], image: bytes) -> bytes:
        """What the client gets instead of the true `image` of a block (table, unit, address, count)."""
        faults = self._faults
        self._reads += 1
        if faults.frozen:
            return self._images.setdefault(block, image)
        before = self._images.get(block, image)
        self._images[block] = image
        if faults.garbage_every and self._reads % faults.garbage_every == 0:
            return self._rng.randbytes(len(image))
        if faults.half_word_every and self._reads % faults.half_word_every == 0:
            mixed = bytearray(image)
            for at in range(0, len(mixed), 4):
                mixed[at : at + 2] = before[at : at + 2]
            return bytes(mixed)
        return image

    def _turn(self, every: int) -> bool:
        return every > 0 and self._requests % every == 0
