"""A tiny HTTP endpoint: `/healthz` (the cycle advances), `/readyz` (connected), `/metrics` (OPS-1).

Off unless a port is given (HOST-2). One short answer for each connection; a client that stays silent is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

_REQUEST_TIMEOUT_S: Final = 5.0
_MAX_REQUEST: Final = 8192


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a service says of itself at one instant."""

    live: bool
    """False: stuck; whoever supervises restarts it."""
    ready: bool
    """False: alive, but without its bus."""
    detail: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """By Prometheus name."""


def answer(path: str, vitals: Vitals) -> tuple[int, str]:
    """Status code and body for one path."""
    if path == "/healthz":
        return (200 if vitals.live else 503), f"{'live' if vitals.live else 'stuck'} {vitals.detail}\n"
    if path == "/readyz":
        return (200 if vitals.ready else 503), f"{'ready' if vitals.ready else 'not connected'} {vitals.detail}\n"
    if path == "/metrics":
        return 200, "".join(f"{name} {value:g}\n" for name, value in vitals.metrics.items())
    return 404, "try /healthz, /readyz or /metrics\n"


class HealthServer:
    """Serves what `vitals` returns at the moment of asking."""

    def __init__(self, vitals: Callable[[], Vitals]) -> None:
        self._vitals = vitals
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 picks one. Returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_REQUEST)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n")
                method, path, _ = request.decode("ascii", "replace").split(" ", 2)
                code, body = answer(path, self._vitals()) if method == "GET" else (405, "GET only\n")
                head = f"HTTP/1.1 {code} {'OK' if code == 200 else 'Error'}\r\nContent-Type: text/plain\r\n"
                writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
                await writer.drain()
        writer.close()
