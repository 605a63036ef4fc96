"""`busbar site ...` and the guide on site files (SC-1)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from busbar.cli import app
from busbar.config.fields import field_tables
from busbar.config.load import check_text
from busbar.config.shape import site_schema
from busbar.domain.limits import MAX_LEVELS_BELOW_ROOT, PER_CONTROLLER, PER_SITE
from unit.site_files import DEMO

GUIDE = (DEMO.parents[1] / "docs" / "guide" / "site-file.md").read_text("utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["site", *arguments])


@pytest.fixture
def broken(tmp_path: Path) -> str:
    path = tmp_path / "site.yaml"
    text = DEMO.read_text("utf-8").replace("rated_current_a: 40", "rated_current_a: -40")
    path.write_text(text.replace("package: alfen-ng9xx", "package: alfen-ng9x"), "utf-8")
    return str(path)


def test_check_accepts_the_demo_and_prints_tree_counts_and_plan() -> None:
    result = run("check", str(DEMO))
    assert result.exit_code == 0
    assert "`-- parking: 80 A gG, meter parking-meter" in result.output
    assert "fed by L2 L3 L1" in result.output
    assert "8 AC connectors" in result.output
    assert re.search(r"^a1 +6 A +6 A +30 s$", result.output, re.MULTILINE)
    assert result.output.rstrip().endswith("accepted, 0 errors, 0 warnings")


def test_check_prints_every_error_and_no_plan_of_a_refused_file(broken: str) -> None:
    result = run("check", broken)
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if line.startswith("error: line ")]
    assert [re.findall(r"line \d+: (\S+)", line)[0] for line in errors] == [
        "collectors[1].rated_current_a", "devices[6].package", "devices[7].package",
    ]  # fmt: skip
    assert all("Remedy: " in line for line in errors)
    assert "fallback plan" not in result.output


@pytest.mark.parametrize("command", ["check", "show"])
def test_a_file_that_cannot_be_read_is_exit_2_and_a_refused_one_exit_1(
    command: str, tmp_path: Path, broken: str
) -> None:
    assert run(command, str(tmp_path / "none.yaml")).exit_code == 2
    assert run(command, str(tmp_path)).exit_code == 2
    assert run(command, broken).exit_code == 1


def test_check_json_is_complete_for_programs(broken: str) -> None:
    fine, refused = (
        json.loads(run("check", str(DEMO), "--json").output),
        json.loads(run("check", broken, "--json").output),
    )
    assert (fine["ok"], fine["problems"], fine["fallback_a"]["b4"], fine["hold_s"]["a1"]) == (True, [], 6.0, 30.0)
    assert (refused["ok"], "fallback_a" in refused) == (False, False)
    first = refused["problems"][0]
    assert (first["entity"], first["value"], first["level"]) == ("roof", "-40", "error")
    assert first["line"] > 0


def test_show_draws_what_hangs_where() -> None:
    output = run("show", str(DEMO)).output
    assert "a2: AC connector on L2 L3 L1" in output
    assert "charx: phoenix-charx-sec3xxx at 127.0.42.11:1502 (simulated)" in output


def test_schema_prints_the_published_schema() -> None:
    published = (DEMO.parents[1] / "proto" / "site.schema.json").read_text("utf-8")
    assert run("schema").output == published


def test_the_guide_carries_the_tables_of_every_field() -> None:
    inside = GUIDE.partition("<!-- fields -->\n")[2].partition("<!-- end of fields -->")[0]
    assert inside.strip() == field_tables().strip()
    assert run("fields").output.strip() == field_tables().strip()


def test_every_field_is_explained() -> None:
    rows = [line for line in field_tables().splitlines() if line.startswith("| `")]
    fields = sum(len(d.get("properties", {})) for d in (site_schema(), *site_schema()["$defs"].values()))
    assert len(rows) == fields
    assert [row for row in rows if row.split("|")[-2].strip() == ""] == []


def test_the_examples_of_the_guide_are_accepted() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 1
    for block in blocks:
        assert [str(problem) for problem in check_text(block).problems] == []
        assert yaml.safe_load(block)["format"] == "busbar-site/1"


def test_the_sizes_of_the_guide_are_those_of_the_code() -> None:
    numbers = {
        "levels below": (MAX_LEVELS_BELOW_ROOT, MAX_LEVELS_BELOW_ROOT),
        "protected collectors": (PER_CONTROLLER["protected_collectors"], PER_SITE["protected_collectors"]),
        "charge points": (PER_CONTROLLER["charge_points"], PER_SITE["charge_points"]),
        "PV systems": (PER_CONTROLLER["pv_systems"], PER_SITE["pv_systems"]),
    }
    for words, (controller, site) in numbers.items():
        assert re.search(rf"^\| {words}.*\| {controller} \| {site} \|$", GUIDE, re.MULTILINE), words
