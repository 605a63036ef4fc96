"""Ledgers: scenarios that an electrical engineer writes without Python (README.md beside this file).

The same words drive the allocator's core in a closed loop (`world.World`). Unknown words are errors, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from scenarios.truths import broken_ramps, broken_rows, broken_steps
from scenarios.world import Vehicle, World, site_of


class LedgerError(ValueError):
    """The ledger itself is wrong."""


def run(path: Path) -> list[str]:
    """Play one ledger. Returns in words what came out otherwise; empty where everything is as written."""
    book = yaml.safe_load(path.read_text(encoding="utf-8"))
    _only(book, "ledger", {"name", "about", "site", "timeline", "always", "spread_wh"})
    site = book["site"]
    _only(site, "site", {"collectors", "connectors", "options"})
    always = {"overload_s": 0, "ramps": True, "rows": True, **book.get("always", {})}
    world = World(site_of(site["collectors"], site["connectors"], site.get("options")))
    world.use_guard = True
    wrong: list[str] = []
    for line in sorted(book["timeline"], key=lambda line: float(line["at"])):
        _run_to(world, float(line["at"]), always, wrong)
        for word, value in line.items():
            if word != "at":
                _verb(word)(world, value, wrong)
    wrong += _overloads(world, float(always["overload_s"]))
    if "spread_wh" in book:
        energies = [o.vehicle.energy_wh for o in world.outlets.values() if o.vehicle]
        if max(energies) - min(energies) > book["spread_wh"]:
            wrong.append(f"spread of energy {max(energies) - min(energies):.0f} Wh, at most {book['spread_wh']} Wh")
    return wrong


def _run_to(world: World, at_s: float, always: dict[str, Any], wrong: list[str]) -> None:
    while world.now_s < at_s:
        world.step()
        found = broken_steps(world)
        found += broken_rows(world) if always["rows"] else []
        found += broken_ramps(world) if always["ramps"] else []
        wrong += [f"at {world.now_s:g} s: {text}" for text in found]


def _overloads(world: World, allowed_s: float) -> list[str]:
    return [
        f"{name}: above its rating for {seconds:g} s, allowed {allowed_s:g} s"
        for name, seconds in world.overload_s.items()
        if seconds > allowed_s
    ]


# -- what a line may say


def _plug(world: World, value: dict[str, Any], _wrong: list[str]) -> None:
    for name, vehicle in value.items():
        words = dict(vehicle or {})
        _only(words, f"plug {name}", {"phases", "max_a", "energy_kwh", "full_kwh", "wakes"})
        world.plug(
            name,
            Vehicle(
                phases=words.get("phases", 3), max_a=words.get("max_a", 32.0), wakes=words.get("wakes", True),
                energy_wh=1000.0 * words.get("energy_kwh", 0.0), full_wh=1000.0 * words.get("full_kwh", 1e6),
            ),
        )  # fmt: skip


def _unplug(world: World, value: list[str], _wrong: list[str]) -> None:
    for name in value:
        world.unplug(name)


def _vehicle_takes(world: World, value: dict[str, float], _wrong: list[str]) -> None:
    for name, amperes in value.items():
        vehicle = world.outlets[name].vehicle
        if vehicle is None:
            raise LedgerError(f"no vehicle at {name}")
        vehicle.max_a = float(amperes)


def _currents(table: str, sign: float) -> Callable[[World, dict[str, Any], list[str]], None]:
    def put(world: World, value: dict[str, Any], _wrong: list[str]) -> None:
        for name, amperes in value.items():
            three = amperes if isinstance(amperes, list) else [amperes] * 3
            getattr(world, table)[name] = [sign * float(a) for a in three]

    return put


def _limit(world: World, value: dict[str, Any], _wrong: list[str]) -> None:
    _only(value, "limit", {"collector", "source", "import_kw", "export_kw"})
    watts = {key: None if value.get(key) is None else 1000.0 * value[key] for key in ("import_kw", "export_kw")}
    world.limit(value["collector"], value.get("source", "page"), watts["import_kw"], watts["export_kw"])


def _meter_lost(world: World, value: list[str], _wrong: list[str]) -> None:
    for name in value:
        world.blind[name] = world.now_s


def _meter_back(world: World, value: list[str], _wrong: list[str]) -> None:
    for name in value:
        del world.blind[name]


def _charger_lost(world: World, value: list[str], _wrong: list[str]) -> None:
    for name in value:
        world.outlets[name].reachable = False


def _fallback(world: World, value: dict[str, Any], _wrong: list[str]) -> None:
    _only(value, "fallback", {"rule", "connectors", "max_a"})
    world.fall_back(value["rule"], value["connectors"], float(value["max_a"]))


def _mode(world: World, value: dict[str, Any], _wrong: list[str]) -> None:
    """`a1: rule`, `a1: 16` for 16 A by hand, `a1: null` to release."""
    for name, said in value.items():
        if said is None:
            del world.modes[name]
        elif isinstance(said, str):
            world.mode(name, said)
        else:
            world.mode(name, "manual", float(said))


def _advice(world: World, value: dict[str, Any], _wrong: list[str]) -> None:
    """`a1: 7` in kW from now on, `a1: [[0, 7], [15, 0]]` from so many minutes on, `a1: null` to release."""
    for name, said in value.items():
        if said is None:
            del world.advices["gateway", name]
        else:
            slots = said if isinstance(said, list) else [[0, said]]
            world.advise(name, *((60.0 * minutes, 1000.0 * kw) for minutes, kw in slots))


def _expect(world: World, value: dict[str, Any], wrong: list[str]) -> None:
    """`a1: 6`, or `a1: [6, 9]` for anything between."""
    for name, expected in value.items():
        low, high = expected if isinstance(expected, list) else (expected, expected)
        if not low <= world.told[name] <= high:
            wrong.append(f"at {world.now_s:g} s: {name} is told {world.told[name]:g} A, expected {expected}")


def _because(world: World, value: dict[str, str], wrong: list[str]) -> None:
    """`a1: ramp`, or with collector and phase: `a1: row grid L2`."""
    for name, expected in value.items():
        reason = world.why[name]
        words = [reason.code.value, reason.collector, reason.phase]
        said = " ".join(word for word in words if word)
        if expected not in {said, reason.code.value}:
            wrong.append(f"at {world.now_s:g} s: {name} because of {said!r}, expected {expected!r}")


def _expect_sum(world: World, value: dict[str, Any], wrong: list[str]) -> None:
    total = sum(world.told[name] for name in value["connectors"])
    if total != value["current_a"]:
        wrong.append(f"at {world.now_s:g} s: together {total:g} A, expected {value['current_a']} A")


_VERBS: dict[str, Callable[[World, Any, list[str]], None]] = {
    "plug": _plug,
    "unplug": _unplug,
    "vehicle_takes_a": _vehicle_takes,
    "load_a": _currents("load_a", 1.0),
    "generation_a": _currents("generation_a", -1.0),
    "reactive_a": _currents("reactive_a", 1.0),
    "limit": _limit,
    "meter_lost": _meter_lost,
    "meter_back": _meter_back,
    "charger_lost": _charger_lost,
    "fallback": _fallback,
    "mode": _mode,
    "advice": _advice,
    "expect_a": _expect,
    "because": _because,
    "expect_sum": _expect_sum,
}


def _verb(word: str) -> Callable[[World, Any, list[str]], None]:
    if word not in _VERBS:
        raise LedgerError(f"unknown word {word!r} in a line; known: {', '.join(_VERBS)}")
    return _VERBS[word]


def _only(value: dict[str, Any], where: str, known: set[str]) -> None:
    unknown = sorted(value.keys() - known)
    if unknown:
        raise LedgerError(f"{where}: unknown {unknown}; known: {sorted(known)}")
