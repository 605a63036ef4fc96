"""Logs of a service: lines for people, JSON for machines. Chosen by `BUSBAR_LOG` (text, json); level by
`BUSBAR_LOG_LEVEL`. A terminal and `busbar up` get text, everything else JSON."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

import orjson

STYLE_ENV: Final = "BUSBAR_LOG"
LEVEL_ENV: Final = "BUSBAR_LOG_LEVEL"

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class TextFormatter(logging.Formatter):
    """`12:00:01.234 WARNING text key=value`, local time, for eyes."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone()
        extras = "".join(f" {key}={value}" for key, value in _extras(record).items())
        line = f"{at:%H:%M:%S}.{int(record.msecs):03d} {record.levelname:<7} {record.getMessage()}{extras}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, service, instance, text, and what was given as `extra`."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._who = {"service": service, "instance": instance}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._who,
            "logger": record.name,
            "text": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure(service: str, instance: str, stream: TextIO | None = None) -> logging.Logger:
    """Set up the root logger of this process and return the service's own. An unknown level means info."""
    stream = stream or sys.stderr
    style = os.environ.get(STYLE_ENV) or ("text" if stream.isatty() else "json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(service, instance) if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    wanted = os.environ.get(LEVEL_ENV, "info").upper()
    root.setLevel(logging.getLevelNamesMapping().get(wanted, logging.INFO))
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    return logging.getLogger(service)
