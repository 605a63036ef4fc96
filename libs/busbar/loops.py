"""Event loops whose time is not the wall's, and the clocks that go with them.

`VirtualLoop` jumps to the next timer when nothing is ready: a simulated day takes as long as its work takes, and every
run with the same inputs happens in the same order (timers of one instant fire in the order in which they were set).
`ScaledLoop` runs `speed` times as fast as the wall: every sleep and timeout shrinks, sockets, signals and child
processes work as ever. All processes of one machine with the same speed share the same `loop.time()`.

Neither makes unordered things ordered: `asyncio.wait` and `TaskGroup` keep sets of tasks, so code that runs in a
simulation uses plain tasks and `asyncio.gather`.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import time
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

from busbar.clock import Clock, SystemClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SPEED_ENV: Final = "BUSBAR_SPEED"
EPOCH_ENV: Final = "BUSBAR_EPOCH"
"""`{utc_ms}@{monotonic_s}`: the instant at which scaled UTC was true UTC; the same for all processes of one run."""

MAX_SPEED: Final = 10.0
_MAX_PASSES_AT_ONE_INSTANT: Final = 1_000_000
_new: Final = object.__new__


class DeadlockError(RuntimeError):
    """Virtual time cannot go on: everybody waits and no timer is set, or one instant never ends."""


class _Handle(asyncio.Handle):
    """A callback that is due. The loop fills it in without the base's `__init__`: a simulated day makes millions."""

    __slots__ = ()
    if TYPE_CHECKING:
        _cancelled: bool
        _context: Context
        _callback: Callable[..., object]
        _args: tuple[Any, ...]

    def cancel(self) -> None:
        self._cancelled = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._callback!r}{' cancelled' if self._cancelled else ''}>"


class _Timer(_Handle, asyncio.TimerHandle):
    """`_scheduled` tells `cancel` whether the loop still holds the timer."""

    __slots__ = ()
    if TYPE_CHECKING:
        _loop: VirtualLoop
        _scheduled: bool
        _when: float

    def cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            if self._scheduled:
                self._loop._forget_timer()


