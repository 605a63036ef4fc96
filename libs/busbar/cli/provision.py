"""`busbar provision`: the streams of a site, where nobody runs `busbar up` (containers, k3s)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from busbar.cli.common import DEFAULT_NATS, Exit, end, load, site_path


def provision(
    site: Annotated[Path | None, typer.Argument(help="Site file; default examples/demo.yaml.")] = None,
    nats: Annotated[str, typer.Option(help="Address of nats-server.")] = DEFAULT_NATS,
) -> None:
    """Create or correct the streams of a site; run it after each start of nats-server."""
    from busbar.bus import BusError
    from busbar.bus.provision import provision as do

    loaded = load(site_path(site))
    try:
        done = asyncio.run(do(nats, loaded.id))
    except BusError as error:
        end(str(error), Exit.FAILED)
    for what, names in (("created", done.created), ("changed", done.changed), ("found", done.found)):
        if names:
            print(f"{what}: {', '.join(names)}")
