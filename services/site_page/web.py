"""The HTTP side: page, live stream, history, health. It reads what the service made; it asks nothing of the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from site_page.core import SiteView

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Live:
    """Fans the stream out. Each listener has room for one message: a slow browser gets a whole picture later, and
    never delays the others or the page (style.md 5)."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self) -> Listener:
        listener = Listener()
        self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def send(self, message: str) -> None:
        for listener in self._listeners:
            listener.put(message)

    def close(self) -> None:
        for listener in self._listeners:
            listener.put(None)

    @property
    def count(self) -> int:
        return len(self._listeners)


class Listener:
    """One browser. `missed` tells that a message was dropped: the next one must be the whole picture."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=2)
        self.missed = False

    def put(self, message: str | None) -> None:
        if self._queue.full():
            self._queue.get_nowait()
            self.missed = True
        self._queue.put_nowait(message)

    async def get(self) -> str | None:
        return await self._queue.get()


class Source(Protocol):
    """What the web side needs of the service."""

    live: Live

    def page(self) -> str: ...

    def whole(self) -> str:
        """All pieces as one stream message."""
        ...

    def view(self) -> SiteView: ...

    def series(self, collector: str) -> list[list[float | None]] | None:
        """None for an unknown collector."""
        ...

    def healthy(self) -> str | None:
        """None, or what is wrong."""
        ...


def event(data: str, name: str | None = None) -> str:
    """One server-sent event; data may have several lines."""
    head = f"event: {name}\n" if name else ""
    body = "\n".join(f"data: {line}" for line in data.splitlines() or [""])
    return f"{head}{body}\n\n"


def application(source: Source) -> Starlette:
    """The routes of the page."""

    async def page(_: Request) -> Response:
        return HTMLResponse(source.page(), headers=HEADERS)

    async def live(request: Request) -> Response:
        return StreamingResponse(
            _stream(source, request), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def state(_: Request) -> Response:
        return Response(orjson.dumps(asdict(source.view()), default=lambda o: o.model_dump(mode="json")), 200, HEADERS,
                        "application/json")  # fmt: skip

    async def history(request: Request) -> Response:
        series = source.series(request.path_params["collector"])
        if series is None:
            return PlainTextResponse("no such collector; the site's collectors are listed on /api/state", 404)
        return Response(orjson.dumps(series), media_type="application/json")

    async def health(_: Request) -> Response:
        wrong = source.healthy()
        return PlainTextResponse(wrong or "ok", 503 if wrong else 200)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/live", live),
            Route("/api/state", state),
            Route("/api/history/{collector}", history),
            Route("/healthz", health),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ]
    )


async def _stream(source: Source, request: Request) -> AsyncIterator[str]:
    """The whole picture first, then changes; a comment each 15 s keeps proxies awake."""
    listener = source.live.listen()
    try:
        yield event(source.whole())
        while not await request.is_disconnected():
            try:
                message = await asyncio.wait_for(listener.get(), 15.0)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if message is None:
                return
            if listener.missed:
                listener.missed = False
                message = event(source.whole())
            yield message
    finally:
        source.live.leave(listener)
