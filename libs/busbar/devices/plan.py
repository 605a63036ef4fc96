"""From a package to what one entity polls and writes: groups of blocks, commands, watchdog. Compiled once, immutable.

Rules of planning (devices.md 2): points of one (unit, table, group) are sorted and joined while inside one declared
range, with a gap of at most `max_gap` and at most 125 registers; `whole` ranges are read at once; a point never
straddles blocks; a point and its scale factor share a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from busbar.devices.codec import Memory
from busbar.devices.commands import CommandPlan, WatchdogPlan
from busbar.devices.package import DevicePackage
from busbar.devices.transport import Table
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality


@dataclass(frozen=True, slots=True)
class Block:
    """One read request and what its reply means."""

    table: Table
    unit: int
    address: int
    count: int
    group: str
    names: tuple[str, ...]
    """Vocabulary names of the points that it publishes."""

    def decode(
        self, data: bytes, points: dict[str, float | str | None], quality: dict[str, Quality], memory: Memory
    ) -> None:
        """Put the block's values into `points`; into `quality` what is not good (entries of good points are removed).

        A point that is not available is None with quality `na`. `memory` belongs to the entity and is kept from poll
        to poll: a reply with the same bytes as the last one costs only a dict update. Raises ValueError where `data`
        has the wrong length.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class GroupPlan:
    name: str
    period_ms: int
    stale_after_ms: int
    max_age_for_control_ms: int
    once: bool
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class DevicePlan:
    """Everything a driver needs for one entity of a device."""

    package: DevicePackage
    package_id: str
    """`id@version#hash`, for events."""
    kind: AssetKind
    instance: int
    unit: int
    groups: Mapping[str, GroupPlan]
    commands: Mapping[str, CommandPlan]
    watchdog: WatchdogPlan | None
    reaction_s: float
    writable: bool
    """False: the package is unproven; read-only unless forced."""

    @property
    def fast(self) -> GroupPlan:
        raise NotImplementedError

    def command(self, name: str) -> CommandPlan:
        """Raises KeyError where the device cannot do it."""
        return self.commands[name]


def compile_plan(
    package: DevicePackage,
    *,
    unit_id: int | None,
    instance: int,
    kind: AssetKind,
    reversed: bool = False,  # noqa: A002 - the site file's word
    period_ms: int | None = None,
) -> DevicePlan:
    """Plan one entity. `unit_id`: the site's, None for the package's; `period_ms`: the site's for the fast group
    (`Entity.poll_ms`), None for the package's. `reversed`: the meter's transformers point the wrong way: powers change
    sign, import and export counters change places. Raises ValueError on an instance, kind or unit id that the package
    does not have, and for a SunSpec package that was not discovered.
    """
    raise NotImplementedError


def split_block(block: Block) -> list[Block]:
    """Smaller blocks for a device that answered exception 2 to `block`; [block] itself where it cannot be split."""
    raise NotImplementedError
