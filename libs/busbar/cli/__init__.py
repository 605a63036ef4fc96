"""`busbar ...`: one file a command, imported only when it is called, so that a service starts fast."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, MutableMapping
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

COMMANDS: Final = {
    "up": "busbar.cli.up:up",
    "status": "busbar.cli.status:status",
    "site": "busbar.cli.site:app",
    "limit": "busbar.cli.limit:app",
    "target": "busbar.cli.target:app",
    "mode": "busbar.cli.mode:app",
    "advice": "busbar.cli.advice:app",
    "power-test": "busbar.cli.power_test:app",
    "record": "busbar.cli.record:record",
    "replay": "busbar.cli.replay:replay",
    "allocate": "busbar.cli.allocate:allocate",
    "simulate": "busbar.cli.simulate:simulate",
    "run": "busbar.cli.run:run",
    "twin": "busbar.cli.twin:twin",
    "provision": "busbar.cli.provision:provision",
    "proto": "busbar.cli.proto:proto",
}
"""Name -> where it lives: a function is a command, a typer app a group of them."""


class _LateCommands(MutableMapping[str, Any]):
    """Imports a command when it is looked at. A command whose module does not exist is not there."""

    def __init__(self, places: dict[str, str]) -> None:
        self._places = dict(places)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._places[name])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        for name, place in self._places.items():
            if importlib.util.find_spec(place.partition(":")[0]) is not None:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _LateGroup(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _LateCommands(COMMANDS)


def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    target: typer.Typer | Callable[..., None] = getattr(importlib.import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        function = target
        target = typer.Typer(add_completion=False, rich_markup_mode=None)
        target.command(name)(function)
    command = typer.main.get_command(target)
    command.name = name
    return command


app = typer.Typer(
    cls=_LateGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Busbar: energy management for sites with chargers, solar, meters and a tree of fuses."""
    if version:
        from busbar import __version__

        print(f"busbar {__version__}")
        raise typer.Exit


def main() -> None:
    app(prog_name="busbar")
