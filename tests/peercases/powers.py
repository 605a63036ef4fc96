"""Cases about batteries and PV, as sites of ours.

| theirs | ours |
|---|---|
| battery: charging is negative | consumption positive; answers are turned to their sign |
| cluster | a collector without a fuse that binds; a cluster within it, one below |
| "pinned to X kW", "target X kW" in the description | a battery set by hand; a target of the collector of a cluster |
| `ess_w` beside a meter of 0 | a battery in no mode that does this when we begin; the rest of the meter is background |
| `meter_w`, `pv_w` | what the meter shows beyond the inverter is background; the sun gives more than any limit |
| limit of injection | of the collector, or of its fuse where it is one per phase |
| table of power by frequency | droop of a battery between its limits |
"""

from __future__ import annotations

import re

from peercases.translate import Case, background, shared_w
from scenarios.world import U
from unit.flexible_world import FlexWorld, battery, flexible_site, pv

Numbers = dict[str, float | bool | None]
Answer = tuple[Numbers, Numbers]
NEVER_BINDS_A = 400.0
SETTLED_S = 60.0
SUN_W = 30_000.0


def cluster(case: Case) -> Answer:
    """A target shared by batteries, some of them pinned, or a cluster of them."""
    words = case["description"]
    target_w, pinned = _said(words, "target"), re.search(r"(One battery|sub-cluster 1) pinned to ([+-]\d+) kW", words)
    theirs = dict(zip([p["id"] for p in case["charge_points"]], case["expected"]["setpoints_w"], strict=True))
    inner = list(theirs)[: len(theirs) // 2] if pinned and pinned[1] == "sub-cluster 1" else []
    world = _world(
        [battery(p["id"], "inner" if p["id"] in inner else "grid", max_charge_w=p["max_w"],
                 max_discharge_w=-p["min_w"], modes=[]) for p in case["charge_points"]],
        [{"id": "grid"}, *([{"id": "inner", "parent": "grid"}] if inner else [])],
    )  # fmt: skip
    for name, point in zip(theirs, case["charge_points"], strict=True):
        world.things[name].soc_percent = point["soc"]
    world.target("grid", -target_w)
    if pinned:
        power_w = -1000.0 * float(pinned[2])
        if inner:
            world.target("inner", power_w)
        else:
            world.by_hand(next(iter(theirs)), power_w)
    world.run_to(SETTLED_S)
    return dict(theirs), {name: -world.watts[name] for name in theirs}


def beside_a_battery(case: Case) -> Answer:
    """What chargers may take together while a battery does something; with the meter at 0."""
    theirs, ours = Numbers(), Numbers()
    for step in case["expected"]["steps"]:
        ess_w = -step["ess_w"]
        connectors = [{"id": p["id"], "collector": "grid", "max_a": p["max_a"]} for p in case["charge_points"]]
        rated_a = case["tree"][0]["limit_w_per_phase"] / U
        world = _world(
            [battery("ess", max_charge_w=10_000, max_discharge_w=10_000, modes=[])],
            [{"id": "grid", "rated_current_a": rated_a}], connectors,
        )  # fmt: skip
        world.things["ess"].power_w = world.things["ess"].setpoint_w = ess_w
        background(world, "grid", [-ess_w / 3] * 3)
        for point in case["charge_points"]:
            world.plug(point["id"]).max_a = 1000.0
        world.run_to(1700.0)
        key = f"battery {step['ess_w']:g} W: together W"
        theirs[key], ours[key] = step["distributable_w"], shared_w(world)
    return theirs, ours


def injection(case: Case) -> Answer:
    """Each step for itself, where it settles."""
    limit_kw = float(re.search(r"[Ii]njection limit (\d+) kW", case["description"])[1])  # type: ignore[index]
    by_phase = "Per-phase" in case["description"]
    theirs, ours = Numbers(), Numbers()
    for number, step in enumerate(case["expected"]["steps"], start=1):
        grid = {"rated_current_a": limit_kw * 1000.0 / U} if by_phase else {"export_limit_w": limit_kw * 1000.0}
        most_w = 12_000 if by_phase else 15_000
        world = _world([pv("pv", rated_power_w=most_w)], [{"id": "grid", **grid}])
        meter_w = step["meter_w"] if by_phase else [step["meter_w"] / 3] * 3
        background(world, "grid", [watts + step["pv_w"] / 3 for watts in meter_w])
        world.things["pv"].wish_w = SUN_W
        world.run_to(600.0)
        theirs[f"{number}: limit W"], ours[f"{number}: limit W"] = step["limit_w"], -world.watts["pv"]
    return theirs, ours


def shaving(case: Case) -> Answer:
    """Where the battery settles when the building draws more than the limit."""
    limit_kw, grid_kw = re.search(r"limit (\d+) kW, grid (\d+) kW", case["description"]).groups()  # type: ignore[union-attr]
    world = _world(
        [battery("ess", capacity_wh=200_000, max_charge_w=50_000, max_discharge_w=50_000, modes=["peak_shaving"])],
        [{"id": "grid", "power_limit_w": 1000.0 * float(limit_kw)}],
    )
    background(world, "grid", [1000.0 * float(grid_kw) / 3] * 3)
    world.run_to(SETTLED_S)
    return {"settled W": case["expected"]["last_w"]}, {"settled W": -world.watts["ess"]}


def droop(case: Case) -> Answer:
    """A device of 10 A a phase; the table is linear around 50 Hz."""
    watts, hertz = 7000.0, 1.0
    most_w = -case["expected"]["setpoint_a"] * 3 * U
    entry = battery(
        "evse1", max_charge_w=most_w, max_discharge_w=most_w, modes=["droop"],
        droop={"power_w": watts, "full_hz": hertz, "deadband_hz": 0.0},
    )  # fmt: skip
    world = _world([entry], [{"id": "grid", "rated_current_a": 32}])
    world.things["evse1"].frequency_hz = float(re.search(r"measured (\d+) Hz", case["description"])[1])  # type: ignore[index]
    world.run_to(SETTLED_S)
    return {"W": case["expected"]["setpoint_w"]}, {"W": world.watts["evse1"]}


def _said(words: str, what: str) -> float:
    found = re.search(rf"{what} ([+-]\d+) kW", words)
    assert found, words
    return 1000.0 * float(found[1])


def _world(assets: list[Case], collectors: list[Case], connectors: list[Case] | None = None) -> FlexWorld:
    made = [{"rated_current_a": NEVER_BINDS_A, **collector} for collector in collectors]
    world = FlexWorld(flexible_site(assets, connectors or [], made), settle_s=0.0)
    for thing in world.things.values():
        thing.soc_percent = 50.0
    return world
