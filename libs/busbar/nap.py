"""A task's wait for an instant or for a call, whichever comes first: what every cycle and every poll does.

    nap = Nap(loop)             # made once, used again and again by one task
    await nap.until(due_s)      # due_s in the loop's own time, without the rounding of a delay
    nap.wake()                  # from anywhere: end the wait now; outside of a wait it does nothing

It is what tasks call a future (`asyncio.isfuture`), except that the timer holds the task's own wake-up: no future, no
event and no second turn of the loop for each of the 30 waits that a site's tasks make every second. Any loop will do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from types import coroutine


class Nap:
    """Belongs to one task. Cancelling the task ends the wait and leaves no timer behind."""

    __slots__ = ("_asyncio_future_blocking", "_at_s", "_cancelled", "_context", "_loop", "_resume", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._cancelled: asyncio.CancelledError | None = None
        self._timer: asyncio.TimerHandle | None = None
        """Set exactly while the task waits."""

    @coroutine
    def until(self, at_s: float) -> Generator[Nap, None, None]:
        """Until the loop's time is `at_s` or somebody calls `wake`."""
        self._at_s = at_s
        self._asyncio_future_blocking = True  # how a task tells a wait from a bare yield
        yield self

    def wake(self) -> None:
        timer = self._timer
        if timer is not None:
            self._timer = None
            timer.cancel()
            self._loop.call_soon(self._resume, self, context=self._context)

    # -- what a task asks of a future

    def add_done_callback(self, resume: Callable[[Nap], object], *, context: Context) -> None:
        """The task waits: `resume` is its wake-up."""
        self._resume = resume
        self._context = context
        self._timer = self._loop.call_at(self._at_s, resume, self, context=context)

    def cancel(self, msg: str | None = None) -> bool:
        """The task is cancelled. False where it does not wait any more: it is on its way already."""
        if self._timer is None:
            return False
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.wake()
        return True

    def result(self) -> None:
        """The task goes on."""
        self._timer = None
        cancelled, self._cancelled = self._cancelled, None
        if cancelled is not None:
            raise cancelled
