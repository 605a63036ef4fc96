"""What several commands need: the site file, exit codes, an end with one clear message."""

from __future__ import annotations

import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import typer

if TYPE_CHECKING:
    from busbar.config.site import Site

DEFAULT_NATS: Final = "nats://127.0.0.1:4222"
DEMO_SITE: Final = Path("examples/demo.yaml")


class Exit(IntEnum):
    """How a command ends; `busbar up` restarts a service after any of them, but says of the last three what to do."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SITE = 3
    MISSING = 4


def end(text: str, code: Exit = Exit.USAGE) -> NoReturn:
    """Say what is wrong and what to do, and exit."""
    print(f"busbar: {text}", file=sys.stderr)
    raise typer.Exit(int(code))


def site_path(path: Path | None) -> Path:
    """The site file that was named, else the demo's where it is at hand. Ends the command otherwise."""
    if path is not None:
        return path
    if DEMO_SITE.exists():
        return DEMO_SITE
    end("which site? Name its file, e.g. `busbar up my-site.yaml` (the demo is examples/demo.yaml of the source tree)")


def load(path: Path) -> Site:
    """Load and check a site file. Ends the command with the whole list of what is wrong with it."""
    from busbar.config.load import SiteError, load_site

    if not path.exists():
        end(f"there is no site file {path}", Exit.SITE)
    try:
        return load_site(path)
    except SiteError as error:
        end(f"{path} was refused:\n{error}", Exit.SITE)


def default_data_dir(site: Site) -> Path:
    return Path("var") / site.id
