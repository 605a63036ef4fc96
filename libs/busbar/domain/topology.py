"""The tree of fuses with every phase rotation multiplied out from the root, once, at load (SPC-1, algorithms.md).

A collector's `phases` says, for each of its own conductors in order, which conductor of its *parent* feeds it:
`[L2, L3, L1]` means that its L1 hangs on the parent's L2. One or two entries are taps. `root_phases` is the same
against the grid connection: at run time every connector, meter and limit stands in the root's frame, and a node sum is
a difference of one running sum per phase because nodes are numbered depth first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from busbar.units import Phase, PhaseVector

ALL_PHASES: tuple[Phase, ...] = (Phase.L1, Phase.L2, Phase.L3)


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """What the tree needs to know of one collector; `phases` are the parent's conductors that feed it."""

    id: str
    parent: str | None
    phases: tuple[Phase, ...] = ALL_PHASES


@dataclass(frozen=True, slots=True)
class Node:
    """One collector in the tree. `index` is its depth-first number, `end` one past its last descendant's."""

    id: str
    index: int
    end: int
    level: int
    parent: int | None
    root_phases: tuple[Phase, ...]
    path: tuple[int, ...]
    """Indexes from this node up to and including the root."""


@dataclass(frozen=True)
class Tree:
    """All collectors, depth first, the root at 0."""

    nodes: tuple[Node, ...]
    index: dict[str, int] = field(default_factory=dict)

    @classmethod
    def build(cls, specs: Sequence[NodeSpec]) -> Tree:
        """Number the collectors and compose the rotations. Raises ValueError for no or several roots, an unknown
        parent, a loop, or a tap on a conductor that its parent does not have."""
        by_parent: dict[str | None, list[NodeSpec]] = {}
        known = {spec.id for spec in specs}
        for spec in specs:
            if spec.parent is not None and spec.parent not in known:
                raise ValueError(f"collector {spec.id!r}: parent {spec.parent!r} is not a collector of this site")
            by_parent.setdefault(spec.parent, []).append(spec)
        roots = by_parent.get(None, [])
        if len(roots) != 1:
            raise ValueError(f"a site has exactly one grid connection (a collector without parent), found {len(roots)}")
        nodes: list[Node] = []
        _number(roots[0], None, by_parent, nodes)
        if len(nodes) != len(specs):
            lost = sorted(known - {node.id for node in nodes})
            raise ValueError(f"collectors {lost} form a loop: each must lead to the grid connection")
        return cls(tuple(nodes), {node.id: node.index for node in nodes})

    @property
    def root(self) -> Node:
        return self.nodes[0]

    def node(self, collector: str) -> Node:
        return self.nodes[self.index[collector]]

    def path(self, collector: str) -> tuple[int, ...]:
        """Indexes of the collector and all above it, the root last."""
        return self.node(collector).path

    def below(self, collector: str) -> range:
        """Indexes of the collector and all collectors under it."""
        node = self.node(collector)
        return range(node.index, node.end)

    def in_root_frame(self, collector: str, phases: Iterable[Phase]) -> tuple[Phase, ...]:
        """Conductors of the grid connection behind `phases`, which are conductors of `collector`."""
        own = self.node(collector).root_phases
        return tuple(own[phase] for phase in phases)


def _number(
    spec: NodeSpec, parent: Node | None, by_parent: dict[str | None, list[NodeSpec]], nodes: list[Node]
) -> None:
    root_phases = spec.phases
    path: tuple[int, ...] = ()
    if parent is not None:
        if any(phase >= len(parent.root_phases) for phase in spec.phases):
            raise ValueError(f"collector {spec.id!r} taps a conductor that its parent {parent.id!r} does not have")
        root_phases, path = tuple(parent.root_phases[phase] for phase in spec.phases), parent.path
    index = len(nodes)
    node = Node(spec.id, index, index + 1, len(path), parent.index if parent else None, root_phases, (index, *path))
    nodes.append(node)
    for child in by_parent.get(spec.id, []):
        _number(child, node, by_parent, nodes)
    nodes[index] = Node(spec.id, index, len(nodes), node.level, node.parent, root_phases, node.path)


def to_root_frame(values: PhaseVector, root_phases: Sequence[Phase]) -> PhaseVector:
    """Per-phase values in an entity's own frame (its L1 first) moved to the root's frame; absent phases are 0."""
    out = [0.0, 0.0, 0.0]
    for own, root in enumerate(root_phases):
        out[root] += values[own]
    return PhaseVector(*out)


def to_own_frame(values: PhaseVector, root_phases: Sequence[Phase]) -> PhaseVector:
    """Inverse of `to_root_frame`: the entity's own L1 first; phases it does not have are 0."""
    own = [values[root] for root in root_phases]
    return PhaseVector(*own, *([0.0] * (3 - len(own))))
