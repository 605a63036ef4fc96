"""Limits and fallback events as they arrive: the newest of each, and which of them hold now.

Limits stand until released or until their own end (failure.md, Limits that stand); their order is the stream's, so what
was read from the stream never replaces what arrived live after it. Fallback events end by `active: false` or with
their lifetime, whose age is measured on the monotonic clock. One entry a source and collector, one an entity: bounded
by the site's size.
"""

from __future__ import annotations

from collections.abc import Iterable

from busbar.bus import Received
from busbar.events import CollectorLimit, Event, Fallback


class StandingInputs:
    """The newest of everything that bounds beside the snapshot."""

    def __init__(self) -> None:
        self._limits: dict[tuple[str, str], CollectorLimit] = {}
        self._fallbacks: dict[str, Received[Fallback]] = {}
        self.arrivals = 0
        """Grows with each live event: a read of the stored ones that saw none arrive is complete."""

    def on_limit(self, received: Received[CollectorLimit]) -> None:
        self.arrivals += 1
        self._take_limit(received.event)

    def on_fallback(self, received: Received[Fallback]) -> None:
        self.arrivals += 1
        self._fallbacks[received.event.entity] = received

    def take_stored(self, stored: Iterable[Received[Event]]) -> None:
        """Last values of a stream, read while nothing arrived live."""
        for received in stored:
            if isinstance(received.event, CollectorLimit):
                self._take_limit(received.event)
            elif isinstance(received.event, Fallback) and received.event.entity not in self._fallbacks:
                event = received.event
                self._fallbacks[event.entity] = Received(
                    received.subject, event, received.received_s, received.transit_s
                )

    def limits(self, utc_ms: int) -> tuple[CollectorLimit, ...]:
        """Those that hold at the wall time that their own end is stated in."""
        if not self._limits:
            return ()
        return tuple(
            limit for _, limit in sorted(self._limits.items()) if limit.until_ms is None or utc_ms < limit.until_ms
        )

    def fallbacks(self, now_s: float) -> tuple[Fallback, ...]:
        """Those that are active and alive."""
        if not self._fallbacks:
            return ()
        return tuple(
            received.event
            for _, received in sorted(self._fallbacks.items(), key=lambda item: item[0])
            if received.event.active and received.life_left_ms(now_s, received.event.lifetime_ms) > 0
        )

    def _take_limit(self, limit: CollectorLimit) -> None:
        key = (limit.source, limit.collector)
        if limit.released:
            self._limits.pop(key, None)
        else:
            self._limits[key] = limit
