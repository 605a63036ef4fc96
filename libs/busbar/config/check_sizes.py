"""Size limits of SC-3, fixed: per controller and per site; and networks that are not built yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from busbar.config.assets import AcChargePoint, Battery, ChargePoint, Meter, Pv
from busbar.config.draft import Draft
from busbar.config.problem import Problem, error
from busbar.domain.limits import PER_CONTROLLER, PER_SITE

_WORDS = {
    "protected_collectors": "protected collectors",
    "monitored_collectors": "collectors",
    "charge_points": "charge points",
    "pv_systems": "PV systems",
    "batteries": "batteries",
}


def check_network(draft: Draft) -> Iterator[Problem]:
    if draft.site and draft.site.network == "it_230":
        yield error("network_not_built", "site.network",
                    "in a network without neutral a 1-phase vehicle loads two conductors; that is not built yet",
                    "only `tn_400` sites can be protected by this version", value="it_230")  # fmt: skip


def check_timezone(draft: Draft) -> Iterator[Problem]:
    if draft.site is None:
        return
    try:
        ZoneInfo(draft.site.timezone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        yield error("unknown_timezone", "site.timezone", "this time zone is not known",
                    "write a name of the IANA database, as Europe/Brussels or UTC", value=draft.site.timezone,
                    entity=draft.site.id)  # fmt: skip


def check_sizes(draft: Draft) -> Iterator[Problem]:
    """What is counted stands in `domain.limits`; a fuse that only AC charge points share is not counted."""
    counts = _counts(draft)
    yield from _above("this site", PER_SITE, Counter(kind for kind, _ in counts))
    for item in draft.controllers:
        below = Counter(kind for kind, controller in counts if controller == item.it.id)
        yield from _above(f"controller {item.it.id!r}", PER_CONTROLLER, below)


def _above(what: str, limits: dict[str, int], counts: Counter[str]) -> Iterator[Problem]:
    for kind, most in limits.items():
        if counts[kind] > most:
            section = "collectors" if "collectors" in kind else "assets"
            yield error("too_many", section, f"{what} has more {_WORDS[kind]} than it may have",
                        f"at most {most} (SC-3): divide it among controllers or sites", value=counts[kind])  # fmt: skip


def _counts(draft: Draft) -> list[tuple[str, str | None]]:
    """Everything that SC-3 counts as (kind, controller). A collector belongs to the controller that reads its meter,
    a virtual one to the controller of the first asset below it, else to the first controller."""
    counts: list[tuple[str, str | None]] = []
    owner: dict[str, str | None] = {}
    other_than_ac_chargers: set[str] = set()
    chargers: set[str] = set()
    for item in draft.assets:
        asset, controller = item.it, _controller(draft, item.it.device)
        if isinstance(asset, ChargePoint):
            counts.append(("charge_points", controller))
            above = [c.id for outlet in asset.connectors for c in draft.chain(outlet.collector)]
            (chargers if isinstance(asset, AcChargePoint) else other_than_ac_chargers).update(above)
        elif not isinstance(asset, Meter):
            above = [c.id for c in draft.chain(asset.collector)]
            other_than_ac_chargers.update(above)
            counts += [("pv_systems", controller)] * isinstance(asset, Pv)
            counts += [("batteries", controller)] * isinstance(asset, Battery)
        else:
            above = []
        for collector in above:
            owner.setdefault(collector, controller)
    meters = {item.it.id: _controller(draft, item.it.device) for item in draft.assets}
    for entry in draft.collectors:
        collector_file = entry.it
        if collector_file.id in chargers and collector_file.id not in other_than_ac_chargers and collector_file.parent:
            continue
        kind = "monitored_collectors" if collector_file.monitored_only else "protected_collectors"
        first = _first(controller.it.id for controller in draft.controllers)
        counts.append((kind, meters.get(collector_file.meter or "") or owner.get(collector_file.id) or first))
    return counts


def _controller(draft: Draft, device: str | None) -> str | None:
    """The controller that talks to a device: that of its driver shard, else the first one."""
    item = draft.device(device)
    wanted = item.it.driver if item else None
    return _first(
        controller.it.id
        for controller in draft.controllers
        if wanted is None or any(shard.id == wanted for shard in controller.it.drivers)
    )


def _first(names: Iterable[str]) -> str | None:
    return next(iter(names), None)
