"""Writes examples/full-site.yaml: a site at the size limits of SC-3, for benchmarks and soak tests.

    python tools/full_site.py [--check] [FILE]

One grid connection, 4 transformers, 20 zones (one controller each), 5 levels below the grid connection, 200 collectors,
1000 AC connectors on CHARX and Alfen stations, 25 PV systems, 10 batteries. Every device is simulated. The same
arguments give the same file, byte for byte; `--check` compares instead of writing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FEEDERS, ZONES, ROWS_PER_ZONE, PANELS_PER_ZONE, CORNERS = 4, 20, 3, 4, 35
CONNECTORS_PER_ZONE = 50
PV_SYSTEMS = 25
BATTERIES = 10
ROTATIONS = ("[L1, L2, L3]", "[L2, L3, L1]", "[L3, L1, L2]")
METER_POLL_MS = 200
DEFAULT = Path(__file__).parents[1] / "examples" / "full-site.yaml"

GRID = "fixed_reserve_a: 50, power_limit_va: 4800000"
HEAD = """\
# A site at the size limits of SC-3, made by tools/full_site.py: do not edit. Every device is simulated.
format: busbar-site/1
site: {id: full-site, name: Full site, timezone: Europe/Brussels, network: tn_400}
"""


@dataclass(slots=True)
class Sections:
    """The site file's lists, as lines."""

    collectors: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    assets: list[str] = field(default_factory=list)
    controllers: list[str] = field(default_factory=list)

    def text(self) -> str:
        names = ("collectors", "devices", "assets", "controllers")
        lists = ("\n".join((f"{name}:", *(f"  - {line}" for line in getattr(self, name)), "")) for name in names)
        return "\n".join((HEAD, *lists))


class Addresses:
    """Loopback addresses, one a device: 127.44.0.1 onwards."""

    def __init__(self) -> None:
        self._count = 0

    def next(self) -> str:
        self._count += 1
        high, low = divmod(self._count - 1, 250)
        return f"127.44.{high}.{low + 1}"


