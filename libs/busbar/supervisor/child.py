"""One child process that is meant to run for ever: started, read, started again when it ends, stopped.

Restarts wait 0.2 s, twice as long each time up to 5 s; 30 s without a crash start over. A child gets SIGKILL from the
kernel when the supervisor dies, whatever killed that, so no driver goes on commanding a site nobody supervises.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from busbar.supervisor.console import Console

STOP_GRACE_S: Final = 5.0
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_MAX_LINE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run. `env` is added to the supervisor's own."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False
    """Show only lines that are marked as warnings and errors (nats-server)."""


@dataclass
class Backoff:
    """How long to wait before the next start."""

    first_s: float = 0.2
    longest_s: float = 5.0
    healthy_s: float = 30.0
    _next_s: float = 0.0

    def delay_s(self, ran_s: float) -> float:
        """The delay after a run of `ran_s`."""
        if ran_s >= self.healthy_s or not self._next_s:
            self._next_s = self.first_s
        delay_s = self._next_s
        self._next_s = min(self.longest_s, 2.0 * delay_s)
        return delay_s


class Child:
    """Keeps one process running until `stop`."""

    def __init__(
        self,
        spec: ChildSpec,
        console: Console,
        on_start: Callable[[], Awaitable[None]] | None = None,
        on_line: Callable[[str], None] | None = None,
        on_exit: Callable[[int, float], None] | None = None,
    ) -> None:
        self.spec = spec
        self.starts = 0
        self._console = console
        self._on_start, self._on_line, self._on_exit = on_start, on_line, on_exit
        self._backoff = Backoff()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def run(self) -> None:
        """Start and start again, until `stop` was called and the process is gone."""
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started_s = loop.time()
            try:
                code = await self._run_once()
                reason = describe_exit(code)
            except OSError as error:
                code, reason = -1, f"could not be started: {error}"
            if self._stopping.is_set():
                return
            ran_s = loop.time() - started_s
            if self._on_exit is not None:
                self._on_exit(code, ran_s)
            delay_s = self._backoff.delay_s(ran_s)
            self._console.say(f"{self.spec.name} {reason}; starting it again in {delay_s:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """TERM, and KILL after `grace_s`."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        _signal(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace_s)
        except TimeoutError:
            self._console.say(f"{self.spec.name} did not stop within {grace_s:g} s: killed")
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """KILL at once (it hangs, or the person is in a hurry)."""
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            *self.spec.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.spec.env},
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops its children in order
            preexec_fn=_die_with(os.getpid()),
            limit=_MAX_LINE,
        )
        self._process = process
        self.starts += 1
        tasks = [asyncio.create_task(self._copy_lines(process))]
        if self._on_start is not None:
            tasks.append(asyncio.create_task(self._started(self._on_start)))
        code = await process.wait()
        for task in tasks:
            with contextlib.suppress(TimeoutError):  # a grandchild may hold the pipe
                await asyncio.wait_for(task, 1.0)
        return code

    async def _started(self, on_start: Callable[[], Awaitable[None]]) -> None:
        await on_start()

    async def _copy_lines(self, process: asyncio.subprocess.Process) -> None:
        out = process.stdout
        if out is None:
            return
        while True:
            try:
                line = await out.readline()
            except ValueError:
                continue  # longer than the limit: dropped
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            if self._on_line is not None:
                self._on_line(text)
            if not self.spec.quiet or any(mark in text for mark in ("[WRN]", "[ERR]", "[FTL]", "nats-server:")):
                self._console.line(self.spec.name, text)


def describe_exit(code: int) -> str:
    """In words: how a process ended."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return "ended by itself" if code == 0 else f"ended with exit code {code}"


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _die_with(parent: int) -> Callable[[], None]:
    """To be called in the child between fork and exec."""

    def before_exec() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return before_exec
