"""What a decision was made on and what came of it, published only while somebody records (OPS-3)."""

from __future__ import annotations

from busbar.events.advice import Advice
from busbar.events.base import Event, UtcMs
from busbar.events.fallback import Fallback
from busbar.events.limit import CollectorLimit, CollectorTarget
from busbar.events.mode import AssetMode
from busbar.events.power_test import PowerTest
from busbar.events.setpoint import Reason


class TracedSetpoint(Event):
    connector: str
    current_a: float
    reason: Reason


class TracedPower(Event):
    """The same for an asset that is set in W."""

    asset: str
    power_w: float
    reactive_power_var: float | None = None
    reason: Reason


class CycleTrace(Event):
    """One cycle of the allocator: its inputs beside the snapshot, its setpoints, the digest of its state after it."""

    fingerprint: str
    """Of the site configuration it decided for."""
    epoch: int
    seq: int
    """Grows by one a cycle within an epoch: a hole in it is a cycle that was not recorded."""
    whole_state: bool
    """The state that it began with is published with it, in parts."""
    snapshot: int
    snapshot_published_at_ms: UtcMs
    """With the number it names one snapshot, also after a restart of the aggregator."""
    now_ms: int
    """The allocator's own time: UTC of its start plus monotonic time."""
    snapshot_age_ms: int
    limits: tuple[CollectorLimit, ...]
    """Those that held."""
    fallbacks: tuple[Fallback, ...]
    """Those that were active."""
    targets: tuple[CollectorTarget, ...] = ()
    """Those that held; like the next two: none in recordings of before there were any."""
    modes: tuple[AssetMode, ...] = ()
    advice: tuple[Advice, ...] = ()
    power_tests: tuple[PowerTest, ...] = ()
    utc_ms: UtcMs | None = None
    """Wall time, in which slots are stated; null in recordings of before there were any."""
    setpoints: tuple[TracedSetpoint, ...]
    """Every connector in the allocator's order."""
    powers: tuple[TracedPower, ...] | None = None
    """Every other asset in the allocator's order; null in recordings of before there were any."""
    digest: str
    """Of the state after the cycle: equal states have equal digests."""
    published_at_ms: UtcMs
    lifetime_ms: int


class StatePart(Event):
    """A piece of the state that a cycle began with; a whole one may be larger than a message can be."""

    epoch: int
    seq: int
    """Of the cycle."""
    part: int
    """From 0."""
    parts: int
    text: str
    """Parts one after the other: Base64 of the zlib stream of the allocator's checkpoint, which is JSON."""
    published_at_ms: UtcMs
    lifetime_ms: int