class Builder:
    """Lays the site out zone by zone."""

    def __init__(self) -> None:
        self.to = Sections()
        self._addresses = Addresses()
        self._pv_left = PV_SYSTEMS
        self._corners_left = CORNERS

    def build(self) -> str:
        self._collector(
            "grid", None, 7200, "adjustable", metered_by=_zone(0), extra="fixed_reserve_a: 50, power_limit_va: 4800000"
        )
        for number in range(FEEDERS):
            name = f"t{number + 1}"
            self._collector(
                name, "grid", 1800, "adjustable", metered_by=_zone(number * ZONES // FEEDERS),
                extra="fixed_reserve_a: 20, dynamic_reserve_connectors: 2, power_limit_va: 1250000", turn=number,
            )  # fmt: skip
        for zone in range(ZONES):
            self._zone(zone)
        return self.to.text()

    def _zone(self, zone: int) -> None:
        """A controller's share: rows, panels, some corners, 50 connectors, one or two roofs, maybe a battery, a
        building load."""
        name, role = _zone(zone), "slave" if zone else "master"
        self.to.controllers.append(
            f"{{id: c-{name}, role: {role}, drivers: [{{id: modbus-{name}, protocol: modbus}}]}}"
        )
        self._collector(
            name, f"t{zone * FEEDERS // ZONES + 1}", 400, "gG", metered_by=name, turn=zone,
            extra="fixed_reserve_a: 10, dynamic_reserve_connectors: 1, unmetered_load_a: 5",
        )  # fmt: skip
        leaves = list(self._tree_of(zone))
        for system in range(2 if zone < PV_SYSTEMS - ZONES else 1):
            self._pv(name, system)
        if zone % (ZONES // BATTERIES) == 0:
            self._battery(name)
        self._load(name)
        for number, (kind, first, count) in enumerate(_stations(zone)):
            self._station(name, kind, first, count, leaves[number % len(leaves)])

    def _tree_of(self, zone: int) -> Iterator[str]:
        """Collectors that connectors hang on: panels behind rows, corners behind some panels, one row without."""
        name = _zone(zone)
        for row in range(ROWS_PER_ZONE):
            self._collector(f"{name}-r{row + 1}", name, 160, "gG", metered_by=name if row == 0 else None, turn=row)
        yield f"{name}-r{ROWS_PER_ZONE}"
        for panel in range(PANELS_PER_ZONE):
            parent, own = f"{name}-r{panel % (ROWS_PER_ZONE - 1) + 1}", f"{name}-p{panel + 1}"
            self._collector(own, parent, 125, "mcb_c", turn=panel)
            yield own
            if panel < 2 and self._corners_left:
                self._corners_left -= 1
                self._collector(f"{own}-c", own, 63, "mcb_c", turn=panel + 1)
                yield f"{own}-c"

    def _collector(
        self, name: str, parent: str | None, rated_a: int, fuse: str, *, metered_by: str | None = None, extra: str = "",
        turn: int = 0,
    ) -> None:  # fmt: skip
        parts = [f"id: {name}", f"rated_current_a: {rated_a}", f"fuse: {fuse}"]
        if parent:
            parts += [f"parent: {parent}", f"phases: {ROTATIONS[turn % 3]}"]
        if metered_by:
            parts.append(f"meter: m-{name}")
            parts.append("on_lost_meter: {action: minimum, value_a: 6, timeout_s: 30}")
            self._device(f"d-{name}", "phoenix-eem-em3xx", metered_by)
            self.to.assets.append(f"{{kind: meter, id: m-{name}, device: d-{name}, poll_ms: {METER_POLL_MS}}}")
        else:
            parts.append("virtual: {unmetered_load_a: 0}")
        self.to.collectors.append("{" + ", ".join([*parts, *([extra] if extra else [])]) + "}")

    def _device(self, name: str, package: str, zone: str) -> None:
        self.to.devices.append(
            f"{{id: {name}, package: {package}, host: {self._addresses.next()}, port: 1502, driver: modbus-{zone}, "
            "simulated: true}"
        )

    def _pv(self, zone: str, number: int) -> None:
        name = f"{zone}-pv{number + 1}"
        self._device(f"d-{name}", "sunspec-pv-inverter", zone)
        self.to.assets.append(
            f"{{kind: pv, id: {name}, collector: {zone}, device: d-{name}, rated_power_w: 30000, poll_ms: 1000}}"
        )

    def _battery(self, zone: str) -> None:
        name = f"{zone}-bat"
        self._device(f"d-{name}", "sunspec-der-battery", zone)
        self.to.assets.append(
            f"{{kind: battery, id: {name}, collector: {zone}, device: d-{name}, capacity_wh: 120000, "
            "max_charge_w: 60000, max_discharge_w: 60000, poll_ms: 1000}"
        )

    def _load(self, zone: str) -> None:
        self._device(f"d-{zone}-load", "eastron-sdm630", zone)
        self.to.assets.append(
            f"{{kind: load, id: {zone}-load, collector: {zone}, device: d-{zone}-load, max_current_a: 40, "
            "poll_ms: 1000}"
        )

    def _station(self, zone: str, kind: str, first: int, count: int, collector: str) -> None:
        name = f"{zone}-s{first:02d}"
        package, watchdog_s = ("phoenix-charx-sec3xxx", 30) if kind == "charx" else ("alfen-ng9xx", 60)
        self._device(f"d-{name}", package, zone)
        connectors = ", ".join(
            f"{{id: {zone}-{first + i:02d}, collector: {collector}, instance: {i + 1}, "
            f"phases: {ROTATIONS[(first + i) % 3]}, max_current_a: 32}}"
            for i in range(count)
        )
        self.to.assets.append(
            f"{{kind: ac_charge_point, id: {name}, device: d-{name}, watchdog_s: {watchdog_s}, "
            f"connectors: [{connectors}]}}"
        )


def _zone(index: int) -> str:
    return f"z{index + 1:02d}"


def _stations(zone: int) -> Iterator[tuple[str, int, int]]:
    """Stations of a zone as (kind, first connector, connectors): even zones CHARX of four, odd ones Alfen doubles."""
    size = 2 if zone % 2 else 4
    for first in range(1, CONNECTORS_PER_ZONE + 1, size):
        yield "alfen" if zone % 2 else "charx", first, min(size, CONNECTORS_PER_ZONE + 1 - first)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT, help="default examples/full-site.yaml")
    parser.add_argument("--check", action="store_true", help="exit 1 when the file is not what this script makes")
    args = parser.parse_args()
    text = Builder().build()
    if not args.check:
        args.file.write_text(text)
        return 0
    if args.file.read_text() != text:
        print(f"{args.file} is not what tools/full_site.py makes: run `python tools/full_site.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
