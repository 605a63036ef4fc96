"""Joins what the allocator publishes with the snapshots it decided on, while it holds a lease.

Messages of different subjects may arrive in any order: a cycle waits for its snapshot and state, at most WAIT_S, and
is then kept with what is there; cycles keep their order. Everything held is bounded.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import secrets
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Final

from busbar.bus import Bus, BusError, Received
from busbar.clock import Clock
from busbar.config.site import Site
from busbar.events import Command, CycleTrace, SiteSnapshot, StatePart
from busbar.record.file import Entry, RecordError
from busbar.subjects import SNAPSHOT, TRACE, TRACE_STATE

WAIT_S: Final = 3.0
LEASE_S: Final = 10.0
RENEW_S: Final = 2.0
LOOK_S: Final = 0.25
QUIET_S: Final = 10.0
_SNAPSHOTS: Final = 32
_STATES: Final = 4

_Key = tuple[int, int]


class Joiner:
    """Whole entries out of three streams of messages."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[_Key, SiteSnapshot] = OrderedDict()
        self._states: OrderedDict[_Key, dict[int, str]] = OrderedDict()
        self._waiting: deque[tuple[float, CycleTrace]] = deque()

    @property
    def begun(self) -> bool:
        """Whether a snapshot was seen."""
        return bool(self._snapshots)

    def snapshot(self, snapshot: SiteSnapshot) -> None:
        self._snapshots[snapshot.number, snapshot.published_at_ms] = snapshot
        while len(self._snapshots) > _SNAPSHOTS:
            self._snapshots.popitem(last=False)

    def part(self, part: StatePart) -> None:
        self._states.setdefault((part.epoch, part.seq), {})[part.part] = part.text
        self._states[part.epoch, part.seq].setdefault(-1, str(part.parts))
        while len(self._states) > _STATES:
            self._states.popitem(last=False)

    def trace(self, trace: CycleTrace, now_s: float) -> None:
        self._waiting.append((now_s, trace))

    def ready(self, now_s: float, wait_s: float = WAIT_S) -> Iterator[Entry]:
        """Entries that are whole, or have waited long enough."""
        while self._waiting:
            arrived_s, trace = self._waiting[0]
            snapshot = self._snapshots.get((trace.snapshot, trace.snapshot_published_at_ms))
            state = self._state(trace) if trace.whole_state else None
            lacking = snapshot is None or (trace.whole_state and state is None)
            if lacking and now_s - arrived_s < wait_s:
                return
            self._waiting.popleft()
            self._states.pop((trace.epoch, trace.seq), None)
            yield Entry(trace, snapshot, state)

    def _state(self, trace: CycleTrace) -> bytes | None:
        parts = self._states.get((trace.epoch, trace.seq))
        if parts is None or len(parts) <= int(parts[-1]):
            return None
        text = "".join(parts[number] for number in range(int(parts[-1])))
        try:
            return zlib.decompress(base64.b64decode(text, validate=True))
        except (binascii.Error, zlib.error):
            return None


class Recorder:
    """Asks the allocator to publish, joins, hands each entry to `keep`. `say` tells a person what goes wrong."""

    def __init__(
        self, bus: Bus, clock: Clock, site: Site, keep: Callable[[Entry], None], say: Callable[[str], None]
    ) -> None:
        self._bus, self._clock, self._site = bus, clock, site
        self._keep, self._say = keep, say
        self._joiner = Joiner()
        self._name = secrets.token_hex(8)
        self._renew_s = 0.0
        self._heard_s = 0.0
        self._said = ""

    async def run(self, stop: asyncio.Event, for_s: float | None = None) -> None:
        """Until `stop`, or for so long. Raises RecordError where the allocator runs another site file."""
        joiner, clock = self._joiner, self._clock
        started_s = self._heard_s = clock.mono_s()
        await self._bus.subscribe(SNAPSHOT, self._on_snapshot)
        await self._bus.subscribe(TRACE_STATE, self._on_part)
        await self._bus.subscribe(TRACE, self._on_trace)
        try:
            while not stop.is_set() and (for_s is None or clock.mono_s() - started_s < for_s):
                await self._renew()
                self._write(WAIT_S)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_S)
        finally:
            with contextlib.suppress(BusError):
                await self._ask(0.0)
            for entry in joiner.ready(clock.mono_s(), 0.0):
                self._keep(entry)

    def _write(self, wait_s: float) -> None:
        now_s = self._clock.mono_s()
        for entry in self._joiner.ready(now_s, wait_s):
            self._keep(entry)
        if now_s - self._heard_s > QUIET_S:
            self._once(f"no decision for {QUIET_S:g} s: see what spc-allocator says with `busbar status`")

    async def _renew(self) -> None:
        """Ask, and ask again; first when a snapshot is there, lest the first decision be on one from before us."""
        now_s = self._clock.mono_s()
        if now_s < self._renew_s or (not self._joiner.begun and now_s - self._heard_s < WAIT_S):
            return
        self._renew_s = now_s + RENEW_S
        try:
            await self._ask(LEASE_S)
        except BusError as error:
            self._once(f"{error}; recording goes on when it answers")

    async def _ask(self, lease_s: float) -> None:
        command = Command(
            verb="record", args={"recorder": self._name, "lease_s": lease_s}, author="busbar record",
            published_at_ms=self._clock.utc_ms(),
        )  # fmt: skip
        reply = await self._bus.request("spc-allocator", "record", command)
        running = reply.data.get("fingerprint")
        if running != self._site.fingerprint:
            raise RecordError(
                f"the allocator runs site {running}, the file given is {self._site.fingerprint}: name the site file "
                "that runs with --site"
            )
        if not reply.ok:
            raise BusError(reply.text)

    def _once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)

    def _on_snapshot(self, received: Received[SiteSnapshot]) -> None:
        self._joiner.snapshot(received.event)

    def _on_part(self, received: Received[StatePart]) -> None:
        self._joiner.part(received.event)

    def _on_trace(self, received: Received[CycleTrace]) -> None:
        if received.event.fingerprint == self._site.fingerprint:
            self._heard_s, self._said = received.received_s, ""
            self._joiner.trace(received.event, received.received_s)
