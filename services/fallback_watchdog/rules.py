"""The rules of a site: what the site file says, and what failure.md asks of every site. Pure.

| rule | silent after | bound |
|---|---|---|
| meter of a collector (`on_lost_meter`) | its timeout | its action on all connectors below the collector |
| meter of a collector that is only monitored, without `on_lost_meter` | 30 s | none: told; no fuse rests on it |
| written rule (`fallback_rules`) | its timeout | its action on all connectors below its collector |
| snapshots, allocator's heartbeat | `fallback_timeout_s` | the fallback plan's value of each connector |
| heartbeat of a driver, the aggregator, the allocator | 3 s | none: told |
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from busbar.config.plan import fallback_plan
from busbar.config.site import Collector, Site
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import FALLBACK_TIMEOUT_S, HEARTBEAT_TIMEOUT_S
from busbar.events import Measurement
from busbar.registry import SERVICES
from fallback_watchdog.core import Rule

SNAPSHOTS: Final = "snapshot"
"""The sign of a snapshot."""
CHARGERS: Final = (AssetKind.AC_CONNECTOR, AssetKind.DC_CONNECTOR)
DRIVER: Final = "field-driver-modbus"
AGGREGATOR: Final = "collector-aggregator"
ALLOCATOR: Final = "spc-allocator"
SELF: Final = "fallback-watchdog"

_NEEDED: Final = {
    phases: (
        ("power_w",),
        *(tuple(f"{quantity}_l{n}_{unit}" for n in range(1, phases + 1)) for quantity, unit in
          (("power", "w"), ("current", "a"))),
    )
    for phases in (1, 2, 3)
}  # fmt: skip
"""Any one of these sets of points makes a meter's value usable, by its number of phases."""

_METER_REMEDY: Final = "check the meter, its cable and its driver"
_SERVICE_REMEDY: Final = "its supervisor starts it again; see its log"


def rules_of(site: Site) -> list[Rule]:
    """All rules, in a fixed order."""
    rules = [rule for collector in site.collectors if (rule := _of_collector(site, collector)) is not None]
    rules += [_written(site, index) for index in range(len(site.file.fallback_rules))]
    taken = {rule.id for rule in rules} | set(site.entities)
    rules += _of_plan(site, "snapshots", "collector-aggregator gives no snapshot", (SNAPSHOTS,), taken)
    rules += _of_plan(site, ALLOCATOR, f"{ALLOCATOR} gives no sign of life", (f"service:{ALLOCATOR}",), taken)
    return rules + _told(site, taken)


def usable(event: Measurement, phases: int) -> bool:
    """True where control can use it: powers or currents of every phase, or the total power, finite and of good
    quality."""
    if not event.reachable:
        return False
    for names in _NEEDED[phases]:
        for name in names:
            value = event.number(name)
            if value is None or not isfinite(value):
                break
        else:
            return True
    return False


def _of_collector(site: Site, collector: Collector) -> Rule | None:
    """A collector's own setting: the rule with its own meter as trigger (FB-2)."""
    meter, lost = collector.file.meter, collector.file.on_lost_meter
    if meter is None:
        return None
    bounds = {"disable": 0.0, "minimum": lost.value_a}
    if collector.file.monitored_only and "on_lost_meter" not in collector.file.model_fields_set:
        bounds = {}  # a default must not bind the consumers of a fuse that nothing protects
    return Rule(
        id=meter, about=meter, words=_meter_words(site, meter), remedy=_METER_REMEDY, signs=(f"meter:{meter}",),
        timeout_s=lost.timeout_s, gap_s=_meter_gap_s(site, meter), assets=_below(site, collector.id),
        max_current_a=bounds.get(lost.action),
    )  # fmt: skip


