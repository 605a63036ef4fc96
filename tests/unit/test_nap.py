"""A nap ends at its instant, at a call or by cancelling, whichever comes first; on any loop."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from busbar.loops import VirtualLoop, run_live, run_virtual
from busbar.nap import Nap


def open_timers(loop: VirtualLoop) -> int:
    return sum(not timer.cancelled() for _, _, timer in loop._timers)


def test_it_ends_at_its_very_instant_again_and_again() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        nap, ended_s = Nap(loop), []
        for at_s in (0.1 + 0.2, 1.0, 1.0, 0.5):  # what is past ends at once
            await nap.until(at_s)
            ended_s.append(loop.time())
        return ended_s

    assert run_virtual(main) == [0.1 + 0.2, 1.0, 1.0, 1.0]


def test_waking_ends_it_once_and_leaves_no_timer() -> None:
    async def main(loop: VirtualLoop) -> tuple[list[float], int]:
        nap, ended_s = Nap(loop), list[float]()
        nap.wake()  # nobody waits: nothing is kept

        async def sleeper() -> None:
            for at_s in (100.0, 5.0):
                await nap.until(at_s)
                ended_s.append(loop.time())

        task = asyncio.create_task(sleeper())
        await asyncio.sleep(2.0)
        nap.wake()
        nap.wake()
        left = open_timers(loop)
        await task
        return ended_s, left

    assert run_virtual(main) == ([2.0, 5.0], 0)


def test_a_wake_at_the_very_instant_of_the_timer_wakes_once() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        nap, ended_s = Nap(loop), list[float]()
        loop.call_at(3.0, nap.wake)

        async def sleeper() -> None:
            for at_s in (3.0, 4.0):
                await nap.until(at_s)
                ended_s.append(loop.time())

        await asyncio.create_task(sleeper())
        return ended_s

    assert run_virtual(main) == [3.0, 4.0]


@pytest.mark.parametrize("woken", [False, True])
def test_cancelling_the_task_ends_it_and_leaves_no_timer(woken: bool) -> None:
    async def main(loop: VirtualLoop) -> tuple[float, int]:
        nap = Nap(loop)

        async def sleeper() -> None:
            await nap.until(1e6)

        task = asyncio.create_task(sleeper())
        await asyncio.sleep(1)
        if woken:
            nap.wake()
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        await nap.until(2.0)  # nothing of it is left behind
        return loop.time(), open_timers(loop)

    assert run_virtual(main) == (2.0, 0)


def test_the_task_goes_on_in_its_own_context() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")

    async def worker(loop: VirtualLoop, who: str) -> str:
        name.set(who)
        await Nap(loop).until(1.0)
        name.set(name.get() * 2)
        await Nap(loop).until(2.0)
        return name.get()

    async def main(loop: VirtualLoop) -> list[str]:
        return list(await asyncio.gather(worker(loop, "a"), worker(loop, "b")))

    assert run_virtual(main) == ["aa", "bb"]


def test_it_works_on_the_wall_s_time() -> None:
    async def main() -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        nap, start_s = Nap(loop), loop.time()
        await nap.until(start_s + 0.02)
        slept_s = loop.time() - start_s
        loop.call_later(0.01, nap.wake)
        async with asyncio.timeout(5.0):
            await nap.until(start_s + 60.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await nap.until(start_s + 60.0)
        return slept_s, loop.time() - start_s < 5.0

    slept_s, soon = run_live(main)
    assert slept_s >= 0.019
    assert soon
