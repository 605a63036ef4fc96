"""Assets set in W: the real driver and codec over simulated devices, in virtual time (SPC-12, SPC-13, FC-8, FB-3)."""

from __future__ import annotations

import asyncio

import pytest

from busbar.events import Outcome
from busbar.sim.devices import SunSpecInverter
from busbar.sim.faults import Faults
from driver_rig import Rig, play


def limit_of(rig: Rig) -> float:
    """The part of its rating that the roof may give: the truth."""
    return rig.plant.pvs["pv"].limit_fraction


def inverter(rig: Rig) -> SunSpecInverter:
    device = rig.devices["pv-inverter"]
    assert isinstance(device, SunSpecInverter)
    return device


def test_spc_12_a_limit_in_w_curtails_the_inverter_and_is_read_back() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, pv=-5_000.0)
        assert limit_of(rig) == 0.25
        assert rig.measurement("pv").number("setpoint_power_w") == -5_000.0

    rig = play(story)
    result = rig.result("pv")
    assert (result.outcome, result.requested_w, result.applied_w, result.requested_a) == (
        Outcome.APPLIED, -5_000.0, -5_000.0, None,
    )  # fmt: skip
    assert rig.alarms() == []


def test_a_limit_finer_than_the_device_can_is_rounded_to_less_production() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, pv=-4_999.9)
        assert limit_of(rig) == pytest.approx(0.2499)

    assert play(story).result("pv").applied_w == pytest.approx(-4_998.0)


def test_fc_8_a_limit_is_written_once_and_repeated_before_it_runs_out() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(150, pv=-5_000.0)
        assert limit_of(rig) == 0.25
        assert inverter(rig).limits_written in range(7, 10)

    play(story)


def test_fb_3_silence_of_the_allocator_frees_the_inverter_after_thirty_seconds() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(10, pv=0.0)
        await asyncio.sleep(20.0)
        assert limit_of(rig) == 0.0
        await asyncio.sleep(15.0)
        assert limit_of(rig) == 1.0

    assert play(story).result("pv").stage == "fallback"


def test_fb_3_a_driver_that_dies_leaves_an_inverter_that_frees_itself() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(10, pv=-2_000.0)
        await rig.stop()
        await asyncio.sleep(65.0)
        assert limit_of(rig) == 1.0

    play(story)


def test_an_inverter_that_restarts_gets_its_time_and_limit_again() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(10, pv=-2_000.0)
        inverter(rig).restart(5.0)
        await rig.control_w(40, pv=-2_000.0)
        assert limit_of(rig) == 0.1
        assert rig.measurement("pv").number("watchdog_timeout_s") == 60.0

    play(story)


def test_an_inverter_that_only_repeats_its_limit_is_found_by_its_power() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        rig.plant.pvs["pv"].power_w[:] = [-5_000.0] * 3
        inverter(rig).faults = Faults(ignore_writes=True)
        await rig.control_w(40, pv=-5_000.0)

    rig = play(story)
    assert ("pv", "disobeys") in rig.alarms()
    assert rig.result("pv").outcome is Outcome.UNVERIFIED
