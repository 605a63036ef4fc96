"""Which setpoint a connector obeys (failure.md: the fence; three stages). Pure: takes `now`, returns values.

The fence. A setpoint carries `(epoch, seq)`. The highest epoch ever seen is kept, expired or not, and nothing older is
obeyed: an allocator that was stopped and comes back late moves nothing (FB-4). Within an epoch only a larger seq of the
same connector is newer: what was lost, doubled or overtaken on the way cannot move a setpoint back.

The stages, by the age of the newest setpoint that passed:

    fresh      up to its lifetime, at most 5 s   obeys
    hold       up to the fallback timeout        keeps, never raises; decreases and fallback events are still obeyed
    fallback   beyond                            the connector's value of the fallback plan

A fallback event is one more upper bound with a life of its own. The smallest of all bounds counts; a bound never raises
anything, and in `hold` its end raises nothing either. A driver that starts has no setpoint: it is in `hold` from its
start and keeps what the device does, if that is not above what was last booked (FB-5), else the booked value.

Between 0 and 6 A there is nothing (SPC-3): such a target is 0 A.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from busbar.domain.limits import FALLBACK_TIMEOUT_S, SETPOINT_LIFETIME_MS
from busbar.events import Fallback, Setpoint
from busbar.units import MIN_CURRENT_A, THREE_PHASE_V


class Stage(StrEnum):
    FRESH = "fresh"
    HOLD = "hold"
    FALLBACK = "fallback"


class Target(NamedTuple):
    """What the device is to do now. `value`: A for a connector, W for any other asset; None: leave it as it is, nothing
    is known yet."""

    value: float | None
    stage: Stage
    epoch: int
    seq: int
    bound_by: str = ""
    """Entity of the fallback event that made it smaller; empty where none did."""
    since_s: float = 0.0
    """When the newest setpoint was sent, by our clock; the start of the driver where there was none."""

    def why(self, now_s: float) -> str:
        """In words, made on demand (SPC-17)."""
        age_s = max(0.0, now_s - self.since_s)
        if self.stage is Stage.FRESH:
            text = f"setpoint {self.epoch}/{self.seq}"
        elif self.stage is Stage.HOLD:
            text = f"no new setpoint for {age_s:.0f} s: kept, never raised"
        else:
            text = f"no setpoint for {age_s:.0f} s: value of the fallback plan"
        return f"{text}; bounded by fallback of {self.bound_by}" if self.bound_by else text


class Fence:
    """The highest epoch ever seen by this driver, and the newest seq of each connector within it."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch
        self._seq: dict[str, int] = {}

    def admits(self, asset: str, epoch: int, seq: int) -> bool:
        """True if this setpoint is newer than all before; then it becomes the newest. Expired ones count too."""
        if epoch < self.epoch:
            return False
        if epoch > self.epoch:
            self.epoch = epoch
            self._seq.clear()
        elif seq <= self._seq.get(asset, -1):
            return False
        self._seq[asset] = seq
        return True


@dataclass(frozen=True, slots=True)
class _Bound:
    max_current_a: float
    expires_s: float
    published_at_ms: int


