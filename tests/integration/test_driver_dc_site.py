"""The real driver and codec over a simulated hypercharger, in virtual time (SPC-11, FC-8, FB-3)."""

from __future__ import annotations

import asyncio

import pytest

from busbar.config.load import load_site
from busbar.events import Outcome, SessionPhase
from busbar.sim.devices import Hypercharger
from busbar.sim.faults import Faults
from driver_rig import DEPOT, Rig, play

SITE = load_site(DEPOT)
OWN_W = 10_000.0
"""To which the simulated station falls back by itself."""


def offered_w(rig: Rig) -> float:
    """What the station lets the outlet take: the truth."""
    return rig.plant.dc_outlets["q1"].offered_w


def station(rig: Rig) -> Hypercharger:
    device = rig.devices["hypercharger"]
    assert isinstance(device, Hypercharger)
    return device


async def charging(rig: Rig, power_w: float = 20_000.0) -> None:
    """A vehicle that takes 15 kW of DC, told and verified."""
    port = rig.plant.dc_outlets["q1"]
    port.plugged, port.badge = True, "04A1B2C3"
    rig.start()
    await rig.control_w(3, q1=power_w)
    port.ready, port.dc_power_w, port.dc_voltage_v = True, 15_000.0, 400.0
    await rig.control_w(8, q1=power_w)


@pytest.mark.parametrize(("power_w", "obeyed_w"), [(20_000.0, 20_000.0), (12_345.0, 12_300.0), (90_000.0, 30_000.0)])
def test_spc_11_an_outlet_is_told_watts_and_shows_what_it_draws(power_w: float, obeyed_w: float) -> None:
    async def story(rig: Rig) -> None:
        await charging(rig, power_w)
        assert offered_w(rig) == obeyed_w
        measured = rig.measurement("q1")
        assert measured.number("power_w") == pytest.approx(15_000.0 / 0.95 + 100.0, abs=5.0)
        assert (measured.text("status"), measured.number("dc_power_w")) == ("Charging", 15_000.0)

    rig = play(story, SITE)
    result = rig.result("q1")
    assert (result.outcome, result.applied_w, result.applied_a) == (Outcome.APPLIED, obeyed_w, None)
    session = rig.session("q1")
    assert (session.phase, session.badge) == (SessionPhase.STARTED, "04A1B2C3")
    assert rig.alarms() == []


def test_a_pause_is_the_package_s_pause_value_and_ends_no_session() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        await rig.control_w(5, q1=0.0)
        assert offered_w(rig) == 1547.0
        await rig.control_w(5, q1=8_000.0)
        assert offered_w(rig) == 8_000.0

    play(story, SITE)


def test_fc_8_the_limit_is_written_again_before_the_station_s_five_seconds_are_over() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        for _ in range(60):
            await rig.control_w(1, q1=20_000.0)
            assert offered_w(rig) == 20_000.0

    play(story, SITE)


def test_fb_3_a_driver_that_dies_leaves_a_station_at_its_own_fallback_power() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        await rig.stop()
        await asyncio.sleep(3.0)
        assert offered_w(rig) == 20_000.0
        await asyncio.sleep(5.0)
        assert offered_w(rig) == OWN_W

    play(story, SITE)


def test_fb_3_without_setpoints_the_plan_s_5_kw_stay_because_the_driver_repeats_them() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        await asyncio.sleep(20.0)
        assert offered_w(rig) == 20_000.0
        await asyncio.sleep(16.0)
        for _ in range(120):
            await asyncio.sleep(1.0)
            assert offered_w(rig) == 5_000.0

    rig = play(story, SITE)
    assert (rig.result("q1").stage, rig.result("q1").outcome) == ("fallback", Outcome.APPLIED)


def test_fb_2_a_fallback_event_lowers_it_and_holds_it_down() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        for _ in range(40):
            await rig.bound(6.0, "q1")
            await rig.control_w(1, q1=20_000.0)
        assert offered_w(rig) == 1547.0

    play(story, SITE)


def test_a_station_that_restarts_gets_its_limit_again() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        station(rig).restart(10.0)
        await rig.control_w(40, q1=20_000.0)
        assert offered_w(rig) == 20_000.0

    assert play(story, SITE).result("q1").outcome is Outcome.APPLIED


def test_a_new_driver_obeys_as_the_old_one_did_and_keeps_the_session() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        before = rig.session("q1").session_id
        await rig.stop()
        await asyncio.sleep(2.0)
        rig.start()
        await rig.control_w(6, q1=20_000.0)
        assert offered_w(rig) == 20_000.0
        assert rig.session("q1").session_id == before

    play(story, SITE)


def test_an_unknown_status_is_an_alarm() -> None:
    async def story(rig: Rig) -> None:
        await charging(rig)
        station(rig).faults = Faults(unknown_status="42")
        await rig.control_w(8, q1=20_000.0)

    assert ("q1", "unknown_status") in play(story, SITE).alarms()
