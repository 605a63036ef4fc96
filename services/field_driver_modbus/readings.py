"""What was last read from one entity, and its telemetry event. Pure: replies in, Measurement out (FC-7).

A value is good only as long as its group is polled: a slow value that grows too old becomes stale, a block that the
device refuses is not available, and of a device that does not answer everything is comm_fail. Nothing freezes.
"""

from __future__ import annotations

from collections.abc import Sequence

from busbar.config.site import Entity
from busbar.devices.codec import Memory
from busbar.devices.plan import Block, DevicePlan, GroupPlan, split_block
from busbar.domain.quality import Quality
from busbar.events import Measurement

Reply = bytes | Quality
"""What the device answered, or what its refusal makes of the points: `na` (it has no such address), `comm_fail`."""


class GroupState:
    """Blocks of one poll group, some of them split or given up, and what they said last."""

    def __init__(self, plan: GroupPlan) -> None:
        self.plan = plan
        self.blocks: list[Block] = list(plan.blocks)
        self.refused: list[bool] = [False] * len(self.blocks)
        self.names = tuple(dict.fromkeys(name for block in plan.blocks for name in block.names))
        self.replies: Sequence[Reply] = ()
        self.taken_s: float | None = None
        self.stale = False

    def refuse(self, index: int) -> int:
        """The device does not know an address of this block: split it, or give it up until the next connect.
        Returns into how many blocks it was split; 0: it was given up."""
        parts = split_block(self.blocks[index])
        if len(parts) == 1:
            self.refused[index] = True
            return 0
        self.blocks[index : index + 1] = parts
        self.refused[index : index + 1] = [False] * len(parts)
        return len(parts)


class Readings:
    """One entity. `absorb` each reply of a group, then `measurement`."""

    def __init__(self, entity: Entity, driver: str) -> None:
        self.entity = entity
        self._driver = driver
        self._seq = 0
        self._package = ""
        self._lifetime_ms = 3 * entity.poll_ms
        self.points: dict[str, float | str | None] = {}
        self.quality: dict[str, Quality] = {}
        self.groups: dict[str, GroupState] = {}
        self._memory = Memory()
        self._shown: tuple[dict[str, float | str | None], dict[str, Quality]] | None = None

    def fit(self, plan: DevicePlan) -> None:
        """After each connect: nothing of before is known any more, and blocks that were refused are tried again."""
        self._package = plan.package_id
        self._lifetime_ms = plan.fast.stale_after_ms
        self.groups = {name: GroupState(group) for name, group in plan.groups.items() if group.blocks}
        self.points, self.quality, self._shown = {}, {}, None
        self._memory.clear()

    @property
    def exponents(self) -> dict[str, int]:
        """Scale factors last read, for commands whose points have one."""
        return self._memory.exponents

    def absorb(self, name: str, replies: Sequence[Reply], now_s: float) -> None:
        """Replies of one poll of a group, one a block. Bytes that are no valid reply make their points comm_fail."""
        group = self.groups[name]
        group.taken_s = now_s
        group.stale, was_stale = False, group.stale
        points, quality = self.points, self.quality
        if replies == group.replies and not was_stale and not (quality and Quality.SUSPECT in quality.values()):
            return
        group.replies, self._shown = replies, None
        for block, reply in zip(group.blocks, replies, strict=True):
            if isinstance(reply, Quality):
                self._mark(block, reply)
                continue
            try:
                block.decode(reply, points, quality, self._memory)
            except ValueError:
                self._mark(block, Quality.COMM_FAIL)

    def _mark(self, block: Block, quality: Quality) -> None:
        for name in block.names:
            self.points[name] = None
            self.quality[name] = quality

    def measurement(self, at_ms: int, now_s: float) -> Measurement:
        """All that is known, as one event; unchanged values share their dictionaries with the event before."""
        for group in self.groups.values():
            self._age(group, now_s)
        shown = self._shown
        if shown is None:
            shown = self._shown = (dict(self.points), dict(self.quality))
        return self._event(at_ms, True, *shown)

    def _age(self, group: GroupState, now_s: float) -> None:
        if group.taken_s is None or group.plan.once or group.stale:
            return
        if (now_s - group.taken_s) * 1000.0 > group.plan.stale_after_ms:
            group.stale, self._shown = True, None
            for name in group.names:
                self.quality.setdefault(name, Quality.STALE)

    def unreachable(self, at_ms: int) -> Measurement:
        """The device does not answer: every point is comm_fail."""
        names = [name for group in self.groups.values() for name in group.names]
        self._shown = None
        return self._event(at_ms, False, dict.fromkeys(names), dict.fromkeys(names, Quality.COMM_FAIL))

    def _event(
        self, at_ms: int, reachable: bool, points: dict[str, float | str | None], quality: dict[str, Quality]
    ) -> Measurement:
        self._seq += 1
        entity = self.entity
        return Measurement.trusted(
            asset=entity.id, driver=self._driver, kind=entity.kind, seq=self._seq, measured_at_ms=at_ms,
            lifetime_ms=self._lifetime_ms, reachable=reachable, package=self._package, points=points, quality=quality,
        )  # fmt: skip
