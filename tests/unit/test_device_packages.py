"""The gate for packages (FC-5, devices.md 15 to 20): the catalogue passes it, hostile and careless ones do not."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from busbar.devices import catalog
from busbar.devices.catalog import PackageError, Problem, catalog_ids, load_package, package_digest, parse_package
from busbar.devices.package import DevicePackage
from busbar.devices.plan import KINDS, compile_plan
from busbar.devices.vectors import decode_vector
from busbar.domain.kinds import VOCABULARY, AssetKind, vocabulary_name

jsonschema: Any = importlib.import_module("jsonschema")
CATALOG = Path(catalog.__file__).parent / "catalog"

GOOD = """\
format: device-package/1
package: {id: test-charger, version: 1.0.0, sources: [none], confidence: 0}
device:
  class: ac_charger
  vendor: Test
  models: [One]
  instances: {min: 1, max: 4, stride: 100}
transport: {kinds: [tcp], word_order: big}
groups:
  fast: {period_ms: 1000}
ranges:
  - {table: holding, scope: instance, start: 0, end: 20}
points:
  status: {scope: instance, address: 0, type: u16, group: fast, map: {0: Available, 3: Charging}}
  current_l1: {scope: instance, address: 1, type: u32, scale: 0.001, unit: A, group: fast}
  limit: {scope: instance, address: 10, type: u16, unit: A, group: fast}
  setpoint: {scope: instance, address: 11, type: u16, unit: A, group: fast, access: rw}
commands:
  set_current: {unit: A, range: [6, 32], zero: pauses, step: 1, steps: [{write: setpoint}],
    verify: {point: limit, within_ms: 3000, one_sided: true}}
watchdog: {mechanism: any_write, timeout_s: 20, fallback_value: unknown}
vectors:
  - {address: 101, words: [0, 16000], expect: {current_l1_a: 16}, source: the table above}
