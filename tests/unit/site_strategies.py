"""Random sites for property tests: trees with rotations and taps, loads, PV and chargers of every kind of fallback."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from unit.site_files import FACTS

PHASES = ("L1", "L2", "L3")
CHARGERS = tuple(name for name, facts in FACTS.items() if facts.device_class == "ac_charger")


@st.composite
def taps(draw: st.DrawFn, conductors: int) -> list[str]:
    """Some of the conductors above, in any order."""
    order = draw(st.permutations(PHASES[:conductors]))
    return list(order[: draw(st.integers(1, conductors))])


@st.composite
def sites(draw: st.DrawFn, rated_a: tuple[int, int] = (6, 120)) -> Any:
    """Values of a site file that is right in everything but perhaps its ratings."""
    collectors: list[dict[str, Any]] = [
        {"id": "k0", "rated_current_a": draw(st.integers(*rated_a)), "meter": "m",
         "unmetered_load_a": draw(st.integers(0, 5))}
    ]  # fmt: skip
    conductors = [3]
    for i in range(1, draw(st.integers(1, 7))):
        above = draw(st.integers(0, i - 1))
        phases = draw(taps(conductors[above]))
        conductors.append(len(phases))
        collectors.append(
            {"id": f"k{i}", "parent": f"k{above}", "rated_current_a": draw(st.integers(*rated_a)), "phases": phases,
             "fuse": draw(st.sampled_from(["gG", "mcb_b", "mcb_c", "mcb_d", "adjustable", "electronic"])),
             "fixed_reserve_a": draw(st.integers(0, 5)), "virtual": {"unmetered_load_a": 0}}
        )  # fmt: skip
    devices: list[dict[str, Any]] = [{"id": "dm", "package": "eastron-sdm630", "host": "10.0.0.1"}]
    assets: list[dict[str, Any]] = [{"kind": "meter", "id": "m", "device": "dm"}]
    for i in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(collectors) - 1))
        kind = draw(st.sampled_from(["charger", "charger", "charger", "load", "pv"]))
        phases = draw(taps(conductors[at]))
        package = {"charger": draw(st.sampled_from(CHARGERS)), "load": "eastron-sdm630", "pv": "sunspec-pv-inverter"}
        devices.append({"id": f"d{i}", "package": package[kind], "host": f"10.0.1.{i}"})
        on = {"id": f"a{i}", "collector": f"k{at}", "phases": phases}
        if kind == "charger":
            connector = {**on, "max_current_a": draw(st.integers(6, 32))}
            lost = package[kind] == "no-watchdog" or draw(st.integers(0, 9)) == 0
            charger = {"kind": "ac_charge_point", "id": f"p{i}", "device": f"d{i}", "connectors": [connector]}
            assets.append({**charger, "book_at_max_when_lost": lost})
        elif kind == "load":
            assets.append({"kind": "load", **on, "device": f"d{i}", "max_current_a": draw(st.integers(0, 20))})
        else:
            assets.append({"kind": "pv", **on, "device": f"d{i}", "rated_power_w": draw(st.integers(1000, 20000))})
    return {
        "format": "busbar-site/1", "site": {"id": "random"}, "collectors": collectors, "devices": devices,
        "assets": assets,
    }  # fmt: skip
