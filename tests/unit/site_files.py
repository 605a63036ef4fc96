"""Site files for tests: the demo as plain values to be changed, and facts of its device packages."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import yaml

from busbar.config.load import CheckedSite, check_text
from busbar.config.packages import PackageFacts, UnknownPackageError
from busbar.config.site import Site

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"

FACTS = {
    "phoenix-eem-em3xx": PackageFacts("meter"),
    "eastron-sdm630": PackageFacts("meter"),
    "sunspec-pv-inverter": PackageFacts("pv_inverter"),
    "phoenix-charx-sec3xxx": PackageFacts("ac_charger", instances=(1, 12), watchdog_range_s=(1, 600)),
    "alfen-ng9xx": PackageFacts("ac_charger", instances=(1, 2)),
    "no-watchdog": PackageFacts("ac_charger", instances=(1, 4), fallback_a="unknown"),
    "falls-to-16": PackageFacts("ac_charger", instances=(1, 4), fallback_a=16.0),
    "by-hand": PackageFacts("ac_charger", instances=(1, 4), fallback_a="by_hand"),
    "falls-to-0": PackageFacts("ac_charger", instances=(1, 4), fallback_a=0.0),
    "never-0": PackageFacts("ac_charger", instances=(1, 4), zero_allowed=False),
    "own-watchdog": PackageFacts("ac_charger", instances=(1, 4), watchdog_s=60.0),
    "unproven": PackageFacts("ac_charger", instances=(1, 4), proven=False),
    "slow": PackageFacts("ac_charger", instances=(1, 4), reaction_s=120.0),
    "dc": PackageFacts("dc_charger", instances=(1, 4), minimum_a=5000 / 690, step_a=100 / 690),
    "dc-never-0": PackageFacts(
        "dc_charger",
        instances=(1, 4),
        minimum_a=5000 / 690,
        step_a=100 / 690,
        zero_allowed=False,
        declared_pause_a=1547 / 690,
        fallback_a="unknown",
        watchdog_s=5.0,
    ),
}


def packages(name: str) -> PackageFacts:
    try:
        return FACTS[name]
    except KeyError:
        raise UnknownPackageError("not in the catalogue of the tests") from None


@functools.cache
def _demo() -> Any:
    return yaml.safe_load(DEMO.read_text("utf-8"))


def demo() -> Any:
    """A fresh copy of the demo site's values."""
    return copy.deepcopy(_demo())


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def checked(data: object) -> CheckedSite:
    """Written out as a site file, one value a line, and checked."""
    return check_text(yaml.dump(data, Dumper=_Dumper, sort_keys=False), packages=packages)


def compiled(data: object) -> Site:
    result = checked(data)
    assert result.site is not None, [str(problem) for problem in result.errors]
    return result.site


def entry(data: Any, name: str) -> Any:
    """The entry of that id, wherever it stands."""
    for section in ("collectors", "devices", "assets", "controllers", "fallback_rules"):
        for item in data.get(section, []):
            if item["id"] == name:
                return item
            for connector in item.get("connectors", []):
                if connector["id"] == name:
                    return connector
    raise KeyError(name)


def small(rated_a: float, connectors: int, **root: Any) -> Any:
    """One fuse with a meter, and 3-phase connectors of 32 A on one device."""
    return {
        "format": "busbar-site/1",
        "site": {"id": "small"},
        "collectors": [{"id": "grid", "rated_current_a": rated_a, "meter": "m", **root}],
        "devices": [
            {"id": "dm", "package": "eastron-sdm630", "host": "10.0.0.1"},
            {"id": "dc", "package": "phoenix-charx-sec3xxx", "host": "10.0.0.2"},
        ],
        "assets": [
            {"kind": "meter", "id": "m", "device": "dm"},
            {
                "kind": "ac_charge_point",
                "id": "cp",
                "device": "dc",
                "connectors": [
                    {"id": f"c{i}", "collector": "grid", "instance": i, "max_current_a": min(rated_a, 32)}
                    for i in range(1, connectors + 1)
                ],
            },
        ],
    }
