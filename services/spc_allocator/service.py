"""spc-allocator: each second, and at once on a guard snapshot, one decision on the newest snapshot, told to all."""

from __future__ import annotations

from typing import ClassVar, Final

from busbar.actor import Actor, Context
from busbar.bus import BusError, NotConnectedError, Received
from busbar.domain.limits import SETPOINT_LIFETIME_MS
from busbar.events import Decision, ServiceState, Setpoint, Severity, SiteSnapshot
from busbar.subjects import ADVICE, DECISION, FALLBACK, LIMIT, MODE, POWER_TEST, SETPOINT, SNAPSHOT, TARGET
from spc_allocator.core import Decided, decide
from spc_allocator.dc import power_w
from spc_allocator.decisions import decisions
from spc_allocator.explain import reasons
from spc_allocator.inputs import Inputs
from spc_allocator.power_test_events import PowerTestReports
from spc_allocator.recording import VERB, Recording
from spc_allocator.rows import Network
from spc_allocator.standing_inputs import StandingInputs
from spc_allocator.state import AllocatorState, StateError, dump, restore

EPOCH: Final = "epoch"
STATE: Final = "state"
CHECKPOINT_S: Final = 60.0
YOUNG_STATE_MS: Final = 15 * 60_000
SILENCE_S: Final = 5.0
_STANDING: Final = (LIMIT, TARGET, MODE, ADVICE, POWER_TEST, FALLBACK)


