"""Ids and what refers to them: unique, existing, of the right kind (SC-1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from busbar.config.assets import ChargePoint, Meter
from busbar.config.draft import Draft
from busbar.config.model import SurplusKind, YieldKind
from busbar.config.problem import Problem, error, warning
from busbar.config.shape import nearest

_ARTICLE = {
    "ac_charge_point": "an AC charge point", "dc_charge_point": "a DC charge point", "load": "a load",
    "pv": "a PV system", "meter": "a meter",
}  # fmt: skip
_SECTION_OF = {"collector": "collectors", "device": "devices", "meter": "assets", "driver": "controllers"}


def check_unique(draft: Draft) -> Iterator[Problem]:
    """One namespace: an id becomes a token of subjects, and of what a person types."""
    for name, uses in draft.ids.items():
        for again in uses[1:]:
            first = uses[0]
            message = f"this id stands twice: it is {_a(first.kind)} at {first.path}"
            remedy = "give each entity of the site an id of its own"
            yield error("double_id", f"{again.path}.id", message, remedy, value=name, entity=name)
        if name in draft.services:
            remedy = "choose an id that is no service's name"
            yield error("reserved_id", f"{uses[0].path}.id", "this is the name of a service", remedy, value=name)


def check_orders(draft: Draft) -> Iterator[Problem]:
    """An order of kinds says of each exactly once where it stands (SPC-24)."""
    for field, kinds in (("surplus_order", get_args(SurplusKind)), ("yield_order", get_args(YieldKind))):
        found: list[str] = getattr(draft.options, field)
        twice = [kind for kind in kinds if found.count(kind) > 1]
        missing = [kind for kind in kinds if kind not in found]
        if twice or missing:
            words = [f"{kind} stands twice" for kind in twice] + [f"{kind} is missing" for kind in missing]
            whole = [*dict.fromkeys(found), *missing]
            yield error("order_of_kinds", f"options.{field}", f"an order names each kind once: {', '.join(words)}",
                        f"write [{', '.join(whole)}] or another order of these", value=found)  # fmt: skip


def check_references(draft: Draft) -> Iterator[Problem]:
    for collector in draft.collectors:
        yield from _refers(draft, f"{collector.path}.parent", collector.it.id, collector.it.parent, "collector")
        yield from _refers(draft, f"{collector.path}.meter", collector.it.id, collector.it.meter, "meter")
    for device in draft.devices:
        yield from _refers(draft, f"{device.path}.driver", device.it.id, device.it.driver, "driver")
    for asset in draft.assets:
        yield from _refers(draft, f"{asset.path}.device", asset.it.id, asset.it.device, "device")
        if not isinstance(asset.it, ChargePoint | Meter):
            yield from _refers(draft, f"{asset.path}.collector", asset.it.id, asset.it.collector, "collector")
    for connector, _ in draft.connectors():
        yield from _refers(draft, f"{connector.path}.collector", connector.it.id, connector.it.collector, "collector")
    for rule in draft.rules:
        yield from _refers(draft, f"{rule.path}.collector", rule.it.id, rule.it.collector, "collector")


def _refers(draft: Draft, path: str, entity: str, target: str | None, kind: str) -> Iterator[Problem]:
    if target is None or any(use.kind == kind for use in draft.ids.get(target, ())):
        return
    known = draft.named(kind)
    if target in draft.ids:
        message = f"{target!r} is {_a(draft.ids[target][0].kind)}, not {_a(kind)}"
    elif _SECTION_OF[kind] in draft.broken and not known:
        return
    else:
        message = f"there is no {kind} {target!r} in this site"
    close = nearest(target, known)
    listed = ", ".join(known[:8]) + (", ..." if len(known) > 8 else "")
    remedy = f"write {close!r}" if close else f"write one of {listed}" if known else f"add {_a(kind)} of that id"
    yield error("unknown_reference", path, message, remedy, value=target, entity=entity)


def check_rules(draft: Draft) -> Iterator[Problem]:
    """Fallback rules: the trigger exists, the value is one that a connector can have (FB-2)."""
    for rule in draft.rules:
        what, _, name = rule.it.trigger.partition(":")
        known = {
            "meter": draft.named("meter"),
            "controller": draft.named("controller"),
            "service": sorted(draft.services),
        }.get(what)
        path = f"{rule.path}.trigger"
        if known is None or not name:
            remedy = "write `meter:ID`, `service:NAME` or `controller:ID`"
            yield error("bad_trigger", path, "a trigger names what may fall silent", remedy,
                        value=rule.it.trigger, entity=rule.it.id)  # fmt: skip
        elif name not in known:
            close = nearest(name, known)
            remedy = f"write `{what}:{close}`" if close else f"write one of {', '.join(known) or 'none exist'}"
            yield error("unknown_reference", path, f"there is no {what} {name!r}", remedy,
                        value=rule.it.trigger, entity=rule.it.id)  # fmt: skip
        if rule.it.action == "minimum" and 0 < rule.it.value_a < 6:
            yield error("no_such_current", f"{rule.path}.value_a", "a connector has 0 A or at least 6 A",
                        "write 0 or 6 or more", value=rule.it.value_a, entity=rule.it.id)  # fmt: skip
        if not _connectors_below(draft, rule.it.collector) and not draft.broken:
            yield warning("rule_without_effect", f"{rule.path}.collector", "no connector hangs below this collector",
                          "name a collector with charge points, or remove the rule",
                          value=rule.it.collector, entity=rule.it.id)  # fmt: skip


def check_controllers(draft: Draft) -> Iterator[Problem]:
    """One master (MC-1)."""
    if "controllers" in draft.broken:
        return
    masters = [item for item in draft.controllers if item.it.role == "master"]
    if not masters:
        yield error("no_master", "controllers", "no controller is the master", "give one controller `role: master`")
    for extra in masters[1:]:
        yield error("two_masters", f"{extra.path}.role", f"{masters[0].it.id!r} is the master already",
                    "write `role: slave`", value="master", entity=extra.it.id)  # fmt: skip


def _connectors_below(draft: Draft, collector: str) -> bool:
    return any(collector in [c.id for c in draft.chain(item.it.collector)] for item, _ in draft.connectors())


def _a(kind: str) -> str:
    return _ARTICLE.get(kind, f"a {kind}")
