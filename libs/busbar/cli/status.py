"""`busbar status`: who runs, how loaded each collector is, what each connector is told and why (SPC-17)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from busbar.cli.common import DEFAULT_NATS, Exit, end, load, site_path

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from busbar.bus import Received
    from busbar.config.site import Site
    from busbar.events import CollectorState, Heartbeat, Measurement, Reason, Setpoint

LISTEN_S: Final = 2.2
"""Two cycles: by then everybody alive has spoken."""


@dataclass
class Board:
    """The newest of everything, and its rows at one instant. Ages by the monotonic clock."""

    site: Site
    hearts: dict[str, Received[Heartbeat]] = field(default_factory=dict)
    collectors: dict[str, Received[CollectorState]] = field(default_factory=dict)
    measurements: dict[str, Received[Measurement]] = field(default_factory=dict)
    setpoints: dict[str, Received[Setpoint]] = field(default_factory=dict)

    def service_rows(self, now_s: float) -> list[dict[str, Any]]:
        return [
            {
                "service": beat.event.service, "instance": beat.event.instance, "state": str(beat.event.state),
                "cycles": beat.event.cycles, "cycle_ms": round(beat.event.cycle_ms, 1),
                "age_s": _age_s(beat, now_s), "detail": beat.event.detail,
            }
            for _, beat in sorted(self.hearts.items())
        ]  # fmt: skip

    def collector_rows(self, now_s: float) -> list[dict[str, Any]]:
        rows = []
        for collector in self.site.collectors:
            state = self.collectors.get(collector.id)
            event = state.event if state else None
            rows.append(
                {
                    "collector": collector.id, "level": collector.level,
                    "current_a": _rounded(event.current_a) if event else None,
                    "limit_a": _rounded(event.limit_a) if event else None,
                    "quality": str(event.quality) if event else "never seen",
                    "age_s": _age_s(state, now_s),
                }
            )  # fmt: skip
        return rows

    def connector_rows(self, now_s: float) -> list[dict[str, Any]]:
        rows = []
        for connector in self.site.connectors:
            seen = self.measurements.get(connector.id)
            told = self.setpoints.get(connector.id)
            rows.append(
                {
                    "connector": connector.id,
                    "status": _condition(seen, now_s),
                    "power_w": _power_w(seen.event) if seen else None,
                    "setpoint_a": told.event.current_a if told else None,
                    "setpoint_w": told.event.power_w if told else None,
                    "why": why(told.event.reason) if told else "no setpoint",
                    "age_s": _age_s(told, now_s),
                }
            )
        return rows

    def asset_rows(self, now_s: float) -> list[dict[str, Any]]:
        """Batteries, generators and whatever else is set in W."""
        rows = []
        for asset in self.site.flexible:
            seen, told = self.measurements.get(asset.id), self.setpoints.get(asset.id)
            rows.append(
                {
                    "asset": asset.id, "kind": str(asset.kind), "status": _condition(seen, now_s, "run_state"),
                    "power_w": _power_w(seen.event) if seen else None,
                    "soc_percent": seen.event.number("soc_percent") if seen else None,
                    "setpoint_w": told.event.power_w if told else None,
                    "why": why(told.event.reason) if told else "no setpoint",
                    "age_s": _age_s(told, now_s),
                }
            )  # fmt: skip
        return rows

    def as_json(self, now_s: float) -> bytes:
        return orjson.dumps(
            {
                "site": self.site.id,
                "services": self.service_rows(now_s),
                "collectors": self.collector_rows(now_s),
                "connectors": self.connector_rows(now_s),
                "assets": self.asset_rows(now_s),
            },
            option=orjson.OPT_INDENT_2,
        )


def _condition(seen: Received[Measurement] | None, now_s: float, point: str = "status") -> str | None:
    """Status of a connector, or another text of an entity; or why there is none."""
    if seen is None:
        return None
    if seen.life_left_ms(now_s, seen.event.lifetime_ms) <= 0:
        return "stale"
    return seen.event.text(point) if seen.event.reachable else "unreachable"


def _power_w(measurement: Measurement) -> int | None:
    phases = [measurement.number(f"power_{phase}_w") for phase in ("l1", "l2", "l3")]
    known = [power for power in phases if power is not None]
    total = sum(known) if known else measurement.number("power_w")
    return None if total is None else round(total)


def why(reason: Reason) -> str:
    """The reason of a setpoint in one line: `row: parking L2 import 63 (rank 2)`; what binds beside it by its code."""
    parts = [reason.collector, reason.phase, reason.side, reason.source]
    text = " ".join(part for part in parts if part)
    value = f"{reason.value:g}" if reason.value is not None else ""
    rank = f"(rank {reason.rank})" if reason.rank is not None else ""
    rest = " ".join(part for part in (text, value, rank) if part)
    also = "".join(f" + {code}" for code in dict.fromkeys(binding.code.value for binding in reason.also))
    return (f"{reason.code}: {rest}" if rest else str(reason.code)) + also


def status(
    site: Annotated[Path | None, typer.Option(help="Site file; default examples/demo.yaml.")] = None,
    nats: Annotated[str, typer.Option(help="Address of nats-server.")] = DEFAULT_NATS,
    once: Annotated[bool, typer.Option("--once", help="Print once and exit.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print once, as JSON.")] = False,
) -> None:
    """Show services, collectors and connectors of a running site, renewed each second."""
    from busbar.bus import NotConnectedError
    from busbar.loops import run_live, speed_from_env

    loaded = load(site_path(site))
    try:
        speed = speed_from_env()
    except ValueError as error:
        end(str(error))
    try:
        run_live(lambda: _watch(loaded, nats, once, json, speed), speed)
    except NotConnectedError as error:
        end(str(error), Exit.FAILED)


async def _watch(site: Site, nats: str, once: bool, json: bool, speed: float) -> None:
    from busbar.bus.nats import NatsBus
    from busbar.loops import live_clock

    clock = live_clock(speed)
    bus = await NatsBus.connect(nats, site.id, "status", clock, timeout_s=3.0)
    board = Board(site)
    await _subscribe(bus, board)
    try:
        await asyncio.sleep(LISTEN_S)
        if json:
            print(board.as_json(clock.mono_s()).decode())
        elif once:
            _print(board, clock.mono_s())
        else:
            await _live(board, clock)
    finally:
        await bus.close()


async def _subscribe(bus: Any, board: Board) -> None:
    from busbar.subjects import COLLECTOR, HEARTBEAT, SETPOINT, TELEMETRY

    def keep(where: dict[str, Any], *names: str) -> Any:
        def handler(received: Received[Any]) -> None:
            where["/".join(str(getattr(received.event, name)) for name in names)] = received

        return handler

    await bus.subscribe(HEARTBEAT, keep(board.hearts, "service", "instance"))
    await bus.subscribe(COLLECTOR, keep(board.collectors, "collector"))
    await bus.subscribe(TELEMETRY, keep(board.measurements, "asset"))
    await bus.subscribe(SETPOINT, keep(board.setpoints, "asset"))


async def _live(board: Board, clock: Any) -> None:
    from rich.live import Live

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with Live(render(board, clock.mono_s()), auto_refresh=False, screen=True) as live:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
            live.update(render(board, clock.mono_s()), refresh=True)


def _print(board: Board, now_s: float) -> None:
    from rich.console import Console

    Console().print(render(board, now_s))


def render(board: Board, now_s: float) -> RenderableType:
    """Tables for a terminal: three, and one of what is set in W where the site has such."""
    from rich.console import Group
    from rich.table import Table

    services = Table(
        "service", "state", "cycle ms", "age s", "detail", title=f"{board.site.name}", title_justify="left"
    )
    for row in board.service_rows(now_s):
        services.add_row(
            f"{row['service']} {row['instance']}", row["state"], _text(row["cycle_ms"]), _text(row["age_s"]),
            row["detail"],
        )  # fmt: skip
    collectors = Table("collector", "L1", "L2", "L3", "quality", "age s")
    for row in board.collector_rows(now_s):
        loads = _loads(row["current_a"], row["limit_a"])
        collectors.add_row("  " * row["level"] + row["collector"], *loads, row["quality"], _text(row["age_s"]))
    connectors = Table("connector", "status", "power W", "setpoint", "why", "age s")
    for row in board.connector_rows(now_s):
        connectors.add_row(
            row["connector"], _text(row["status"]), _text(row["power_w"]), _setpoint(row), row["why"],
            _text(row["age_s"]),
        )  # fmt: skip
    tables = [services, collectors, connectors]
    if board.site.flexible:
        tables.append(_assets(board, now_s))
    return Group(*tables)


def _setpoint(row: dict[str, Any]) -> str:
    """Amperes; of a DC connector watts."""
    if row["setpoint_w"] is not None:
        return f"{row['setpoint_w']:.0f} W"
    return "-" if row["setpoint_a"] is None else f"{row['setpoint_a']:g} A"


def _assets(board: Board, now_s: float) -> Table:
    from rich.table import Table

    assets = Table("asset", "status", "power W", "charge %", "setpoint W", "why", "age s")
    for row in board.asset_rows(now_s):
        names = ("status", "power_w", "soc_percent", "setpoint_w", "why", "age_s")
        assets.add_row(row["asset"], *(_text(row[name]) for name in names))
    return assets


def _loads(current_a: list[float] | None, limit_a: list[float] | None) -> list[str]:
    """`41.2 / 75 A` per phase; red above the limit in either direction."""
    if current_a is None or limit_a is None:
        return ["-", "-", "-"]
    return [
        f"[bold red]{load:.1f} / {limit:.0f} A[/]" if abs(load) > limit else f"{load:.1f} / {limit:.0f} A"
        for load, limit in zip(current_a, limit_a, strict=True)
    ]


def _rounded(values: Iterable[float] | None) -> list[float] | None:
    return None if values is None else [round(value, 1) for value in values]


def _age_s(received: Received[Any] | None, now_s: float) -> float | None:
    return None if received is None else round(received.age_ms(now_s) / 1000.0, 1)


def _text(value: object) -> str:
    return "-" if value is None else str(value)
