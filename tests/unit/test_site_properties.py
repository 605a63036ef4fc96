"""Whatever stands in a site file, it loads, or every error has place, value and remedy; never a traceback (SC-1)."""

from __future__ import annotations

import copy
import random
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from busbar.config.load import CheckedSite, check_text
from unit.site_files import DEMO, checked, compiled, demo, packages
from unit.site_strategies import sites

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 2000), st.floats(), st.text(max_size=12),
    st.sampled_from(["grid", "row-a", "charx", "a1", "meter:grid-meter", "L1", "gG", "1e999", "no", "127.0.42.11"]),
)  # fmt: skip
junk = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=6), below, max_size=3),
    max_leaves=5,
)


def assert_explained(result: CheckedSite) -> None:
    assert (result.site is None) is bool(result.errors)
    for problem in result.problems:
        assert problem.message
        assert problem.remedy
        assert problem.code
        assert len(problem.value) <= 60
        assert str(problem).count("\n") == 0


def places(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of nested values, the root last."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    return [place for key in keys for place in places(node[key], (*here, key))] + [here]


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """The demo site with a few things replaced, removed, doubled or added."""
    data = demo()
    for _ in range(draw(st.integers(1, 4))):
        *way, last = draw(st.sampled_from(places(data)[:-1]))
        target = data
        for key in way:
            target = target[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "double", "add"])):
            case "replace":
                target[last] = draw(junk)
            case "remove":
                del target[last]
            case "double" if isinstance(target, list):
                target.append(copy.deepcopy(target[last]))
            case _ if isinstance(target, dict):
                target[draw(st.text(min_size=1, max_size=8))] = draw(junk)
        if not isinstance(data, dict) or len(places(data)) < 2:
            break
    return data


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_a_damaged_site_file_loads_or_explains_itself(data: Any) -> None:
    assert_explained(checked(data))


def test_no_id_or_key_of_a_file_can_forge_a_second_line() -> None:
    data = demo()
    data["x\nerror: forged"] = 1
    data["collectors"][3]["parent"] = data["collectors"][2]["id"] = "a\nb\x1b[31m"
    assert_explained(checked(data))


@settings(max_examples=150, deadline=None)
@given(junk)
def test_any_values_load_or_explain_themselves(data: Any) -> None:
    assert_explained(checked(data))


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="ab: -[]{}&*!|>?\n\t'\"#,%@`0.")))
def test_any_text_loads_or_explains_itself(text: str) -> None:
    assert_explained(check_text(text, packages=packages))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(DEMO.read_text("utf-8")) - 1), st.text(max_size=4), st.integers(0, 40))
def test_the_demo_file_with_a_slip_of_the_pen_loads_or_explains_itself(at: int, typed: str, deleted: int) -> None:
    text = DEMO.read_text("utf-8")
    assert_explained(check_text(text[:at] + typed + text[at + deleted :], packages=packages))


@settings(max_examples=100, deadline=None)
@given(sites(rated_a=(63, 400)))
def test_a_random_right_site_has_no_error_of_shape_or_reference(data: Any) -> None:
    allowed = {"fallback_too_much", "hold_too_long"}
    assert {problem.code for problem in checked(data).errors} <= allowed


def shuffled(node: Any, chance: random.Random) -> Any:
    """The same values with the keys of every mapping in another order; lists keep theirs."""
    if isinstance(node, dict):
        keys = list(node)
        chance.shuffle(keys)
        return {key: shuffled(node[key], chance) for key in keys}
    return [shuffled(below, chance) for below in node] if isinstance(node, list) else node


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_the_fingerprint_is_of_the_meaning(chance: random.Random, flow: bool) -> None:
    text = "# a comment\n" + yaml.safe_dump(shuffled(demo(), chance), sort_keys=False, default_flow_style=flow)
    result = check_text(text, packages=packages)
    assert result.site is not None
    assert result.site.fingerprint == compiled(demo()).fingerprint


def test_the_fingerprint_ignores_defaults_that_are_written_out() -> None:
    data = demo()
    data["options"] = {"ramp_a_per_min": 1.0, "cycle_ms": 1000}
    data["collectors"][0]["fuse"] = "gG"
    assert compiled(data).fingerprint == compiled(demo()).fingerprint


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([place for place in places(demo()) if place and place[-1] in ("rated_current_a", "host", "port")])
)
def test_the_fingerprint_changes_with_any_value_that_matters(place: tuple[Any, ...]) -> None:
    data = demo()
    target = data
    for key in place[:-1]:
        target = target[key]
    value = target[place[-1]]
    target[place[-1]] = value + 1 if isinstance(value, int) else "127.0.99.9"
    result = checked(data)
    assert result.site is None or result.site.fingerprint != compiled(demo()).fingerprint
