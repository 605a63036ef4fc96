"""What a driver keeps over its own restart: the highest epoch, what each entity was last told, open sessions.

Reads are forgiving: a file that is torn or foreign counts as none, and is said. Writes that fail (disk full) are said
too; control goes on without them (failure.md).
"""

from __future__ import annotations

from typing import Final

import orjson
from pydantic import ValidationError

from busbar.actor import StateStore
from busbar.events import Session

EPOCH: Final = "epoch.json"
BOOKED: Final = "booked.json"
SESSIONS: Final = "sessions.json"


class DriverMemory:
    """Typed access to the store of one driver instance. `trouble` says what went wrong last, empty when nothing."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.trouble = ""
        self._written: dict[str, bytes] = {}

    def epoch(self) -> int:
        """Highest epoch ever seen; 0 where none is known."""
        value = self._read(EPOCH)
        epoch = value.get("epoch") if isinstance(value, dict) else None
        return epoch if isinstance(epoch, int) else 0

    def keep_epoch(self, epoch: int) -> None:
        self._write(EPOCH, {"epoch": epoch})

    def booked(self) -> dict[str, float]:
        """What each entity was last told to keep to: A for connectors, W for other assets."""
        value = self._read(BOOKED)
        if not isinstance(value, dict):
            return {}
        return {str(k): float(v) for k, v in value.items() if isinstance(v, int | float)}

    def keep_booked(self, booked: dict[str, float]) -> None:
        self._write(BOOKED, booked)

    def sessions(self) -> list[Session]:
        value = self._read(SESSIONS)
        found: list[Session] = []
        for entry in value if isinstance(value, list) else []:
            try:
                found.append(Session.model_validate(entry))
            except ValidationError as error:
                self.trouble = f"{SESSIONS}: {error.error_count()} fields of a session are not readable"
        return found

    def keep_sessions(self, sessions: list[Session]) -> None:
        self._write(SESSIONS, [session.model_dump(mode="json") for session in sessions])

    def _read(self, name: str) -> object:
        data = self._store.read(name)
        if data is None:
            return None
        try:
            value: object = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            self.trouble = f"{name} is not readable: {error}"
            return None
        return value

    def _write(self, name: str, value: object) -> None:
        """Only where it differs from what this process wrote last."""
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if self._written.get(name) == data:
            return
        try:
            self._store.write(name, data)
        except OSError as error:
            self.trouble = f"{name} cannot be written ({error.strerror}): free space on the controller's disk"
            return
        self._written[name] = data
        self.trouble = ""
