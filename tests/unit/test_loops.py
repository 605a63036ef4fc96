"""Virtual time jumps, keeps its order and says when it cannot go on; scaled time scales sleeps, not sockets."""

from __future__ import annotations

import asyncio
import contextvars
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.clock import SystemClock
from busbar.loops import (
    EPOCH_ENV,
    SPEED_ENV,
    DeadlockError,
    ScaledClock,
    ScaledLoop,
    VirtualClock,
    VirtualLoop,
    live_clock,
    new_epoch,
    real_s,
    run_live,
    run_virtual,
    speed_from_env,
)


def test_a_year_of_sleep_is_over_at_once_and_exact() -> None:
    async def main(loop: VirtualLoop) -> float:
        await asyncio.sleep(365 * 86400)
        return loop.time()

    assert run_virtual(main, t0_s=5.0) == 5.0 + 365 * 86400


def test_timers_of_one_instant_fire_in_the_order_in_which_they_were_set() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        fired: list[int] = []
        for n in range(200):
            loop.call_at(1.0, fired.append, n)
        await asyncio.sleep(2)
        return fired

    assert run_virtual(main) == list(range(200))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60))
def test_timers_fire_by_time_then_by_order_and_cancelled_ones_never(timers: list[tuple[float, bool]]) -> None:
    async def main(loop: VirtualLoop) -> list[tuple[float, int]]:
        fired: list[tuple[float, int]] = []
        handles = [loop.call_at(t, lambda n=n: fired.append((loop.time(), n))) for n, (t, _) in enumerate(timers)]  # type: ignore[misc]
        for handle, (_, cancelled) in zip(handles, timers, strict=True):
            if cancelled:
                handle.cancel()
        await asyncio.sleep(200)
        return fired

    expected = sorted((t, n) for n, (t, cancelled) in enumerate(timers) if not cancelled)
    assert run_virtual(main) == expected


def test_callbacks_keep_the_context_in_which_they_were_set() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    seen: list[str] = []

    async def worker(who: str) -> None:
        name.set(who)
        asyncio.get_running_loop().call_soon(lambda: seen.append(name.get()))
        asyncio.get_running_loop().call_later(1, lambda: seen.append(name.get()))
        await asyncio.sleep(2)
        seen.append(name.get())

    async def main(_loop: VirtualLoop) -> str:
        await asyncio.gather(worker("a"), worker("b"))
        return name.get()

    assert run_virtual(main) == "nobody"
    assert seen == ["a", "b"] * 3


def test_thousands_of_cancelled_timers_are_not_kept() -> None:
    async def main(loop: VirtualLoop) -> int:
        for _ in range(10_000):
            loop.call_later(1e6, print).cancel()
        return len(loop._timers)

    assert run_virtual(main) < 1000


def test_timeouts_and_gather_work_in_virtual_time() -> None:
    async def worker(n: int) -> int:
        await asyncio.sleep(n)
        return n

    async def main(loop: VirtualLoop) -> tuple[list[int], float]:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 3)
        at = loop.time()
        return await asyncio.gather(*(worker(n) for n in (3, 1, 2))), at

    assert run_virtual(main) == ([3, 1, 2], 3.0)


def test_a_deadlock_is_named_with_who_waits() -> None:
    async def main(_loop: VirtualLoop) -> None:
        asyncio.create_task(asyncio.Event().wait(), name="the-one-who-waits")  # noqa: RUF006
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="the-one-who-waits"):
        run_virtual(main)


def test_an_instant_that_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("busbar.loops._MAX_PASSES_AT_ONE_INSTANT", 1000)

    async def main(_loop: VirtualLoop) -> None:
        while True:  # noqa: ASYNC110 - the very mistake
            await asyncio.sleep(0)

    with pytest.raises(DeadlockError, match="never ends"):
        run_virtual(main)


def test_an_exception_in_a_callback_ends_the_run() -> None:
    def broken() -> None:
        raise KeyError("bug")

    async def main(loop: VirtualLoop) -> None:
        loop.call_later(1, broken)
        await asyncio.sleep(10)

    with pytest.raises(KeyError, match="bug"):
        run_virtual(main)


