"""`busbar simulate`: a day of a site in virtual time, judged by the twin's physical currents."""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from busbar.config.site import Site
    from busbar.sim.simulation import Record, Run
    from busbar.sim.trouble import Fault

FAULTS = ("lost", "stale", "crash")


def simulate(
    site: Annotated[Path, typer.Argument(help="Site file; every device on it is simulated.")],
    day: Annotated[str, typer.Option(help="Day to replay: vehicles, sun and load of that day.")] = "2019-09-11",
    seed: Annotated[int, typer.Option(help="Decides everything random; same seed, same trace.")] = 1,
    hours: Annotated[float, typer.Option(min=0.01, max=24.0, help="How long.")] = 24.0,
    start: Annotated[
        str | None, typer.Option(help="Begin at this local time with vehicles in every state; else empty at midnight.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="lost (messages), stale (a silent meter), crash (a killed service), all. Repeatable."),
    ] = None,
    wire: Annotated[bool, typer.Option("--wire", help="Send every event through JSON, as NATS would.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Write the trace: one line an event, one a second.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Result for programs.")] = False,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Step cores and physics directly: no bus, drivers, faults; for weeks, months."),
    ] = False,
    days: Annotated[float | None, typer.Option(min=0.01, max=3660, help="With --fast: how many days.")] = None,
    step: Annotated[
        float, typer.Option(min=1.0, max=10.0, help="With --fast: seconds a step; 1 while anything is above 95 %.")
    ] = 10.0,
    what_if: Annotated[
        list[str] | None,
        typer.Option("--what-if", help="With --fast: run once more with this changed, as fuse.grid=250. Repeatable."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="With --fast: write one HTML page with plots.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what services and devices say.")] = False,
) -> None:
    """Run a site's real services against its twin in virtual time. Exit: 0 held, 1 not held, 2 bad input."""
    if fast:
        _refuse("--fast", {"--fault": fault, "--wire": wire, "--trace": trace})
        from busbar.cli.stepped import run_fast
        from busbar.sim.stepped import StepRun

        run_s = days * 86_400.0 if days is not None else hours * 3600.0
        steps = StepRun(_site(site), _day(day), seed, run_s, step, _start(start))
        code = run_fast(steps, site, what_if=what_if or (), report=report, as_json=as_json)
        raise typer.Exit(code)
    _refuse("the exact mode: add --fast", {"--days": days, "--what-if": what_if, "--report": report})
    from busbar.sim.simulation import Run

    console = Console(stderr=as_json)
    logging.basicConfig(level=logging.WARNING if verbose else logging.CRITICAL, format="%(name)s: %(message)s")
    run = Run(_site(site), _day(day), seed, hours * 3600.0, start=_start(start), faults=_faults(fault), wire=wire)
    record = _play(run, trace, console)
    if as_json:
        print(json.dumps(as_data(record), indent=2))
    else:
        show(record, console)
    raise typer.Exit(0 if held(record) else 1)


