"""The published contracts are what the code says, are valid, and never break a reader of v1 (DG-5, API-3)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from busbar import contracts
from busbar.cli import app
from busbar.subjects import SUBJECTS, Delivery

PROTO = Path(__file__).parents[2] / "proto"
DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"
CATALOG = Path(contracts.__file__).parent / "devices" / "catalog"
SCHEMAS = sorted(str(path.relative_to(PROTO)) for path in (*PROTO.glob("schema/*.json"), *PROTO.glob("*.schema.json")))
ASYNCAPI = json.loads((PROTO / "asyncapi.json").read_text("utf-8"))


def load(name: str) -> Any:
    return json.loads((PROTO / name).read_text("utf-8"))


def resolve(ref: str) -> Any:
    node: Any = ASYNCAPI
    for part in ref.removeprefix("#/").split("/"):
        node = node[part]
    return node


def refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [ref for below in node.values() for ref in refs(below)]
    return [ref for below in node for ref in refs(below)] if isinstance(node, list) else []


def test_the_committed_contracts_are_what_the_code_says() -> None:
    assert [f"{d.file}: {d.what}" for d in contracts.differences(PROTO)] == []


def test_generation_does_not_depend_on_the_hash_seed() -> None:
    code = "import hashlib, busbar.contracts as c; print(hashlib.sha256(repr(c.generate()).encode()).hexdigest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_a_valid_schema(name: str) -> None:
    schema = load(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    for ref in refs(schema):
        assert ref.startswith("#/$defs/")
        assert ref.rpartition("/")[2] in schema["$defs"]


def test_there_is_a_schema_for_every_event_of_the_registry() -> None:
    names = {subject.event.__name__ for subject in SUBJECTS} | {"CommandReply"}
    assert {path.stem for path in PROTO.glob("schema/*.json")} == names


def test_asyncapi_has_what_the_specification_requires() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert ASYNCAPI["info"]["title"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", ASYNCAPI["info"]["version"])
    for name in (*ASYNCAPI["channels"], *ASYNCAPI["operations"], *ASYNCAPI["components"]["messages"]):
        assert re.fullmatch(r"[\w.-]+", name)
    for operation in ASYNCAPI["operations"].values():
        assert operation["action"] in ("send", "receive")


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    inside = [ref for ref in refs(ASYNCAPI) if ref.startswith("#/")]
    outside = [ref for ref in refs(ASYNCAPI) if not ref.startswith("#/")]
    assert [ref for ref in inside if not resolve(ref)] == []
    assert {ref for ref in outside if not (PROTO / ref).is_file()} == set()
    assert len(outside) == len(ASYNCAPI["components"]["messages"])


def test_an_operation_sends_only_messages_of_its_own_channel() -> None:
    for operation in ASYNCAPI["operations"].values():
        for part in (operation, *([operation["reply"]] if "reply" in operation else [])):
            channel = part["channel"]["$ref"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in part["messages"])


def test_channels_operations_and_parameters_are_those_of_the_registry() -> None:
    for subject in SUBJECTS:
        channel = ASYNCAPI["channels"][subject.noun]
        assert channel["address"] == subject.template
        assert set(channel["parameters"]) == set(re.findall(r"\{(\w+)\}", subject.template))
        for publisher in subject.publishers:
            name = "any-service" if publisher == "*" else publisher
            assert ("reply" in ASYNCAPI["operations"][f"{name}.{subject.noun}"]) is (
                subject.delivery is Delivery.REQUEST
            )
    assert len(ASYNCAPI["operations"]) == sum(len(subject.publishers) for subject in SUBJECTS)


def test_the_schema_of_site_files_takes_the_demo_and_refuses_a_slip() -> None:
    validator = jsonschema.Draft202012Validator(load("site.schema.json"))
    demo = yaml.safe_load(DEMO.read_text("utf-8"))
    assert list(validator.iter_errors(demo)) == []
    demo["collectors"][0]["rated_curent_a"] = demo["collectors"][0].pop("rated_current_a")
    assert len(list(validator.iter_errors(demo))) >= 1


@pytest.mark.parametrize("path", sorted(CATALOG.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_the_schema_of_device_packages_takes_every_package_of_the_catalogue(path: Path) -> None:
    validator = jsonschema.Draft202012Validator(load("device-package.schema.json"))
    package = json.loads(json.dumps(yaml.safe_load(path.read_text("utf-8"))))
    assert [error.message for error in validator.iter_errors(package)] == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Fresh contracts that a test may spoil."""
    shutil.copytree(PROTO / "golden", tmp_path / "proto" / "golden")
    contracts.write(tmp_path / "proto")
    return tmp_path / "proto"


def drift(folder: Path) -> list[tuple[str, str]]:
    return [(d.file, d.what.partition(":")[0]) for d in contracts.differences(folder)]


def test_a_changed_a_missing_and_a_stale_file_are_drift(copy: Path) -> None:
    (copy / "asyncapi.json").write_text("{}", "utf-8")
    (copy / "site.schema.json").unlink()
    (copy / "schema" / "Old.json").write_text("{}", "utf-8")
    assert sorted(drift(copy)) == [
        ("asyncapi.json", "out of date"), ("schema/Old.json", "no longer generated"), ("site.schema.json", "missing"),
    ]  # fmt: skip
    contracts.write(copy)
    assert drift(copy) == []


def test_a_golden_event_that_is_missing_unreadable_or_changed_is_drift(copy: Path) -> None:
    golden = copy / "golden"
    (golden / "Advice.json").unlink()
    alarm = json.loads((golden / "Alarm.json").read_text("utf-8"))
    del alarm["severity"]
    (golden / "Alarm.json").write_text(json.dumps(alarm), "utf-8")
    session = json.loads((golden / "Session.json").read_text("utf-8"))
    session["removed_in_a_later_version"] = 1
    (golden / "Session.json").write_text(json.dumps(session), "utf-8")
    assert drift(copy) == [
        ("golden/Advice.json", "missing"), ("golden/Alarm.json", "no longer readable"),
        ("golden/Session.json", "changes when read and written again"),
    ]  # fmt: skip


def test_the_command_writes_and_checks(tmp_path: Path, copy: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["proto", "--check", str(copy)]).exit_code == 0
    (copy / "README.md").write_text("edited by hand", "utf-8")
    failed = runner.invoke(app, ["proto", "--check", str(copy)])
    assert (failed.exit_code, "README.md: out of date" in failed.output) == (1, True)
    assert (copy / "README.md").read_text("utf-8") == "edited by hand"
    assert runner.invoke(app, ["proto", str(copy)]).exit_code == 0
    assert runner.invoke(app, ["proto", "--check", str(copy)]).exit_code == 0
    assert runner.invoke(app, ["proto", "--check", str(tmp_path / "none")]).exit_code == 1
