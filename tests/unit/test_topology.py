"""The tree of fuses and its phase rotations (SC-2, SPC-1, SPC-18)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.domain.topology import ALL_PHASES, NodeSpec, Tree, to_own_frame, to_root_frame
from busbar.units import Phase, PhaseVector

L1, L2, L3 = Phase
ROTATIONS = list(itertools.permutations(ALL_PHASES))
amperes = st.floats(-1000, 1000, allow_nan=False)
vectors = st.builds(PhaseVector, amperes, amperes, amperes)
rotations = st.sampled_from(ROTATIONS)
taps = st.sampled_from([p for n in (1, 2, 3) for p in itertools.permutations(ALL_PHASES, n)])


def chain(*phases: tuple[Phase, ...]) -> Tree:
    """A root, and one collector below the other with the given connections."""
    specs = [NodeSpec("n0", None)]
    specs += [NodeSpec(f"n{i}", f"n{i - 1}", p) for i, p in enumerate(phases, start=1)]
    return Tree.build(specs)


@st.composite
def trees(draw: st.DrawFn) -> list[NodeSpec]:
    specs = [NodeSpec("n0", None)]
    for i in range(1, draw(st.integers(1, 12))):
        specs.append(NodeSpec(f"n{i}", f"n{draw(st.integers(0, i - 1))}", draw(rotations)))  # noqa: PERF401
    return draw(st.permutations(specs))


@pytest.mark.parametrize(
    ("upper",        "lower",        "root_phases"),
    [
        ((L1, L2, L3), (L1, L2, L3), (L1, L2, L3)),
        ((L2, L3, L1), (L1, L2, L3), (L2, L3, L1)),
        ((L2, L3, L1), (L3, L1, L2), (L1, L2, L3)),
        ((L2, L3, L1), (L2, L3, L1), (L3, L1, L2)),
        ((L1, L3, L2), (L2, L1, L3), (L3, L1, L2)),
        ((L2, L3, L1), (L2,),        (L3,)),
        ((L3, L1),     (L2, L1),     (L1, L3)),
        ((L3,),        (L1,),        (L3,)),
    ],
)  # fmt: skip
def test_rotations_below_each_other_multiply(
    upper: tuple[Phase, ...], lower: tuple[Phase, ...], root_phases: tuple[Phase, ...]
) -> None:
    assert chain(upper, lower).node("n2").root_phases == root_phases


def test_a_connector_names_its_collectors_conductors() -> None:
    assert chain((L2, L3, L1)).in_root_frame("n1", (L1, L3)) == (L2, L1)


@given(taps, vectors)
def test_to_root_and_back_loses_nothing_of_the_phases_that_exist(
    phases: tuple[Phase, ...], values: PhaseVector
) -> None:
    there_and_back = to_own_frame(to_root_frame(values, phases), phases)
    assert there_and_back == PhaseVector(*values[: len(phases)], *([0.0] * (3 - len(phases))))


@given(rotations, vectors)
def test_moving_to_the_root_keeps_the_set_of_currents(phases: tuple[Phase, ...], values: PhaseVector) -> None:
    assert sorted(to_root_frame(values, phases)) == sorted(values)


@given(rotations, rotations, vectors)
def test_one_rotation_after_the_other_is_the_product(
    upper: tuple[Phase, ...], lower: tuple[Phase, ...], values: PhaseVector
) -> None:
    product = chain(upper, lower).node("n2").root_phases
    assert to_root_frame(values, product) == to_root_frame(to_root_frame(values, lower), upper)


@given(rotations)
def test_every_rotation_has_an_inverse(phases: tuple[Phase, ...]) -> None:
    inverse = tuple(Phase(phases.index(phase)) for phase in ALL_PHASES)
    assert chain(phases, inverse).node("n2").root_phases == ALL_PHASES
    assert chain(inverse, phases).node("n2").root_phases == ALL_PHASES


@given(st.lists(rotations, min_size=1, max_size=5), rotations)
def test_relabelling_the_root_relabels_everything_below_alike(
    below: list[tuple[Phase, ...]], names: tuple[Phase, ...]
) -> None:
    before = chain(*below)
    first = tuple(names[phase] for phase in below[0])
    after = chain(first, *below[1:])
    for node in before.nodes[1:]:
        assert after.node(node.id).root_phases == tuple(names[phase] for phase in node.root_phases)


@given(trees())
def test_collectors_are_numbered_depth_first_and_below_is_one_range(specs: list[NodeSpec]) -> None:
    tree = Tree.build(specs)
    parents = {spec.id: spec.parent for spec in specs}

    def ancestors(name: str | None) -> list[str]:
        return [] if name is None else [name, *ancestors(parents[name])]

    assert sorted(tree.index.values()) == list(range(len(specs)))
    for node in tree.nodes:
        assert [tree.nodes[i].id for i in node.path] == ancestors(node.id)
        assert node.level == len(node.path) - 1
        inside = {n.id for n in tree.nodes if node.id in ancestors(n.id)}
        assert {tree.nodes[i].id for i in range(node.index, node.end)} == inside


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        ([], "exactly one grid connection"),
        ([NodeSpec("a", None), NodeSpec("b", None)], "found 2"),
        ([NodeSpec("a", "b")], "parent 'b' is not a collector"),
        ([NodeSpec("a", None), NodeSpec("b", "c"), NodeSpec("c", "b")], r"\['b', 'c'\] form a loop"),
        ([NodeSpec("a", None, (L1,)), NodeSpec("b", "a", (L2,))], "'b' taps a conductor"),
        ([NodeSpec("a", None, (L1, L2)), NodeSpec("b", "a")], "'b' taps a conductor"),
    ],
)
def test_what_is_no_tree_is_refused(specs: list[NodeSpec], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Tree.build(specs)
