"""The inverter of the twin gives reactive power as asked, as far as its rating leaves room beside the sun."""

from __future__ import annotations

import math
from datetime import date, time

import pytest

from busbar.sim.almanac import Almanac
from busbar.sim.plant import PvPort
from busbar.sim.sunlit import Inverter
from busbar.sim.weather import Sun


def roof(asked_var: float | None, limit: float = 1.0, at: time = time(13)) -> PvPort:
    port = PvPort("pv", rated_power_w=20_000.0, limit_fraction=limit)
    inverter = Inverter(port, Sun(Almanac(date(2019, 7, 1), at, "Europe/Brussels"), 1, "pv"), 3)
    port.asked_var = asked_var
    inverter.follow(0.2)
    inverter.shine(1.0, 1.0)
    return port


@pytest.mark.parametrize(("asked_var", "gives_var"), [(None, -200.0), (0.0, 0.0), (6_000.0, 6_000.0), (-6_000.0, -6e3)])
def test_it_gives_what_it_is_asked_for_else_what_its_filter_does(asked_var: float | None, gives_var: float) -> None:
    assert sum(roof(asked_var).reactive_var) == pytest.approx(gives_var)


def test_active_power_comes_first() -> None:
    port = roof(30_000.0, limit=0.5)
    given_w = -sum(port.power_w)
    assert 0.0 < given_w <= 10_000.0
    assert sum(port.reactive_var) == pytest.approx(math.sqrt(22_000.0**2 - given_w**2))


def test_what_the_sun_would_give_is_known_under_a_limit() -> None:
    port = roof(None, limit=0.1)
    assert port.available_w > 2_000.0
    assert -sum(port.power_w) == pytest.approx(2_000.0)


def test_by_night_it_gives_nothing() -> None:
    port = roof(6_000.0, at=time(2))
    assert (sum(port.power_w), sum(port.reactive_var), port.available_w) == (0.0, 0.0, 0.0)
