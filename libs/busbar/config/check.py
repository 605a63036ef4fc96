"""Everything that needs two entries of a site file at once (SC-1); each rule stands beside its words.

Each check takes a draft and yields what it finds, also when other parts of the file are broken. The fallback plan and
the fuse curves need the whole site: they are looked at when nothing else is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from busbar.config import check_devices, check_names, check_sizes, check_tree
from busbar.config.draft import Draft
from busbar.config.plan import FallbackPlan
from busbar.config.problem import Problem, error, warning
from busbar.config.protection import detection_s, protection, too_short
from busbar.config.site import Site

CHECKS: Final[tuple[Callable[[Draft], Iterator[Problem]], ...]] = (
    check_sizes.check_network,
    check_sizes.check_timezone,
    check_names.check_unique,
    check_names.check_orders,
    check_names.check_references,
    check_tree.check_root,
    check_tree.check_loops,
    check_tree.check_phases,
    check_tree.check_metering,
    check_tree.check_virtual,
    check_tree.check_lost_meter,
    check_tree.check_ratings,
    check_devices.check_addresses,
    check_devices.check_packages,
    check_devices.check_instances,
    check_names.check_rules,
    check_names.check_controllers,
    check_sizes.check_sizes,
)


def check(draft: Draft) -> list[Problem]:
    """All findings about a draft, errors and warnings, in the order of the checks."""
    return [problem for rule in CHECKS for problem in rule(draft)]


def check_plan(draft: Draft, plan: FallbackPlan) -> Iterator[Problem]:
    """Every fuse holds in fallback (FB-3), else the file is refused naming the fuse."""
    for load in plan.fuses:
        item = draft.collector(load.collector)
        if load.excess is not None and item is not None:
            yield error("fallback_too_much", f"{item.path}.rated_current_a",
                        f"in fallback this fuse carries {load.excess}, though all connectors that may stop do",
                        "reduce the worst case below it (loads, unmetered_load_a, devices booked at their maximum), "
                        "or correct the rating", value=item.it.rated_current_a, entity=item.it.id)  # fmt: skip


def check_protection(draft: Draft, site: Site) -> Iterator[Problem]:
    """What the fuses bear while control cannot help: holding, a sudden load, a watchdog (`protection`)."""
    for exposure in protection(site, site.packages).exposures:
        collector = exposure.collector
        item = draft.collector(collector.id)
        if item is None:
            continue
        if too_short(exposure):
            yield error("hold_too_long", f"{item.path}.fixed_reserve_a",
                        f"if all generation below is lost, this fuse ({collector.file.fuse}) carries "
                        f"{exposure.held_ratio():.2f} times its rating for longer than half its curve allows",
                        "a larger fixed reserve, another fuse, or less generation below",
                        value=collector.file.fixed_reserve_a, entity=collector.id)  # fmt: skip
        needed = exposure.needed_reserve_a(detection_s(site, collector))
        if needed > collector.file.fixed_reserve_a:
            yield warning("reserve_small", f"{item.path}.fixed_reserve_a",
                          f"a sudden load may trip this fuse ({collector.file.fuse}) before control has acted",
                          f"write {math.ceil(needed)} or more (SPC-5)", value=collector.file.fixed_reserve_a,
                          entity=collector.id)  # fmt: skip