class ConnectorStages:
    """Setpoints and bounds of one connector; every call takes the monotonic time of the receiver."""

    def __init__(
        self, connector: str, plan_a: float, max_current_a: float, now_s: float,
        fallback_timeout_s: float = FALLBACK_TIMEOUT_S, *, watts: bool = False,
    ) -> None:  # fmt: skip
        """`watts`: of a DC connector, which is set in W: then all values here are W."""
        self._watts = watts
        self.connector = connector
        self.plan_a = plan_a
        """Value of the fallback plan."""
        self._max_current_a = max_current_a
        self._timeout_s = fallback_timeout_s
        self._sent_s = now_s
        self._fresh_until_s = -math.inf
        self._setpoint_a: float | None = None
        self._epoch = 0
        self._seq = -1
        self._kept_a: float | None = None
        self._bounds: dict[str, _Bound] = {}
        self._unbound: Target | None = None
        """Answer while the setpoint is fresh and nothing bounds it: the usual case, asked several times a second."""

    def setpoint(self, setpoint: Setpoint, life_left_s: float, now_s: float) -> bool:
        """A setpoint that passed the fence. False: it has no usable current, so it neither counts nor renews life."""
        value_a = setpoint.power_w if self._watts else setpoint.current_a
        if value_a is None or not 0.0 <= value_a < math.inf:
            return False
        self.target(now_s)  # what was in force until this instant
        lifetime_s = min(setpoint.lifetime_ms, SETPOINT_LIFETIME_MS) / 1000.0
        life_left_s = min(life_left_s, lifetime_s)
        self._setpoint_a, self._epoch, self._seq = value_a, setpoint.epoch, setpoint.seq
        self._fresh_until_s = now_s + life_left_s
        self._sent_s = self._fresh_until_s - lifetime_s
        self._unbound = None
        self.target(now_s)  # in force from this instant, even if nobody asks before it is in hold
        return True

    def fallback(self, event: Fallback, life_left_s: float, now_s: float) -> None:
        """A fallback event that names this connector, or ended. An overtaken one may bind, but never release."""
        known = self._bounds.get(event.entity)
        value_a = event.max_current_a if event.max_current_a >= 0.0 else 0.0  # NaN and negative: the safest
        value_a *= THREE_PHASE_V if self._watts else 1.0
        late = known is not None and event.published_at_ms < known.published_at_ms
        if not event.active or self.connector not in event.assets:
            if known is not None and not late:
                del self._bounds[event.entity]
            return
        if life_left_s <= 0.0:
            return
        published_at_ms = event.published_at_ms
        if known is not None and late and known.expires_s > now_s:
            if known.max_current_a <= value_a:
                return
            published_at_ms = known.published_at_ms
        self._bounds[event.entity] = _Bound(value_a, now_s + life_left_s, published_at_ms)

    def adopt(self, device_a: float, booked_a: float | None) -> None:
        """The device's own limit, read by a driver that has started: kept, if not above the last booked (FB-5)."""
        if self._kept_a is not None:
            return
        self._kept_a = device_a if booked_a is None else min(device_a, booked_a)

    @property
    def adopted(self) -> bool:
        """True once there is something to keep."""
        return self._kept_a is not None

    @property
    def bounded(self) -> bool:
        """A fallback event was in force when `target` was last asked, whether or not it made anything smaller."""
        return bool(self._bounds)

    def target(self, now_s: float) -> Target:
        """What counts at `now_s`. In `hold` the answers never rise."""
        if self._unbound is not None and now_s < self._fresh_until_s and not self._bounds:
            return self._unbound
        stage = self._stage(now_s)
        base_a = self._base_a(stage)
        if base_a is None:
            return Target(None, stage, self._epoch, self._seq, "", self._sent_s)
        base_a = min(base_a, self._max_current_a)
        bound_a, bound_by = self._smallest_bound(now_s)
        if bound_a < base_a:
            base_a = bound_a
        else:
            bound_by = ""
        self._kept_a = base_a if self._watts or base_a >= MIN_CURRENT_A else 0.0
        target = Target(self._kept_a, stage, self._epoch, self._seq, bound_by, self._sent_s)
        self._unbound = target if stage is Stage.FRESH and not self._bounds else None
        return target

    def _stage(self, now_s: float) -> Stage:
        if now_s < self._fresh_until_s:
            return Stage.FRESH
        return Stage.HOLD if now_s < self._sent_s + self._timeout_s else Stage.FALLBACK

    def _base_a(self, stage: Stage) -> float | None:
        if stage is Stage.FALLBACK:
            return self.plan_a
        if stage is Stage.FRESH:
            return self._setpoint_a
        if self._kept_a is None or self._setpoint_a is None:
            return self._kept_a
        return min(self._kept_a, self._setpoint_a)

    def _smallest_bound(self, now_s: float) -> tuple[float, str]:
        smallest_a, by = math.inf, ""
        ended = False
        for entity, bound in self._bounds.items():
            if bound.expires_s <= now_s:
                ended = True
            elif bound.max_current_a < smallest_a:
                smallest_a, by = bound.max_current_a, entity
        if ended:
            self._bounds = {e: b for e, b in self._bounds.items() if b.expires_s > now_s}
        return smallest_a, by
