"""Events on the wire: golden events stay readable, schemas describe what is written, old and new live together."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel, ValidationError

from busbar import events
from busbar.contracts import events as all_events
from busbar.events import CollectorLimit, Event, Measurement, SiteSnapshot
from busbar.subjects import SUBJECTS
from busbar.units import PhaseVector

PROTO = Path(__file__).parents[2] / "proto"
EVENTS = all_events()
MINUTE_OF_2019 = 1_568_196_000_000


def golden(name: str) -> bytes:
    return (PROTO / "golden" / f"{name}.json").read_bytes()


def schema(name: str) -> Any:
    return json.loads((PROTO / "schema" / f"{name}.json").read_text("utf-8"))


def reduced(new: Any, like: Any) -> Any:
    """`new` without fields that `like` does not know: fields may be added within v1."""
    if isinstance(new, dict) and isinstance(like, dict):
        return {key: reduced(value, like[key]) for key, value in new.items() if key in like}
    if isinstance(new, list) and isinstance(like, list) and len(new) == len(like):
        return [reduced(a, b) for a, b in zip(new, like, strict=True)]
    return new


@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_event_survives_a_round_trip(name: str) -> None:
    event = EVENTS[name].model_validate_json(golden(name))
    written = event.model_dump_json()
    assert reduced(json.loads(written), json.loads(golden(name))) == json.loads(golden(name))
    assert EVENTS[name].model_validate_json(written) == event


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_of_trusted_values_is_the_validated_one(name: str) -> None:
    checked = EVENTS[name].model_validate_json(golden(name))
    fields = {field: getattr(checked, field) for field in EVENTS[name].model_fields}
    trusted = EVENTS[name].trusted(**fields)
    assert trusted == checked
    assert trusted.model_dump_json() == checked.model_dump_json()
    with pytest.raises(ValidationError):
        setattr(trusted, next(iter(fields)), None)


@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_event_and_what_we_write_obey_the_published_schema(name: str) -> None:
    validator = jsonschema.Draft202012Validator(schema(name))
    written = EVENTS[name].model_validate_json(golden(name)).model_dump_json()
    for wire in (golden(name), written):
        assert [error.message for error in validator.iter_errors(json.loads(wire))] == []


@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_event_fills_every_field_of_v1_so_that_none_can_vanish(name: str) -> None:
    known = set(json.loads(golden(name)))
    without_default = {field for field, info in EVENTS[name].model_fields.items() if info.is_required()}
    assert without_default <= known
    assert known <= set(EVENTS[name].model_fields)


@pytest.mark.parametrize("name", EVENTS)
def test_the_schema_refuses_an_event_that_lacks_a_required_field(name: str) -> None:
    validator = jsonschema.Draft202012Validator(schema(name))
    for field, info in EVENTS[name].model_fields.items():
        if info.is_required():
            wire = json.loads(golden(name))
            del wire[field]
            assert list(validator.iter_errors(wire)) != []
            with pytest.raises(ValidationError):
                EVENTS[name].model_validate(wire)


@pytest.mark.parametrize("name", EVENTS)
def test_a_reader_ignores_fields_of_a_later_version(name: str) -> None:
    wire = {**json.loads(golden(name)), "added_later": {"x": 1}}
    assert EVENTS[name].model_validate(wire) == EVENTS[name].model_validate_json(golden(name))


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_says_when(name: str) -> None:
    fields = set(EVENTS[name].model_fields)
    assert {"measured_at_ms"} & fields or "published_at_ms" in fields


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_cannot_be_changed(name: str) -> None:
    event = EVENTS[name].model_validate_json(golden(name))
    with pytest.raises(ValidationError):
        setattr(event, next(iter(EVENTS[name].model_fields)), None)


def fields(model: type[BaseModel], seen: frozenset[type] = frozenset()) -> list[tuple[str, str]]:
    """(model, field) of a model and of all models inside it."""
    found = [(model.__name__, name) for name in model.model_fields]
    for info in model.model_fields.values():
        for inner in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner not in seen:
                found += fields(inner, seen | {model})
    return found


UNITS = ("_a", "_v", "_w", "_wh", "_var", "_va", "_ms", "_s", "_percent", "_hz")
PLAIN = {
    "seq", "epoch", "snapshot", "number", "rank", "need", "value", "cycles", "free_connectors", "cos_phi", "trip",
}  # fmt: skip


@pytest.mark.parametrize("name", EVENTS)
def test_the_unit_of_every_quantity_stands_in_its_name(name: str) -> None:
    for model, field in fields(EVENTS[name]):
        info = getattr(events, model).model_fields[field]
        quantity = any(kind in str(info.annotation) for kind in ("float", "PhaseVector")) and "dict" not in str(info)
        assert not quantity or field.endswith(UNITS) or field in PLAIN, f"{model}.{field}"


def test_a_phase_vector_is_three_numbers_on_the_wire() -> None:
    snapshot = SiteSnapshot.model_validate_json(golden("SiteSnapshot"))
    assert snapshot.collectors[0].power_w == PhaseVector(12000.0, 9000.5, -300.0)
    assert json.loads(snapshot.model_dump_json())["collectors"][0]["power_w"] == [12000.0, 9000.5, -300.0]
    broken = json.loads(golden("SiteSnapshot"))
    broken["collectors"][0]["power_w"] = [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(ValidationError):
        SiteSnapshot.model_validate(broken)


@pytest.mark.parametrize("watts", [-1.0, math.inf, math.nan, -0.001])
@pytest.mark.parametrize("field", ["import_limit_w", "export_limit_w"])
def test_a_limit_is_a_finite_magnitude(field: str, watts: float) -> None:
    with pytest.raises(ValidationError, match="null means no limit"):
        CollectorLimit(collector="grid", source="page", published_at_ms=MINUTE_OF_2019, **{field: watts})


def test_a_limit_of_0_is_a_real_limit_and_null_is_none() -> None:
    limit = CollectorLimit(collector="grid", source="page", import_limit_w=0.0, published_at_ms=MINUTE_OF_2019)
    assert json.loads(limit.model_dump_json())["import_limit_w"] == 0.0
    assert json.loads(limit.model_dump_json())["export_limit_w"] is None


def test_a_value_that_is_not_good_is_no_number_for_control() -> None:
    measurement = Measurement.model_validate_json(golden("Measurement"))
    assert measurement.number("current_l1_a") == 10.8
    assert measurement.number("current_l3_a") is None
    assert measurement.number("power_w") is None
    assert measurement.number("nothing") is None
    assert (measurement.text("status"), measurement.text("power_w")) == ("Charging", None)


def test_every_subject_carries_an_event_and_its_tokens_are_filled_in_order() -> None:
    for subject in SUBJECTS:
        assert issubclass(subject.event, Event)
        names = [f"t{i}" for i in range(len(subject.tokens))]
        assert subject.name("demo", *names) == ".".join(["busbar.v1.demo", subject.noun, *names])
        assert subject.name("demo").count("*") == len(subject.tokens)
        with pytest.raises(ValueError, match="tokens"):
            subject.name("demo", *names, "one-too-many")
    assert len({subject.noun for subject in SUBJECTS}) == len(SUBJECTS)
