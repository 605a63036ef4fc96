"""`busbar simulate --fast`: days, weeks and months in steps of seconds, with what-ifs and a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from busbar.sim.stepped import StepRecord, StepRun

_DAY_S = 86_400.0


def run_fast(run: StepRun, path: Path, *, what_if: Sequence[str], report: Path | None, as_json: bool) -> int:
    """Simulate, and once more with `what_if` changed in the file `path`. Exit code: 0 held, 1 not held, 2 bad input."""
    from busbar.config.load import SiteError
    from busbar.config.what_if import WhatIfError, changed_site
    from busbar.sim.report import page

    console = Console(stderr=as_json)
    runs = [("as it is", run)]
    if what_if:
        try:
            runs.append((f"with {', '.join(what_if)}", replace(run, site=changed_site(path, what_if))))
        except (WhatIfError, SiteError) as error:
            typer.echo(f"--what-if: {error}", err=True)
            return 2
    if report is not None and not report.parent.is_dir():
        typer.echo(f"--report {report}: the folder {report.parent} does not exist; create it first", err=True)
        return 2
    records = [(name, _play(name, one, console)) for name, one in runs]
    if report is not None:
        report.write_text(page(records), encoding="utf-8")
        console.print(f"report written to {report}", highlight=False)
    if as_json:
        print(json.dumps([as_data(name, record) for name, record in records], indent=2))
    else:
        show(records, console)
    return 0 if all(record.held for _, record in records) else 1


def _play(name: str, run: StepRun, console: Console) -> StepRecord:
    from busbar.sim.stepped import step_through

    columns = (TextColumn("{task.fields[at]}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with ExitStack() as stack:
        bar = stack.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
        task = bar.add_task(name, total=run.duration_s, at=name)

        def progress(done_s: float) -> None:
            bar.update(task, completed=done_s, at=f"{name}, day {int(done_s // _DAY_S) + 1}")

        try:
            return step_through(run, progress)
        except KeyboardInterrupt:
            console.print("stopped before the end; nothing is judged")
            raise typer.Exit(130) from None


def as_data(name: str, record: StepRecord) -> dict[str, Any]:
    """The result as plain data."""
    run = record.run
    return {
        "name": name,
        "site": run.site.id,
        "fingerprint": run.site.fingerprint,
        "day": run.day.isoformat(),
        "seed": run.seed,
        "simulated_s": run.duration_s,
        "step_s": run.step_s,
        "steps": record.steps,
        "fine_steps": record.fine_steps,
        "held": record.held,
        "energy_kwh": {name: round(wh / 1000.0, 3) for name, wh in record.charged_wh.items()},
        "energy_by_day_kwh": [round(wh / 1000.0, 3) for wh in record.charged_by_day_wh],
        "quarters": [
            {
                "start_s": q.start_s, "charging_w": round(q.charging_w, 1), "pv_w": round(q.pv_w, 1),
                "battery_w": round(q.battery_w, 1), "load_w": round(q.load_w, 1),
                "grid_w": round(q.grid_w, 1), "paused": round(q.paused, 3),
                "utilisation": {name: round(share, 3) for name, share in q.utilisation.items()},
            }
            for q in record.quarters
        ],
        "fuses": [
            {"collector": f.collector, "what": f.what, "limit": f.limit, "peak": round(f.peak, 2),
             "above_s": round(f.above_s, 1), "longest_s": round(f.longest_s, 1), "opened": f.opened, "ok": f.ok}
            for f in record.physics.judge.findings()
        ],
        "wall_s": round(record.wall_s, 1),
    }  # fmt: skip


def show(records: Sequence[tuple[str, StepRecord]], console: Console) -> None:
    """The result for people."""
    run = records[0][1].run
    table = Table(title=f"{run.site.id}: {run.duration_s / _DAY_S:g} days from {run.day}", title_justify="left")
    for name in ("", "charged", "highest quarter", "fullest fuse", "fuses", "took"):
        table.add_column(name, justify="left" if not name else "right")
    for name, record in records:
        fullest = max(record.physics.judge.findings(), key=lambda f: f.ratio)
        highest_w = max((q.grid_w for q in record.quarters), default=0.0)
        table.add_row(
            name, f"{sum(record.charged_wh.values()) / 1000.0:,.1f} kWh", f"{highest_w / 1000.0:,.1f} kW",
            f"{fullest.collector} {fullest.what} {fullest.ratio:.0%}",
            "[green]held[/]" if record.held else "[bold red]NOT HELD[/]", f"{record.wall_s:.1f} s",
        )  # fmt: skip
    console.print(table)
