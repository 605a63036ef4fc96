"""`busbar record`: what the allocator decides and on what, into a file that `busbar replay` decides again (OPS-3)."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo

import typer

from busbar.cli.common import DEFAULT_NATS, Exit, end, load, site_path
from busbar.cli.times import duration_s

if TYPE_CHECKING:
    from busbar.config.site import Site
    from busbar.record.file import Writer

CONNECT_S: Final = 3.0


def record(
    out: Annotated[
        Path | None, typer.Option(help="File to create, .gz is compressed; default SITE-DAY-TIME.jsonl.gz.")
    ] = None,
    for_: Annotated[str | None, typer.Option("--for", help="How long, as 10m or 1h; default until Ctrl-C.")] = None,
    site: Annotated[Path | None, typer.Option(help="Site file that runs; default examples/demo.yaml.")] = None,
    nats: Annotated[str, typer.Option(help="Address of nats-server.")] = DEFAULT_NATS,
) -> None:
    """Record a running site's decisions with all they were made on. Exit: 0 recorded, 1 nothing was, 2 wrong use."""
    from busbar.bus import BusError
    from busbar.loops import run_live, speed_from_env
    from busbar.record.file import RecordError, Writer

    for_s = None if for_ is None else duration_s(for_, "--for")
    path = site_path(site)
    loaded = load(path)
    try:
        speed = speed_from_env()
    except ValueError as error:
        end(str(error))
    target = out or _default_name(loaded)
    try:
        writer = Writer(target, loaded, path.read_text("utf-8"))
    except FileExistsError:
        end(f"--out {target} exists: name another file, recordings are not overwritten")
    except OSError as error:
        end(f"--out {target} cannot be created ({error.strerror or error}): name a file in a folder you may write to")
    failure = ""
    try:
        run_live(lambda: _record(loaded, nats, writer, for_s, speed), speed)
    except (BusError, RecordError) as error:
        failure = str(error)
    except OSError as error:
        failure = f"{target} cannot be written ({error.strerror or error}): free space on that disk"
    _finish(writer, target, failure)


def _finish(writer: Writer, target: Path, failure: str) -> None:
    """Close; a file without a cycle is removed."""
    try:
        writer.close()
    except OSError as error:
        failure = failure or f"{target} cannot be written ({error.strerror or error}): free space on that disk"
    if not writer.cycles:
        target.unlink(missing_ok=True)
        end(failure or "no decision was recorded: is the site running? See `busbar status`", Exit.FAILED)
    print(f"{writer.cycles} cycles, {target.stat().st_size / 1e6:.1f} MB in {target}", file=sys.stderr)
    if failure:
        end(failure, Exit.FAILED)


def _default_name(site: Site) -> Path:
    now = datetime.now(ZoneInfo(site.file.site.timezone))
    return Path(f"{site.id}-{now:%Y%m%d-%H%M%S}.jsonl.gz")


async def _record(site: Site, nats: str, writer: Writer, for_s: float | None, speed: float) -> None:
    from busbar.bus.nats import NatsBus
    from busbar.loops import live_clock
    from busbar.record.recorder import Recorder

    def say(text: str) -> None:
        print(f"busbar record: {text}", file=sys.stderr)

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock = live_clock(speed)
    bus = await NatsBus.connect(nats, site.id, "cli", clock, timeout_s=CONNECT_S)
    try:
        say(f"recording {site.id}; Ctrl-C ends it")
        await Recorder(bus, clock, site, writer.add, say).run(stop, for_s)
    finally:
        await bus.close()
