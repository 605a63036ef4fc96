"""How a case of another project becomes a site of ours and a question to `decide`.

| theirs | ours |
|---|---|
| node with `limit_a` or `limit_w_per_phase` | collector with that rating (none: 400 A, which never binds) |
| `limit_w` of a node | its power limit; 0 is a variable limit of 0 W |
| AC charge point | connector with maximum `max_a` or `max_w` and minimum `min_a` or `min_w` (W at 230 V) |
| forced | set by hand to its maximum |
| lower and higher priority | priorities 0 and 1 |
| switchable | `phase_switching: auto`, a package that needs 0 A for it; conductors in the order of the case |
| connected | a vehicle that uses all its phases and takes whatever it is given |
| not connected, kind `reserve` | a free connector, and a dynamic reserve for one |
| `meter_w`, with what the cars draw (`measured_w`) | the difference is background: load, or generation where negative |
| load of a circuit, `old` | what a circuit measures beyond the load point's old value is other load |
| requested current | a fallback event's upper bound |
| start | every device has its maximum in force and its vehicle draws it, before we have decided anything |
| answer | setpoints when nothing has moved for 90 s |

One unit of a unit-free case is 20 A.
"""

from __future__ import annotations

from typing import Any

from busbar.config.model import SiteFile
from busbar.config.packages import PackageFacts, PhaseSwitch
from busbar.config.site import compile_site
from scenarios.world import U, World, site_of
from spc_allocator.rows import POWER
from spc_allocator.state import AllocatorState

NEVER_BINDS_A = 400.0
UNIT_A = 20.0
STEADY_S = 90
DWELL_S = 3600.0
"""Between two switches of phases: longer than the way to the maximum by 1 A a minute."""
AT_MOST_S = 7200
Case = dict[str, Any]


def site_world(case: Case, **root: Any) -> World:
    """The case's site with every device at its maximum; nothing decided yet. `root`: more about the topmost node."""
    nodes = case["tree"] or [{"id": "grid", "parent": None}]
    collectors = [_collector(node, case) for node in nodes]
    collectors[0].update(root)
    top = collectors[0]["id"]
    connectors = [
        {"id": point["id"], "collector": point.get("node") or top,
         **({"max_w": 3 * U * _max_a(point)} if point.get("type") == "DC" else
            {"phases": point["phases"], "max_a": max(6.0, _max_a(point)),
             "priority": point.get("priority", 0),
             "phase_switching": "auto" if point.get("switchable") else "off", "phase_dwell_s": DWELL_S})}
        for point in case["charge_points"]
    ]  # fmt: skip
    site = site_of(collectors, connectors)
    minimum_a = max([6.0, *(_min_a(point) for point in case["charge_points"])])
    facts = PackageFacts("ac_charger", minimum_a=minimum_a, phase_switch=PhaseSwitch(at_zero=True, settle_s=10.0))
    world = World(compile_site(SiteFile.model_validate(site.file.model_dump()), {"none": facts}), settle_s=0.0)
    for node in nodes:
        if node.get("limit_w") == 0:
            world.limit(node["id"], "case", import_w=0.0)
    for point in case["charge_points"]:
        if point["connected"]:
            plug(world, point["id"], _max_a(point))
        if point.get("forced"):
            world.mode(point["id"], "manual", _max_a(point))
    world.state = AllocatorState.fresh(world.net, world.now_ms)
    return world


def _collector(node: Case, case: Case) -> Case:
    per_phase_w = node.get("limit_w_per_phase")
    limits = node.get("limit_a") or [per_phase_w / U if per_phase_w else None] * 3
    made: Case = {"id": node["id"], "rated_current_a": [NEVER_BINDS_A if a is None else a for a in limits]}
    if node.get("parent"):
        made["parent"] = node["parent"]
    if node.get("limit_w"):
        made["power_limit_w"] = node["limit_w"]
    if case["kind"] == "reserve":
        made["dynamic_reserve_connectors"] = 1
    return made


def _max_a(point: Case) -> float:
    """A limit in W counts at 230 V over the phases."""
    watts = point.get("max_w")
    return float(point["max_a"]) if watts is None else float(min(point["max_a"], watts / (U * len(point["phases"]))))


def _min_a(point: Case) -> float:
    watts = point.get("min_w")
    return float(point["min_a"]) if watts is None else float(watts / (U * len(point["phases"])))


def plug(world: World, name: str, current_a: float) -> None:
    """A vehicle that has drawn `current_a` for long, and takes whatever it is given."""
    world.plug(name).max_a = 1000.0
    outlet = world.outlets[name]
    outlet.vehicle.phases = len(outlet.entity.root_phases)  # type: ignore[union-attr]
    outlet.limit_a = outlet.current_a = float(int(current_a + 1e-9))
    outlet.plugged_at_s = -3600.0


def background(world: World, node: str, per_phase_w: list[float]) -> None:
    """Other load (positive) or generation."""
    world.load_a[node] = [max(watts, 0.0) / U for watts in per_phase_w]
    world.generation_a[node] = [min(watts, 0.0) / U for watts in per_phase_w]


def steady(world: World) -> World:
    """Until no setpoint has moved for STEADY_S."""
    since, told = world.now_s, dict(world.told)
    end_s = world.now_s + AT_MOST_S
    while world.now_s < since + STEADY_S:
        world.step()
        if world.told != told:
            since, told = world.now_s, dict(world.told)
        if world.now_s > end_s:
            raise AssertionError(f"still moving after {AT_MOST_S} s: {told}")
    return world


def told_w(world: World, name: str) -> float:
    return world.told[name] * len(world.outlets[name].entity.root_phases) * U


def shared_a(world: World, name: str) -> float:
    """Before it was rounded to whole amperes."""
    assert world.last
    return float(world.last.cycle.filled.current_a[world.net.slot[name]])


def shared_w(world: World) -> float:
    """What all vehicles may take together, before rounding."""
    return sum(
        shared_a(world, name) * len(outlet.entity.root_phases) * U
        for name, outlet in world.outlets.items()
        if outlet.vehicle
    )


def limit_in_force_w(world: World, collector: str) -> float | None:
    """Power limit of a collector without background, of whatever source."""
    assert world.last
    rows, index = world.net.rows, world.site.tree.index[collector]
    row = next(r for r in range(rows.count) if rows.collector[r] == index and rows.channel[r] == POWER)
    watts = float(world.last.cycle.limits.room_a[row]) * U
    return None if watts == float("inf") else watts