def _written(site: Site, index: int) -> Rule:
    rule = site.file.fallback_rules[index]
    kind, _, name = rule.trigger.partition(":")
    gap_s, remedy = _beat_gap_s(site), _SERVICE_REMEDY
    signs: tuple[str, ...] = ()
    if kind == "meter":
        signs, gap_s, remedy = (f"meter:{name}",), _meter_gap_s(site, name), _METER_REMEDY
        words = _meter_words(site, name)
    elif kind == "controller":
        signs, remedy = _signs_of_controller(site, name), "check the machine and its network"
        words = f"no service of controller {name} gives a sign of life"
    else:
        signs, words = _signs_of_service(site, name), f"{name} gives no sign of life"
    return Rule(
        id=rule.id, about=name, words=words, remedy=remedy, signs=signs, timeout_s=rule.timeout_s,
        every=kind != "controller", gap_s=gap_s, assets=_below(site, rule.collector),
        max_current_a=0.0 if rule.action == "disable" else rule.value_a,
    )  # fmt: skip


def _of_plan(site: Site, name: str, words: str, signs: tuple[str, ...], taken: set[str]) -> list[Rule]:
    """Without the brain of the site every connector is at its value of the fallback plan: one rule a value."""
    by_value: dict[float, list[str]] = {}
    for connector, value_a in fallback_plan(site).value_a.items():
        by_value.setdefault(value_a, []).append(connector)
    return [
        Rule(
            id=_unused(name, taken), about=name, words=words, remedy=_SERVICE_REMEDY, signs=signs,
            timeout_s=max(site.options.fallback_timeout_s, 3.0 * _cycle_s(site)), gap_s=_beat_gap_s(site),
            assets=tuple(by_value[value_a]), max_current_a=value_a,
        )
        for value_a in sorted(by_value)
    ]  # fmt: skip


def _told(site: Site, taken: set[str]) -> list[Rule]:
    """Services without which nobody is controlled: people are told within 3 s (failure.md, Who acts, when)."""
    instances = [(DRIVER, shard.id) for controller in site.controllers for shard in controller.drivers]
    watched = [(AGGREGATOR, ""), (ALLOCATOR, ""), *instances]
    rules = []
    for service, instance in watched:
        name = f"{service}/{instance}" if instance else service
        about = instance or service
        timeout_s = HEARTBEAT_TIMEOUT_S if instance else max(HEARTBEAT_TIMEOUT_S, 3.0 * _cycle_s(site))
        rules.append(
            Rule(
                id=_unused(about, taken), about=about, words=f"{name.replace('/', ' ')} gives no sign of life",
                remedy=_SERVICE_REMEDY, signs=(f"service:{name}",), timeout_s=timeout_s, gap_s=timeout_s,
                grace_s=FALLBACK_TIMEOUT_S,
            )
        )  # fmt: skip
    return rules


def _signs_of_service(site: Site, name: str) -> tuple[str, ...]:
    """A service that runs once a driver shard is silent when one of its instances is."""
    service = SERVICES.get(name)
    if service is None or not service.per_driver:
        return (f"service:{name}",)
    return tuple(f"service:{name}/{shard.id}" for controller in site.controllers for shard in controller.drivers)


def _signs_of_controller(site: Site, name: str) -> tuple[str, ...]:
    """Its drivers; on the master also what runs once for the site, but not this watchdog itself."""
    controller = next(c for c in site.controllers if c.id == name)
    signs = [f"service:{DRIVER}/{shard.id}" for shard in controller.drivers]
    if controller.role == "master":
        signs += [f"service:{s.name}" for s in SERVICES.values() if not s.per_driver and s.name != SELF]
    return tuple(signs)


def _below(site: Site, collector: str) -> tuple[str, ...]:
    return tuple(e.id for e in site.below(collector) if e.kind in CHARGERS)


def _meter_words(site: Site, meter: str) -> str:
    return f"{site.entities[meter].name} ({meter}) gives no usable value"


def _meter_gap_s(site: Site, meter: str) -> float:
    return max(3.0, 3.0 * site.entities[meter].poll_ms / 1000.0)


def _cycle_s(site: Site) -> float:
    return site.options.cycle_ms / 1000.0


def _beat_gap_s(site: Site) -> float:
    return max(HEARTBEAT_TIMEOUT_S, 3.0 * _cycle_s(site))


def _unused(name: str, taken: set[str]) -> str:
    """`name`, or the first of `name-2`, `name-3` ... that nothing in the site file is called."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found
