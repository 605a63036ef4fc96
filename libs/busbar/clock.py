"""Time, injected. Cores take `now`; actors take a clock; nothing else reads the machine's clocks.

Ages and schedules use `mono_s` (never steps); `utc_ms` only stamps events. Both follow the running event loop's time,
so that virtual time (`busbar.sim`) and `--speed N` reach every sleep and timeout without being mentioned anywhere.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    def mono_s(self) -> float:
        """Monotonic seconds; the same clock in every process of one machine (see `boot_id`)."""
        ...

    def utc_ms(self) -> int:
        """Milliseconds of UTC since 1970; may step."""
        ...

    @property
    def boot_id(self) -> str:
        """Names the monotonic clock: two senders with the same id may compare `mono_s` directly (failure.md, Ages)."""
        ...


class SystemClock:
    """The machine's clocks, through the running loop."""

    def __init__(self) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id")
        self._boot_id = boot.read_text().strip() if boot.exists() else ""

    def mono_s(self) -> float:
        return asyncio.get_running_loop().time()

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000

    @property
    def boot_id(self) -> str:
        return self._boot_id
