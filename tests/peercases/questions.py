"""What is asked of a translated case: by the words of its `expected`, never by its id. Every answer is a pair
`theirs, ours` of equal keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peercases import powers
from peercases.translate import (
    DWELL_S,
    UNIT_A,
    Case,
    background,
    limit_in_force_w,
    plug,
    shared_a,
    shared_w,
    site_world,
    steady,
    told_w,
)
from scenarios.world import U, World
from spc_allocator.state import AllocatorState

Numbers = dict[str, float | bool | None]
Answer = tuple[Numbers, Numbers]


def setpoints_a(case: Case) -> Answer:
    world = steady(site_world(case))
    return dict(case["expected"]["setpoints_a"]), dict(world.told)


def setpoints_w(case: Case) -> Answer:
    """With a meter that shows the cars too: what it shows beyond them is background."""
    world = site_world(case)
    meter_w = case["inputs"].get("meter_w", [0.0] * 3)
    cars_w = sum(point.get("measured_w", 0.0) for point in case["charge_points"])
    background(world, case["tree"][0]["id"], [watts - cars_w / 3 for watts in meter_w])
    steady(world)
    theirs = case["expected"]["setpoints_w"]
    return dict(theirs), {name: told_w(world, name) for name in theirs}


def distributable(case: Case) -> Answer:
    """A series of meter readings (without the cars) or of variable limits of the chargers alone, which hang on a
    collector of their own."""
    node = case["tree"][0]["id"]
    own = {"id": "cluster", "parent": node, "limit_a": None, "limit_w": None}
    points = [{**point, "node": "cluster"} for point in case["charge_points"]]
    world = site_world({**case, "tree": [*case["tree"], own], "charge_points": points})
    theirs, ours = Numbers(), Numbers()
    for number, step in enumerate(case["expected"]["steps"], start=1):
        background(world, node, step.get("meter_w", [-2000.0] * 3))
        world.limits.clear()
        if step.get("limit_w") is not None:
            world.limit("cluster", "case", import_w=step["limit_w"])
        steady(world)
        theirs[f"{number}: together W"] = step["distributable_w"]
        ours[f"{number}: together W"] = shared_w(world)
    return theirs, ours


def ramped(case: Case) -> Answer:
    """Where their series ends."""
    world = steady(site_world(case))
    last = case["expected"]["steps_a"][-1]
    names = [point["id"] for point in case["charge_points"]]
    return dict(zip(names, last, strict=True)), {name: world.told[name] for name in names}


def deltas(case: Case) -> Answer:
    """One load point asks for another current while its circuits carry what they carry."""
    theirs, ours = Numbers(), Numbers()
    for vector in case["expected"]["vectors"]:
        old = vector["old"]
        other = max(vector["c1_load"] - old, 0.0)
        above = max(vector["parent_load"] - old - other - vector["c2_load"], 0.0)
        scaled = [{**node, "limit_a": [a * UNIT_A for a in node["limit_a"]]} for node in case["tree"]]
        world = site_world({**case, "tree": scaled})
        plug(world, "lp", old * UNIT_A)
        for node, load in (("parent", above), ("c1", other), ("c2", vector["c2_load"])):
            background(world, node, [load * UNIT_A * U] * 3)
        world.state = AllocatorState.fresh(world.net, world.now_ms)
        world.fall_back("request", ["lp"], vector["requested"] * UNIT_A)
        steady(world)
        key = ", ".join(f"{name} {value:g}" for name, value in vector.items() if name != "allowed" and value)
        theirs[key or "nothing"] = vector["allowed"] * UNIT_A
        ours[key or "nothing"] = world.told["lp"]
    return theirs, ours


def clamps(case: Case) -> Answer:
    """9 kW asked for under a static and a variable limit; their 0 is no limit."""
    theirs, ours = Numbers(), Numbers()
    for vector in case["expected"]["vectors"]:
        points = [{**point, "max_w": 9000} for point in case["charge_points"]]
        world = site_world({**case, "charge_points": points}, power_limit_w=vector["max_power"] or None)
        if vector["hems"]:
            world.limit("root", "pcu", import_w=vector["hems"])
        steady(world)
        key = f"static {vector['max_power']} W, operator {vector['hems']} W"
        theirs[key], ours[key] = vector["allowed"], told_w(world, "lp")
    return theirs, ours


def single_phase_limit(case: Case) -> Answer:
    point = {"id": "lp", "phases": ["L1"], "min_a": 6, "max_a": 32, "connected": True}
    world = steady(site_world({**case, "charge_points": [point]}))
    return {"limit A": case["expected"]["limit_a"]}, {"limit A": shared_a(world, "lp")}


def first_setpoint_w(case: Case) -> Answer:
    """The first setpoint of a vehicle that has just come."""
    world = _newcomer(case)
    theirs = case["expected"]["setpoint_w"]
    return dict(theirs), {name: told_w(world, name) for name in theirs}


def first_setpoint_a(case: Case) -> Answer:
    world = _newcomer(case)
    return {"A": case["expected"]["set_a"]}, {"A": world.told[case["charge_points"][0]["id"]]}


def phases(case: Case) -> Answer:
    """Each for itself: so many phases now, so much room; how many in the end."""
    theirs, ours = Numbers(), Numbers()
    for vector in case["expected"]["vectors"]:
        now, room_w = vector["phases"], vector["available_w"]
        world, name = _switched(case, now, vector["charge_w"])
        world.limit(case["tree"][0]["id"], "case", import_w=room_w)
        world.run_to(2 * DWELL_S)
        key = f"{now} phases, {vector['charge_w']} W drawn, room for {room_w} W"
        theirs[key], ours[key] = vector["expected_phases"], world.outlets[name].phases
    return theirs, ours


def phases_in_time(case: Case) -> Answer:
    """On one phase as long as the dwell holds it there, then on three, then the limit falls to 0 W."""
    expected = case["expected"]
    held, free = expected["call_0s"]["enforced"], expected["call_60s"]["slot_before_the_limit"]
    world, name = _switched(case, held["phases"], 0.0)
    theirs: Numbers = {
        "held: phases": held["phases"], "held: A": held["a"], "then: phases": free["phases"], "then: A": free["a"],
        "at 0 W: A": expected["call_120s"]["enforced"]["a"],
    }  # fmt: skip
    ours = Numbers()
    for key, until_s in (("held", DWELL_S), ("then", 3 * DWELL_S)):
        world.run_to(until_s)
        ours |= {f"{key}: phases": world.outlets[name].phases, f"{key}: A": world.told[name]}
    world.limit(case["tree"][-1]["id"], "case", import_w=0.0)
    world.step()
    return theirs, ours | {"at 0 W: A": world.told[name]}


def flexible_power(case: Case) -> Answer:
    """What each gets beyond its minimum of a room for both minima and the flexible power; and once the lower one takes
    nothing, of a room without it."""
    expected = case["expected"]
    ranks = {"lo": 0, "hi": 1}
    points = [{**point, "priority": ranks[point["id"]]} for point in case["charge_points"]]
    minima_w = sum(3 * U * point["min_a"] for point in points)
    flexible_w = expected["hi_extra_w"]
    world = site_world({**case, "charge_points": points}, power_limit_w=minima_w + flexible_w)
    steady(world)
    ours: Numbers = {f"{name}: extra W": _extra_w(world, name) for name in ranks}
    world.unplug("lo")
    world.limit(world.site.collectors[0].id, "case", import_w=minima_w / 2)
    steady(world)
    theirs: Numbers = {"lo: extra W": expected["lo_extra_w"], "hi: extra W": flexible_w}
    after = "without lo: hi: extra W"
    return theirs | {after: expected["after_lo_drops_to_0"]["hi_extra_w"]}, ours | {after: _extra_w(world, "hi")}


def _extra_w(world: World, name: str) -> float:
    return 3 * U * (shared_a(world, name) - world.minimum_a(name))


def _switched(case: Case, count: int, power_w: float) -> tuple[World, str]:
    """The case's only connector on so many phases, drawing so much."""
    world, name = site_world(case), case["charge_points"][0]["id"]
    outlet = world.outlets[name]
    plug(world, name, power_w / (count * U))
    outlet.phases = outlet.shows_phases = count
    world.state = AllocatorState.fresh(world.net, world.now_ms)
    return world, name


