"""Errors of shape in plain words: what pydantic finds, with the path in the file and what would be right (SC-1).

Pydantic is the judge; the words of a remedy come from the published JSON Schema of the same model.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from busbar.config.model import SiteFile
from busbar.config.problem import Problem, error, shorten
from busbar.config.text import join

Schema = Mapping[str, Any]


@lru_cache(maxsize=1)
def site_schema() -> Schema:
    """JSON Schema of the site file."""
    return SiteFile.model_json_schema()


@dataclass(frozen=True, slots=True)
class Place:
    """Where an error stands: path in the file, the value there, the schema of it and of what holds it."""

    path: str
    value: object
    schema: Schema
    holder: Schema
    holder_path: str
    alternative: bool = False
    """It came from one branch of several (a number or a list)."""


def shape_problems(data: object, exc: ValidationError) -> list[Problem]:
    """All errors of one validation, one a place, in the order of the file's fields."""
    if not isinstance(data, Mapping):
        remedy = "begin with `format: busbar-site/1`, then `site:`, `collectors:`, ..."
        return [error("not_a_mapping", "", "a site file is a mapping of fields", remedy, value=data)]
    found: dict[str, tuple[Place, Problem]] = {}
    for details in exc.errors(include_url=False):
        place = _place(data, details["loc"])
        problem = _problem(place, details, entity_at(data, details["loc"]))
        found.setdefault(problem.path, (place, problem))
    deeper = tuple(found)
    return [
        problem
        for path, (place, problem) in found.items()
        if not (place.alternative and any(other.startswith(f"{path}[") for other in deeper))
    ]


def entity_at(data: object, loc: Iterable[str | int]) -> str:
    """Id of the innermost entry of the file that holds the place, where it has one."""
    entity, node = "", data
    for key in loc:
        if isinstance(node, Mapping) and key in node:
            node = node[str(key)]
        elif isinstance(node, list) and isinstance(key, int) and key < len(node):
            node = node[key]
        else:
            continue
        if isinstance(node, Mapping) and isinstance(node.get("id"), str):
            entity = node["id"]
    return shorten(entity)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def _place(data: object, loc: Sequence[str | int]) -> Place:
    """Follow a pydantic location through data and schema; it also names branches of unions, which are no data."""
    place = Place("", data, site_schema(), {}, "")
    for key in loc:
        schema = _plain(place.schema)
        if "discriminator" in schema:
            branch = schema["discriminator"]["mapping"].get(key, "")
            place = Place(place.path, place.value, _resolve({"$ref": branch}), place.holder, place.holder_path)
        elif "anyOf" in schema:
            wanted = "array" if str(key).startswith("list[") else "number"
            branch = next((s for s in schema["anyOf"] if s.get("type") == wanted), schema)
            place = Place(place.path, place.value, branch, place.holder, place.holder_path, alternative=True)
        else:
            below = schema.get("items", {}) if isinstance(key, int) else schema.get("properties", {}).get(key, {})
            path = join(place.path, key)
            place = Place(path, _child(place.value, key), _resolve(below), schema, place.path)
    return place


def _child(value: object, key: str | int) -> object:
    if isinstance(value, Mapping):
        return value.get(key, "")
    return value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else ""


def _resolve(schema: Schema) -> Schema:
    ref = schema.get("$ref", "")
    if ref:
        resolved: Schema = site_schema()["$defs"][ref.rpartition("/")[2]]
        return resolved
    return schema


def _plain(schema: Schema) -> Schema:
    """Without the null of an optional value; a union of several real types stays one."""
    real = [_resolve(s) for s in schema.get("anyOf", ()) if s.get("type") != "null"]
    return real[0] if len(real) == 1 else _resolve(schema)