def test_an_exception_of_main_is_raised_and_the_rest_is_cancelled() -> None:
    ended: list[str] = []

    async def other(name: str) -> None:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append(name)

    async def main(_loop: VirtualLoop) -> None:
        tasks = [asyncio.create_task(other(n)) for n in "abc"]
        await asyncio.sleep(1)
        raise ValueError(f"{len(tasks)} others")

    with pytest.raises(ValueError, match="3 others"):
        run_virtual(main)
    assert ended == ["a", "b", "c"]


def test_work_for_threads_is_done_inline_and_its_errors_arrive() -> None:
    async def main(_loop: VirtualLoop) -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(lambda: 42)

    assert run_virtual(main) == 42


def test_sockets_are_refused_in_virtual_time() -> None:
    async def main(_loop: VirtualLoop) -> None:
        await asyncio.open_connection("127.0.0.1", 1)

    with pytest.raises(NotImplementedError):
        run_virtual(main)


def test_the_virtual_clock_follows_the_loop_and_never_drifts() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[float, int]]:
        clock = VirtualClock(loop, 1_700_000_000_000)
        seen = [(clock.mono_s(), clock.utc_ms())]
        for _ in range(3):
            await asyncio.sleep(0.1)
        seen.append((round(clock.mono_s(), 9), clock.utc_ms()))
        assert clock.boot_id == "virtual"
        return seen

    assert run_virtual(main, t0_s=7.0) == [(7.0, 1_700_000_000_000), (7.3, 1_700_000_000_300)]


# -- scaled time


def test_a_scaled_loop_waits_a_tenth_and_counts_ten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    waited_s: list[float] = []
    select = selectors.DefaultSelector.select

    def spy(selector: selectors.DefaultSelector, timeout: float | None = None) -> Any:
        waited_s.append(timeout or 0.0)
        return select(selector, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", spy)

    async def main() -> tuple[float, tuple[float, float, float]]:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await asyncio.sleep(1.0)
        return loop.time() - start_s, (time.monotonic(), loop.time() / 10.0, time.monotonic())

    slept_s, (before_s, now_s, after_s) = run_live(main, speed=10.0)
    assert slept_s >= 1.0
    assert before_s <= now_s <= after_s
    assert max(waited_s) == pytest.approx(0.1, abs=0.01)


def test_real_seconds_do_not_shrink_with_speed() -> None:
    async def main() -> float:
        return real_s(2.0)

    assert run_live(main, speed=5.0) == 10.0
    assert run_live(main) == 2.0


def test_signals_sockets_and_child_processes_work_in_scaled_time() -> None:
    async def main() -> tuple[bytes, int, bytes]:
        got = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await got.wait()

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(4))
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping")
        back = await reader.read()
        writer.close()
        server.close()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('hello')", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await child.communicate()
        return back, await child.wait(), out

    assert run_live(main, speed=7.0) == (b"ping", 0, b"hello\n")


def test_two_processes_with_one_epoch_agree_on_scaled_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = new_epoch()
    one, two = ScaledClock(10.0, epoch), ScaledClock(10.0, epoch)
    before = one.utc_ms()
    between = two.utc_ms()
    assert before <= between <= one.utc_ms()
    assert ScaledClock(10.0, "1000000@0").utc_ms() - ScaledClock(5.0, "1000000@0").utc_ms() > 0
    monkeypatch.setenv(EPOCH_ENV, "1000000@0.0")
    assert live_clock(2.0).utc_ms() < 1_700_000_000_000  # the shared epoch, not one of its own


def test_another_speed_is_another_monotonic_clock() -> None:
    ids = {SystemClock().boot_id, ScaledClock(2.0, "0@0").boot_id, ScaledClock(3.0, "0@0").boot_id}
    assert len(ids) == 3
    assert isinstance(live_clock(1.0), SystemClock)
    assert ScaledClock(2.0, "0@0").boot_id == ScaledClock(2.0, "5@5").boot_id


@pytest.mark.parametrize("make", [lambda: ScaledLoop(0.0), lambda: ScaledLoop(11.0), lambda: ScaledLoop(-1.0)])
def test_a_speed_out_of_range_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="speed must be"):
        make()


@pytest.mark.parametrize("text", ["0", "fast", "11", "nan", "-1"])
def test_a_wrong_speed_in_the_environment_names_the_variable(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPEED_ENV, text)
    with pytest.raises(ValueError, match=SPEED_ENV):
        speed_from_env()
