"""What must never be false (algorithms.md 1 to 4), judged from outside: by what was told, what vehicles really use and
what hangs at each fuse; none of the allocator's sums."""

from __future__ import annotations

import math

from scenarios.world import World

DUST_A = 1e-4
START_A = 5000.0 / 690.0
"""Of a DC outlet (SPC-11)."""


def reserve_a(world: World, collector: str) -> float:
    """SPC-5, from the site file and who is there."""
    file = world.site.collector(collector).file
    inside = world.site.tree.below(collector)
    free = [
        START_A if outlet.entity.dc else 6.0
        for outlet in world.outlets.values()
        if outlet.vehicle is None and not outlet.out and outlet.reachable
        and world.site.tree.index[outlet.entity.collector or ""] in inside
    ]  # fmt: skip
    return max(sum(sorted(free, reverse=True)[: file.dynamic_reserve_connectors]), file.fixed_reserve_a)


def broken_rows(world: World, *, reserves: bool = True) -> list[str]:
    """1. If every vehicle took what it is told: within rating minus reserve, or all that may be 0 is 0. Reserves can be
    left out of it: who is free right now is not known of a charger that has not been heard."""
    wrong = []
    for collector in world.site.collectors:
        if collector.file.monitored_only:
            continue
        inside = world.site.tree.below(collector.id)
        below = [o for o in world.outlets.values() if world.site.tree.index[o.entity.collector or ""] in inside]
        pausable = [o for o in below if o.reachable and not world.must_run(o.entity.id)]
        active, reactive = world.flow_a(collector.id)
        for outlet in below:
            for own, phase in enumerate(outlet.entity.root_phases[: outlet.may_use]):
                more_a = world.told[outlet.entity.id] - (outlet.current_a if own < outlet.used else 0.0)
                active[phase] += more_a * outlet.takes(phase, world.volts)
        reserve = reserve_a(world, collector.id) if reserves else 0.0
        limit = [r - reserve for r in collector.root_rated_a]
        for phase in collector.root_phases:
            over = active[phase] > 0 and math.hypot(active[phase], reactive[phase]) > max(limit[phase], 0.0) + DUST_A
            users = [o for o in pausable if o.vehicle and phase in o.entity.root_phases[: o.may_use]]
            if over and any(world.told[o.entity.id] > world.pause_a(o.entity.id) for o in users):
                wrong.append(f"{collector.id} {phase.name}: {active[phase]:.2f} A told, limit {limit[phase]:.2f} A")
        limits = [v.import_limit_w for (_, c), v in world.limits.items() if c == collector.id]
        power_w = sum(a * v for a, v in zip(active, world.volts, strict=True))
        told = any(world.told[o.entity.id] > world.pause_a(o.entity.id) for o in pausable if o.vehicle)
        wrong += [
            f"{collector.id}: {power_w:.0f} W told, limit {limit_w:.0f} W"
            for limit_w in [collector.file.power_limit_w, *limits]
            if limit_w is not None and told and power_w > limit_w + 230.0 * DUST_A
        ]
    return wrong


def broken_steps(world: World) -> list[str]:
    """2. Every setpoint is 0 (what pauses it), or at least the minimum and a whole step, and not above the maximum."""
    return [
        f"{name}: {value}"
        for name, value in world.told.items()
        if value != world.pause_a(name)
        and not (
            value >= world.minimum_a(name) and whole(world, name, value)
            and value <= world.outlets[name].entity.max_current_a
        )
    ]  # fmt: skip


def whole(world: World, name: str, value_a: float) -> bool:
    """A multiple of the device's step."""
    steps = value_a / world.step_a(name)
    return abs(steps - round(steps)) < 1e-9 * max(1.0, steps)


def broken_ramps(world: World, back_s: float = 59.5) -> list[str]:
    """4. At most 1 A up in 60 s once above 6 A, but by hand. DC has no ramp, but a cap (SPC-11)."""
    now_s, told = world.history[-1]
    since = [(at_s, before) for at_s, before in world.history if at_s >= now_s - back_s]
    return [
        f"{name}: {before[name]} A at {at_s:g} s, {value} A at {now_s:g} s"
        for at_s, before in since
        for name, value in told.items()
        if not by_hand(world, name, back_s)
        and not world.outlets[name].entity.dc
        and before[name] >= 6.0
        and value > before[name] + 1.0 + DUST_A
    ]


def by_hand(world: World, connector: str, back_s: float) -> bool:
    """Was run by hand in this time: the ramp does not hold (SPC-9)."""
    return world.now_s - world.by_hand_at_s.get(connector, -math.inf) <= back_s
