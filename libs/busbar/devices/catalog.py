"""The catalogue of device packages, and the gate through which any package comes in (FC-5).

A package of the catalogue is `catalog/<vendor>/<model>.yaml`; its id is `<vendor>-<model>`. A refused package says
everything that is wrong with it at once, with file, line, path, value and remedy.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from busbar.devices.digest import package_digest
from busbar.devices.lint import Finding, lint
from busbar.devices.package import DevicePackage
from busbar.devices.problems import PackageError, Problem
from busbar.devices.vectors import check_vectors
from busbar.devices.yamltext import Document, TextError, parse

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["PackageError", "Problem", "catalog_ids", "load_package", "package_digest", "parse_package"]

_CATALOG = Path(__file__).parent / "catalog"
_REMEDIES = {
    "missing": "add it",
    "string_pattern_mismatch": "use lower-case letters, digits and what the pattern allows",
    "greater_than": "give a larger number",
    "greater_than_equal": "give a larger number",
    "less_than": "give a smaller number",
    "less_than_equal": "give a smaller number",
    "finite_number": "give a finite number",
    "too_short": "give at least one",
    "too_long": "give fewer",
}


def load_package(id_or_path: str, base: Path | None = None) -> DevicePackage:
    """A package of the catalogue by id, or a file ending in .yaml (relative to `base`). Raises PackageError."""
    if id_or_path.endswith(".yaml"):
        path = Path(base or ".") / id_or_path
    else:
        known = _index()
        if id_or_path not in known:
            near = difflib.get_close_matches(id_or_path, known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}, or a path ending in .yaml"
            raise PackageError([Problem(id_or_path, 1, "", id_or_path, "no package of the catalogue", remedy)])
        path = known[id_or_path]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError([Problem(str(path), 1, "", "", f"cannot be read: {error}", "check the path")]) from error
    return parse_package(text, str(path))


def catalog_ids() -> list[str]:
    """Ids of all packages that come with Busbar, sorted."""
    return list(_index())


def _index() -> dict[str, Path]:
    files = {f"{path.parent.name}-{path.stem}": path for path in _CATALOG.glob("*/*.yaml")}
    return dict(sorted(files.items()))


def parse_package(text: str, file: str) -> DevicePackage:
    """A package from its text; `file` is only for messages. Raises PackageError."""
    try:
        document = parse(text)
    except TextError as error:
        problem = Problem(file, error.line, "", "", str(error), "write plain YAML: mappings, lists, words, numbers")
        raise PackageError([problem]) from error
    try:
        package = DevicePackage.model_validate(document.data)
    except ValidationError as error:
        raise PackageError([_shape(file, document, e) for e in error.errors()]) from error
    findings = lint(package) or list(check_vectors(package))
    if findings:
        raise PackageError([_finding(file, document, f) for f in findings])
    return package


def _shape(file: str, document: Document, error: ErrorDetails) -> Problem:
    path = tuple(part for part in error["loc"] if part != "[key]")
    remedy = _REMEDIES.get(error["type"], "see the schema of device-package/1")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _field_names(), 1, cutoff=0.8)
        remedy = f"did you mean {near[0]}?" if near else "remove it: this format has no such field"
    message = error["msg"].removeprefix("Value error, ")
    return Problem(file, document.line(path), _dotted(path), _shown(error["input"]), message, remedy)


def _field_names() -> list[str]:
    """All field names of the format, for suggestions."""
    names: dict[str, None] = {}
    seen: list[type[BaseModel]] = [DevicePackage]
    for model in seen:
        for name, info in model.model_fields.items():
            names[info.alias or name] = None
            seen.extend(m for m in _models_in(info.annotation) if m not in seen)
    return list(names)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]


def _finding(file: str, document: Document, finding: Finding) -> Problem:
    value: Any = document.data
    for part in finding.path:
        if isinstance(value, dict):
            value = value.get(str(part))
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return Problem(
        file, document.line(finding.path), _dotted(finding.path), _shown(value), finding.reason, finding.remedy
    )


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in path) or "(whole file)"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
