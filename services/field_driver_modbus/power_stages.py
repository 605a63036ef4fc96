"""Which power an asset obeys: the stages of `stages.py`, for setpoints in W (consumption positive). Pure.

- fresh: the setpoint, inside what the site file gives the asset.
- hold: kept; it may only come closer to 0. More charging endangers fuses, more discharge and more production endanger
  an injection limit, so neither grows while nobody decides.
- fallback: the plan's value. A battery stops (0 W). A generator goes to its standing limit, where one is configured
  above it (`export_limit_w`, the export side of a fuse), else it is free: nothing is lost for silence alone.

A driver that starts keeps what the device does, if that is not further from 0 than what was last booked (FB-5).
"""

from __future__ import annotations

import math

from busbar.config.assets import Flexible, power_range_w
from busbar.domain.limits import FALLBACK_TIMEOUT_S, SETPOINT_LIFETIME_MS
from busbar.events import Setpoint
from busbar.units import clamp
from field_driver_modbus.stages import Stage, Target


def closer_to_zero(one_w: float, other_w: float) -> float:
    """The smaller of two powers of one direction; 0 where they go in opposite directions."""
    if one_w * other_w <= 0.0:
        return 0.0
    return one_w if abs(one_w) < abs(other_w) else other_w


class PowerStages:
    """Setpoints of one asset; every call takes the monotonic time of the receiver."""

    def __init__(
        self, asset: Flexible, plan_w: float, now_s: float, fallback_timeout_s: float = FALLBACK_TIMEOUT_S
    ) -> None:
        self._range_w = power_range_w(asset)
        self.plan_w = plan_w
        """Value of the fallback plan."""
        self._timeout_s = fallback_timeout_s
        self._sent_s = now_s
        self._fresh_until_s = -math.inf
        self._setpoint_w: float | None = None
        self._kept_w: float | None = None
        self._epoch = 0
        self._seq = -1

    def setpoint(self, setpoint: Setpoint, life_left_s: float, now_s: float) -> bool:
        """One that passed the fence. False: it has no usable power, so it neither counts nor renews life."""
        value_w = setpoint.power_w
        if value_w is None or not math.isfinite(value_w):
            return False
        self.target(now_s)  # what was in force until this instant
        lifetime_s = min(setpoint.lifetime_ms, SETPOINT_LIFETIME_MS) / 1000.0
        self._setpoint_w = clamp(value_w, *self._range_w)
        self._epoch, self._seq = setpoint.epoch, setpoint.seq
        self._fresh_until_s = now_s + min(life_left_s, lifetime_s)
        self._sent_s = self._fresh_until_s - lifetime_s
        self.target(now_s)  # in force from this instant, even if nobody asks before it is in hold
        return True

    def adopt(self, device_w: float, booked_w: float | None) -> None:
        """What the device does, read by a driver that has started."""
        if self._kept_w is None:
            self._kept_w = clamp(device_w, *self._range_w)
            if booked_w is not None:
                self._kept_w = closer_to_zero(self._kept_w, booked_w)

    @property
    def adopted(self) -> bool:
        """True once there is something to keep."""
        return self._kept_w is not None

    def target(self, now_s: float) -> Target:
        """What counts at `now_s`. In `hold` the answers only come closer to 0."""
        stage = self._stage(now_s)
        self._kept_w = self._value_w(stage)
        return Target(self._kept_w, stage, self._epoch, self._seq, "", self._sent_s)

    def _stage(self, now_s: float) -> Stage:
        if now_s < self._fresh_until_s:
            return Stage.FRESH
        return Stage.HOLD if now_s < self._sent_s + self._timeout_s else Stage.FALLBACK

    def _value_w(self, stage: Stage) -> float | None:
        if stage is Stage.FALLBACK:
            return self.plan_w
        if stage is Stage.FRESH:
            return self._setpoint_w
        if self._kept_w is None or self._setpoint_w is None:
            return self._kept_w
        return closer_to_zero(self._kept_w, self._setpoint_w)
