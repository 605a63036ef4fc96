"""One page about a stepped simulation: what was charged, how full the fuses were, day by day. HTML and SVG, no scripts.

Several records (a site and its what-ifs) stand beside each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Final

from busbar.sim.stepped import SAMPLE_S, Quarter, StepRecord

_WIDTH, _HEIGHT = 960, 220
_DAY_S: Final = 86_400.0
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#1b2530}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #d8dee4;text-align:right}
td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto;background:#f7f9fb}
.bad{color:#b3261e;font-weight:600}.good{color:#1b6e3c}figcaption{color:#5b6875}figure{margin:1.5rem 0}
svg text{font-size:11px;fill:#5b6875}
"""
_LINES: Final = (
    ("grid connection", "#1b2530", "grid_w"),
    ("charging", "#1769aa", "charging_w"),
    ("buildings", "#8a6d1d", "load_w"),
    ("PV", "#2e8b57", "pv_w"),
    ("batteries", "#8e4585", "battery_w"),
)


def page(records: Sequence[tuple[str, StepRecord]]) -> str:
    """The report of one or more runs as (name, record); the first is the site as it is."""
    first = records[0][1]
    run = first.run
    days = run.duration_s / _DAY_S
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(run.site.name)}</title>",
        f"<style>{_STYLE}</style><h1>{escape(run.site.name)}</h1>",
        f"<p>{days:g} days from {run.day.isoformat()}, seed {run.seed}, step {run.step_s:g} s. Judged by physical "
        "currents of the simulated site.</p>",
        _summary(records),
    ]
    for name, record in records:
        parts.append(f"<h2>{escape(name)}</h2>")
        parts += [_powers(record), _fuses(record), _daily(record)]
    return "".join(parts)


def _summary(records: Sequence[tuple[str, StepRecord]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{sum(r.charged_wh.values()) / 1000.0:,.1f}</td>"
        f"<td>{max((q.grid_w for q in r.quarters), default=0.0) / 1000.0:,.1f}</td>"
        f"<td>{sum(q.paused for q in r.quarters) * SAMPLE_S / 3600.0:,.1f}</td>"
        f"<td class='{'good' if r.held else 'bad'}'>{'held' if r.held else 'NOT HELD'}</td></tr>"
        for name, r in records
    )
    return (
        "<table><tr><th></th><th>charged, kWh</th><th>highest quarter of import, kW</th><th>vehicle-hours paused</th>"
        f"<th>fuses</th></tr>{rows}</table>"
    )


def _powers(record: StepRecord) -> str:
    quarters = record.quarters
    series = {label: [getattr(q, name) / 1000.0 for q in quarters] for label, _, name in _LINES}
    low = min(0.0, *(min(values, default=0.0) for values in series.values()))
    high = max(1.0, *(max(values, default=0.0) for values in series.values()))
    lines = "".join(
        f"<polyline fill='none' stroke='{colour}' stroke-width='1.4' points='{_points(series[label], low, high)}'/>"
        for label, colour, _ in _LINES
    )
    keys = "".join(
        f"<text x='{60 + 130 * i}' y='14' style='fill:{colour}'>{label}</text>"
        for i, (label, colour, _) in enumerate(_LINES)
    )
    caption = "Means of quarters of an hour in kW; consumption positive."
    drawn = f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}'>{_axes(record, low, high)}{lines}{keys}</svg>"
    return f"<figure>{drawn}<figcaption>{caption}</figcaption></figure>"


def _points(values: Sequence[float], low: float, high: float) -> str:
    width = _WIDTH - 60
    return " ".join(
        f"{50 + width * (i + 0.5) / len(values):.1f},{_y(value, low, high):.1f}" for i, value in enumerate(values)
    )


def _y(value: float, low: float, high: float) -> float:
    return 20 + (_HEIGHT - 40) * (high - value) / (high - low)


def _axes(record: StepRecord, low: float, high: float) -> str:
    days = record.run.duration_s / _DAY_S
    lines = [
        f"<line x1='50' x2='{_WIDTH - 10}' y1='{_y(v, low, high):.1f}' y2='{_y(v, low, high):.1f}' stroke='#d8dee4'/>"
        f"<text x='4' y='{_y(v, low, high) + 4:.1f}'>{v:,.0f}</text>"
        for v in sorted({low, 0.0, high / 2.0, high})
    ]
    every = max(1, round(days / 10))
    for number in range(0, int(days) + 1, every):
        x = 50 + (_WIDTH - 60) * number / days
        label = (record.run.day + timedelta(days=number)).strftime("%d %b")
        lines.append(f"<line x1='{x:.1f}' x2='{x:.1f}' y1='20' y2='{_HEIGHT - 20}' stroke='#eceff2'/>")
        lines.append(f"<text x='{x + 2:.1f}' y='{_HEIGHT - 6}'>{label}</text>")
    return "".join(lines)


def _fuses(record: StepRecord) -> str:
    rows = "".join(
        f"<tr><td>{escape(f.collector)} {f.what}</td><td>{f.limit:g}</td><td>{f.peak:.1f}</td><td>{f.ratio:.0%}</td>"
        f"<td>{_busy(record.quarters, f.collector):.1%}</td><td>{f.above_s:.0f}</td>"
        f"<td class='{'good' if f.ok else 'bad'}'>{'ok' if f.ok else 'VIOLATED'}</td></tr>"
        for f in sorted(record.physics.judge.findings(), key=lambda f: -f.ratio)[:20]
    )
    return (
        "<table><tr><th>fuse or power limit</th><th>limit</th><th>peak</th><th>of limit</th>"
        f"<th>quarters above 90 %</th><th>s above</th><th></th></tr>{rows}</table>"
    )


def _busy(quarters: Sequence[Quarter], collector: str) -> float:
    """Part of all quarters in which some current of the collector was above 90 % of its rating."""
    return sum(q.utilisation.get(collector, 0.0) > 0.9 for q in quarters) / max(1, len(quarters))


def _daily(record: StepRecord) -> str:
    rows = "".join(
        f"<tr><td>{(record.run.day + timedelta(days=number)).isoformat()}</td><td>{wh / 1000.0:,.1f}</td></tr>"
        for number, wh in enumerate(record.charged_by_day_wh)
    )
    return f"<table><tr><th>day</th><th>charged, kWh</th></tr>{rows}</table>"