def _newcomer(case: Case) -> World:
    world = site_world({**case, "charge_points": [{**p, "connected": False} for p in case["charge_points"]]})
    world.run_to(30.0)
    for point in case["charge_points"]:
        world.plug(point["id"])
    world.run_to(35.0)
    return world


def feasible(case: Case) -> Answer:
    """A property alone: between these bounds, and together at most so much."""
    world = steady(site_world(case))
    told, expected = list(world.told.values()), case["expected"]
    inside = all(expected["each_min_a"] <= value <= expected["each_max_a"] for value in told)
    return (
        {"feasible": True, "in bounds": True},
        {"feasible": sum(told) <= expected["sum_a_max"], "in bounds": inside},
    )


def infeasible_minima(case: Case) -> Answer:
    world = steady(site_world(case))
    return {"error": True, **dict.fromkeys(world.told)}, {"error": False, **world.told}


def tolerance(case: Case) -> Answer:
    """A minimum of 6 A beside a load that makes it exactly so much together: is it admitted."""
    theirs, ours = Numbers(), Numbers()
    for key, value in (("ok_a", True), ("not_ok_a", False)):
        total = case["expected"][key]
        point = {"id": "lp", "node": "c", "phases": ["L1"], "min_a": 6, "max_a": 32, "connected": True}
        world = site_world({**case, "charge_points": [point]})
        background(world, "c", [(total - 6.0) * U, 0.0, 0.0])
        world.allocate()
        theirs[f"{total:.8f} A"], ours[f"{total:.8f} A"] = value, world.told["lp"] > 0.0
    return theirs, ours


