"""Assets set in W: the real driver and codec over simulated devices, in virtual time (SPC-12, SPC-13, FC-8, FB-3)."""

from __future__ import annotations

import asyncio

import pytest
import yaml

from busbar.config.load import load_site
from busbar.config.model import SiteFile
from busbar.config.site import Site, compile_site
from busbar.events import Outcome
from busbar.sim.devices import SunSpecInverter
from busbar.sim.faults import Faults
from driver_rig import DEPOT, Rig, play


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


DEPOT_SITE = load_site(DEPOT)


def told_w(rig: Rig) -> float:
    """What the battery's electronics want: the truth."""
    return rig.plant.batteries["battery"].setpoint_w


@pytest.mark.parametrize("power_w", [12_000.0, -12_000.0, 0.0])
def test_spc_13_a_battery_charges_discharges_and_rests_as_told(power_w: float) -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, battery=power_w)
        assert told_w(rig) == power_w
        measured = rig.measurement("battery")
        assert (measured.number("setpoint_power_w"), measured.number("watchdog_timeout_s")) == (power_w, 60.0)

    rig = play(story, DEPOT_SITE)
    result = rig.result("battery")
    assert (result.outcome, result.requested_w, result.applied_w) == (Outcome.APPLIED, power_w, power_w)
    assert rig.alarms() == []


def test_fb_3_a_driver_that_dies_leaves_a_battery_that_stops_by_itself() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, battery=25_000.0)
        assert told_w(rig) == 25_000.0
        await rig.stop()
        await asyncio.sleep(62.0)
        assert told_w(rig) == 0.0

    play(story, DEPOT_SITE)


def test_fb_3_without_setpoints_a_battery_is_held_and_then_stopped() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, battery=-8_000.0)
        await asyncio.sleep(20.0)
        assert told_w(rig) == -8_000.0
        await asyncio.sleep(15.0)
        assert told_w(rig) == 0.0

    rig = play(story, DEPOT_SITE)
    assert (rig.result("battery").stage, rig.result("battery").outcome) == ("fallback", Outcome.APPLIED)


def test_fc_8_the_reversion_timer_is_fed_by_the_control_side_only() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, battery=6_000.0)
        for _ in range(150):
            await rig.control_w(1, battery=6_000.0)
            assert told_w(rig) == 6_000.0
        await asyncio.sleep(29.0)
        assert told_w(rig) == 6_000.0

    play(story, DEPOT_SITE)


def test_a_battery_that_restarts_gets_fallback_time_and_setpoint_again() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, battery=9_000.0)
        rig.devices["battery-system"].restart(5.0)
        await rig.control_w(40, battery=9_000.0)
        assert told_w(rig) == 9_000.0
        assert rig.measurement("battery").number("watchdog_timeout_s") == 60.0

    assert play(story, DEPOT_SITE).result("battery").outcome is Outcome.APPLIED


def test_more_than_the_site_file_allows_is_never_asked_of_a_battery() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, battery=-90_000.0)
        assert told_w(rig) == -30_000.0

    play(story, DEPOT_SITE)


def test_a_new_driver_keeps_what_the_battery_does_until_somebody_decides() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, battery=7_000.0)
        await rig.stop()
        rig.start()
        await asyncio.sleep(15.0)
        assert told_w(rig) == 7_000.0
        await rig.control_w(5, battery=3_000.0)
        assert told_w(rig) == 3_000.0

    play(story, DEPOT_SITE)


def test_spc_12_a_standing_injection_limit_is_what_the_roof_falls_back_to_and_it_never_frees_itself() -> None:
    """20 kW may be injected, the roof has 30 kW."""

    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(12, pv=-9_000.0)
        assert limit_of(rig) == pytest.approx(0.3)
        assert rig.measurement("pv").number("watchdog_timeout_s") == 0.0
        await asyncio.sleep(40.0)
        assert limit_of(rig) == pytest.approx(20 / 30, abs=1e-4)
        await rig.stop()
        await asyncio.sleep(120.0)
        assert limit_of(rig) == pytest.approx(20 / 30, abs=1e-4)

    play(story, DEPOT_SITE)


def with_reactive() -> Site:
    """The depot, whose roof may be asked for 10 kvar."""
    data = yaml.safe_load(DEPOT.read_text("utf-8"))
    next(asset for asset in data["assets"] if asset["kind"] == "pv")["reactive_power_max_var"] = 10_000
    return compile_site(SiteFile.model_validate(data), DEPOT_SITE.packages)


def test_spc_12_reactive_power_is_asked_for_beside_the_limit_and_ends_with_the_setpoints() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        roof = rig.plant.pvs["pv"]
        for _ in range(15):
            await rig.tell_w("pv", -21_000.0, 6_000.0)
            await asyncio.sleep(1.0)
        assert limit_of(rig) == pytest.approx(0.7)
        assert roof.asked_var == pytest.approx(6_000.0)
        assert rig.measurement("pv").number("setpoint_reactive_power_var") == pytest.approx(6_000.0)
        for _ in range(70):  # longer than the device's own time
            await rig.tell_w("pv", -21_000.0, -50_000.0)
            await asyncio.sleep(1.0)
        assert roof.asked_var == pytest.approx(-9_999.0), (
            "no more than the site file allows, in hundredths of a percent"
        )
        await asyncio.sleep(36.0)
        assert roof.asked_var == 0.0
        await asyncio.sleep(60.0)
        assert roof.asked_var is None, "its own time has run out"

    assert play(story, with_reactive()).alarms() == []


def test_an_inverter_that_nobody_asks_for_reactive_power_is_not_told_about_it() -> None:
    async def story(rig: Rig) -> None:
        rig.start()
        await rig.control_w(20, pv=-10_000.0)
        assert rig.plant.pvs["pv"].asked_var is None

    play(story, with_reactive())
