"""Devices: addresses, packages and what hangs on them (FC-5, FB-3)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from busbar.config.assets import AcChargePoint, Battery, ChargePoint, DcChargePoint, rated_power_w
from busbar.config.draft import Draft, Item
from busbar.config.model import Device
from busbar.config.packages import PackageFacts
from busbar.config.problem import Problem, error, warning
from busbar.units import MIN_CURRENT_A, THREE_PHASE_V

_CLASS = {
    "ac_charge_point": "ac_charger", "dc_charge_point": "dc_charger", "meter": "meter", "load": "meter",
    "pv": "pv_inverter", "wind": "wind_turbine", "chp": "chp", "battery": "battery", "heat_pump": "heat_pump",
    "e_boiler": "e_boiler", "thermal_storage": "thermal_storage",
}  # fmt: skip
"""Class of device package that each kind of asset needs."""
_FASTEST_PER_H = 6.0
"""Power over capacity of the quickest batteries there are."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def check_addresses(draft: Draft) -> Iterator[Problem]:
    taken: dict[tuple[str, int, int | None], str] = {}
    for item in draft.devices:
        device, facts = item.it, draft.facts(item.it.id)
        unit = device.unit_id if device.unit_id is not None else facts.unit_id if facts else None
        address = (device.host.lower(), device.port, unit)
        if address in taken:
            yield error("address_twice", f"{item.path}.host", f"{taken[address]!r} has this host, port and unit id",
                        "give each device an address or unit id of its own",
                        value=f"{device.host}:{device.port}" + (f" unit {unit}" if unit is not None else ""),
                        entity=device.id)  # fmt: skip
        taken.setdefault(address, device.id)
        yield from _host(item)


def _host(item: Item[Device]) -> Iterator[Problem]:
    host, path = item.it.host, f"{item.path}.host"
    address = _ip(host)
    if address is None and not _HOST.fullmatch(host):
        yield error("bad_host", path, "this is no host name or IP address", "write it without scheme, port or spaces",
                    value=host, entity=item.it.id)  # fmt: skip
    elif item.it.simulated and not (host == "localhost" or (address is not None and address.is_loopback)):
        yield error("simulated_elsewhere", path, "a simulated device is played on this machine only",
                    "use a loopback address as 127.0.42.1, or `simulated: false`", value=host,
                    entity=item.it.id)  # fmt: skip


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def check_packages(draft: Draft) -> Iterator[Problem]:
    """The package fits the asset; a charger can be trusted when nobody talks to it (failure.md, The fallback plan)."""
    for asset in draft.assets:
        facts = draft.facts(asset.it.device)
        if facts is None:
            continue
        wanted = _CLASS[asset.it.kind]
        if facts.device_class != wanted:
            yield error("wrong_class", f"{asset.path}.device",
                        f"its device package is for the class {facts.device_class!r}, this asset needs {wanted!r}",
                        "name another device, or another package of the device", value=asset.it.device,
                        entity=asset.it.id)  # fmt: skip
        elif isinstance(asset.it, ChargePoint):
            yield from _watchdog(asset.path, asset.it, facts)
            if isinstance(asset.it, AcChargePoint):
                yield from _stated_fallback(asset.path, asset.it, facts)
                yield from _phase_switching(asset.path, asset.it, facts)
            else:
                yield from _smallest_power(asset.path, asset.it, facts)
        elif isinstance(asset.it, Battery):
            yield from _battery(asset.path, asset.it, facts)


def _watchdog(path: str, charger: ChargePoint, facts: PackageFacts) -> Iterator[Problem]:
    if facts.fallback_a == "unknown" and not charger.book_at_max_when_lost:
        yield error("no_fallback", f"{path}.book_at_max_when_lost",
                    "the device has no known watchdog and fallback: lost, it may draw its maximum",
                    "write `book_at_max_when_lost: true` to accept that, or use another charger",
                    entity=charger.id)  # fmt: skip
    span = facts.watchdog_range_s
    if span and not span[0] <= charger.watchdog_s <= span[1]:
        yield error("out_of_range", f"{path}.watchdog_s", "the device does not take this watchdog time",
                    f"write {span[0]:g} to {span[1]:g} s", value=charger.watchdog_s, entity=charger.id)  # fmt: skip
    stated = "watchdog_s" in charger.model_fields_set
    if stated and facts.watchdog_s not in (None, charger.watchdog_s):
        yield warning("fixed_watchdog", f"{path}.watchdog_s",
                      f"the watchdog time of this device is {facts.watchdog_s:g} s and cannot be written",
                      f"leave it out, or write {facts.watchdog_s:g}", value=charger.watchdog_s,
                      entity=charger.id)  # fmt: skip
    if not facts.proven:
        yield warning("unproven", f"{path}.device", "nobody but us says that the register map of its package is right",
                      "it is read, not controlled, unless forced", value=charger.device,
                      entity=charger.id)  # fmt: skip