def silence_lasts(case: Case) -> Answer:
    """What is silent is the collector's meter; two hours of it."""
    world = _behind_a_meter(case)
    world.blind["grid"] = world.now_s
    bounded = True
    for _ in range(130):
        world.now_s += 59.0
        world.step()
        bounded &= world.told["lp"] <= 6.0
    return {"stays": case["expected"]["stays_failsafe"]}, {"stays": bounded}


def silence_ends(case: Case) -> Answer:
    """The meter comes back, once with a fresh limit and once without."""
    expected = case["expected"]
    after = expected["without_fresh_limit"]
    world = _behind_a_meter(case)
    world.blind["grid"] = world.now_s
    world.run_to(world.now_s + 60.0)
    del world.blind["grid"]
    world.step()
    without = limit_in_force_w(world, "grid")
    world.limit("grid", "pcu", import_w=expected["with_fresh_limit_w"])
    world.step()
    theirs: Numbers = {
        "fresh limit W": expected["with_fresh_limit_w"], "without: limit W": after["limit_w"],
        "without: after": after["after_w"],
    }  # fmt: skip
    ours: Numbers = {
        "fresh limit W": limit_in_force_w(world, "grid"), "without: limit W": without, "without: after": without,
    }  # fmt: skip
    return theirs, ours


def _behind_a_meter(case: Case) -> World:
    point = {"id": "lp", "node": "grid", "phases": ["L1", "L2", "L3"], "min_a": 6, "max_a": 16, "connected": True}
    return steady(site_world({**case, "charge_points": [point]}))


QUESTIONS: tuple[tuple[Callable[[dict[str, Any]], bool], Callable[[Case], Answer]], ...] = (
    (lambda e: isinstance(e.get("setpoints_w"), list), powers.cluster),
    (lambda e: "ess_w" in str(e), powers.beside_a_battery),
    (lambda e: "pv_w" in str(e), powers.injection),
    (lambda e: "last_w" in e, powers.shaving),
    (lambda e: "setpoint_a" in e and "setpoint_w" in e, powers.droop),
    (lambda e: "setpoints_w" in e, setpoints_w),
    (lambda e: "setpoints_a" in e, setpoints_a),
    (lambda e: "distributable_w" in str(e), distributable),
    (lambda e: "steps_a" in e, ramped),
    (lambda e: "requested" in str(e), deltas),
    (lambda e: "hi_extra_w" in e, flexible_power),
    (lambda e: "expected_phases" in str(e), phases),
    (lambda e: "slot_before_the_limit" in str(e), phases_in_time),
    (lambda e: "hems" in str(e), clamps),
    (lambda e: "limit_a" in e, single_phase_limit),
    (lambda e: "setpoint_w" in e, first_setpoint_w),
    (lambda e: "set_a" in e, first_setpoint_a),
    (lambda e: "sum_a_max" in e, feasible),
    (lambda e: "error" in e, infeasible_minima),
    (lambda e: "tol_abs" in e, tolerance),
    (lambda e: "stays_failsafe" in e, silence_lasts),
    (lambda e: "with_fresh_limit_w" in e, silence_ends),
)


def ask(case: Case) -> Answer:
    """Put the question that the case's expectation is the answer to."""
    for fits, question in QUESTIONS:
        if fits(case["expected"]):
            return question(case)
    raise AssertionError(f"{case['id']}: no question for {sorted(case['expected'])}")