class SpcAllocator(Actor):
    """Keeps the newest of everything, decides, publishes. Option `check=1`: verify each filling by the certificate."""

    service: ClassVar[str] = "spc-allocator"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.period_s = self.site.options.cycle_ms / 1000.0
        self.net = Network(self.site)
        self.standing = StandingInputs()
        self.recording = Recording(self.net, self.bus, self.clock)
        self.tests = PowerTestReports(self.net, self.bus, self.clock)
        self.epoch = 0
        self.seq = 0
        self.allocation: AllocatorState | None = None
        self._check = context.options.get("check", "") in {"1", "true", "yes"}
        self._snapshot: Received[SiteSnapshot] | None = None
        self._foreign = ""
        self._rival_epoch = 0
        self._rival_heard_s = 0.0
        self._looked_s = 0.0
        self._catch_up_due = True
        self._checkpoint_due_s = 0.0
        self._utc_at_start_ms = 0
        self._mono_at_start_s = 0.0
        self._unable: frozenset[str] = frozenset()
        self._asleep: frozenset[str] = frozenset()
        self._stuck: frozenset[str] = frozenset()
        self._exporting: dict[str, str] = {}
        self._missed: dict[str, str] = {}

    async def start(self) -> None:
        self._utc_at_start_ms, self._mono_at_start_s = self.clock.utc_ms(), self.clock.mono_s()
        self._looked_s = self._mono_at_start_s
        self.epoch = await self._take_over()
        self.allocation = await self._load_state()
        self._checkpoint_due_s = self._mono_at_start_s + CHECKPOINT_S
        self.bus.on_reconnect(self._reconnected)
        await self.bus.subscribe(LIMIT, self.standing.on_limit)
        await self.bus.subscribe(TARGET, self.standing.on_target)
        await self.bus.subscribe(MODE, self.standing.on_mode)
        await self.bus.subscribe(ADVICE, self.standing.on_advice)
        await self.bus.subscribe(POWER_TEST, self.standing.on_power_test)
        await self.bus.subscribe(FALLBACK, self.standing.on_fallback)
        await self.bus.subscribe(SNAPSHOT, self._on_snapshot)
        await self.bus.subscribe(DECISION, self._on_decision)
        await self.bus.respond(self.service, VERB, self.recording.answer)
        await self._catch_up()

    async def cycle(self) -> None:
        if self._catch_up_due:
            await self._catch_up()
        now_s = self.clock.mono_s()
        why_not = await self._superseded(now_s) or self._unusable(now_s)
        if why_not:
            self.state, self.detail = ServiceState.DEGRADED, why_not
        else:
            self.state, self.detail = ServiceState.RUNNING, ""
            await self._decide(now_s)
        if self._foreign:
            await self.alarm(self.service, "foreign_snapshot", self._foreign, Severity.ERROR)
        if now_s >= self._checkpoint_due_s:
            self._checkpoint_due_s = now_s + CHECKPOINT_S
            await self._save(STATE, self._checkpoint())

    async def stop(self) -> None:
        await self._save(STATE, self._checkpoint(windows=True))

    # -- inputs

    def _on_snapshot(self, received: Received[SiteSnapshot]) -> None:
        if received.event.fingerprint != self.site.fingerprint:
            self._foreign = (
                f"the aggregator's snapshots are for site file {received.event.fingerprint}, this allocator runs "
                f"{self.site.fingerprint}: restart the one that is behind"
            )
            return
        self._snapshot = received
        if received.event.guard:
            self.wake()

    def _on_decision(self, received: Received[Decision]) -> None:
        """Somebody decides for this site; with a higher epoch the drivers obey it and not us (FB-4)."""
        if received.event.epoch > self.epoch and received.event.epoch >= self._rival_epoch:
            self._rival_epoch, self._rival_heard_s = received.event.epoch, received.received_s

    async def _superseded(self, now_s: float) -> str:
        """Why we stand by; empty where the site is ours. When the other falls silent we take over with a new epoch,
        going on from what the devices do. Silence counts while we listen: who was stopped has heard nothing."""
        stopped_s, self._looked_s = now_s - self._looked_s - 2.0 * self.period_s, now_s
        if stopped_s > 0.0:
            self._rival_heard_s += stopped_s
        if self._rival_epoch <= self.epoch:
            return ""
        if now_s - self._rival_heard_s < SILENCE_S:
            text = "another allocator with a newer epoch commands this site: standing by; stop the one too many"
            await self.alarm(self.service, "superseded", text, Severity.ERROR)
            return text
        self.epoch = max(self._rival_epoch + 1, self.clock.utc_ms())
        await self._save(EPOCH, str(self.epoch).encode())
        self.allocation = self._anew(self.allocation)
        await self.alarm(self.service, "superseded", "in command again", active=False)
        return ""

    def _reconnected(self) -> None:
        self._catch_up_due = True
        self.tests.forget()

    async def _catch_up(self) -> None:
        """Read what stands; again where one arrived meanwhile: nobody knows which is newer."""
        while True:
            arrivals = self.standing.arrivals
            try:
                stored = [one for subject in _STANDING for one in await self.bus.last(subject)]
            except BusError as error:
                await self.alarm(self.service, "limits_unread", f"standing limits cannot be read: {error}")
                return
            if arrivals == self.standing.arrivals:
                break
        self.standing.take_stored(stored)
        self._catch_up_due = False
        await self.alarm(self.service, "limits_unread", "standing limits are read", active=False)

    def _unusable(self, now_s: float) -> str:
        """Why nothing can be decided; empty where it can."""
        received = self._snapshot
        if received is None:
            return "no snapshot since the start: is collector-aggregator running? Drivers hold, then fall back"
        if received.life_left_ms(now_s, min(received.event.lifetime_ms, 1000.0 * SILENCE_S)) <= 0:
            age_s = received.age_ms(now_s) / 1000.0
            return f"newest snapshot is {age_s:.0f} s old: nothing is decided, drivers hold, then fall back"
        return ""

    # -- decisions

    def now_ms(self) -> int:
        """UTC of the start plus monotonic time: a step of the wall clock moves no setpoint (failure.md, Ages)."""
        return self._utc_at_start_ms + round((self.clock.mono_s() - self._mono_at_start_s) * 1000.0)

    async def _decide(self, now_s: float) -> None:
        assert self._snapshot is not None  # noqa: S101 - _unusable has looked
        assert self.allocation is not None  # noqa: S101 - start has set it
        standing, utc_ms = self.standing, self.clock.utc_ms()
        inputs = Inputs(
            standing.limits(utc_ms), standing.fallbacks(now_s), max(0, round(self._snapshot.age_ms(now_s))),
            standing.targets(utc_ms), standing.modes(utc_ms), standing.advice(utc_ms, now_s), utc_ms,
            standing.power_tests(utc_ms),
        )  # fmt: skip
        before, snapshot = self.allocation, self._snapshot.event
        decided = decide(self.net, before, snapshot, inputs, self.now_ms(), check=self._check)
        self.allocation = decided.state
        try:
            await self._tell(decided)
        except NotConnectedError:
            self.state, self.detail = ServiceState.DEGRADED, "no connection to the bus: nothing can be told"
        if self.recording.wanted():
            await self.recording.tell(before, snapshot, inputs, decided, (self.epoch, self.seq))
        await self._report(decided)
        if await self.tests.tell(decided.state.trials):
            self._checkpoint_due_s = now_s

    async def _tell(self, decided: Decided) -> None:
        """Decreases first, then the rest, then why."""
        self.seq += 1
        published_at_ms, state = self.clock.utc_ms(), decided.state
        told, why = decided.setpoint_a.tolist(), reasons(decided.cycle, decided.setpoint_a)
        phases = decided.phases()
        later = state.lowered_at_ms != state.now_ms
        for slot in later.argsort(kind="stable").tolist():
            entity = self.net.entities[slot]
            if entity.driver is not None:
                setpoint = Setpoint.trusted(
                    asset=entity.id, driver=entity.driver, epoch=self.epoch, seq=self.seq,
                    published_at_ms=published_at_ms, lifetime_ms=SETPOINT_LIFETIME_MS,
                    current_a=None if entity.dc else told[slot], power_w=power_w(told[slot]) if entity.dc else None,
                    reactive_power_var=None, phases=phases[slot], reason=why[slot], snapshot=state.snapshot,
                )  # fmt: skip
                await self.bus.publish(SETPOINT, setpoint, entity.driver, entity.id)
        await self._tell_others(decided, published_at_ms)
        for decision in decisions(decided, self.epoch, published_at_ms):
            await self.bus.publish(DECISION, decision, decision.collector)

    async def _tell_others(self, decided: Decided, published_at_ms: int) -> None:
        """Everything that is set in W."""
        powers = decided.powers()
        for entity in self.net.assets.entities if powers else ():
            if entity.driver is not None:
                power_w, var, why = powers[entity.id]
                setpoint = Setpoint.trusted(
                    asset=entity.id, driver=entity.driver, epoch=self.epoch, seq=self.seq,
                    published_at_ms=published_at_ms, lifetime_ms=SETPOINT_LIFETIME_MS, current_a=None,
                    power_w=power_w, reactive_power_var=var, phases=None, reason=why, snapshot=decided.state.snapshot,
                )  # fmt: skip
                await self.bus.publish(SETPOINT, setpoint, entity.driver, entity.id)

    async def _report(self, decided: Decided) -> None:
        """Alarms for what a person should look at; each once, and over when it is over."""
        unable, asleep = frozenset(decided.uncontrollable), frozenset(decided.does_not_wake)
        exporting, stuck = dict(decided.export), frozenset(decided.does_not_switch)
        await self._report_targets(dict(decided.flexible.missed) if decided.flexible else {})
        as_before = unable == self._unable and asleep == self._asleep and stuck == self._stuck
        if as_before and exporting.keys() == self._exporting.keys():
            return
        for name in sorted(unable | self._unable):
            text = f"{name} draws more than it is told or does not take a decrease: booked as it is, check the device"
            await self.alarm(name, "uncontrollable", text, Severity.ERROR, active=name in unable)
        for name in sorted(asleep | self._asleep):
            text = f"the vehicle at {name} took no current after a pause: it is paused last from now on"
            await self.alarm(name, "does_not_wake", text, active=name in asleep)
        for name in sorted(stuck | self._stuck):
            text = f"{name} did not switch its phases in time: it goes on as it was; check its settings and relay"
            await self.alarm(name, "does_not_switch", text, active=name in stuck)
        for name in sorted(exporting.keys() | self._exporting.keys()):
            text = exporting.get(name, "export is within its limit")
            await self.alarm(name, "export_excess", text, Severity.ERROR, active=name in exporting)
        self._unable, self._asleep, self._stuck, self._exporting = unable, asleep, stuck, exporting

    async def _report_targets(self, missed: dict[str, str]) -> None:
        if missed.keys() == self._missed.keys():
            return
        for name in sorted(missed.keys() | self._missed.keys()):
            text = missed.get(name, "its target is reached, or ended")
            await self.alarm(name, "target_missed", text, active=name in missed)
        self._missed = missed

    # -- what survives

    async def _take_over(self) -> int:
        """A new epoch, above every one before it (failure.md, The fence)."""
        stored = self.context.store.read(EPOCH)
        previous = int(stored) if stored and stored.strip().isdigit() else 0
        epoch = max(previous + 1, self.clock.utc_ms())
        await self._save(EPOCH, str(epoch).encode())
        return epoch

    async def _load_state(self) -> AllocatorState:
        """The checkpoint if it is younger than 15 minutes, else nothing: the devices' read-back is adopted.

        Either way each connector's limit in force is what it was last told."""
        now_ms = self.now_ms()
        data = self.context.store.read(STATE)
        if data is not None:
            try:
                state = restore(data, self.net, now_ms)
            except StateError as error:
                await self.alarm(self.service, "state_unreadable", f"checkpoint not used: {error}")
            else:
                if 0 <= now_ms - state.now_ms < YOUNG_STATE_MS:
                    state.adopted[:] = False
                    return state
                return self._anew(state)
        return self._anew(None)

    def _anew(self, last: AllocatorState | None) -> AllocatorState:
        """Knows nothing, but what was found of charge points (SPC-10)."""
        state = AllocatorState.fresh(self.net, self.now_ms())
        state.trials = last.trials.only_charge_points() if last is not None and last.trials is not None else None
        return state

    def _checkpoint(self, windows: bool = False) -> bytes | None:
        return dump(self.allocation, self.net, windows=windows) if self.allocation else None

    async def _save(self, name: str, data: bytes | None) -> None:
        """Control needs no disk: where it is full there is an alarm and work goes on."""
        if data is None:
            return
        try:
            self.context.store.write(name, data)
        except OSError as error:
            text = f"{name} cannot be saved ({error.strerror or error}): free space on the controller's disk"
            await self.alarm(self.service, "store_failed", text, Severity.ERROR)
        else:
            await self.alarm(self.service, "store_failed", "saving works again", active=False)