def _refuse(mode: str, options: dict[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise typer.BadParameter(f"{', '.join(given)} cannot be used with {mode}")


def _site(path: Path) -> Site:
    from busbar.config.load import SiteError, load_site

    try:
        return load_site(path)
    except SiteError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"--day {text!r}: write a date as 2019-09-11") from error


def _start(text: str | None) -> time | None:
    try:
        return time.fromisoformat(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"--start {text!r}: write a time as 13:30") from error


def _faults(names: list[str] | None) -> tuple[Fault, ...]:
    from busbar.sim.trouble import Fault

    wanted = FAULTS if names and "all" in names else tuple(dict.fromkeys(names or ()))
    unknown = [name for name in wanted if name not in FAULTS]
    if unknown:
        raise typer.BadParameter(f"--fault {unknown[0]!r}: choose from {', '.join(FAULTS)} or all")
    return tuple(Fault(name) for name in wanted)


def _play(run: Run, trace: Path | None, console: Console) -> Record:
    from busbar.sim.simulation import simulate as play

    columns = (TextColumn("{task.fields[clock]}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(trace.open("w", encoding="utf-8")) if trace else None
        bar = stack.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
        task = bar.add_task("simulate", total=run.duration_s, clock="00:00")

        def progress(done_s: float) -> None:
            bar.update(task, completed=done_s, clock=f"{int(done_s // 3600):02}:{int(done_s // 60 % 60):02}")

        try:
            return play(run, progress, out)
        except KeyboardInterrupt:
            console.print("stopped before the end; nothing is judged")
            raise typer.Exit(130) from None


def held(record: Record) -> bool:
    """Every fuse held and no service ended by its own fault."""
    return record.twin.judge.ok and not record.bugs


def as_data(record: Record) -> dict[str, Any]:
    """The result as plain data."""
    run, twin = record.run, record.twin
    kinds: dict[str, int] = {}
    for incident in record.incidents:
        kinds[incident.kind] = kinds.get(incident.kind, 0) + 1
    return {
        "site": run.site.id,
        "fingerprint": run.site.fingerprint,
        "day": run.day.isoformat(),
        "seed": run.seed,
        "simulated_s": run.duration_s,
        "held": held(record),
        "trace_hash": record.trace_hash,
        "messages": record.messages,
        "incidents": kinds,
        "restarts": record.restarts,
        "bugs": record.bugs,
        "energy_kwh": {name: round(wh / 1000.0, 3) for name, wh in record.charged_wh.items()},
        "fuses": [
            {
                "collector": f.collector, "what": f.what, "limit": f.limit, "peak": round(f.peak, 2),
                "ratio": round(f.ratio, 3), "above_s": round(f.above_s, 1), "longest_s": round(f.longest_s, 1),
                "curve_used": round(f.curve_used, 4), "opened": f.opened, "ok": f.ok,
            }
            for f in twin.judge.findings()
        ],
        "wall_s": round(record.wall_s, 1),
    }  # fmt: skip


def show(record: Record, console: Console) -> None:
    """The result for people."""
    data = as_data(record)
    table = Table(
        title=f"{data['site']} on {data['day']}, seed {data['seed']}: physical currents", title_justify="left"
    )
    for name in ("collector", "limit", "peak", "of limit", "above", "longest", "of fuse curve", ""):
        table.add_column(name, justify="left" if name in ("collector", "") else "right")
    for fuse in data["fuses"]:
        unit = "A" if fuse["what"].startswith("L") else fuse["what"]
        verdict = "ok" if fuse["ok"] else "[bold red]VIOLATED[/]"
        table.add_row(
            f"{fuse['collector']} {fuse['what']}", f"{fuse['limit']:g} {unit}", f"{fuse['peak']:.1f}",
            f"{fuse['ratio']:.0%}", f"{fuse['above_s']:.1f} s", f"{fuse['longest_s']:.1f} s",
            f"{fuse['curve_used']:.1%}", verdict,
        )  # fmt: skip
    console.print(table)
    console.print(
        "energy charged: " + ", ".join(f"{name} {kwh:.1f} kWh" for name, kwh in data["energy_kwh"].items()),
        highlight=False,
    )
    if data["incidents"]:
        console.print(f"faults: {data['incidents']}, restarts: {data['restarts']}", highlight=False)
    for bug in data["bugs"]:
        console.print(f"[bold red]service ended by its own fault:[/] {bug}")
    speed = data["simulated_s"] / data["wall_s"] if data["wall_s"] else 0.0
    console.print(
        f"{data['messages']} messages, {data['wall_s']} s of wall time ({speed:.0f} times real time)", highlight=False
    )
    console.print(f"trace {data['trace_hash']}", highlight=False)
    console.print("[bold green]every fuse held[/]" if data["held"] else "[bold red]NOT HELD[/]")
