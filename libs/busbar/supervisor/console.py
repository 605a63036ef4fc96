"""The supervisor's screen: one line for each line of a child, with its name in front, in colour where there is one."""

from __future__ import annotations

import os
from typing import Final, TextIO

_COLOURS: Final = (36, 35, 34, 32, 96, 95, 94, 92)
_WIDTH: Final = 22
_MARKS: Final = ((" CRITICAL ", 31), (" ERROR ", 31), ("[ERR]", 31), ("[FTL]", 31), (" WARNING ", 33), ("[WRN]", 33))


class Console:
    """Writes lines; each name gets the next colour when it first speaks."""

    def __init__(self, out: TextIO, colour: bool | None = None) -> None:
        self._out = out
        self._colour = colour_wanted(out) if colour is None else colour
        self._colours: dict[str, int] = {}

    def line(self, name: str, text: str) -> None:
        if self._colour:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            tint = next((code for mark, code in _MARKS if mark in text), None)
            body = f"\x1b[{tint}m{text}\x1b[0m" if tint else text
            rendered = f"\x1b[{colour}m{name:<{_WIDTH}}│\x1b[0m {body}"
        else:
            rendered = f"{name:<{_WIDTH}}| {text}"
        try:
            print(rendered, file=self._out, flush=True)
        except OSError:
            self._out = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the terminal is gone or the log's disk is full; control goes on

    def say(self, text: str) -> None:
        """A line of the supervisor's own."""
        self.line("busbar", text)


def colour_wanted(out: TextIO) -> bool:
    """On a terminal, unless `NO_COLOR`; anywhere with `FORCE_COLOR`."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or out.isatty()
