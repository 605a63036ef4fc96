"""What a decision was made on, told to whoever records (OPS-3). Costs one comparison a cycle where nobody does.

A recorder asks with `record` and renews its lease; for as long as a lease lasts each cycle is published with all its
inputs, and the state it began with where a recorder is new, each 60 s, and where the state is not the one that the
cycle before left (a takeover): a replay then needs nothing else.
"""

from __future__ import annotations

import base64
import contextlib
import zlib
from typing import TYPE_CHECKING, Final

from busbar.bus import Bus, NotConnectedError
from busbar.clock import Clock
from busbar.domain.limits import SETPOINT_LIFETIME_MS
from busbar.events import Command, CommandReply, CycleTrace, SiteSnapshot, StatePart, TracedPower, TracedSetpoint
from busbar.subjects import TRACE, TRACE_STATE
from spc_allocator.inputs import Inputs
from spc_allocator.rows import Network
from spc_allocator.state import AllocatorState, dump

if TYPE_CHECKING:
    from spc_allocator.core import Decided

VERB: Final = "record"
LONGEST_LEASE_S: Final = 60.0
MOST_RECORDERS: Final = 8
WHOLE_STATE_S: Final = 60.0
PART_LENGTH: Final = 256 * 1024
"""Characters in one part: far below what a message of NATS may be (1 MB)."""


class Recording:
    """Who records, until when, and what they are sent."""

    def __init__(self, net: Network, bus: Bus, clock: Clock) -> None:
        self._net, self._bus, self._clock = net, bus, clock
        self._until_s: dict[str, float] = {}
        self._state_due_s = 0.0
        self._left: AllocatorState | None = None

    async def answer(self, command: Command) -> CommandReply:
        """Start or renew a lease: `recorder` names who asks, `lease_s` how long (at most 60)."""
        who, lease_s = command.args.get("recorder"), command.args.get("lease_s")
        if not isinstance(who, str) or not who:
            return self._reply(False, "record needs `recorder`, a name of your own: send it with each renewal")
        if isinstance(lease_s, bool) or not isinstance(lease_s, int | float) or not 0 <= lease_s <= LONGEST_LEASE_S:
            return self._reply(False, f"lease_s must be 0 (end) to {LONGEST_LEASE_S:g} seconds, not {lease_s!r}")
        now_s = self._clock.mono_s()
        self._expire(now_s)
        if lease_s == 0:
            self._until_s.pop(who, None)
            return self._reply(True, "recording ended")
        if who not in self._until_s:
            if len(self._until_s) >= MOST_RECORDERS:
                return self._reply(False, f"{MOST_RECORDERS} recorders are at work already: end one of them")
            self._state_due_s = now_s
        self._until_s[who] = now_s + lease_s
        return self._reply(True, "recording")

    def wanted(self) -> bool:
        """Whether anybody records now."""
        if not self._until_s:
            return False
        self._expire(self._clock.mono_s())
        return bool(self._until_s)

    async def tell(
        self, before: AllocatorState, snapshot: SiteSnapshot, inputs: Inputs, decided: Decided, at: tuple[int, int]
    ) -> None:
        """Publish one cycle. `before`: the state it began with; `at`: its epoch and seq."""
        now_s = self._clock.mono_s()
        whole = now_s >= self._state_due_s or before is not self._left
        self._left = decided.state
        if whole:
            self._state_due_s = now_s + WHOLE_STATE_S
        with contextlib.suppress(NotConnectedError):  # the recorder sees the hole
            for part in self._parts(before, at) if whole else ():
                await self._bus.publish(TRACE_STATE, part)
            await self._bus.publish(TRACE, self._trace(snapshot, inputs, decided, at, whole))

    def _trace(
        self, snapshot: SiteSnapshot, inputs: Inputs, decided: Decided, at: tuple[int, int], whole: bool
    ) -> CycleTrace:
        why = decided.why()
        setpoints = tuple(
            TracedSetpoint(connector=name, current_a=current_a, reason=why[name])
            for name, current_a in decided.told().items()
        )
        powers = tuple(
            TracedPower(asset=name, power_w=power_w, reactive_power_var=var, reason=reason)
            for name, (power_w, var, reason) in decided.powers().items()
        )
        return CycleTrace(
            fingerprint=self._net.site.fingerprint, epoch=at[0], seq=at[1], whole_state=whole,
            snapshot=snapshot.number, snapshot_published_at_ms=snapshot.published_at_ms, now_ms=decided.state.now_ms,
            snapshot_age_ms=inputs.snapshot_age_ms, limits=inputs.limits, fallbacks=inputs.fallbacks,
            targets=inputs.targets, modes=inputs.modes, advice=inputs.advice, utc_ms=inputs.utc_ms,
            power_tests=inputs.power_tests,
            setpoints=setpoints, powers=powers, digest=decided.state.digest(), published_at_ms=self._clock.utc_ms(),
            lifetime_ms=SETPOINT_LIFETIME_MS,
        )  # fmt: skip

    def _parts(self, state: AllocatorState, at: tuple[int, int]) -> list[StatePart]:
        text = base64.b64encode(zlib.compress(dump(state, self._net), 1)).decode()
        pieces = [text[start : start + PART_LENGTH] for start in range(0, len(text), PART_LENGTH)]
        return [
            StatePart(
                epoch=at[0], seq=at[1], part=number, parts=len(pieces), text=piece,
                published_at_ms=self._clock.utc_ms(), lifetime_ms=SETPOINT_LIFETIME_MS,
            )
            for number, piece in enumerate(pieces)
        ]  # fmt: skip

    def _expire(self, now_s: float) -> None:
        for who in [who for who, until_s in self._until_s.items() if until_s <= now_s]:
            del self._until_s[who]
            self._left = None

    def _reply(self, ok: bool, text: str) -> CommandReply:
        return CommandReply(
            ok=ok, text=text, data={"fingerprint": self._net.site.fingerprint}, published_at_ms=self._clock.utc_ms()
        )