def _problem(place: Place, details: ErrorDetails, entity: str) -> Problem:
    kind, value = details["type"], place.value
    if kind == "extra_forbidden":
        return _unknown_field(place, entity)
    if kind == "missing":
        name = place.path.rpartition(".")[2]
        remedy = f"add `{name}:` with {describe(place.schema)}"
        return error("missing_field", place.path, "this field is missing", remedy, entity=entity)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _unknown_kind(place, entity)
    if kind == "value_error":
        reason = str(details.get("ctx", {}).get("error", details["msg"]))
        return error("wrong_value", place.path, reason, f"write {describe(place.schema)}", value=value, entity=entity)
    whole = _plain(place.schema)
    code, message = ("wrong_type", "this is of the wrong type") if "type" in kind else _WORDS.get(kind, _OTHER)
    close = nearest(value, map(str, whole.get("enum", ()))) if isinstance(value, str) else None
    remedy = f"write {close!r}" if close else f"write {describe(place.schema)}"
    if place.alternative and code == "wrong_type":
        remedy = f"write {describe(_holder_field(place))}"
    return error(code, place.path, message, remedy, value=value, entity=entity)


_OTHER = ("wrong_value", "this value is not accepted")
_WORDS = {
    "literal_error": ("unknown_name", "this name is not known here"),
    "string_pattern_mismatch": ("bad_id", "this cannot be an id"),
    "greater_than": ("out_of_range", "this number is out of range"),
    "greater_than_equal": ("out_of_range", "this number is out of range"),
    "less_than": ("out_of_range", "this number is out of range"),
    "less_than_equal": ("out_of_range", "this number is out of range"),
    "finite_number": ("not_finite", "this number is not finite"),
    "too_short": ("wrong_count", "this list is too short"),
    "too_long": ("wrong_count", "this list is too long"),
}


def _holder_field(place: Place) -> Schema:
    name = place.path.rpartition(".")[2]
    field: Schema = place.holder.get("properties", {}).get(name, place.schema)
    return field


def _unknown_field(place: Place, entity: str) -> Problem:
    known = list(place.holder.get("properties", {}))
    name = place.path[len(place.holder_path) :].lstrip(".")
    close = nearest(name, known)
    remedy = f"write `{close}`" if close else f"remove it; the fields here are {', '.join(known)}"
    return error("unknown_field", place.path, "this field is not known", remedy, value=place.value, entity=entity)


def _unknown_kind(place: Place, entity: str) -> Problem:
    kinds = list(_plain(place.schema).get("discriminator", {}).get("mapping", {}))
    path = join(place.path, "kind")
    given = place.value.get("kind") if isinstance(place.value, Mapping) else None
    if given is None:
        remedy = f"add `kind:` with one of {', '.join(kinds)}"
        return error("missing_field", path, "an asset needs a kind", remedy, entity=entity)
    close = nearest(str(given), kinds)
    remedy = f"write {close!r}" if close else f"write one of {', '.join(kinds)}"
    return error("unknown_name", path, "this kind of asset is not known", remedy, value=given, entity=entity)


def describe(schema: Schema) -> str:
    """What a schema accepts, in words: `a number of 6 or more and at most 500`."""
    schema = _resolve(schema)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(describe(s) for s in schema["anyOf"])
    if "pattern" in schema:
        return "an id (letters, digits, '_' and '-', at most 63, the first a letter or digit; in quotes if all digits)"
    words = _TYPES.get(str(schema.get("type")))
    return words(schema) if words else "an entry as the guide describes"


def _describe_number(schema: Schema, words: str) -> str:
    bounds = [
        f"{text} {schema[key]:g}"
        for key, text in (("minimum", "of at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"))
        if key in schema
    ]
    return " ".join([words, " and ".join(bounds)]).rstrip()


def _describe_mapping(schema: Schema) -> str:
    needed = ", ".join(schema.get("required", ())) or ", ".join(schema.get("properties", ()))
    return f"a mapping with the fields {needed}" if needed else "a mapping"


def _describe_list(schema: Schema) -> str:
    low, high = schema.get("minItems"), schema.get("maxItems")
    count = f"{low} " if low is not None and low == high else f"{low or 0} to {high} " if high else ""
    return f"a list of {count}entries, each {describe(schema.get('items', {}))}"


_TYPES: Mapping[str, Callable[[Schema], str]] = {
    "number": lambda schema: _describe_number(schema, "a number"),
    "integer": lambda schema: _describe_number(schema, "a whole number"),
    "array": _describe_list,
    "object": _describe_mapping,
    "string": lambda _: "text (in quotes if it looks like a number)",
    "boolean": lambda _: "true or false",
    "null": lambda _: "null",
}
