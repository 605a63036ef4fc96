"""collector-aggregator: powers per phase out of what each kind of device gives (algorithms.md, Quantities; FC-7)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import Measurement
from busbar.units import Phase
from collector_aggregator.samples import Reader, Sample

L1, L2, L3 = Phase
STRAIGHT = (L1, L2, L3)
VOLTS = {"voltage_l1_v": 230.0, "voltage_l2_v": 231.0, "voltage_l3_v": 232.0}


def event(points: Mapping[str, float | str | None], quality: dict[str, Quality] | None = None) -> Measurement:
    return Measurement(
        asset="m", driver="d", kind=AssetKind.METER, seq=1, measured_at_ms=1, lifetime_ms=600, points=dict(points),
        quality=quality or {},
    )  # fmt: skip


def read(points: Mapping[str, float | str | None], phases: tuple[Phase, ...] = STRAIGHT) -> Sample:
    sample = Reader(phases).read(event(points), 1.0)
    assert sample is not None
    return sample


def per_phase(name: str, unit: str, *values: float) -> dict[str, float]:
    return {f"{name}_l{i}_{unit}": value for i, value in enumerate(values, 1)}


def test_a_meter_that_gives_everything_is_taken_at_its_word() -> None:
    sample = read(
        VOLTS | per_phase("current", "a", 10.0, 20.0, 30.0) | per_phase("power", "w", 2300.0, -4000.0, 0.0)
        | per_phase("reactive_power", "var", 0.0, 2000.0, -6960.0)
    )  # fmt: skip
    assert sample.powers == (2300.0, -4000.0, 0.0, 0.0, 2000.0, -6960.0)
    assert sample.current_a == (10.0, 20.0, 30.0)
    assert sample.voltage_v == (230.0, 231.0, 232.0)


@pytest.mark.parametrize(("total_var", "sign"), [(5000.0, 1), (-5000.0, -1), (None, 1)])
def test_reactive_power_per_phase_is_what_active_power_leaves_with_the_sign_of_the_total(
    total_var: float | None, sign: int
) -> None:
    # the EEM map: P per phase, Q in total only
    sample = read(
        VOLTS | per_phase("current", "a", 10.0, 20.0, 30.0) | per_phase("power", "w", 2300.0, -4000.0, 0.0)
        | {"reactive_power_var": total_var}
    )  # fmt: skip
    expected = (0.0, math.sqrt((231.0 * 20.0) ** 2 - 4000.0**2), 232.0 * 30.0)
    assert sample.powers[3:] == pytest.approx([sign * q for q in expected], abs=1e-6)
    for phase in range(3):  # what heats the fuse is kept
        apparent = math.hypot(sample.powers[phase], sample.powers[3 + phase])
        assert apparent / sample.voltage_v[phase] == pytest.approx(sample.current_a[phase])


def test_total_power_is_split_like_voltage_times_current() -> None:
    # the CHARX map: U and I per phase, P and Q in total; one phase is idle
    sample = read(VOLTS | per_phase("current", "a", 10.0, 20.0, 0.0) | {"power_w": 6000.0, "reactive_power_var": 50.0})
    whole = 230.0 * 10.0 + 231.0 * 20.0
    assert sample.powers[:3] == pytest.approx((6000.0 * 2300.0 / whole, 6000.0 * 4620.0 / whole, 0.0))
    assert sum(sample.powers[:3]) == pytest.approx(6000.0)
    assert all(q >= 0.0 for q in sample.powers[3:])


def test_currents_alone_are_booked_unsigned_as_consumption() -> None:
    sample = read(VOLTS | per_phase("current", "a", 10.0, -20.0, 0.0))
    assert sample.powers == (2300.0, 4620.0, 0.0, 0.0, 0.0, 0.0)
    assert sample.current_a == (10.0, 20.0, 0.0)


def test_totals_alone_are_split_evenly() -> None:
    sample = read({"power_w": -6900.0, "reactive_power_var": 300.0})
    assert sample.powers == (-2300.0, -2300.0, -2300.0, 100.0, 100.0, 100.0)
    assert sample.current_a[0] == pytest.approx(math.hypot(2300.0, 100.0) / 230.0)


def test_a_total_of_nothing_stays_nothing() -> None:
    assert read(VOLTS | per_phase("current", "a", 0.0, 0.0, 0.0) | {"power_w": 0.0}).powers == (0.0,) * 6


def test_values_of_a_rotated_device_stand_in_the_frame_of_the_grid_connection() -> None:
    points = per_phase("power", "w", 1.0, 2.0, 3.0) | per_phase("reactive_power", "var", 4.0, 5.0, 6.0)
    assert read(points, (L2, L3, L1)).powers == (3.0, 1.0, 2.0, 6.0, 4.0, 5.0)


def test_a_tap_reads_only_its_own_conductors() -> None:
    sample = read(VOLTS | per_phase("current", "a", 10.0, 99.0, 99.0) | {"power_w": 2200.0}, (L3,))
    assert sample.powers[:3] == (0.0, 0.0, 2200.0)
    assert sample.current_a == (0.0, 0.0, 10.0)
    assert sample.voltage_v[2] == 230.0


@pytest.mark.parametrize("volts", [0.0, 3.0, -230.0, 5000.0, None, "?"])
def test_a_voltage_that_cannot_be_is_taken_as_nominal(volts: float | str | None) -> None:
    points: dict[str, float | str | None] = {**per_phase("current", "a", 10.0, 0.0, 0.0), "voltage_l1_v": volts}
    assert read(points).voltage_v[0] == 230.0


POWERS = per_phase("power", "w", 1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    "unusable",
    [
        event({}),
        event(VOLTS),
        event({"power_l1_w": 1.0, "power_l2_w": 2.0}),
        event(POWERS | {"power_l2_w": None}),
        event(POWERS | {"power_l2_w": "much"}),
        event(POWERS | {"power_l2_w": math.nan}),
        event(POWERS | {"power_l2_w": math.inf}),
        event(POWERS, {"power_l2_w": Quality.SUSPECT}),
        event(POWERS, {"power_l2_w": Quality.STALE}),
        event(POWERS).model_copy(update={"reachable": False}),
    ],
)
def test_what_control_may_not_use_is_no_sample(unusable: Measurement) -> None:
    assert Reader(STRAIGHT).read(unusable, 1.0) is None


def test_bad_powers_are_replaced_by_good_currents() -> None:
    points = VOLTS | POWERS | per_phase("current", "a", 1.0, 1.0, 1.0)
    sample = Reader(STRAIGHT).read(event(points, {"power_l1_w": Quality.SUSPECT}), 1.0)
    assert sample is not None
    assert sample.powers[:3] == (230.0, 231.0, 232.0)


values = st.one_of(st.none(), st.text(max_size=3), st.floats(), st.integers(-(10**9), 10**9))
quantities = (("voltage", "v"), ("current", "a"), ("power", "w"), ("reactive_power", "var"))
names = [f"{quantity}_l{i}_{unit}" for quantity, unit in quantities for i in (1, 2, 3)]


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*names, "power_w", "reactive_power_var"]), values),
    st.sampled_from([(L1, L2, L3), (L3, L1, L2), (L2,), (L3, L1)]),
    st.lists(st.sampled_from(names), max_size=3),
)
def test_whatever_a_device_says_a_sample_is_finite_and_its_currents_are_not_negative(
    points: dict[str, float | str | None], phases: tuple[Phase, ...], bad: list[str]
) -> None:
    made = Measurement.model_construct(
        asset="m", driver="d", kind=AssetKind.METER, seq=1, measured_at_ms=1, lifetime_ms=600, reachable=True,
        package="", points=points, quality=dict.fromkeys(bad, Quality.SUSPECT),
    )  # fmt: skip
    sample = Reader(phases).read(made, 1.0)
    if sample is not None:
        assert all(math.isfinite(x) for x in (*sample.powers, *sample.current_a, *sample.voltage_v))
        assert min(sample.current_a) >= 0.0
        for phase in Phase:
            if phase not in phases:
                assert (sample.powers[phase], sample.powers[3 + phase], sample.current_a[phase]) == (0.0, 0.0, 0.0)


sane = st.floats(-1e5, 1e5)


rest = [*names[6:], "power_w", "reactive_power_var"]


@settings(deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(names[:6], sane), optional=dict.fromkeys(rest, sane)),
    st.sampled_from([STRAIGHT, (L2, L3, L1), (L3, L2, L1)]),
)
def test_the_short_way_for_known_currents_gives_what_the_long_way_gives(
    points: dict[str, float], phases: tuple[Phase, ...]
) -> None:
    reader = Reader(phases)
    assert reader.read(event(points), 1.0) == reader._sample([points.get(name) for name in reader._names], 1.0)
