"""The tree of fuses: one grid connection, no loops, conductors that exist, metering that adds up (SC-2, SC-6, SPC-15).

**Unmeasured points.** What is not measured at a virtual collector (a load without a device, or an `unmetered_load_a`
above 0) is found as the nearest metered collector above minus all else below it: at most one such point in the region
of one meter, and none without a metered collector above. A load without a device directly on a metered collector is
such a point too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from busbar.config.assets import Connector, DcConnector, Flexible, Hanging, Load, Meter, rated_power_w
from busbar.config.draft import Draft, Item
from busbar.config.model import CollectorFile
from busbar.config.problem import Problem, error, warning
from busbar.domain.limits import MAX_LEVELS_BELOW_ROOT
from busbar.units import MIN_CURRENT_A, NOMINAL_VOLTAGE_V

_NAMES = ("L1", "L2", "L3")


def check_root(draft: Draft) -> Iterator[Problem]:
    if "collectors" in draft.broken:
        return
    roots = [item for item in draft.collectors if item.it.parent is None]
    if not roots:
        yield error("no_root", "collectors", "no collector is the grid connection",
                    "leave out `parent` of the collector at the grid connection")  # fmt: skip
    for extra in roots[1:]:
        yield error("two_roots", f"{extra.path}.parent", f"{roots[0].it.id!r} is the grid connection already",
                    f"give it a parent, as `parent: {roots[0].it.id}`", entity=extra.it.id)  # fmt: skip
    for root in roots[:1]:
        if tuple(root.it.phases) != _NAMES[: len(root.it.phases)]:
            yield error("root_rotated", f"{root.path}.phases", "the grid connection defines L1, L2 and L3",
                        "leave `phases` out here and state rotations below", value=root.it.phases,
                        entity=root.it.id)  # fmt: skip


def check_loops(draft: Draft) -> Iterator[Problem]:
    for item in draft.collectors:
        chain = draft.chain(item.it.id)
        top = chain[-1] if chain else item.it
        if top.parent is not None and top.parent in [c.id for c in chain]:
            around = " -> ".join([c.id for c in chain] + [top.parent])
            yield error("loop", f"{item.path}.parent", f"this leads in a loop: {around}",
                        "let each collector lead to the grid connection", value=item.it.parent,
                        entity=item.it.id)  # fmt: skip
        elif len(chain) - 1 > MAX_LEVELS_BELOW_ROOT:
            yield error("too_deep", f"{item.path}.parent", f"it stands {len(chain) - 1} levels below {top.id!r}",
                        f"at most {MAX_LEVELS_BELOW_ROOT} levels (SC-3): hang it higher", value=item.it.parent,
                        entity=item.it.id)  # fmt: skip


def check_phases(draft: Draft) -> Iterator[Problem]:
    """No conductor twice, and only conductors that the collector above has (SC-2)."""
    for item in draft.collectors:
        yield from _conductors(f"{item.path}.phases", item.it.id, item.it.phases, draft.collector(item.it.parent))
    for hanging in draft.hanging():
        above = draft.collector(hanging.it.collector)
        if isinstance(hanging.it, DcConnector):
            yield from _all_conductors(Item(hanging.path, hanging.it), above)
            continue
        yield from _conductors(f"{hanging.path}.phases", hanging.it.id, hanging.it.phases, above)
    measured = {item.it.meter: item for item in draft.collectors if item.it.meter}
    for asset in draft.assets:
        if isinstance(asset.it, Meter):
            collector = measured.get(asset.it.id)
            yield from _conductors(f"{asset.path}.phases", asset.it.id, asset.it.phases, collector)
            if collector and len(asset.it.phases) < len(collector.it.phases):
                yield error("unmeasured_phase", f"{asset.path}.phases",
                            f"{collector.it.id!r} has {len(collector.it.phases)} conductors, not all are measured",
                            "list every conductor of the collector", value=asset.it.phases,
                            entity=asset.it.id)  # fmt: skip


def _conductors(path: str, entity: str, phases: Sequence[str], above: Item[CollectorFile] | None) -> Iterator[Problem]:
    if len(set(phases)) != len(phases):
        yield error("phase_twice", path, "a conductor stands twice", "list each of L1, L2, L3 at most once",
                    value=list(phases), entity=entity)  # fmt: skip
    if above is None:
        return
    own = _NAMES[: len(above.it.phases)]
    missing = [phase for phase in phases if phase not in own]
    if missing:
        yield error("no_such_phase", path, f"{above.it.id!r} has no conductor {' or '.join(missing)}",
                    f"write `phases: [{', '.join(own[: len(phases)])}]`", value=list(phases),
                    entity=entity)  # fmt: skip


def _all_conductors(item: Item[DcConnector], above: Item[CollectorFile] | None) -> Iterator[Problem]:
    if above is not None and len(above.it.phases) < 3:
        yield error("no_such_phase", f"{item.path}.collector",
                    f"a DC outlet needs three conductors, {above.it.id!r} has {len(above.it.phases)}",
                    "hang it on a collector with three", value=above.it.id, entity=item.it.id)  # fmt: skip


def check_metering(draft: Draft) -> Iterator[Problem]:
    by_meter: dict[str, str] = {}
    for item in draft.collectors:
        collector = item.it
        if collector.meter and collector.virtual:
            yield error("meter_and_virtual", f"{item.path}.virtual", "a collector is metered or virtual, not both",
                        "remove `virtual` or `meter`", entity=collector.id)  # fmt: skip
        if not collector.meter and not collector.virtual:
            yield error("no_meter", f"{item.path}.meter", "nothing says how this collector is measured",
                        "name its `meter`, or write `virtual: {unmetered_load_a: ...}` (SC-2)",
                        entity=collector.id)  # fmt: skip
        if collector.meter in by_meter:
            yield error("meter_twice", f"{item.path}.meter", f"it measures {by_meter[collector.meter]!r} already",
                        "give each metered collector a meter of its own", value=collector.meter,
                        entity=collector.id)  # fmt: skip
        elif collector.meter:
            by_meter[collector.meter] = collector.id
        if collector.virtual and collector.unmetered_load_a > 0:
            yield error("unmetered_twice", f"{item.path}.unmetered_load_a",
                        "this field is for metered collectors", "state it inside `virtual`",
                        value=collector.unmetered_load_a, entity=collector.id)  # fmt: skip
    for asset in draft.assets:
        if isinstance(asset.it, Meter) and asset.it.id not in by_meter and "collectors" not in draft.broken:
            yield warning("meter_of_nothing", asset.path, "this meter measures no collector: it is only reported",
                          "name it as `meter` of a collector, or leave it", entity=asset.it.id)  # fmt: skip


def check_virtual(draft: Draft) -> Iterator[Problem]:
    """At most one unmeasured point in the region of one meter (SPC-15)."""
    if "collectors" in draft.broken:
        return
    regions: dict[str, list[tuple[str, str]]] = {}
    for path, entity, collector in _unmeasured(draft):
        chain = draft.chain(collector)
        metered = next((c for c in chain if c.meter), None)
        if metered is None and (not chain or chain[-1].parent is not None):
            continue  # the way up is broken, which is said elsewhere
        if metered is None:
            yield error("unmeasurable", path, "no metered collector stands above what is not measured here",
                        "meter it, or a collector above it", entity=entity)  # fmt: skip
            continue
        others = regions.setdefault(metered.id, [])
        others.append((path, entity))
        if len(others) > 1:
            yield error("two_unmeasured", path,
                        f"below the meter of {metered.id!r} {others[0][1]!r} is not measured either: "
                        "what two of them draw cannot be told apart",
                        "meter all but one of them (a virtual collector without any such load says 0)",
                        entity=entity)  # fmt: skip
        elif metered.unmetered_load_a > 0 and isinstance(_load(draft, entity), Load):
            yield warning("one_unknown", path,
                          f"this load and the unmetered load of {metered.id!r} are one unknown and reported together",
                          "give the load a meter to see it apart", entity=entity)  # fmt: skip


def _unmeasured(draft: Draft) -> Iterator[tuple[str, str, str]]:
    for item in draft.collectors:
        if item.it.virtual and item.it.virtual.unmetered_load_a > 0:
            yield f"{item.path}.virtual.unmetered_load_a", item.it.id, item.it.id
    for asset in draft.assets:
        if isinstance(asset.it, Load) and asset.it.device is None:
            yield asset.path, asset.it.id, asset.it.collector


def _load(draft: Draft, entity: str) -> object:
    return next((asset.it for asset in draft.assets if asset.it.id == entity), None)


def check_lost_meter(draft: Draft) -> Iterator[Problem]:
    """FB-2: what the shorthand rule of a collector says must be possible."""
    meters = {asset.it.id: asset.it for asset in draft.assets if isinstance(asset.it, Meter)}
    for item in draft.collectors:
        lost, path = item.it.on_lost_meter, f"{item.path}.on_lost_meter"
        stated = item.it.virtual is not None or "unmetered_load_a" in item.it.model_fields_set
        if lost.action == "ignore_lost_meter" and not stated:
            yield error("ignored_without_bound", f"{path}.action",
                        "to work on without a meter the worst case of what is not controlled must be known",
                        "state `unmetered_load_a` of this collector (FB-2)", value=lost.action,
                        entity=item.it.id)  # fmt: skip
        if lost.action == "minimum" and 0 < lost.value_a < MIN_CURRENT_A:
            yield error("no_such_current", f"{path}.value_a", "a connector has 0 A or at least 6 A",
                        "write 0 or 6 or more", value=lost.value_a, entity=item.it.id)  # fmt: skip
        meter = meters.get(item.it.meter or "")
        if meter and 3 * meter.poll_ms / 1000 > lost.timeout_s:
            yield error("always_lost", f"{path}.timeout_s",
                        f"its meter is polled every {meter.poll_ms} ms and would always count as lost",
                        f"at least 3 polls: {3 * meter.poll_ms / 1000:g} s or more, or poll more often",
                        value=lost.timeout_s, entity=item.it.id)  # fmt: skip


def check_ratings(draft: Draft) -> Iterator[Problem]:
    for item in draft.collectors:
        above = draft.collector(item.it.parent)
        if above is None:
            continue
        for own, name in enumerate(item.it.phases):
            parents = rating_a(above.it, _NAMES.index(name))
            if rating_a(item.it, own) > parents:
                yield warning("rated_above_parent", f"{item.path}.rated_current_a",
                              f"{_NAMES[own]} is rated higher than {name} of {above.it.id!r} ({parents:g} A)",
                              "check both ratings; the smaller one protects", value=item.it.rated_current_a,
                              entity=item.it.id)  # fmt: skip
                break
    for hanging in draft.hanging():
        collector = draft.collector(hanging.it.collector)
        if collector and all(name in _NAMES[: len(collector.it.phases)] for name in hanging.it.phases):
            yield from _hangs(hanging, collector.it)


def _hangs(item: Item[Connector | DcConnector | Hanging], collector: CollectorFile) -> Iterator[Problem]:
    rated = min(rating_a(collector, _NAMES.index(name)) for name in item.it.phases)
    if isinstance(item.it, Connector):
        if rated < MIN_CURRENT_A:
            yield error("fuse_too_small", f"{item.path}.collector",
                        f"the fuse of {collector.id!r} is rated {rated:g} A, a vehicle needs 6 A",
                        "correct the rating, or hang the connector elsewhere", value=collector.id,
                        entity=item.it.id)  # fmt: skip
        elif item.it.max_current_a > rated:
            yield warning("max_above_fuse", f"{item.path}.max_current_a",
                          f"it is above the rating of {collector.id!r} ({rated:g} A)",
                          "state what cable and outlet may carry", value=item.it.max_current_a,
                          entity=item.it.id)  # fmt: skip
    elif isinstance(item.it, DcConnector | Flexible):
        peak_w = item.it.max_power_w if isinstance(item.it, DcConnector) else rated_power_w(item.it)
        peak_a = peak_w / NOMINAL_VOLTAGE_V / len(item.it.phases)
        if peak_a > rated:
            yield warning("asset_above_fuse", item.path,
                          f"at full power it loads {collector.id!r} ({rated:g} A) with {peak_a:.0f} A a phase",
                          "check rating and power", value=peak_w, entity=item.it.id)  # fmt: skip


def rating_a(collector: CollectorFile, own_phase: int) -> float:
    rated = collector.rated_current_a
    return rated[own_phase] if isinstance(rated, list) else rated
