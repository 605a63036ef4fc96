"""Batteries (SPC-13), in the order of algorithms.md.

What a battery wants comes from the first of these that has something to say: a setpoint by hand; a target above it;
advice; self-consumption (the grid connection's flow is brought to 0); idle. Frequency droop is added, and what it may
need is kept free. Then, harder things first to last:

- an export limit above that would be broken: charges (`surplus.py` calls `absorb`);
- rooms: charging never raises a row above its limit, vehicles and heat first, or in the order of `yield_order`;
- **peak shaving**: discharges what the tightest collector above needs, shared by available power weighted with the
  energy above the reserve; for vehicles only where `battery_supports_ev` says so, and not below `peak_soc_percent`;
- rooms of the export side, after what generators give;
- a rise of either direction only into what is free now (`gate`).

**The state-of-charge window** holds in every mode, with 1 % of hysteresis. 0 W: silent, unknown state of charge, no
valid monitoring above. What is needed is too old: closer to 0 only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from busbar.config.assets import Battery
from busbar.events import Reason, ReasonCode
from spc_allocator.flexible import heat
from spc_allocator.flexible.filling import DUST_W
from spc_allocator.flexible.ground import NO_LIMIT_W
from spc_allocator.flexible.plan import because

if TYPE_CHECKING:
    from spc_allocator.flexible.assets import Assets
    from spc_allocator.flexible.plan import Plan
    from spc_allocator.flexible.seen import Seen
    from spc_allocator.flexible.state import FlexState
    from spc_allocator.rows import Bools, Floats

HYSTERESIS_PERCENT: Final = 1.0


@dataclass(slots=True)
class Storage:
    """What batteries can do now, by asset; 0 for what is none."""

    charge_w: Floats
    discharge_w: Floats
    """Down to what is kept for peaks."""
    shave_w: Floats
    """Down to the lowest state of charge."""
    headroom_wh: Floats
    energy_wh: Floats
    reserve_wh: Floats
    """Above the lowest state of charge."""
    unable: dict[int, Reason]


def abilities(assets: Assets, state: FlexState, seen: Seen, blind: Bools) -> Storage:
    """Also notes in the state who has reached an end of its window. `blind`: no valid monitoring above."""
    one, two, three, four, five, six = np.zeros((6, assets.count))
    able = Storage(one, two, three, four, five, six, unable={})
    for at in assets.batteries:
        file, sample = assets.files[at], seen.samples[at]
        assert isinstance(file, Battery)  # noqa: S101 - it is listed as one
        if sample is None or not seen.fresh[at]:
            able.unable[at] = because(ReasonCode.UNREACHABLE)
        elif sample.soc_percent is None or not 0.0 <= sample.soc_percent <= 100.0:
            able.unable[at] = because(ReasonCode.SOC)
        elif blind[at]:
            able.unable[at] = because(ReasonCode.STALE)
        else:
            _window(state, able, at, file, sample.soc_percent)
            able.charge_w[at] = 0.0 if state.full[at] else min(file.max_charge_w, _told(sample.max_charge_w))
            out_w = min(file.max_discharge_w, _told(sample.max_discharge_w))
            able.shave_w[at] = 0.0 if state.empty[at] else out_w
            able.discharge_w[at] = 0.0 if state.low[at] or state.empty[at] else out_w
    return able


def _told(most_w: float | None) -> float:
    """What a device says it can; where it says nothing that can be, the site file alone counts."""
    return most_w if most_w is not None and most_w >= 0.0 else NO_LIMIT_W


def _window(state: FlexState, able: Storage, at: int, file: Battery, soc: float) -> None:
    for ends, level in ((state.empty, file.soc_min_percent), (state.low, file.peak_soc_percent)):
        ends[at] = soc <= level or (ends[at] and soc < level + HYSTERESIS_PERCENT)
    full = file.soc_max_percent
    state.full[at] = soc >= full or (state.full[at] and soc > full - HYSTERESIS_PERCENT)
    percent_wh = file.capacity_wh / 100.0
    able.headroom_wh[at] = max(0.0, full - soc) * percent_wh
    able.energy_wh[at] = max(0.0, soc - file.peak_soc_percent) * percent_wh
    able.reserve_wh[at] = max(0.0, soc - file.soc_min_percent) * percent_wh


def follow_orders(plan: Plan, able: Storage) -> None:
    """Those that cannot, and setpoints by hand."""
    aims = plan.ground.aims
    for at in plan.ground.assets.batteries:
        if at in able.unable:
            plan.set(at, 0.0, able.unable[at])
            plan.decided[at] = True
        elif at in aims.by_hand:
            power_w, source = aims.by_hand[at]
            _within(plan, able, at, power_w, because(ReasonCode.MANUAL, power_w, source=source), deep=True)
            plan.decided[at] = True


def _within(plan: Plan, able: Storage, at: int, power_w: float, why: Reason, *, deep: bool = False) -> None:
    """A wish inside what it can."""
    most_out = able.shave_w[at] if deep else able.discharge_w[at]
    clipped = min(max(power_w, -float(most_out)), float(able.charge_w[at]))
    if clipped != power_w:
        state = plan.ground.state
        ended = bool(state.full[at] if power_w > 0.0 else state.empty[at] or (state.low[at] and not deep))
        why = because(ReasonCode.SOC) if ended else because(ReasonCode.DEVICE, clipped)
    plan.set(at, clipped, why)


def follow_advice(plan: Plan, able: Storage) -> None:
    for at in plan.ground.assets.batteries:
        if plan.decided[at] or at not in plan.ground.aims.advised or not _may(plan, at, "advice"):
            continue
        power_w, source = plan.ground.aims.advised[at]
        _within(plan, able, at, power_w, because(ReasonCode.ADVICE, power_w, source=source))
        plan.decided[at] = True


def _may(plan: Plan, at: int, mode: str) -> bool:
    file = plan.ground.assets.files[at]
    return isinstance(file, Battery) and mode in file.modes


def serve_oneself(plan: Plan, able: Storage, hidden_w: Floats) -> None:
    """Bring the flow of the grid connection to 0."""
    ground = plan.ground
    who = [at for at in ground.assets.batteries if not plan.decided[at] and _may(plan, at, "self_consumption")]
    if not who or not ground.seen.fresh[who].any():
        return
    row = ground.index(0)
    surplus_w = float(hidden_w[0] - plan.flow_w(ground.drawn_w)[row])
    charging = surplus_w > 0.0
    most, energy = (able.charge_w, able.headroom_wh) if charging else (able.discharge_w, able.energy_wh)
    given = plan.move(who, abs(surplus_w), row, most, most * energy)
    why = because(ReasonCode.MODE, source="self_consumption")
    for at in who:
        power_w = given.get(at, 0.0) if charging else -given.get(at, 0.0)
        ended = not most[at] and abs(surplus_w) > DUST_W
        plan.set(at, power_w, because(ReasonCode.SOC) if ended else why)


def droop(plan: Plan, able: Storage) -> None:
    """Power by grid frequency, on top of what is wanted; that leaves room for it."""
    ground = plan.ground
    for at in ground.assets.batteries:
        file, sample = ground.assets.files[at], ground.seen.samples[at]
        if not isinstance(file, Battery) or file.droop is None or (plan.decided[at] and at not in ground.aims.advised):
            continue
        if at in able.unable or sample is None or sample.frequency_hz is None:
            continue
        rule = file.droop
        off_hz = sample.frequency_hz - rule.nominal_hz
        part = min(1.0, max(0.0, abs(off_hz) - rule.deadband_hz) / max(rule.full_hz - rule.deadband_hz, 1e-9))
        top_w = max(0.0, float(able.charge_w[at]) - rule.power_w)
        low_w = max(0.0, float(able.discharge_w[at]) - rule.power_w)
        base_w = min(max(float(plan.want_w[at]), -low_w), top_w)
        given_w = rule.power_w * part * (1.0 if off_hz > 0.0 else -1.0)
        if given_w:
            _within(plan, able, at, base_w + given_w, because(ReasonCode.MODE, given_w, source="droop"))
        else:
            plan.want_w[at] = base_w


def absorb(plan: Plan, able: Storage, row: int, need_w: float, why: Reason) -> float:
    """Charge against an export limit. Returns what is left."""
    ground = plan.ground
    who = [at for at in ground.assets.batteries if at not in able.unable and at not in ground.aims.by_hand]
    given = plan.move(who, need_w, row, able.charge_w - plan.want_w, able.charge_w)
    for at, power_w in given.items():
        plan.set(at, float(plan.want_w[at]) + power_w, why)
        need_w -= power_w * float(ground.assets.share[at, row])
    return need_w


def keep_import(plan: Plan, able: Storage) -> None:
    """Charging into the room that is left beside heat and everything that vehicles would like, or hold where they give
    way first (`yield_order`); and what more would fit."""
    ground = plan.ground
    if not ground.assets.batteries:
        return
    first = _heat_first_w(plan) @ ground.assets.share
    vehicles = ground.liked_w if ground.net.yields_before("batteries", "vehicles") else ground.held_w
    room = ground.limit_in_w - ground.rest_high_w - vehicles - first
    amount = np.where(ground.assets.is_battery, np.maximum(plan.want_w, 0.0), 0.0)
    level, row = plan.fit(amount, room)
    for at in (level < 1.0).nonzero()[0].tolist():
        if amount[at]:
            plan.set(at, float(amount[at] * level[at]), ground.reason_in(int(row[at])))
    charging = np.where(ground.assets.is_battery, np.maximum(plan.want_w, 0.0), 0.0)
    more = np.maximum(able.charge_w - charging, 0.0)
    level, _ = plan.fit(more, room - charging @ ground.assets.share)
    quick = ground.seen.obedient & ~(ground.old | ground.holes | ground.blind)
    quick[list(ground.aims.by_hand)] = False
    plan.spare_w += np.where(quick, more * level, 0.0)


def _heat_first_w(plan: Plan) -> Floats:
    """What heat will do by the plan; where it gives way after vehicles and batteries, also what it would do."""
    ground = plan.ground
    assets, net = ground.assets, ground.net
    first_w = np.where(assets.is_heat, plan.expected_w(), 0.0)
    if net.yields_before("vehicles", "heat") and net.yields_before("batteries", "heat"):
        for at in assets.heats:
            if assets.runs_by_itself[at]:
                wish_w = heat.wish_w(assets, ground.state, ground.seen, ground.aims, at)
                first_w[at] = max(float(first_w[at]), wish_w)
    return first_w


def shave(plan: Plan, able: Storage) -> None:
    """Discharge what rows above lack: first for what flows, then, where configured, for what vehicles would like."""
    ground = plan.ground
    _shave(plan, able.shave_w, able.reserve_wh, ground.drawn_w)
    if ground.net.site.options.battery_supports_ev:
        _shave(plan, able.discharge_w, able.energy_wh, np.maximum(ground.liked_w, ground.drawn_w))


def _shave(plan: Plan, most_w: Floats, energy_wh: Floats, connectors_w: Floats) -> None:
    ground = plan.ground
    who = [
        at for at in ground.assets.batteries
        if most_w[at] > 0.0 and at not in ground.aims.by_hand and _may(plan, at, "peak_shaving")
    ]  # fmt: skip
    if not who:
        return
    helped = ground.assets.share[who].max(axis=0) > 0.0
    rows = ((plan.flow_w(connectors_w) > ground.limit_in_w + DUST_W) & helped).nonzero()[0].tolist()
    for row in sorted(rows, key=lambda row: row % ground.net.collectors, reverse=True):  # the lowest first
        need_w = float(plan.flow_w(connectors_w)[row] - ground.limit_in_w[row])
        given = plan.move(who, need_w, row, plan.want_w + most_w, most_w * energy_wh)
        because_of = ground.reason_in(row)
        for at, power_w in given.items():
            why = because(ReasonCode.MODE, collector=because_of.collector, source="peak_shaving")
            plan.set(at, float(plan.want_w[at]) - power_w, why)


def keep_export(plan: Plan, generated_w: Floats) -> None:
    """Discharging into what is left on export sides after all that generators could give."""
    ground = plan.ground
    amount = np.where(ground.assets.is_battery, np.maximum(-plan.want_w, 0.0), 0.0)
    if not amount.any():
        return
    heating = np.where(ground.assets.is_heat, plan.expected_w(), 0.0) @ ground.assets.share
    room = ground.limit_out_w + ground.bare_low_w + ground.drawn_w + heating - generated_w @ ground.assets.share
    level, row = plan.fit(amount, room)
    for at in (level < 1.0).nonzero()[0].tolist():
        if amount[at]:
            plan.set(at, -float(amount[at] * level[at]), ground.reason_out(int(row[at])))