"""


def refusal(text: str) -> tuple[Any, ...]:
    with pytest.raises(PackageError) as refused:
        parse_package(text, "bad.yaml")
    return refused.value.problems


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if part in line)


def test_the_good_package_is_good() -> None:
    assert parse_package(GOOD, "good.yaml").package.id == "test-charger"


SCHEMA_CASES = [
    ("scale: 0.001", "scal: 0.001", "scal:", "did you mean scale"),
    ("scale: 0.001", "scale: 0", "scale: 0", "larger"),
    ("word_order: big", "port: 502", "transport:", "add it"),
    ("address: 1,", "address: 40001.5,", "40001.5", ""),
    ("address: 1,", "address: -1,", "-1", "larger"),
    ("address: 1,", "address: 65536,", "65536", "smaller"),
    ("type: u32", "type: u24", "u24", ""),
    ("unit: A, group: fast}\n  limit", "unit: kWh, group: fast}\n  limit", "kWh", ""),
    ("3: Charging", "3: C", "status:", ""),
    ("class: ac_charger", "class: toaster", "toaster", ""),
    ("format: device-package/1", "format: device-package/2", "device-package/2", ""),
    ("version: 1.0.0", "version: 1.0", "version: 1.0", ""),
    ("zero: pauses", "zero: maybe", "maybe", ""),
    ("mechanism: any_write", "mechanism: prayer", "prayer", ""),
    ("period_ms: 1000", "period_ms: 1", "period_ms: 1", "larger"),
    ("ranges:", "detect: [{point: status, match: '(a+)+$'}]\nranges:", "detect:", "pattern"),
    ("stride: 100", "stride: 100, formula: 'x * 2'", "formula", "no such field"),
]
LINT_CASES = [
    ("{write: setpoint}", "{write: limit}", "set_current:", "read-only"),
    ("{write: setpoint}", "{write: nothing}", "set_current:", "no such point"),
    ("point: limit", "point: nothing", "verify:", "no such point"),
    ("{write: setpoint}", "{write: setpoint, fc: 5}", "set_current:", "does not write"),
    ("step: 1,", "step: 0.1,", "set_current:", "no multiple"),
    ("range: [6, 32]", "range: [32, 6]", "set_current:", "low is above high"),
    ("address: 10,", "address: 2,", "limit:", "overlaps"),
    ("address: 11,", "address: 21,", "setpoint:", "no declared range"),
    ("{table: holding, scope: instance, start: 0, end: 20}", "{table: holding, scope: instance, start: 20, end: 0}",
     "start: 20", "ends before"),
    ("{table: holding, scope: instance, start: 0, end: 20}",
     "{table: holding, scope: instance, start: 0, end: 200, whole: true}", "whole", "longer than 125"),
    ("group: fast}\n  limit", "group: quick}\n  limit", "quick", "no such group"),
    ("  fast: {", "  quick: {", "groups:", "no group 'fast'"),
    ("scale: 0.001", "scale_point: sf", "sf", "no such point"),
    ("scale: 0.001", "scale_point: limit", "limit", "is of type u16"),
    ("scale: 0.001", "na: [-1]", "current_l1:", "cannot be a raw u32"),
    ("scale: 0.001", "valid: [10, 5]", "current_l1:", "not below"),
    ("scale: 0.001", "table: input, access: rw", "current_l1:", "cannot be written"),
    ("scale: 0.001", "bits: {0: a}", "current_l1:", "no scale factor and no unit"),
    ("{0: Available", "{A: Available", "status:", "cannot be a raw u16"),
    (", map: {0: Available, 3: Charging}", "", "status:", "without map"),
    ("timeout_s: 20, ", "", "watchdog:", "no time"),
    (", fallback_value: unknown", "", "watchdog:", "no fallback"),
    ("fallback_value: unknown", "fallback_point: nothing", "watchdog:", "no such point"),
    ("mechanism: any_write", "mechanism: heartbeat_register", "watchdog:", "heartbeat"),
    ("stride: 100", "count_point: n", "instances:", "no such point"),
    ("ranges:", "detect: [{point: limit, match: One}]\nranges:", "detect:", "no text point"),
    ("stride: 100", "stride: 0", "instances:", "all instances are at one place"),
    ("[0, 16000]", "[0, 15000]", "expect:", "decode to 15.0"),
    ("{current_l1_a: 16}", "{current_l2_a: 16}", "expect:", "no such point inside"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "where", "says"), [*SCHEMA_CASES, *LINT_CASES])
def test_a_careless_package_is_refused_with_line_and_reason(old: str, new: str, where: str, says: str) -> None:
    text = changed(old, new)
    problems = refusal(text)
    found = [p for p in problems if says in f"{p.reason} {p.remedy}"]
    assert found, problems
    assert line_of(text, where) in [p.line for p in found]
    assert all(p.file == "bad.yaml" and p.remedy and p.path for p in problems)


def test_every_problem_is_listed_at_once() -> None:
    text = changed("{write: setpoint}", "{write: limit}").replace("fallback_value: unknown", "refresh_factor: 0.2")
    text = text.replace("address: 10,", "address: 2,")
    assert len(refusal(text)) == 3


def test_the_charger_rules_do_not_let_a_silent_watchdog_through() -> None:
    text = "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith("watchdog"))
    assert "state mechanism, timeout and fallback" in refusal(text)[0].remedy


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n"
HOSTILE = [
    (BOMB, 1, "anchors"),
    ("format: *x\n", 1, "anchors"),
    ("format: x\nx: !!python/object/apply:os.system ['echo hi']\n", 2, "tags"),
    ("format: x\npoints:\n  a: {}\n  a: {}\n", 4, "twice"),
    ("format: x\n? [a, b]\n: c\n", 2, "plain word"),
    ("format: x\n<<: {a: b}\n", 2, "plain word"),
    ("format: x\nx: " + "[" * 40 + "]" * 40 + "\n", 2, "levels"),
    ("format: x\n  bad: indent\n", 2, "no YAML"),
    ("format: [x\n", 2, "no YAML"),
    ("format: x\n---\nformat: y\n", 2, "no YAML"),
    ("format: x\nwhen: 2026-13-45\n", 2, "month"),
    ("x: " + "a" * (1 << 20) + "\n", 1, "longer"),
    ("", 1, "valid dictionary"),
    ("- a\n- b\n", 1, "valid dictionary"),
    ("\0\n", 1, "no YAML"),
]


@pytest.mark.parametrize(("text", "line", "says"), HOSTILE)
def test_a_hostile_text_is_refused_with_its_line(text: str, line: int, says: str) -> None:
    problem = refusal(text)[0]
    assert says in problem.reason
    assert problem.line == line


@given(st.data())
def test_whatever_is_done_to_a_package_it_loads_or_is_refused_with_lines(data: st.DataObject) -> None:
    """Lines dropped, doubled, swapped, bent or cut: never another exception, never a problem without a place."""
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        i = data.draw(st.integers(0, len(lines) - 1))
        k = data.draw(st.integers(0, len(lines[i])))
        odd = data.draw(st.sampled_from([":", "{", "]", "-", "&a", "*a", "!x", "9e99", "null", "\t", "'", "#", "0x1_"]))
        action = data.draw(st.sampled_from(["drop", "double", "swap", "bend", "cut"]))
        if action == "drop" and len(lines) > 1:
            del lines[i]
        elif action == "double":
            lines.insert(i, lines[i])
        elif action == "swap":
            lines[i], lines[0] = lines[0], lines[i]
        else:
            lines[i] = lines[i][:k] + (odd + lines[i][k:] if action == "bend" else "")
    problems: tuple[Problem, ...] = ()
    try:
        package = parse_package("\n".join(lines), "bent.yaml")
    except PackageError as error:
        problems = error.problems
    assert all(1 <= p.line <= len(lines) + 1 and p.reason and p.remedy for p in problems)
    if not problems:
        low = package.device.instances.min if package.device.instances else 1
        compile_plan(package, unit_id=None, instance=low, kind=KINDS[package.device.kind][0])


def test_numbers_that_are_not_finite_are_refused() -> None:
    for bad in (".nan", ".inf", "-.inf"):
        assert refusal(changed("scale: 0.001", f"scale: {bad}"))


def test_an_unknown_id_gets_a_suggestion_and_a_missing_file_its_name(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="did you mean eastron-sdm630"):
        load_package("eastron-sdm360")
    with pytest.raises(PackageError, match=r"mine\.yaml"):
        load_package("mine.yaml", tmp_path)
    (tmp_path / "mine.yaml").write_text(GOOD, encoding="utf-8")
    assert load_package("mine.yaml", tmp_path).package.id == "test-charger"


def test_the_catalogue_holds_the_devices_of_part_1() -> None:
    assert catalog_ids() == [
        "alfen-ng9xx", "alpitronic-hypercharger", "eastron-sdm630", "phoenix-charx-sec3xxx", "phoenix-eem-em3xx",
        "sunspec-der-battery", "sunspec-pv-inverter",
    ]  # fmt: skip


@pytest.mark.parametrize("name", catalog_ids())
def test_each_package_is_named_after_its_file_and_says_where_it_comes_from(name: str) -> None:
    package = load_package(name)
    assert package.package.id == name
    assert package.package.sources
    assert package.vectors
    assert all(v.source for v in package.vectors)
    assert package.proven or not package.commands


@pytest.mark.parametrize("name", catalog_ids())
def test_each_package_fits_its_published_schema(name: str) -> None:
    package = load_package(name)
    schema = DevicePackage.model_json_schema(by_alias=True)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(package.model_dump_json(by_alias=True, exclude_unset=True)), schema)


@pytest.mark.parametrize("name", [n for n in catalog_ids() if n.startswith(("phoenix-eem", "eastron"))])
def test_a_meter_is_one_read_a_poll(name: str) -> None:
    plan = compile_plan(load_package(name), unit_id=None, instance=1, kind=AssetKind.METER, period_ms=200)
    assert len(plan.fast.blocks) == 1
    assert {f"{q}_l{n}_{u}" for q, u in (("voltage", "v"), ("current", "a"), ("power", "w")) for n in (1, 2, 3)} <= set(
        plan.fast.blocks[0].names
    )


def test_an_alfen_socket_is_two_reads_of_its_own_unit() -> None:
    blocks = compile_plan(
        load_package("alfen-ng9xx"), unit_id=None, instance=2, kind=AssetKind.AC_CONNECTOR
    ).fast.blocks
    assert [(b.unit, b.address, b.count) for b in blocks] == [(2, 306, 72), (2, 1200, 16)]


@pytest.mark.parametrize("name", [n for n in catalog_ids() if load_package(n).device.kind == "ac_charger"])
def test_a_charger_gives_what_is_mandatory(name: str) -> None:
    """FC-2: status, current per phase, set current, badge where the device has it, fallback and watchdog."""
    package = load_package(name)
    plan = compile_plan(package, unit_id=None, instance=1, kind=AssetKind.AC_CONNECTOR)
    names = {n for b in plan.fast.blocks for n in b.names}
    assert {"status", "status_raw", "current_l1_a", "current_l2_a", "current_l3_a", "energy_import_wh"} <= names
    assert plan.command("set_current").verify is not None
    assert plan.watchdog is not None
    assert plan.watchdog.fallback_point is not None
    assert plan.reaction_s == 15


@pytest.mark.parametrize("name", catalog_ids())
def test_points_of_a_standard_name_have_the_vocabulary_s_unit(name: str) -> None:
    """`power` in anything but W would silently become an extra value (FC-1)."""
    package = load_package(name)
    kind = KINDS[package.device.kind][0]
    standard = set(VOCABULARY[kind])
    bare = {n.rsplit("_", 1)[0]: n for n in standard}
    entries = {n: p.unit for n, p in package.points.items() if not p.internal}
    if package.sunspec:
        entries |= {n: b.unit for n, b in package.sunspec.bind.items()}
    for point, unit in entries.items():
        wire = vocabulary_name(point, unit)
        assert wire in standard or point not in bare, f"{point} is {wire}, the vocabulary says {bare.get(point)}"


@pytest.mark.parametrize(
    ("name", "instance", "kind", "says"),
    [
        ("phoenix-charx-sec3xxx", 13, AssetKind.AC_CONNECTOR, "1..12"),
        ("phoenix-charx-sec3xxx", 0, AssetKind.AC_CONNECTOR, "1..12"),
        ("eastron-sdm630", 2, AssetKind.METER, "1..1"),
        ("eastron-sdm630", 1, AssetKind.AC_CONNECTOR, "not for ac_connector"),
        ("sunspec-pv-inverter", 1, AssetKind.PV, "discover"),
    ],
)
def test_a_plan_for_what_a_device_is_not_is_refused(name: str, instance: int, kind: AssetKind, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compile_plan(load_package(name), unit_id=None, instance=instance, kind=kind)


def test_the_digest_follows_the_meaning_and_not_the_text() -> None:
    digest = package_digest(parse_package(GOOD, "a.yaml"))
    assert digest.startswith("test-charger@1.0.0#")
    assert len(digest.partition("#")[2]) == 8
    reordered = yaml.safe_dump(yaml.safe_load(GOOD), sort_keys=True)
    assert package_digest(parse_package(f"# a comment\n{reordered}", "b.yaml")) == digest
    assert package_digest(parse_package(changed("timeout_s: 20", "timeout_s: 21"), "c.yaml")) != digest


def test_a_vector_is_read_with_the_instance_s_stride() -> None:
    package = parse_package(GOOD, "good.yaml")
    assert decode_vector(package, package.vectors[0]) == {"current_l1_a": 16.0}
    text = changed("address: 101, words", "address: 301, instance: 3, words")
    assert decode_vector(parse_package(text, "x.yaml"), parse_package(text, "x.yaml").vectors[0]) == {
        "current_l1_a": 16.0
    }


def test_a_generator_without_stated_signs_is_refused() -> None:
    text = (CATALOG / "sunspec" / "pv-inverter.yaml").read_text(encoding="utf-8")
    unsigned = text.replace(", sign: -1, optional: false", ", optional: false")
    assert any(p.reason == "no sign" and p.path == "sunspec.bind.power" for p in refusal(unsigned))
    wrong = text.replace("sign: -1, optional: false", "sign: 1, optional: false")
    assert any("decode to 9980.0" in p.reason for p in refusal(wrong))


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ('"704": 0, "123": 1', '"704": 0', "commands.set_reactive_power.steps.1.by_model", "123, 704"),
        ("{of: power_max, factor: -100}", "{of: power_mox, factor: -100}", "share.of", "no such point"),
        ("{of: power_max, factor: -100}", "{of: power_max, factor: 0}", "share.factor", "is 0"),
        ("point: setpoint_power, ", "point: setpoint_pover, ", "commands.set_power.verify.point", "no such point"),
        (
            "args: [power_limit, power_max,",
            "args: [power_limit, power_mux,",
            "derived.setpoint_power.args",
            "power_mux",
        ),
        ("args: [power_limit, power_max, power_limit_enabled]", "args: [power_limit, power_max]", "args", "takes 3"),
    ],
)
def test_a_careless_sunspec_package_is_refused_with_the_place(old: str, new: str, where: str, says: str) -> None:
    text = (CATALOG / "sunspec" / "pv-inverter.yaml").read_text(encoding="utf-8")
    assert any(where in p.path and says in p.reason for p in refusal(text.replace(old, new, 1)))