def _stated_fallback(path: str, charger: AcChargePoint, facts: PackageFacts) -> Iterator[Problem]:
    stated_a = charger.fallback_a
    if stated_a is not None and facts.fallback_a != "by_hand":
        yield warning("fallback_not_by_hand", f"{path}.fallback_a",
                      "the fallback of this device is written by the driver or fixed, this value is not used",
                      "leave it out", value=stated_a, entity=charger.id)  # fmt: skip
    elif stated_a is not None and 0 < stated_a < MIN_CURRENT_A:
        yield error("no_such_current", f"{path}.fallback_a", "a connector has 0 A or at least 6 A",
                    "write 0 or 6 or more", value=stated_a, entity=charger.id)  # fmt: skip


def _phase_switching(path: str, charger: AcChargePoint, facts: PackageFacts) -> Iterator[Problem]:
    """SPC-20: only where there is something to switch, and a way to see that it was."""
    for number, connector in enumerate(charger.connectors):
        if connector.phase_switching == "off":
            continue
        place = f"{path}.connectors[{number}].phase_switching"
        if facts.phase_switch is None:
            yield error("no_phase_switch", place, "its device package knows no way to switch phases and to see it done",
                        "leave it out, or use a package that can", entity=connector.id)  # fmt: skip
        if len(connector.phases) != 3:
            yield error("few_phases", place, "it is not wired to three conductors: there is nothing to switch",
                        "leave it out", value=connector.phases, entity=connector.id)  # fmt: skip


def _smallest_power(path: str, charger: DcChargePoint, facts: PackageFacts) -> Iterator[Problem]:
    for number, connector in enumerate(charger.connectors):
        least_w = facts.minimum_a * THREE_PHASE_V
        if connector.max_power_w < max(least_w, connector.min_power_w or 0.0):
            yield error("below_minimum", f"{path}.connectors[{number}].max_power_w",
                        "the outlet may draw less than the smallest power at which it charges",
                        f"write {max(least_w, connector.min_power_w or 0.0):g} W or more, or another `min_power_w`",
                        value=connector.max_power_w, entity=connector.id)  # fmt: skip


def _battery(path: str, battery: Battery, facts: PackageFacts) -> Iterator[Problem]:
    """It stops by itself when nobody talks to it, else fuses must bear its charging for ever; figures fit together."""
    span = facts.watchdog_range_s
    if span and not span[0] <= battery.watchdog_s <= span[1]:
        yield error("out_of_range", f"{path}.watchdog_s", "the device does not take this watchdog time",
                    f"write {span[0]:g} to {span[1]:g} s", value=battery.watchdog_s, entity=battery.id)  # fmt: skip
    if facts.on_silence != "zero":
        yield warning("no_stop", f"{path}.device",
                      "the device is not known to stop by itself: lost, it is booked charging with all its power",
                      "use one with a watchdog, or accept it", value=battery.device, entity=battery.id)  # fmt: skip
    if not facts.proven:
        yield warning("unproven", f"{path}.device", "nobody but us says that the register map of its package is right",
                      "it is read, not controlled, unless forced", value=battery.device,
                      entity=battery.id)  # fmt: skip
    if rated_power_w(battery) > _FASTEST_PER_H * battery.capacity_wh:
        yield warning("small_capacity", f"{path}.capacity_wh",
                      f"it would be full or empty within {60 / _FASTEST_PER_H:g} minutes",
                      "check the unit: it is Wh", value=battery.capacity_wh, entity=battery.id)  # fmt: skip


def check_instances(draft: Draft) -> Iterator[Problem]:
    """One entity an instance of a device, and no instance that the package does not know."""
    taken: dict[tuple[str, int], str] = {}
    for path, entity, device, instance in _uses(draft):
        key = (device, instance)
        if key in taken:
            yield error("instance_twice", path, f"{taken[key]!r} is instance {instance} of device {device!r} already",
                        "give each its own `instance` or device", value=instance, entity=entity)  # fmt: skip
        taken.setdefault(key, entity)
        facts = draft.facts(device)
        if facts and not facts.instances[0] <= instance <= facts.instances[1]:
            low, high = facts.instances
            yield error("no_such_instance", path, f"a device of this package has the instances {low} to {high}",
                        f"write {low} to {high}" if high > low else f"write {low}", value=instance,
                        entity=entity)  # fmt: skip
    if "assets" not in draft.broken:
        used = {device for device, _ in taken}
        for item in draft.devices:
            if item.it.id not in used:
                yield warning("unused_device", item.path, "no asset uses this device", "add the asset, or remove it",
                              entity=item.it.id)  # fmt: skip


def _uses(draft: Draft) -> Iterator[tuple[str, str, str, int]]:
    for connector, charger in draft.connectors():
        yield f"{connector.path}.instance", connector.it.id, charger.device, connector.it.instance
    for asset in draft.assets:
        if not isinstance(asset.it, ChargePoint) and asset.it.device is not None:
            yield f"{asset.path}.device", asset.it.id, asset.it.device, 1
