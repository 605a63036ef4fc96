"""Waiting in tests for what must come, without asserting how long it takes."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], object | Awaitable[object]], timeout_s: float = 20.0) -> None:
    """Return once `condition()` is true; TimeoutError when it does not become so on the busiest of machines."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.005)
