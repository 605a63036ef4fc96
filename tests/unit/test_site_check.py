"""Every rule of the site check (SC-1 to SC-3, SC-6, SPC-5, SPC-15, FB-2, FB-3), each by one change of the demo site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from busbar.config.load import SiteError, check_site, load_site
from unit.site_files import DEMO, checked, compiled, demo, entry, small

Change = Callable[[Any], object]


def put(name: str, **fields: Any) -> Change:
    """Set fields of the entry; None removes one."""

    def change(data: Any) -> None:
        target = entry(data, name)
        for key, value in fields.items():
            target[key] = value
            if value is None:
                del target[key]

    return change


def add(section: str, **fields: Any) -> Change:
    return lambda data: data.setdefault(section, []).append(fields)


def both(*changes: Change) -> Change:
    return lambda data: [change(data) for change in changes]


def option(**fields: Any) -> Change:
    return lambda data: data.setdefault("options", {}).update(fields)


_COLLECTOR = {"rated_current_a": 10, "virtual": {"unmetered_load_a": 0}}
_RULE = {"trigger": "meter:grid-meter", "collector": "parking", "action": "minimum"}


def test_the_demo_site_has_no_findings_at_all() -> None:
    result = check_site(DEMO)
    assert [str(problem) for problem in result.problems] == []
    assert result.plan is not None
    assert set(result.plan.value_a.values()) == {6.0}


@pytest.mark.parametrize(
    ("code", "path", "change"),
    [
        # ids and references
        ("double_id", "assets[0].id", put("grid-meter", id="grid")),
        ("double_id", "assets[5].connectors[3].id", put("a4", id="a1")),
        ("double_id", "controllers[1].drivers[0].id", add("controllers", id="other", role="slave")),
        ("reserved_id", "devices[5].id",
         both(put("charx-a", device="spc-allocator"), put("charx", id="spc-allocator"))),
        ("unknown_reference", "collectors[3].parent", put("row-a", parent="parkin")),
        ("unknown_reference", "collectors[3].parent", put("row-a", parent="charx")),
        ("unknown_reference", "collectors[0].meter", put("grid", meter="building")),
        ("unknown_reference", "devices[5].driver", put("charx", driver="modbus-2")),
        ("unknown_reference", "assets[4].collector", put("pv", collector="nowhere")),
        ("unknown_reference", "assets[5].device", put("charx-a", device="alfen-b1")),
        ("unknown_reference", "assets[5].connectors[0].collector", put("a1", collector="grid-meter")),
        ("unknown_reference", "fallback_rules[0].collector", put("grid-blind", collector="p")),
        # fallback rules (FB-2)
        ("unknown_reference", "fallback_rules[0].trigger", put("grid-blind", trigger="meter:building")),
        ("unknown_reference", "fallback_rules[0].trigger", put("grid-blind", trigger="service:spc-alocator")),
        ("unknown_reference", "fallback_rules[0].trigger", put("grid-blind", trigger="controller:slave")),
        ("bad_trigger", "fallback_rules[0].trigger", put("grid-blind", trigger="grid-meter")),
        ("bad_trigger", "fallback_rules[0].trigger", put("grid-blind", trigger="meter:")),
        ("no_such_current", "fallback_rules[0].value_a", put("grid-blind", value_a=3)),
        ("no_such_current", "collectors[0].on_lost_meter.value_a", put("grid", on_lost_meter={"value_a": 5.9})),
        ("always_lost", "collectors[0].on_lost_meter.timeout_s", put("grid-meter", poll_ms=10_001)),
        ("ignored_without_bound", "collectors[0].on_lost_meter.action",
         put("grid", on_lost_meter={"action": "ignore_lost_meter"})),
        # the tree (SC-2, SC-3)
        ("no_root", "collectors", put("grid", parent="row-b")),
        ("loop", "collectors[2].parent", put("parking", parent="row-b")),
        ("two_roots", "collectors[2].parent", put("parking", parent=None)),
        ("root_rotated", "collectors[0].phases", put("grid", phases=["L2", "L3", "L1"])),
        ("phase_twice", "collectors[2].phases", put("parking", phases=["L1", "L1", "L2"])),
        ("phase_twice", "assets[5].connectors[0].phases", put("a1", phases=["L2", "L2"])),
        ("no_such_phase", "assets[5].connectors[1].phases", put("row-a", phases=["L1", "L2"])),
        ("no_such_phase", "assets[2].phases", put("row-b", phases=["L3"])),
        ("unmeasured_phase", "assets[1].phases", put("parking-meter", phases=["L1", "L2"])),
        # metering (SC-2, SPC-15)
        ("meter_and_virtual", "collectors[0].virtual", put("grid", virtual={"unmetered_load_a": 0})),
        ("no_meter", "collectors[3].meter", put("row-a", virtual=None)),
        ("meter_twice", "collectors[2].meter", put("parking", meter="grid-meter")),
        ("unmetered_twice", "collectors[3].unmetered_load_a", put("row-a", unmetered_load_a=3)),
        ("two_unmeasured", "collectors[4].virtual.unmetered_load_a",
         put("row-b", meter=None, virtual={"unmetered_load_a": 1})),
        ("two_unmeasured", "assets[8]",
         add("assets", kind="load", id="pump", collector="row-a", max_current_a=2)),
        ("unmeasurable", "assets[3]", both(put("grid", meter=None, virtual={"unmetered_load_a": 0}),
                                           put("building", device=None))),
        # ratings
        ("fuse_too_small", "assets[5].connectors[0].collector", put("row-a", rated_current_a=5)),
        ("fallback_too_much", "collectors[0].rated_current_a", put("building", max_current_a=98)),
        ("fallback_too_much", "collectors[3].rated_current_a", put("row-a", virtual={"unmetered_load_a": 51})),
        # devices
        ("no_package", "devices[5].package", put("charx", package="phoenix-charx-sec3xx")),
        ("wrong_class", "assets[5].device", put("charx", package="eastron-sdm630")),
        ("wrong_class", "assets[0].device", put("eem-grid", package="sunspec-pv-inverter")),
        ("address_twice", "devices[7].host", put("alfen-2", host="127.0.42.21")),
        ("bad_host", "devices[5].host", put("charx", host="http://10.0.0.1", simulated=False)),
        ("bad_host", "devices[5].host", put("charx", host="", simulated=False)),
        ("bad_host", "devices[5].host", put("charx", host="a b", simulated=False)),
        ("simulated_elsewhere", "devices[5].host", put("charx", host="192.168.1.5")),
        ("simulated_elsewhere", "devices[5].host", put("charx", host="charger.example")),
        ("instance_twice", "assets[5].connectors[1].instance", put("a2", instance=1)),
        ("instance_twice", "assets[3].device", put("building", device="sdm-parking")),
        ("no_such_instance", "assets[6].connectors[0].instance", put("b1", instance=3)),
        ("no_fallback", "assets[5].book_at_max_when_lost", put("charx", package="no-watchdog")),
        ("out_of_range", "assets[5].watchdog_s",
         both(put("charx", package="phoenix-charx-sec3xxx"), put("charx-a", watchdog_s=601))),
        ("no_such_current", "assets[6].fallback_a",
         both(put("alfen-1", package="by-hand"), put("alfen-b1", fallback_a=2))),
        # controllers and networks
        ("no_master", "controllers", put("main", role="slave")),
        ("two_masters", "controllers[1].role", add("controllers", id="c2", drivers=[{"id": "d2"}])),
        ("unknown_timezone", "site.timezone", lambda data: data["site"].update(timezone="Europe/Brussel")),
        ("unknown_timezone", "site.timezone", lambda data: data["site"].update(timezone="../etc/passwd")),
        ("unknown_timezone", "site.timezone", lambda data: data["site"].update(timezone="")),
        ("network_not_built", "site.network", lambda data: data["site"].update(network="it_230")),
    ],
)  # fmt: skip
def test_one_wrong_thing_is_refused_at_its_place(code: str, path: str, change: Change) -> None:
    data = demo()
    change(data)
    result = checked(data)
    found = [(problem.code, problem.path) for problem in result.errors]
    assert (code, path) in found, [str(problem) for problem in result.problems]
    assert result.site is None
    for problem in result.errors:
        assert problem.remedy
        assert problem.line > 0


@pytest.mark.parametrize(
    ("code", "path", "change"),
    [
        ("rated_above_parent", "collectors[3].rated_current_a", put("row-a", rated_current_a=[80, 80, 81])),
        ("max_above_fuse", "assets[5].connectors[0].max_current_a", put("a1", max_current_a=63)),
        ("asset_above_fuse", "assets[4]", put("pv", rated_power_w=30_000)),
        ("one_unknown", "assets[3]", both(put("building", device=None), put("grid", unmetered_load_a=1))),
        ("unused_device", "devices[3]", put("building", device=None)),
        ("meter_of_nothing", "assets[2]", put("row-b", meter=None, virtual={"unmetered_load_a": 0})),
        ("rule_without_effect", "fallback_rules[0].collector", put("grid-blind", collector="roof")),
        ("fixed_watchdog", "assets[5].watchdog_s", put("charx", package="own-watchdog")),
        ("unproven", "assets[5].device", put("charx", package="unproven")),
        ("fallback_not_by_hand", "assets[5].fallback_a", put("charx-a", fallback_a=6)),
        ("reserve_small", "collectors[2].fixed_reserve_a",
         both(put("parking", fuse="electronic", unmetered_load_a=32), put("charx", package="slow"))),
    ],
)  # fmt: skip
def test_what_a_person_should_look_at_is_a_warning_and_refuses_nothing(code: str, path: str, change: Change) -> None:
    data = demo()
    change(data)
    result = checked(data)
    assert [str(problem) for problem in result.errors] == []
    assert (code, path) in [(problem.code, problem.path) for problem in result.warnings]


@pytest.mark.parametrize(
    "change",
    [
        put("grid", on_lost_meter={"action": "ignore_lost_meter"}, unmetered_load_a=0),
        put("grid-blind", trigger="service:spc-allocator"),
        put("grid-blind", trigger="controller:main"),
        put("grid-blind", action="disable", value_a=0),
        put("row-a", virtual={"unmetered_load_a": 0}),
        both(put("alfen-1", package="by-hand"), put("alfen-b1", fallback_a=10)),
        both(put("charx", package="no-watchdog"), put("charx-a", book_at_max_when_lost=True),
             put("parking", rated_current_a=160), put("row-a", rated_current_a=160), put("grid", rated_current_a=250,
                                                                                       power_limit_va=None)),
        both(put("alfen-2", host="127.0.42.21", unit_id=7), put("alfen-1", unit_id=6)),
        put("charx", host="::1"),
        put("charx", host="localhost"),
        put("charx", host="charger-1.example", simulated=False),
        both(put("roof", phases=["L2"]), put("pv", phases=["L1"], rated_power_w=4000)),
        option(ramp_a_per_min=0.5, cap_above_measured_a=3),
    ],
)  # fmt: skip
def test_what_is_allowed_is_accepted(change: Change) -> None:
    data = demo()
    change(data)
    assert [str(problem) for problem in checked(data).errors] == []


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("options.ramp_a_per_min", option(ramp_a_per_min=1.1)),
        ("options.cap_above_measured_a", option(cap_above_measured_a=6)),
        ("options.fallback_timeout_s", option(fallback_timeout_s=5)),
        ("collectors[0].dynamic_reserve_connectors", put("grid", dynamic_reserve_connectors=4)),
    ],
)
def test_fixed_numbers_can_only_be_made_stricter(path: str, change: Change) -> None:
    data = demo()
    change(data)
    assert [(problem.code, problem.path) for problem in checked(data).errors] == [("out_of_range", path)]


@pytest.mark.parametrize(("levels", "accepted"), [(5, True), (6, False)])
def test_at_most_five_levels_stand_below_the_grid_connection(levels: int, accepted: bool) -> None:
    data = small(63, 1)
    for level in range(levels):
        parent = f"level-{level}" if level else "grid"
        data["collectors"].append({"id": f"level-{level + 1}", "parent": parent, **_COLLECTOR})
    result = checked(data)
    assert (result.site is not None) is accepted
    assert accepted or [(p.code, p.entity) for p in result.errors] == [("too_deep", "level-6")]


def _with_collectors(count: int, **fields: Any) -> Any:
    data = small(63, 1)
    data["collectors"] += [{"id": f"x{i}", "parent": "grid", **_COLLECTOR, **fields} for i in range(count)]
    for i in range(count):
        data["devices"].append({"id": f"d{i}", "package": "eastron-sdm630", "host": f"10.1.0.{i}"})
        data["assets"].append(
            {"kind": "load", "id": f"l{i}", "collector": f"x{i}", "device": f"d{i}", "max_current_a": 0}
        )
    return data


@pytest.mark.parametrize(
    ("count", "fields", "errors"),
    [
        (20,  {},                       []),
        (21,  {},                       ["controller 'main' has more protected collectors than it may have"]),
        (200, {"monitored_only": True}, []),
        (201, {"monitored_only": True}, ["controller 'main' has more collectors than it may have"]),
    ],
)  # fmt: skip
def test_a_controller_protects_twenty_collectors_and_watches_two_hundred(
    count: int, fields: Any, errors: list[str]
) -> None:
    data = _with_collectors(count - (not fields), **fields)
    entry(data, "c1")["collector"] = "grid"
    data["assets"].append({"kind": "load", "id": "base", "collector": "grid", "max_current_a": 0})
    assert [problem.message for problem in checked(data).errors] == errors


@pytest.mark.parametrize(("loads", "codes"), [(19, set()), (20, {"too_many"})])
def test_a_fuse_that_only_ac_charge_points_share_is_not_counted(loads: int, codes: set[str]) -> None:
    data = small(100, 1)
    for i in range(30):
        data["collectors"].append({"id": f"x{i}", "parent": "grid", **_COLLECTOR})
        data["devices"].append({"id": f"d{i}", "package": "alfen-ng9xx", "host": f"10.4.0.{i}"})
        connectors = [{"id": f"y{i}", "collector": f"x{i}", "max_current_a": 10}]
        data["assets"].append({"kind": "ac_charge_point", "id": f"p{i}", "device": f"d{i}", "connectors": connectors})
        if i < loads:
            data["devices"].append({"id": f"e{i}", "package": "eastron-sdm630", "host": f"10.5.0.{i}"})
            load = {"kind": "load", "id": f"l{i}", "collector": f"x{i}", "device": f"e{i}", "max_current_a": 0}
            data["assets"].append(load)
    assert {problem.code for problem in checked(data).errors} == codes


@pytest.mark.parametrize(("count", "codes"), [(50, set()), (51, {"too_many"})])
def test_a_controller_has_at_most_fifty_charge_points(count: int, codes: set[str]) -> None:
    data = small(2000, 1)
    for i in range(1, count):
        data["devices"].append({"id": f"d{i}", "package": "alfen-ng9xx", "host": f"10.2.0.{i}"})
        connectors = [{"id": f"x{i}", "collector": "grid"}]
        data["assets"].append({"kind": "ac_charge_point", "id": f"p{i}", "device": f"d{i}", "connectors": connectors})
    assert {problem.code for problem in checked(data).errors} == codes


@pytest.mark.parametrize(("per_controller", "codes"), [(5, set()), (6, {"too_many"})])
def test_pv_systems_are_counted_per_controller_and_per_site(per_controller: int, codes: set[str]) -> None:
    data = small(2000, 1)
    data["controllers"] = [
        {"id": f"k{k}", "role": "slave" if k else "master", "drivers": [{"id": f"drv{k}"}]} for k in range(5)
    ]
    for i in range(per_controller * 5):
        device = {"id": f"d{i}", "package": "sunspec-pv-inverter", "host": f"10.3.0.{i}", "driver": f"drv{i % 5}"}
        data["devices"].append(device)
        pv = {"kind": "pv", "id": f"pv{i}", "collector": "grid", "device": f"d{i}", "rated_power_w": 1000}
        data["assets"].append(pv)
    problems = checked(data).errors
    assert {problem.code for problem in problems} == codes
    assert len(problems) == (6 if codes else 0)


def test_every_error_is_reported_at_once_also_beside_broken_entries() -> None:
    data = demo()
    entry(data, "row-b").update(rated_current_a="fifty", parent="parkng")
    entry(data, "row-a").update(parent="parkng")
    entry(data, "charx").update(prt=502)
    entry(data, "alfen-2").update(host="127.0.42.21")
    entry(data, "a2").update(instance=1)
    data["options"] = {"ramp_a_per_min": 2}
    found = {(problem.code, problem.path) for problem in checked(data).errors}
    assert found == {
        ("wrong_type", "collectors[4].rated_current_a"),
        ("unknown_reference", "collectors[3].parent"),
        ("unknown_field", "devices[5].prt"),
        ("address_twice", "devices[7].host"),
        ("instance_twice", "assets[5].connectors[1].instance"),
        ("out_of_range", "options.ramp_a_per_min"),
    }


@pytest.mark.parametrize(
    ("field", "order", "words", "remedy"),
    [
        ("surplus_order", ["heat", "vehicles"], "batteries is missing", "write [heat, vehicles, batteries]"),
        ("yield_order", ["heat", "heat", "vehicles"], "heat stands twice, batteries is missing",
         "write [heat, vehicles, batteries]"),
        ("yield_order", ["heat", "batteries", "vehicles", "heat"], "heat stands twice",
         "write [heat, batteries, vehicles]"),
        ("yield_order", [], "batteries is missing, heat is missing, vehicles is missing",
         "write [batteries, heat, vehicles]"),
    ],
)  # fmt: skip
def test_spc_24_an_order_of_kinds_that_is_none_is_refused(
    field: str, order: list[str], words: str, remedy: str
) -> None:
    data = demo()
    option(**{field: order})(data)
    (problem,) = checked(data).errors
    assert (problem.code, problem.path) == ("order_of_kinds", f"options.{field}")
    assert (problem.message, problem.remedy) == (f"an order names each kind once: {words}",
                                                 f"{remedy} or another order of these")  # fmt: skip
    assert problem.value == str(order)
    assert problem.line > 0


def test_spc_24_an_unknown_kind_in_an_order_is_refused() -> None:
    data = demo()
    option(surplus_order=["vehicles", "batteries", "pumps"])(data)
    (problem,) = checked(data).errors
    assert (problem.code, problem.path) == ("unknown_name", "options.surplus_order[2]")
    assert "vehicles, batteries, heat" in problem.remedy


def test_a_broken_entry_is_not_reported_again_by_what_refers_to_it() -> None:
    data = demo()
    entry(data, "parking").update(fuse="gg")
    assert [(p.code, p.path) for p in checked(data).errors] == [("unknown_name", "collectors[2].fuse")]


def test_an_error_says_where_what_and_what_would_be_right() -> None:
    data = demo()
    entry(data, "row-a").update(parent="parkin")
    (problem,) = checked(data).errors
    assert (problem.entity, problem.value) == ("row-a", "parkin")
    assert str(problem) == (
        f"line {problem.line}: collectors[3].parent (row-a): there is no collector 'parkin' in this site "
        "(found parkin). Remedy: write 'parking'."
    )


def test_load_site_raises_all_errors_and_gives_no_site(tmp_path: Any) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(DEMO.read_text("utf-8").replace("rated_current_a: 40", "rated_current_a: -40"), "utf-8")
    with pytest.raises(SiteError) as caught:
        load_site(path)
    assert [problem.path for problem in caught.value.errors] == ["collectors[1].rated_current_a"]
    line = DEMO.read_text("utf-8").splitlines().index("    rated_current_a: 40") + 1
    assert f"line {line}: collectors[1].rated_current_a (roof)" in str(caught.value)
    assert "write a number above 0" in str(caught.value)


def test_a_package_beside_the_site_file_is_found_and_one_that_is_missing_is_named(tmp_path: Any) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(DEMO.read_text("utf-8").replace("package: phoenix-charx-sec3xxx", "package: mine.yaml"), "utf-8")
    assert [problem.code for problem in check_site(path).errors] == ["no_package"]
    charx = DEMO.parents[1] / "libs/busbar/devices/catalog/phoenix/charx-sec3xxx.yaml"
    (tmp_path / "mine.yaml").write_text(charx.read_text("utf-8"), "utf-8")
    assert check_site(path).errors == ()


def test_the_compiled_site_knows_the_packages_of_its_devices() -> None:
    site = compiled(demo())
    assert site.packages["alfen-ng9xx"].instances == (1, 2)
    assert set(site.packages) == {device.package for device in site.devices.values()}
