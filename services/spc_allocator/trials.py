"""Power tests as values: what each is about and has found, and what is known of charge points (SPC-10).

A part of AllocatorState that is there once a test was ordered. Nothing in it is ever changed: whoever knows more makes
a new one, so states share it, and its part of the digest is made once. Written as JSON by connector.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from busbar.events import PowerTestState

if TYPE_CHECKING:
    from spc_allocator.rows import Network

Amperes = tuple[float, float, float]
"""By conductor of the grid connection."""
NOTHING: Amperes = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Found:
    """Of steps that were held to their end. Setpoints and currents in amperes, of DC at 230 V."""

    held_from_a: float | None = None
    """Lowest setpoint that the device has taken."""
    held_to_a: float | None = None
    kept_a: float | None = None
    """The device itself allows no more, whatever it is told."""
    flows_from_a: float | None = None
    """Lowest setpoint at which current flows; None: it never did."""
    flows_from_w: float = 0.0
    drawn_a: Amperes = NOTHING
    """The most on each conductor."""
    drawn_w: float = 0.0
    limited: bool = False
    """The vehicle drew clearly less than it was told at the last step."""
    confirmed: bool = False
    """And no more at a higher step than at a lower one: that is its maximum."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One test at one connector: under way, or the last one. Times are the allocator's own milliseconds, 0 = never."""

    ordered_ms: int
    """When it was ordered, wall time: with the source it names the test."""
    until_ms: int
    """Wall time."""
    source: str
    author: str
    state: PowerTestState = PowerTestState.WAITING
    session: str | None = None
    asked_a: float = 0.0
    """The step that is tried."""
    held_a: float = 0.0
    """What it is told, since `since_ms`, and its device has taken."""
    since_ms: int = 0
    peak_a: Amperes = NOTHING
    """The most drawn at this step, once there was time to follow it."""
    risen_ms: int = 0
    """When that last rose."""
    short_ms: int = 0
    """Since when it is told less than asked."""
    found: Found = field(default_factory=Found)

    @property
    def under_way(self) -> bool:
        return self.state in (PowerTestState.WAITING, PowerTestState.RUNNING)


@dataclass(frozen=True, slots=True)
class ChargePoint:
    """What a test found of a charge point; holds until its device is another."""

    device: str
    """Fingerprint of the device and connector as the site file has them."""
    min_a: float
    max_a: float
    proven: bool
    """False: more could not be tried."""


class Asked(NamedTuple):
    """A step that is tried, and who ordered the test."""

    step_a: float
    source: str


@dataclass(frozen=True)
class Trials:
    """All of it, by slot."""

    of: dict[int, Trial] = field(default_factory=dict)
    charge_points: dict[int, ChargePoint] = field(default_factory=dict)

    def bytes(self) -> bytes:
        """For the digest."""
        made: bytes | None = self.__dict__.get("_bytes")
        if made is None:
            made = repr((sorted(self.of.items()), sorted(self.charge_points.items()))).encode()
            self.__dict__["_bytes"] = made
        return made

    def asked(self) -> dict[int, Asked]:
        """What is tried now, by slot."""
        return {slot: Asked(one.asked_a, one.source) for slot, one in self.of.items() if one.under_way}

    def only_charge_points(self) -> Trials | None:
        """What outlives everything else that the allocator knows; None: nothing."""
        return Trials({}, self.charge_points) if self.charge_points else None

    def dump(self, net: Network) -> dict[str, Any]:
        return {
            "tests": {net.ids[slot]: asdict(trial) for slot, trial in sorted(self.of.items())},
            "charge_points": {net.ids[slot]: asdict(known) for slot, known in sorted(self.charge_points.items())},
        }

    @classmethod
    def load(cls, body: dict[str, Any], net: Network) -> Trials:
        """What `dump` gave, of connectors that are still there; of charge points, whose device is still the same."""
        tests = {net.slot[name]: _trial(value) for name, value in body["tests"].items() if name in net.slot}
        known = {net.slot[name]: ChargePoint(**v) for name, v in body["charge_points"].items() if name in net.slot}
        return cls(tests, {slot: one for slot, one in known.items() if one.device == device_of(net, slot)})


def _trial(value: dict[str, Any]) -> Trial:
    found = Found(**value.pop("found"))
    trial = Trial(**value)
    found = replace(found, drawn_a=_amperes(found.drawn_a))
    return replace(trial, state=PowerTestState(trial.state), peak_a=_amperes(trial.peak_a), found=found)


def _amperes(values: Amperes | list[float]) -> Amperes:
    one, two, three = values
    return one, two, three


def device_of(net: Network, slot: int) -> str:
    """Short name of what a charge point's facts were measured on: another entry in the site file is another device."""
    entity = net.entities[slot]
    device = net.site.devices.get(entity.device or "")
    entry = "" if device is None else device.model_dump_json()
    text = f"{entry} {entity.instance} {entity.max_current_a} {len(entity.root_phases)}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
