"""What people and optimisers say, and fallback events, as they arrive: the newest of each, and which hold now.

Limits, targets, modes, advice and power tests stand until released or until their own end (failure.md, Limits that
stand); their order is the stream's, so what was read from the stream never replaces what arrived live after it. Advice
also ends 60 minutes after it was given and 20 minutes after it came: an optimiser that lives repeats it (SPC-9).
Fallback events end by `active: false` or with their lifetime. Ages are measured on the monotonic clock; only where the
sender's is unknown (stored before this machine started) the wall clock stands in. One entry a source and collector or
asset: bounded by the site's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from busbar.bus import Received
from busbar.domain.limits import ADVICE_SILENCE_MS, ADVICE_VALID_MS
from busbar.events import Advice, AssetMode, CollectorLimit, CollectorTarget, Event, Fallback, PowerTest

Standing = CollectorLimit | CollectorTarget | AssetMode | Advice | PowerTest
S = TypeVar("S", bound=Standing)


class _Newest(Generic[S]):
    """The newest of each subject that is not released."""

    def __init__(self, key: Callable[[S], tuple[str, str]]) -> None:
        self._key = key
        self._of: dict[tuple[str, str], Received[S]] = {}

    def take(self, received: Received[S]) -> None:
        key = self._key(received.event)
        if received.event.released:
            self._of.pop(key, None)
        else:
            self._of[key] = received

    def held(self, utc_ms: int) -> list[Received[S]]:
        """Those whose own end, a wall time, has not come."""
        if not self._of:
            return []
        return [r for _, r in sorted(self._of.items()) if r.event.until_ms is None or utc_ms < r.event.until_ms]


class StandingInputs:
    """The newest of everything that bounds beside the snapshot."""

    def __init__(self) -> None:
        self._limits: _Newest[CollectorLimit] = _Newest(lambda event: (event.source, event.collector))
        self._targets: _Newest[CollectorTarget] = _Newest(lambda event: (event.source, event.collector))
        self._modes: _Newest[AssetMode] = _Newest(lambda event: (event.asset, ""))
        self._advice: _Newest[Advice] = _Newest(lambda event: (event.source, event.asset))
        self._tests: _Newest[PowerTest] = _Newest(lambda event: (event.connector, ""))
        self._fallbacks: dict[str, Received[Fallback]] = {}
        self.arrivals = 0
        """Grows with each live event: a read of the stored ones that saw none arrive is complete."""

    def on_limit(self, received: Received[CollectorLimit]) -> None:
        self.arrivals += 1
        self._limits.take(received)

    def on_target(self, received: Received[CollectorTarget]) -> None:
        self.arrivals += 1
        self._targets.take(received)

    def on_mode(self, received: Received[AssetMode]) -> None:
        self.arrivals += 1
        self._modes.take(received)

    def on_advice(self, received: Received[Advice]) -> None:
        self.arrivals += 1
        self._advice.take(received)

    def on_power_test(self, received: Received[PowerTest]) -> None:
        self.arrivals += 1
        self._tests.take(received)

    def on_fallback(self, received: Received[Fallback]) -> None:
        self.arrivals += 1
        self._fallbacks[received.event.entity] = received

    def take_stored(self, stored: Iterable[Received[Event]]) -> None:
        """Last values of a stream, read while nothing arrived live."""
        for received in stored:
            match received.event:
                case CollectorLimit() as limit:
                    self._limits.take(_with(received, limit))
                case CollectorTarget() as target:
                    self._targets.take(_with(received, target))
                case AssetMode() as mode:
                    self._modes.take(_with(received, mode))
                case Advice() as advice:
                    self._advice.take(_with(received, advice))
                case PowerTest() as test:
                    self._tests.take(_with(received, test))
                case Fallback() as fallback if fallback.entity not in self._fallbacks:
                    self._fallbacks[fallback.entity] = _with(received, fallback)
                case _:
                    pass

    def limits(self, utc_ms: int) -> tuple[CollectorLimit, ...]:
        """Those that hold at the wall time that their own end is stated in."""
        return tuple([received.event for received in self._limits.held(utc_ms)])

    def targets(self, utc_ms: int) -> tuple[CollectorTarget, ...]:
        """Those that hold; which slot does is said by `series`."""
        return tuple([received.event for received in self._targets.held(utc_ms)])

    def modes(self, utc_ms: int) -> tuple[AssetMode, ...]:
        """Those that hold, one an asset."""
        return tuple([received.event for received in self._modes.held(utc_ms)])

    def advice(self, utc_ms: int, now_s: float) -> tuple[Advice, ...]:
        """Those that hold and are not silent; which slot does is said by `series`."""
        return tuple([r.event for r in self._advice.held(utc_ms) if _spoken(r, utc_ms, now_s)])

    def power_tests(self, utc_ms: int) -> tuple[PowerTest, ...]:
        """Those that are not over by the clock, one a connector; which have run is known to the state."""
        return tuple([received.event for received in self._tests.held(utc_ms)])

    def fallbacks(self, now_s: float) -> tuple[Fallback, ...]:
        """Those that are active and alive."""
        if not self._fallbacks:
            return ()
        return tuple(
            received.event
            for _, received in sorted(self._fallbacks.items(), key=lambda item: item[0])
            if received.event.active and received.life_left_ms(now_s, received.event.lifetime_ms) > 0
        )


E = TypeVar("E", bound=Event)


def _with(received: Received[Event], event: E) -> Received[E]:
    """The same arrival, of an event whose type is known."""
    return Received(received.subject, event, received.received_s, received.transit_s, received.stored_seq)


def _spoken(received: Received[Advice], utc_ms: int, now_s: float) -> bool:
    age_ms, since_ms = received.age_ms(now_s), utc_ms - received.event.published_at_ms
    if received.transit_s is None:
        age_ms = max(age_ms, since_ms)
    return age_ms < ADVICE_SILENCE_MS and since_ms < ADVICE_VALID_MS