class VirtualLoop(base_events.BaseEventLoop):
    """An event loop in virtual time. No sockets, no threads: `run_in_executor` runs its function at once, inline."""

    if TYPE_CHECKING:  # inherited, but not in the published types
        _ready: deque[_Handle]
        _stopping: bool
        _closed: bool

    def __init__(self, t0_s: float = 0.0) -> None:
        super().__init__()
        self._now_s = t0_s
        self._timers: list[tuple[float, int, _Timer]] = []
        self._timer_number = 0
        self._cancelled_timers = 0
        self._passes = 0
        self.failure: BaseException | None = None
        """What a callback raised; the loop stops at it."""

    def time(self) -> float:
        return self._now_s

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        timer = _new(_Timer)
        timer._context = copy_context() if context is None else context
        timer._callback = callback
        timer._args = args
        timer._cancelled = False
        timer._loop = self
        timer._when = when
        timer._scheduled = True
        self._timer_number = number = self._timer_number + 1
        heappush(self._timers, (when, number, timer))
        return timer

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        handle = _new(_Handle)
        handle._context = copy_context() if context is None else context
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        self._ready.append(handle)
        return handle

    def run_in_executor(  # type: ignore[override]  # the base class hides the future behind an abstract awaitable
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who awaits the future
            done.set_exception(error)
        return done

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A callback that raises ends the run; there is no service behind it that could be restarted."""
        if "handle" in context and self.failure is None:
            self.failure = context["exception"]
            self.stop()
        else:
            super().call_exception_handler(context)

    def _forget_timer(self) -> None:
        """A timer that is still held was cancelled; when those are the most, they are thrown away."""
        self._cancelled_timers += 1
        if self._cancelled_timers > 100 and self._cancelled_timers * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapify(self._timers)
            self._cancelled_timers = 0

    def _run_once(self) -> None:
        """Pass after pass until somebody stops the loop; the base would call this for each."""
        ready = self._ready
        while True:
            if ready:
                self._passes += 1
                if self._passes > _MAX_PASSES_AT_ONE_INSTANT:
                    raise DeadlockError(f"the instant {self._now_s} s never ends: something runs without ever sleeping")
            elif not self._stopping:
                self._jump()
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    try:
                        handle._context.run(handle._callback, *handle._args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:  # noqa: BLE001 - as Handle._run does, without a call for each
                        self.call_exception_handler(
                            {"message": f"{handle!r} raised", "exception": error, "handle": handle}
                        )
            if self._stopping:
                return

    def _jump(self) -> None:
        """Move to the next instant at which a timer is due and make all its timers ready."""
        timers, ready = self._timers, self._ready
        while timers:
            when, _, timer = heappop(timers)
            timer._scheduled = False
            if timer._cancelled:
                self._cancelled_timers -= 1
                continue
            if when > self._now_s:
                self._now_s = when
            else:
                when = self._now_s
            self._passes = 0
            ready.append(timer)
            while timers and timers[0][0] <= when:
                timer = heappop(timers)[2]
                timer._scheduled = False
                if timer._cancelled:
                    self._cancelled_timers -= 1
                else:
                    ready.append(timer)
            return
        waiting = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))
        raise DeadlockError(f"nothing is scheduled at {self._now_s} s and these tasks wait for ever: {waiting}")

    def _process_events(self, event_list: object) -> None:
        """No selector, no events."""

    def _write_to_self(self) -> None:
        """Never blocks, so needs no waking."""


class _ScaledSelector(selectors.DefaultSelector):
    """Waits in real time for a timeout given in loop time."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events: list[tuple[selectors.SelectorKey, int]] = super().select(timeout / self._speed if timeout else timeout)
        return events


class ScaledLoop(asyncio.SelectorEventLoop):
    """The normal loop, with `time()` running `speed` times as fast as the machine's monotonic clock."""

    def __new__(cls, speed: float) -> ScaledLoop:
        if not 0.0 < speed <= MAX_SPEED:  # here, because a loop that was only half made complains when it is freed
            raise ValueError(f"speed must be above 0 and at most {MAX_SPEED:g}, not {speed:g}")
        return super().__new__(cls)

    def __init__(self, speed: float) -> None:
        self.speed = speed
        super().__init__(_ScaledSelector(speed))
        self._clock_resolution = time.get_clock_info("monotonic").resolution * speed

    def time(self) -> float:
        return time.monotonic() * self.speed


def real_s(seconds: float) -> float:
    """`seconds` of the wall, in the running loop's time: sockets do not get faster with a simulation."""
    speed: float = getattr(asyncio.get_running_loop(), "speed", 1.0)
    return seconds * speed


class VirtualClock:
    """Follows a virtual loop; its UTC never steps."""

    def __init__(self, loop: VirtualLoop, utc_start_ms: int) -> None:
        self._loop = loop
        self._t0_s = loop.time()
        self._utc_start_ms = utc_start_ms

    def mono_s(self) -> float:
        return self._loop._now_s

    def utc_ms(self) -> int:
        # rounded, not cut: 0.3 s after the start must not be 299 ms because of binary dust
        return self._utc_start_ms + round((self._loop._now_s - self._t0_s) * 1000.0)

    @property
    def boot_id(self) -> str:
        return "virtual"


class ScaledClock(SystemClock):
    """The machine's clocks, `speed` times as fast from an epoch that all processes of one run share."""

    def __init__(self, speed: float, epoch: str) -> None:
        super().__init__()
        utc_ms, _, mono_s = epoch.partition("@")
        self._speed = speed
        self._epoch_utc_ms = int(utc_ms)
        self._epoch_mono_s = float(mono_s)

    def utc_ms(self) -> int:
        return self._epoch_utc_ms + int((time.monotonic() - self._epoch_mono_s) * self._speed * 1000.0)

    @property
    def boot_id(self) -> str:
        """Another speed is another monotonic clock."""
        return f"{self._boot_id}x{self._speed:g}"


def new_epoch() -> str:
    """The value of `BUSBAR_EPOCH` for a run that starts now."""
    return f"{time.time_ns() // 1_000_000}@{time.monotonic():.6f}"


def speed_from_env() -> float:
    """Speed of this run; 1 where nothing is set. Raises ValueError with the variable's name."""
    text = os.environ.get(SPEED_ENV, "1")
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= MAX_SPEED:
        raise ValueError(f"{SPEED_ENV} must be a number above 0 and at most {MAX_SPEED:g}, not {text!r}")
    return speed


def live_clock(speed: float) -> Clock:
    """The clock of a live process at `speed`."""
    if speed == 1.0:
        return SystemClock()
    return ScaledClock(speed, os.environ.get(EPOCH_ENV) or new_epoch())


def run_virtual(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], t0_s: float = 0.0) -> T:
    """Run `main(loop)` in virtual time from `t0_s` on and return its result.

    Raises what main raised, what a callback raised, or DeadlockError.
    """
    loop = VirtualLoop(t0_s)
    try:
        task = loop.create_task(main(loop))
        try:
            return loop.run_until_complete(task)
        except RuntimeError:
            if loop.failure is not None:
                raise loop.failure from None
            raise
        finally:
            _cancel_rest(loop)
    finally:
        loop.close()


def _cancel_rest(loop: VirtualLoop) -> None:
    """End what still runs, in the order of creation (`all_tasks` is a set)."""
    rest = sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))
    for task in rest:
        task.cancel()
    loop.failure = None
    loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True)) if rest else None
    loop.run_until_complete(loop.shutdown_asyncgens())


def run_live(main: Callable[[], Coroutine[Any, Any, T]], speed: float = 1.0) -> T:
    """Run `main()` on the wall's time, `speed` times as fast."""
    factory = None if speed == 1.0 else lambda: ScaledLoop(speed)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())
