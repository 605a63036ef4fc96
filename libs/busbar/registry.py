"""Which services exist: name on the command line and the bus -> where its actor lives, loaded late.

Libraries never import services; this table of names is how `busbar run`, `busbar up` and the simulator find them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from busbar.actor import Actor


@dataclass(frozen=True, slots=True)
class Service:
    """One startable service; `per_driver` ones run once for each driver shard of a controller."""

    name: str
    actor: str
    about: str
    per_driver: bool = False

    def load(self) -> type[Actor]:
        """Import the actor class. Raises ImportError naming the extra that is missing."""
        loaded: type[Actor] = _import(self.actor)
        return loaded


def _import(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


SERVICES: Final = {
    service.name: service
    for service in (
        Service("field-driver-modbus", "field_driver_modbus.service:FieldDriverModbus", "devices over Modbus", True),
        Service("collector-aggregator", "collector_aggregator.service:CollectorAggregator", "snapshots and sums"),
        Service("spc-allocator", "spc_allocator.service:SpcAllocator", "decides who gets how much"),
        Service("fallback-watchdog", "fallback_watchdog.service:FallbackWatchdog", "who is silent, what falls back"),
        Service("site-page", "site_page.service:SitePage", "the local page"),
    )
}

_CORES: Final = {
    "aggregator": "collector_aggregator.core:Aggregator",
    "allocator": "spc_allocator.stepped:SteppedAllocator",
    "replay": "spc_allocator.replayed:ReplayedAllocator",
}


def core(name: str) -> Any:
    """The class of a decision core that a library steps by itself: `aggregator`, `allocator` or `replay`."""
    return _import(_CORES[name])
