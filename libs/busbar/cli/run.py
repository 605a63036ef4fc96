"""`busbar run SERVICE`: one service as a process; the same entry point under `busbar up`, in a container, in k3s."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from busbar.cli.common import DEFAULT_NATS, Exit, default_data_dir, end, load, site_path

if TYPE_CHECKING:
    from busbar.actor import Actor, Shell
    from busbar.config.site import Site
    from busbar.registry import Service
    from busbar.telemetry.health import Vitals

STUCK_S: Final = 10.0
"""A service whose cycle does not advance for this long is not live."""


@dataclass(frozen=True)
class Start:
    """Everything that decides how one service runs."""

    service: Service
    actor: type[Actor]
    site: Site
    instance: str
    nats_url: str
    data_dir: Path
    options: dict[str, str]
    health_port: int | None


def run(
    service: Annotated[str, typer.Argument(help="Which service; a wrong name lists them.")],
    site: Annotated[Path | None, typer.Option(help="Site file; default examples/demo.yaml.")] = None,
    nats: Annotated[str, typer.Option(help="Address of nats-server.")] = DEFAULT_NATS,
    instance: Annotated[str | None, typer.Option(help="Id of this instance; a driver's is its shard.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where state survives; default var/SITE.")] = None,
    set_: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Of this service; repeatable.")] = [],  # noqa: B006
    health_port: Annotated[int | None, typer.Option(help="Serve /healthz, /readyz, /metrics on loopback.")] = None,
) -> None:
    """Run one service until it is told to stop (TERM, Ctrl-C)."""
    entry = _service(service)
    options = _options(set_)
    loaded = load(site_path(site))
    actor = _actor(entry)
    start = Start(
        entry, actor, loaded, instance or _default_instance(entry, loaded), nats,
        data_dir or default_data_dir(loaded), options, health_port,
    )  # fmt: skip
    _run(start)


def _service(name: str) -> Service:
    from busbar.registry import SERVICES

    if name not in SERVICES:
        known = "\n".join(f"  {s.name:<22} {s.about}" for s in SERVICES.values())
        end(f"there is no service {name!r}. There are:\n{known}")
    return SERVICES[name]


def _actor(entry: Service) -> type[Actor]:
    try:
        return entry.load()
    except ImportError as error:
        own = entry.actor.partition(".")[0]
        remedy = "reinstall busbar-ems" if error.name == own else "pip install 'busbar-ems[page]'"
        end(f"{entry.name} cannot start: {error}; {remedy}", Exit.MISSING)


def _options(pairs: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            end(f"--set takes KEY=VALUE, not {pair!r}")
        options[key] = value
    return options


def _default_instance(entry: Service, site: Site) -> str:
    controller = site.controllers[0]
    return controller.drivers[0].id if entry.per_driver else controller.id


def _run(start: Start) -> None:
    """The process boundary: whatever leaves the service becomes one line, a file with the traceback, an exit code."""
    from busbar.loops import run_live, speed_from_env
    from busbar.telemetry.logs import configure

    log = configure(start.service.name, start.instance)
    try:
        speed = speed_from_env()
    except ValueError as error:
        end(str(error))
    try:
        run_live(lambda: serve(start, log, speed), speed)
    except asyncio.CancelledError:
        log.info("stopped before it had started")
    except Exception as error:  # noqa: BLE001 - the process boundary
        _report_crash(start, log, error)
        raise typer.Exit(int(Exit.FAILED)) from None


def _report_crash(start: Start, log: logging.Logger, error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    path = start.data_dir / "log" / f"{start.service.name}.{start.instance}.crash.txt"
    text = "".join(traceback.format_exception(error))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        where = f"traceback in {path}"
    except OSError as full:
        where = f"traceback not written ({full.strerror})"
    log.critical("ended by %s: %s (%s); %s", type(error).__name__, error, place, where)
    log.debug("%s", text)


async def serve(start: Start, log: logging.Logger, speed: float) -> None:
    """Connect, run the shell, stop on TERM or Ctrl-C (a second one, or one before the start, cancels)."""
    from busbar.actor import Context, Shell
    from busbar.bus.nats import NatsBus
    from busbar.devices.tcp import TcpTransport
    from busbar.garbage import collect_seldom
    from busbar.loops import live_clock
    from busbar.store import FileStore

    stop = _StopOnSignal()
    clock = live_clock(speed)
    name = start.service.name
    bus = await NatsBus.connect(start.nats_url, start.site.id, f"{name}:{start.instance}", clock)
    store = FileStore(start.data_dir / "state" / f"{name}.{start.instance}")
    context = Context(start.site, bus, clock, start.instance, store, TcpTransport, log, start.options)
    shell = Shell(start.actor(context))
    stop.shell = shell
    collect_seldom()
    async with _health(start.health_port, _vitals(shell, bus), log):
        log.info("running %s %s for site %s", name, start.instance, start.site.id)
        await shell.run()
    log.info("stopped")


class _StopOnSignal:
    def __init__(self) -> None:
        self.shell: Shell | None = None
        self._main = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self.shell is not None:
            self.shell.stop()
            self.shell = None
        elif self._main is not None:
            self._main.cancel()


def _vitals(shell: Shell, bus: object) -> Callable[[], Vitals]:
    """Live: the number of cycles has grown within the last `STUCK_S` seconds."""
    from busbar.telemetry.health import Vitals

    loop = asyncio.get_running_loop()
    seen = [shell.cycles, loop.time()]

    def vitals() -> Vitals:
        now_s = loop.time()
        if shell.cycles != seen[0]:
            seen[:] = [shell.cycles, now_s]
        counters = getattr(bus, "counters", None)
        metrics = {f"busbar_bus_{key}_total": float(value) for key, value in vars(counters).items()} if counters else {}
        return Vitals(
            live=now_s - seen[1] < max(STUCK_S, 3 * shell.actor.period_s),
            ready=shell.actor.bus.connected,
            detail=f"{shell.actor.state} after {shell.cycles} cycles",
            metrics={"busbar_cycles_total": float(shell.cycles), **metrics},
        )

    return vitals


@contextlib.asynccontextmanager
async def _health(port: int | None, vitals: Callable[[], Vitals], log: logging.Logger) -> AsyncIterator[None]:
    if port is None:
        yield
        return
    from busbar.telemetry.health import HealthServer

    server = HealthServer(vitals)
    bound = await server.start("127.0.0.1", port)
    log.info("health on http://127.0.0.1:%d/healthz", bound)
    try:
        yield
    finally:
        await server.close()
