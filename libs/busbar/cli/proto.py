"""`busbar proto`: write or check the published contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from busbar import contracts


def proto(
    folder: Annotated[Path, typer.Argument(help="Where the contracts stand.")] = Path("proto"),
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit 1 on a difference.")] = False,
) -> None:
    """Generate the published contracts, or with --check compare them with the code."""
    if not check:
        contracts.write(folder)
    found = contracts.differences(folder)
    for difference in found:
        typer.echo(f"{folder / difference.file}: {difference.what}; {difference.remedy}", err=True)
    if found:
        raise typer.Exit(1)
    typer.echo(f"{folder}: {len(contracts.generate())} contracts {'up to date' if check else 'written'}")
