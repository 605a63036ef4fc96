"""Small files of one service instance that survive its restart (epoch, checkpoint): see `busbar.actor.StateStore`.

A name holds its old bytes or its new ones, never a part: written beside, synced, renamed.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class FileStore:
    """One directory. Reads and writes are whole; a write has reached the disk when it returns."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{name}.new")
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _path(self, name: str) -> Path:
        return self._directory / _checked(name)


class MemoryStore:
    """The same in memory, for simulation and tests: outlives the actor that wrote it. `full` plays a full disk."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self.full = False

    def read(self, name: str) -> bytes | None:
        return self._files.get(_checked(name))

    def write(self, name: str, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        self._files[_checked(name)] = bytes(data)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a name of a state file: {name!r}")
    return name
