"""Real processes, real signals, devices read by a foreign client (failure.md, A setpoint in the driver; FB-3, FB-4).

What must never happen: a connector moves because a service died for a few seconds; a device keeps a dead allocator's
setpoint; an allocator that comes back late moves anything.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from busbar.config.load import load_site
from busbar.config.plan import fallback_plan
from system.running import RunningSite, running_site

pytestmark = pytest.mark.chaos

VICTIMS = (
    ("run", "spc-allocator"),
    ("run", "collector-aggregator"),
    ("run", "fallback-watchdog"),
    ("run", "field-driver-modbus"),
    ("run", "site-page"),
    ("nats-server",),
)
RAMP_A = 1.0
"""Between two looks a few seconds apart a connector may have made one step of its ramp."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("chaos"), 61) as running:
        running.wait_until_controlled()
        yield running


def moved(before: dict[str, float], after: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Connectors whose limit changed by more than a step of the ramp, or fell."""
    return {
        name: (before[name], after[name])
        for name in before
        if not -RAMP_A - 0.01 <= after[name] - before[name] <= RAMP_A + 0.01
    }


def test_twenty_kills_at_random_moments_move_no_connector(site: RunningSite) -> None:
    chance = random.Random(20)
    for number in range(20):
        site.wait_until_controlled()
        time.sleep(chance.uniform(0.0, 1.0))
        before = site.limits_a()
        victim = VICTIMS[number % len(VICTIMS)]
        site.kill(*victim)
        for _ in range(4):
            time.sleep(0.8)
            after = site.limits_a()
            assert not moved(before, after), f"after kill {number} of {victim}: {moved(before, after)}"
    site.wait_until_controlled()


def test_an_allocator_that_is_gone_for_31_seconds_puts_all_at_the_fallback_plan(site: RunningSite) -> None:
    site.wait_until_controlled()
    plan = fallback_plan(load_site(site.site)).value_a
    assert site.process
    os.kill(site.process.pid, signal.SIGSTOP)  # nobody restarts it
    try:
        before = site.limits_a()
        site.kill("run", "spc-allocator")
        time.sleep(15)
        held = site.limits_a()
        assert all(held[name] <= before[name] for name in before), "hold never raises"
        assert not moved(before, held), "hold keeps"
        time.sleep(20)
        site.wait("all at the plan", lambda: all(site.limits_a()[name] <= plan[name] for name in plan), 20)
        told = site.limits_a()
    finally:
        os.kill(site.process.pid, signal.SIGCONT)
    assert all(told[name] in (plan[name], 0.0) for name in plan), told
    site.wait_until_controlled()


def test_an_allocator_that_comes_back_late_moves_nothing(site: RunningSite) -> None:
    site.wait_until_controlled()
    assert site.process
    os.kill(site.process.pid, signal.SIGSTOP)  # or it would replace the one that stands still
    old = site.kill("run", "spc-allocator", with_signal=signal.SIGSTOP)
    second = subprocess.Popen(
        [
            sys.executable, "-m", "busbar", "run", "spc-allocator", "--site", str(site.site), "--instance", "second",
            "--nats", f"nats://127.0.0.1:{site.nats_port}", "--data-dir", str(site.folder / "data-second"),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        site.wait("the second allocator in control", site.controlled, 30)
        time.sleep(6)
        before = site.limits_a()
        os.kill(old, signal.SIGCONT)
        for _ in range(8):
            time.sleep(0.8)
            assert not moved(before, site.limits_a())
            before = site.limits_a()
    finally:
        second.kill()
        second.wait()
        os.kill(site.process.pid, signal.SIGCONT)
    site.wait_until_controlled()
