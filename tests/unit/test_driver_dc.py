"""A DC connector in the driver: told W, by the package of the Alpitronic hypercharger (SPC-11, FC-8)."""

from __future__ import annotations

import pytest

from busbar.devices.catalog import load_package
from busbar.devices.plan import compile_plan
from busbar.domain.kinds import AssetKind
from busbar.events import Fallback, Reason, ReasonCode, Setpoint
from field_driver_modbus.connector import ConnectorUnit
from field_driver_modbus.unit import Units
from unit.site_files import compiled
from unit.test_site_dc import with_dc

POINTS: dict[str, float | str | None] = {
    "status": "Charging",
    "dc_power_w": 20_000.0,
    "power_w": 21_152.0,
    "setpoint_power_w": 30_000.0,
}


def unit() -> ConnectorUnit:
    site = compiled(with_dc())
    made = Units(site, "modbus-1", {}, {}, 0.0).of(site.entities["fast"])
    assert isinstance(made, ConnectorUnit)
    plan = compile_plan(load_package("alpitronic-hypercharger"), unit_id=None, instance=1, kind=AssetKind.DC_CONNECTOR)
    made.fit(plan, {}, False)
    made.polled(POINTS, {}, 0.0, 0.1, 100)
    return made


def told(power_w: float, seq: int = 1) -> Setpoint:
    return Setpoint(
        asset="fast", driver="modbus-1", epoch=1, seq=seq, published_at_ms=0, lifetime_ms=5000, power_w=power_w,
        reason=Reason(code=ReasonCode.CAP), snapshot=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("power_w", "words"),
    [(12_345.0, (0, 12_300)), (149_040.0, (0, 50_000)), (1547.0, (0, 1547)), (0.0, (0, 1547)), (4999.0, (0, 1547))],
)
def test_spc_11_watts_in_whole_steps_and_never_0(power_w: float, words: tuple[int, int]) -> None:
    made = unit()
    assert made.setpoint(told(power_w), 5.0, 0.2)
    order = made.order(2.0)
    assert order is not None
    (write,) = order[0].writes
    assert (write.table, write.address, write.fc) == ("holding", 100, 16)
    assert write.words == words


def test_a_setpoint_in_amperes_is_none_for_it() -> None:
    made = unit()
    assert not made.setpoint(told(0.0).model_copy(update={"power_w": None, "current_a": 16.0}), 5.0, 0.2)


def test_fb_2_a_bound_of_6_a_is_its_pause_value_and_the_result_is_in_watts() -> None:
    made = unit()
    made.setpoint(told(20_000.0), 5.0, 0.2)
    made.fallback(
        Fallback(entity="meter", active=True, cause="silent", assets=("fast",), max_current_a=6.0, since_ms=0,
                 published_at_ms=0, lifetime_ms=3000), 3.0, 0.2,
    )  # fmt: skip
    order = made.order(2.0)
    assert order is not None
    assert order[0].value == 1547
    result = made.result(2.0, 2000)
    assert result is not None
    assert (result.requested_a, result.requested_w) == (None, 6 * 690)


def test_fb_3_silence_ends_at_the_plans_smallest_power() -> None:
    made = unit()
    made.setpoint(told(30_000.0), 5.0, 0.2)
    assert made.booked(100.0) == pytest.approx(5000)
