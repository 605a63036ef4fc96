"""`busbar site ...`: check, show and describe site files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from busbar.config.load import CheckedSite
    from busbar.config.plan import FallbackPlan
    from busbar.config.site import Collector, Site

app = typer.Typer(help="Check, show and describe site files.", no_args_is_help=True, rich_markup_mode=None)

_KINDS: Final = {
    "ac_connector": "AC connector", "dc_connector": "DC connector", "pv": "PV system", "load": "load", "meter": "meter",
}  # fmt: skip
_File = Annotated[Path, typer.Argument(help="Site file, YAML or JSON.")]


@app.command("check")
def check(file: _File, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say everything that is wrong with a site file, and its fallback plan. Exit: 0 fine, 1 refused, 2 unreadable."""
    checked = _checked(file)
    if as_json:
        print(json.dumps(_as_json(checked), indent=2, ensure_ascii=False))
    else:
        _print_findings(checked)
    if checked.errors:
        raise typer.Exit(2 if checked.errors[0].code == "unreadable" else 1)


@app.command("show")
def show(file: _File) -> None:
    """Draw the site: collectors, assets and devices, after the same check."""
    checked = _checked(file)
    if checked.site is None:
        _print_findings(checked)
        raise typer.Exit(2 if checked.errors[0].code == "unreadable" else 1)
    print("\n".join(tree_lines(checked.site, assets=True)))
    for device in checked.site.devices.values():
        unit = "" if device.unit_id is None else f" unit {device.unit_id}"
        played = " (simulated)" if device.simulated else ""
        print(f"{device.id}: {device.package} at {device.host}:{device.port}{unit}{played}")


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of site files."""
    from busbar.contracts import site_schema_text

    sys.stdout.write(site_schema_text())


@app.command("fields")
def fields() -> None:
    """Print every field of site files as Markdown tables; the guide carries them."""
    from busbar.config.fields import field_tables

    print(field_tables())


def _checked(file: Path) -> CheckedSite:
    from busbar.config.load import check_site

    return check_site(file)


def _print_findings(checked: CheckedSite) -> None:
    if checked.site is not None and checked.plan is not None:
        print("\n".join(summary_lines(checked.site, checked.plan)))
    for kind, problems in (("warning", checked.warnings), ("error", checked.errors)):
        for problem in problems:
            print(f"{kind}: {problem}")
    errors, warnings = len(checked.errors), len(checked.warnings)
    verdict = "refused" if errors else "accepted"
    print(f"{checked.source}: {verdict}, {_count(errors, 'error')}, {_count(warnings, 'warning')}")


def summary_lines(site: Site, plan: FallbackPlan) -> list[str]:
    """The site in short: drawing, counts, fallback plan."""
    kinds: dict[str, int] = {}
    for entity in site.entities.values():
        kinds[entity.kind.value] = kinds.get(entity.kind.value, 0) + 1
    counts = [_count(len(site.collectors), "collector"), _count(len(site.devices), "device")]
    counts += [_count(number, _KINDS.get(kind, kind.replace("_", " "))) for kind, number in kinds.items()]
    paused = [connector for connector, value in plan.value_a.items() if value == 0]
    lines = [f"{site.name} ({site.id}), fingerprint {site.fingerprint[:12]}", "", *tree_lines(site), ""]
    lines += [", ".join(counts), "", "fallback plan, when nothing commands:", plan.table(), ""]
    if paused:
        lines += [f"paused in fallback, their minimum does not fit: {', '.join(paused)}", ""]
    return lines


def tree_lines(site: Site, *, assets: bool = False) -> list[str]:
    """The collectors as a drawing; with `assets` also what hangs on them."""
    lines: list[str] = []
    _draw(site, site.collectors[0], "", "", lines, assets)
    return lines


def _draw(site: Site, collector: Collector, first: str, rest: str, lines: list[str], assets: bool) -> None:
    lines.append(first + _describe(collector))
    children = [c for c in site.collectors if c.parent == collector.id]
    hanging = [e for e in site.below(collector.id) if e.collector == collector.id] if assets else []
    for entity in hanging:
        bar = "|" if children else " "
        phases = " ".join(phase.name for phase in entity.phases)
        lines.append(f"{rest}{bar}   {entity.id}: {_KINDS.get(entity.kind.value, entity.kind.value)} on {phases}")
    for child in children:
        last = child is children[-1]
        _draw(site, child, f"{rest}{'`' if last else '|'}-- ", f"{rest}{' ' if last else '|'}   ", lines, assets)


def _describe(collector: Collector) -> str:
    file = collector.file
    rated = "/".join(f"{value:g}" for value in dict.fromkeys(collector.rated_a[: len(file.phases)]))
    measured = f"meter {file.meter}" if file.meter else "virtual"
    reserve = f", reserve {file.fixed_reserve_a:g} A" if file.fixed_reserve_a else ""
    dynamic = f" or {_count(file.dynamic_reserve_connectors, 'connector')}" if file.dynamic_reserve_connectors else ""
    phases = "" if file.phases == ["L1", "L2", "L3"] else f", fed by {' '.join(file.phases)}"
    watched = ", only monitored" if file.monitored_only else ""
    return f"{collector.id}: {rated} A {file.fuse}, {measured}{reserve}{dynamic}{phases}{watched}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _as_json(checked: CheckedSite) -> dict[str, Any]:
    fields = ("level", "code", "path", "line", "entity", "value", "message", "remedy")
    out: dict[str, Any] = {
        "file": checked.source,
        "ok": not checked.errors,
        "problems": [{name: getattr(problem, name) for name in fields} for problem in checked.problems],
    }
    if checked.site is not None and checked.plan is not None:
        out["site"] = checked.site.id
        out["fingerprint"] = checked.site.fingerprint
        out["fallback_a"] = dict(checked.plan.value_a)
        out["booked_a"] = dict(checked.plan.booked_a)
        out["hold_s"] = dict(checked.plan.hold_s)
    return out
