"""`busbar twin`: every simulated device of a site over true Modbus TCP, each on its own loopback address."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from busbar.cli.common import Exit, end, load, site_path

if TYPE_CHECKING:
    from busbar.config.site import Site
    from busbar.sim.server import DeviceServer
    from busbar.sim.switches import Switches
    from busbar.sim.twin import Twin

_FILE_CHECK_S: Final = 1.0
_SUMMARY_S: Final = 60.0


@dataclass(frozen=True)
class _Options:
    day: date
    start: time
    seed: int
    staged: bool
    faults: Path | None


def twin(
    site: Annotated[Path | None, typer.Argument(help="Site file; default examples/demo.yaml.")] = None,
    day: Annotated[str, typer.Option(help="Day to play, YYYY-MM-DD; real sessions are those of September 2019.")] = (
        "2019-09-11"
    ),
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 1,
    start: Annotated[str, typer.Option(help="Local time of day to begin with, HH:MM.")] = "13:00",
    staged: Annotated[
        bool, typer.Option("--staged/--no-staged", help="Begin with vehicles in every state, or as the data has it.")
    ] = True,
    faults: Annotated[
        Path | None, typer.Option(help="YAML file of faults, read again when it changes or on HUP.")
    ] = None,
) -> None:
    """Play the simulated devices of a site until told to stop (TERM, Ctrl-C)."""
    from busbar.loops import run_live, speed_from_env
    from busbar.telemetry.logs import configure

    options = _Options(_day(day), _time(start), seed, staged, faults)
    loaded = load(site_path(site))
    _check_loopback(loaded)
    model = _build(loaded, options)
    log = configure("twin", loaded.id)
    try:
        speed = speed_from_env()
    except ValueError as error:
        end(str(error))
    run_live(lambda: _Stage(model, options, log).play(), speed)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        end(f"--day takes a date such as 2019-09-11, not {text!r}")


def _time(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        end(f"--start takes a time of day such as 13:00, not {text!r}")


def _check_loopback(site: Site) -> None:
    """A simulated device must never be mistaken for a real one: it lives on loopback or nowhere."""
    away = [f"{d.id} ({d.host})" for d in site.devices.values() if d.simulated and not _is_loopback(d.host)]
    if away:
        end(f"simulated devices are served on loopback only (127.0.0.0/8), not {', '.join(away)}", Exit.SITE)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _build(site: Site, options: _Options) -> Twin:
    from busbar.sim.twin import Twin

    try:
        model = Twin(site, options.day, options.seed, options.start, staged=options.staged)
    except ValueError as error:
        end(str(error), Exit.SITE)
    if not model.devices:
        end(f"no device of site {site.id} is simulated: mark them with `simulated: true`", Exit.SITE)
    return model


class _Stage:
    """The running twin: servers, the step task in the loop's time, the faults file."""

    def __init__(self, model: Twin, options: _Options, log: logging.Logger) -> None:
        self._twin = model
        self._options = options
        self._log = log
        self._stop = asyncio.Event()
        self._servers: list[DeviceServer] = []
        self._reread = True
        self._stamp: tuple[int, int] | None = None
        self._switches: Switches | None = None

    async def play(self) -> None:
        """Until a signal. Ends the command where an address cannot be served."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hup)
        try:
            await self._listen()
            await self._run()
        finally:
            for server in self._servers:
                await server.close()
        self._log.info("stopped")

    async def _listen(self) -> None:
        from busbar.sim.server import CannotServeError, serve

        taken: list[str] = []
        for name, device in self._twin.devices.items():
            place = self._twin.site.devices[name]
            try:
                self._servers.append(await serve(device, place.host, place.port))
            except CannotServeError as error:
                taken.append(str(error))
                continue
            self._log.info("%s (%s) on %s:%d", name, place.package, place.host, place.port)
        if taken:
            end("\n".join(taken), Exit.FAILED)
        local = self._twin.world.almanac.local(self._twin.now_s)
        self._log.info("playing %s, seed %d", f"{local:%A %Y-%m-%d from %H:%M}", self._options.seed)

    async def _run(self) -> None:
        """Follow the loop's time, however fast it runs; steps that were missed are caught up."""
        loop, model = asyncio.get_running_loop(), self._twin
        start_s, step_s = loop.time(), model.step_s
        look_s = summary_s = 0.0
        while not self._stop.is_set():
            now_s = loop.time() - start_s
            model.advance(now_s)
            self._tell()
            if now_s >= look_s or self._reread:
                look_s = now_s + _FILE_CHECK_S
                self._look_at_faults()
            if now_s >= summary_s:
                summary_s += _SUMMARY_S
                self._summarise()
            self._wake_at(loop, start_s + model.now_s + step_s)
            await self._tick.wait()

    def _wake_at(self, loop: asyncio.AbstractEventLoop, when_s: float) -> None:
        self._tick = asyncio.Event()
        loop.call_at(when_s, self._tick.set)

    def _tell(self) -> None:
        notes, almanac = self._twin.physics.notes, self._twin.world.almanac
        while notes:
            at_s, words = notes.popleft()
            self._log.info("[%s] %s", f"{almanac.local(at_s):%H:%M:%S}", words)

    def _summarise(self) -> None:
        model = self._twin
        truth = model.truth()
        plugged = [c for c in (*truth["connectors"].values(), *truth["dc_outlets"].values()) if c["plugged"]]
        charging = sum(1 for c in plugged if max(c["current_a"]) > 1.0)
        fuses = ", ".join(
            f"{name} {'/'.join(f'{a:.0f}' for a in c['current_a'])} A" for name, c in truth["collectors"].items()
        )
        clock = f"{model.world.almanac.local(model.now_s):%H:%M:%S}"
        self._log.info("[%s] %d plugged, %d charging; %s", clock, len(plugged), charging, fuses)

    # -- faults

    def _on_hup(self) -> None:
        self._reread = True

    def _look_at_faults(self) -> None:
        """Apply the file where it is new or changed; one that is refused changes nothing."""
        from busbar.sim.switches import SwitchError, Switches, apply_switches, parse_switches

        path = self._options.faults
        again, self._reread = self._reread, False
        if path is None:
            return
        before = self._switches or Switches()
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp and not again:
                return
            self._stamp = stamp
            after = parse_switches(path.read_text("utf-8"), self._twin)
        except FileNotFoundError:
            if self._stamp is None and not again:
                return
            self._stamp, after = None, Switches()
        except (OSError, UnicodeDecodeError, SwitchError) as error:
            self._log.warning("%s was refused, nothing changed: %s", path, error)
            return
        self._switches = after
        for words in apply_switches(self._twin, before, after):
            self._log.warning("fault switch: %s", words)
