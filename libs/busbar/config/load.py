"""Loading a site file: read, check, compile; every error at once, nothing applied of a file that has one (SC-1)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from busbar.config.check import check, check_plan, check_protection
from busbar.config.draft import Draft, make_draft
from busbar.config.packages import PackageFacts, PackageLookup, UnknownPackageError, catalogue, known_packages
from busbar.config.plan import FallbackPlan, fallback_plan
from busbar.config.problem import Level, Problem, SiteError, error
from busbar.config.shape import nearest
from busbar.config.site import Site, compile_site
from busbar.config.text import Document, parse_document, read_document

__all__ = ["CheckedSite", "SiteError", "check_site", "check_text", "load_site"]


@dataclass(frozen=True)
class CheckedSite:
    """Outcome of a check: every finding, and the site with its fallback plan where there is no error."""

    source: str
    problems: tuple[Problem, ...]
    site: Site | None = None
    plan: FallbackPlan | None = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.level is Level.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.level is Level.WARNING)


def load_site(path: Path) -> Site:
    """Read, check and compile a site file. Raises SiteError with everything that is wrong with it."""
    checked = check_site(path)
    if checked.site is None:
        raise SiteError(checked.source, checked.problems)
    return checked.site


def check_site(path: Path, packages: PackageLookup | None = None) -> CheckedSite:
    """Check a file without raising. `packages` replaces the catalogue of device packages."""
    return _check(str(path), read_document(path), packages or catalogue(path.parent))


def check_text(text: str, source: str = "text", packages: PackageLookup | None = None) -> CheckedSite:
    """Check a site file that is no file (an upload)."""
    return _check(source, parse_document(text), packages or catalogue())


def _check(source: str, document: Document, packages: PackageLookup) -> CheckedSite:
    problems = list(document.problems)
    if document.data is None:
        if not problems:
            problems.append(error("empty", "", "the file holds no value", "begin with `format: busbar-site/1`"))
        return CheckedSite(source, tuple(problems))
    draft, shape = make_draft(document.data)
    facts, unknown = _packages(draft, packages)
    draft = replace(draft, packages=facts, services=_services())
    problems += [*shape, *unknown, *check(draft)]
    site, plan = None, None
    if draft.file is not None and not _errors(problems):
        site = compile_site(draft.file, facts)
        plan = fallback_plan(site)
        problems += [*check_plan(draft, plan), *check_protection(draft, site)]
    located = tuple(_located(problem, document) for problem in problems)
    return CheckedSite(source, located) if _errors(located) else CheckedSite(source, located, site, plan)


def _packages(draft: Draft, look_up: PackageLookup) -> tuple[dict[str, PackageFacts], list[Problem]]:
    facts: dict[str, PackageFacts] = {}
    failed: dict[str, str] = {}
    problems: list[Problem] = []
    for item in draft.devices:
        name = item.it.package
        if name not in facts and name not in failed:
            try:
                facts[name] = look_up(name)
            except UnknownPackageError as exc:
                failed[name] = str(exc)
        if name in failed:
            close = nearest(name, known_packages())
            remedy = f"write {close!r}" if close else "give the id of a package of the catalogue, or a path to one"
            problems.append(
                error("no_package", f"{item.path}.package", f"no usable device package: {failed[name]}", remedy,
                      value=name, entity=item.it.id)
            )  # fmt: skip
    return facts, problems


def _services() -> frozenset[str]:
    """Names of all services; the registry stands above this layer and is found by name."""
    registry: Any = importlib.import_module("busbar.registry")
    return frozenset(registry.SERVICES)


def _errors(problems: Iterable[Problem]) -> bool:
    return any(problem.level is Level.ERROR for problem in problems)


def _located(problem: Problem, document: Document) -> Problem:
    return problem if problem.line else replace(problem, line=document.line(problem.path))
