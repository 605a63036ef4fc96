"""Blocks to values with quality (FC-1, FC-3, FC-7; devices.md 3 to 6)."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.devices.catalog import load_package
from busbar.devices.codec import Memory, Reader
from busbar.devices.package import DevicePackage, Point
from busbar.devices.plan import Block, compile_plan
from busbar.devices.sunspec import resolve, walk_image
from busbar.devices.wire import Placed, to_bytes
from busbar.domain.charging import Status
from busbar.domain.kinds import AssetKind

CHARX, ALFEN = "phoenix-charx-sec3xxx", "alfen-ng9xx"
Values = dict[str, Any]


class Bench:
    """Decodes words into a state that is kept, as a driver does."""

    def __init__(self, *points: tuple[str, dict[str, Any]]) -> None:
        placed = []
        for key, fields in points:
            point = Point.model_validate({"address": 0, "type": "u16", "group": "fast", **fields})
            placed.append(Placed(key, key, point, point.table, 1, point.address, "big", point.sign))
        self.count = max(p.end for p in placed)
        self.reader = Reader(0, self.count, placed)
        self.points: Values = {}
        self.quality: Values = {}
        self.memory = Memory()

    def __call__(self, *words: int) -> tuple[Values, Values]:
        self.reader.decode(to_bytes([w & 0xFFFF for w in words]), self.points, self.quality, self.memory)
        return self.points, self.quality


def fast(package: str, instance: int = 1, kind: AssetKind = AssetKind.AC_CONNECTOR) -> tuple[Block, ...]:
    return compile_plan(load_package(package), unit_id=None, instance=instance, kind=kind).fast.blocks


def sunspec_pv() -> DevicePackage:
    package = load_package("sunspec-pv-inverter")
    words = package.vectors[0].words
    assert package.sunspec is not None
    return resolve(package, walk_image(dict(enumerate(words, 40000)), package.sunspec.base))


def test_a_charx_point_in_one_reply() -> None:
    """The words were set by hand from the vendor's table, not from the package."""
    w = [0] * 77
    w[1], w[3], w[5] = 40231, 39987, 40102  # 230.xxx V in mV needs 3 * 65536 more
    w[0] = w[2] = w[4] = 2
    w[7], w[9] = 15987, 16011
    w[10:12] = [0xFFFF, 0xFFFF]
    w[12:14] = [0x00A8, 0x0000]
    w[18:22] = [0, 0, 0x0012, 0xD687]
    w[43:47] = [0x3034, 0x6131, 0x6232, 0x6333]
    w[53:55] = [0, 3600]
    w[57:61] = [0, 0, 0, 7421]
    w[61:63] = [0x4100, 0x0002]
    w[65], w[66], w[67] = 16, 32, 0x4332
    w[68:70] = [1, 16]
    w[72], w[74], w[75] = 1, 6, 30
    (block,) = fast(CHARX, instance=3)
    assert (block.table, block.unit, block.address, block.count) == ("holding", 1, 3232, 77)
    points: Values = {}
    quality: Values = {}
    block.decode(to_bytes(w), points, quality, Memory())
    assert points == {
        "voltage_l1_v": 171.303, "voltage_l2_v": 171.059, "voltage_l3_v": 171.174,
        "current_l1_a": 15.987, "current_l2_a": 16.011, "current_l3_a": None,
        "power_w": 11010.048, "reactive_power_var": 0.0, "energy_import_wh": 1234567,
        "session_energy_wh": 7421, "connection_time_s": 3600,
        "soc_percent": None, "vehicle_id": None, "rfid": "04A1B2C3",
        "error_code": "temperature_derating,overcurrent,residual_current_trip",
        "actual_limit_current_a": 16, "cable_current_a": 32, "status": "Charging", "status_raw": "C2",
        "release": 1, "setpoint_current_a": 16, "availability": 1, "fallback_current_a": 6, "watchdog_timeout_s": 30,
    }  # fmt: skip
    assert quality == {"current_l3_a": "na", "soc_percent": "na"}
    assert set(block.names) == set(points)


@pytest.mark.parametrize(
    ("letters", "status"),
    [
        ("A1", "Available"), ("A2", "Available"), ("B1", "Preparing-EV-Ready"), ("B2", "SuspendedEV"),
        ("C1", "SuspendedEVSE"), ("C2", "Charging"), ("D1", "SuspendedEVSE"), ("D2", "Charging"), ("E0", "Faulted"),
        ("F0", "Unavailable"), ("IN", None), ("C3", None), ("\0\0", None),
    ],
)  # fmt: skip
def test_charx_states_are_canonical_or_unknown_with_the_raw_text_beside(letters: str, status: str | None) -> None:
    words = [0] * 77
    words[67] = int.from_bytes(letters.encode(), "big")
    points: Values = {}
    quality: Values = {}
    fast(CHARX)[0].decode(to_bytes(words), points, quality, Memory())
    assert points["status"] == status
    assert points["status_raw"] == (letters if letters.isalnum() else None)
    assert quality.get("status") == (None if status else "na")


@pytest.mark.parametrize("package", [CHARX, ALFEN])
def test_no_status_map_makes_a_connector_free_that_is_not(package: str) -> None:
    status = load_package(package).points["status"]
    assert {raw for raw, canonical in status.map.items() if canonical.free} <= {"A", "A1", "A2"}
    assert all(canonical in Status for canonical in status.map.values())


@pytest.mark.parametrize(
    ("availability", "letters", "status"),
    [
        (1, "A", "Available"), (0, "A", "Unavailable"), (0, "C2", "Charging"), (65535, "A", "Available"),
        (0, "XX", None),
    ],
)  # fmt: skip
def test_an_alfen_socket_that_is_switched_off_is_not_free(availability: int, letters: str, status: str | None) -> None:
    block = fast(ALFEN)[1]
    text = letters.encode().ljust(10, b"\0")
    data = struct.pack(">H10sfIffHH", availability, text, 16.0, 58, 16.0, 6.0, 1, 3)
    points: Values = {}
    quality: Values = {}
    memory = Memory()
    for _ in range(2):
        block.decode(data, points, quality, memory)
        assert (points["status"], points["status_raw"]) == (status, letters)
    assert ("status" in quality) == (status is None)


def test_production_is_negative_here_and_positive_on_the_wire() -> None:
    package = sunspec_pv()
    (block,) = compile_plan(package, unit_id=None, instance=1, kind=AssetKind.PV).fast.blocks
    words = load_package("sunspec-pv-inverter").vectors[0].words
    start = block.address - 40000
    points: Values = {}
    quality: Values = {}
    block.decode(to_bytes(words[start : start + block.count]), points, quality, Memory())
    assert (points["power_w"], points["reactive_power_var"], points["dc_power_w"]) == (-9980, -500, -10150)
    assert (points["energy_export_wh"], points["run_state"]) == (1234560, "mppt")
    assert quality == {}


@pytest.mark.parametrize(
    ("factor", "value", "quality"),
    [
        (0, 230.0, None), (-1, 23.0, None), (2, 23000.0, None), (-10, 2.3e-8, None), (10, 2.3e12, None),
        (11, None, "na"), (-11, None, "na"), (-0x8000, None, "na"),
    ],
)  # fmt: skip
def test_a_scale_factor_that_is_no_power_of_ten_makes_its_value_not_available(
    factor: int, value: float | None, quality: str | None
) -> None:
    bench = Bench(("v", {"scale_point": "sf", "na": [65535]}),
                  ("sf", {"address": 1, "type": "sunssf", "internal": True}))  # fmt: skip
    points, bad = bench(230, factor)
    assert points == {"v": value}
    assert bad.get("v") == quality
    assert bench(65535, 0)[0] == {"v": None}


def test_not_available_is_decided_before_scaling_and_a_true_zero_stays_zero() -> None:
    bench = Bench(("a", {"type": "i16", "scale": 0.1, "na": [-1]}), ("b", {"address": 1, "sign": -1, "type": "i16"}))
    assert bench(-1, 0) == ({"a": None, "b": 0.0}, {"a": "na"})
    assert str(bench.points["b"]) == "0.0"
    assert bench(-10, 5) == ({"a": -1.0, "b": -5.0}, {})


def test_outside_the_valid_range_is_published_but_not_good() -> None:
    bench = Bench(("v", {"valid": [0, 300]}))
    assert bench(301) == ({"v": 301.0}, {"v": "out_of_range"})
    assert bench(300) == ({"v": 300.0}, {})


def test_a_valid_range_is_in_the_sign_of_the_device() -> None:
    bench = Bench(("p", {"type": "i16", "sign": -1, "valid": [-10, 1000]}))
    assert bench(900) == ({"p": -900.0}, {})
    assert bench(-900) == ({"p": 900.0}, {"p": "out_of_range"})


def test_too_large_a_step_is_suspect_once_even_if_the_bytes_repeat() -> None:
    bench = Bench(("v", {"max_step": 100}))
    assert [bench(v)[1] for v in (10, 50)] == [{}, {}]
    assert bench(500) == ({"v": 500.0}, {"v": "suspect"})
    assert bench(500) == ({"v": 500.0}, {})
    bench(65000)
    bench.memory.clear()
    assert bench(10)[1] == {}


@pytest.mark.parametrize(("counter", "suspect"), [({"may_reset": False}, True), ({"may_reset": True}, False),
                                                  ({"wraps_at": 65536}, False)])  # fmt: skip
def test_a_counter_that_falls_is_suspect_unless_it_may(counter: dict[str, Any], suspect: bool) -> None:
    bench = Bench(("e", {"counter": counter}))
    bench(60000)
    assert bench(5)[1] == ({"e": "suspect"} if suspect else {})
    assert bench(6)[1] == {}


def test_enums_are_names_and_unknown_numbers_their_digits() -> None:
    bench = Bench(("mode", {"enum": {"1": "off", "4": "mppt"}, "na": [65535]}))
    assert [bench(v)[0]["mode"] for v in (4, 9, 65535)] == ["mppt", "9", None]


def test_a_status_may_be_mapped_by_number_or_by_name() -> None:
    by_number = Bench(("status", {"enum": {"8": "out_of_order"}, "map": {"8": "Unavailable", "3": "Charging"}}))
    by_name = Bench(("status", {"enum": {"8": "out_of_order"}, "map": {"out_of_order": "Unavailable"}}))
    assert by_number(8)[0] == {"status": "Unavailable", "status_raw": "out_of_order"}
    assert by_number(3)[0] == {"status": "Charging", "status_raw": "3"}
    assert by_name(8)[0] == {"status": "Unavailable", "status_raw": "out_of_order"}
    assert by_name(3) == ({"status": None, "status_raw": "3"}, {"status": "na"})


def test_bits_masks_flags_and_offsets() -> None:
    bench = Bench(
        ("errors", {"bits": {"0": "hot", "3": "open"}}),
        ("low", {"address": 1, "mask": 0x0F}),
        ("high", {"address": 1, "mask": 0xF0, "shift": 4}),
        ("flag", {"address": 2, "type": "bool"}),
        ("degrees", {"address": 3, "scale": 0.1, "offset": -40}),
    )
    points, quality = bench(0b11001, 0xA7, 200, 653)
    assert points == {"errors": "hot,open,bit4", "low": 7.0, "high": 10.0, "flag": 1.0, "degrees": pytest.approx(25.3)}
    assert quality == {}
    assert bench(0, 0, 0, 0)[0]["errors"] == ""


def test_coils_are_bits_low_bit_first() -> None:
    placed = [
        Placed(k, k, Point(table="coil", address=a, type="bool", group="fast"), "coil", 1, a, "big", 1)
        for k, a in (("a", 400), ("b", 409))
    ]
    points: Values = {}
    Reader(400, 10, placed).decode(b"\x00\x02", points, {}, Memory())
    assert points == {"a": 0.0, "b": 1.0}


def test_a_value_that_has_recovered_is_good_again() -> None:
    bench = Bench(("v", {"na": [0]}), ("w", {"address": 1}))
    assert bench(0, 1)[1] == {"v": "na"}
    assert bench(7, 1)[1] == {}
    bench.quality["v"] = bench.quality["other"] = "comm_fail"
    assert bench(7, 1)[1] == {"other": "comm_fail"}


def test_the_same_bytes_restore_the_same_values() -> None:
    bench = Bench(("v", {}), ("t", {"address": 1, "type": "str[1]", "na": ["--"]}))
    first = bench(7, 0x2D2D)
    assert first == ({"v": 7.0, "t": None}, {"t": "na"})
    bench.points.clear()
    bench.quality.clear()
    assert bench(7, 0x2D2D) == ({"v": 7.0, "t": None}, {"t": "na"})


def test_a_reply_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="2 bytes where 4"):
        Bench(("v", {"type": "u32"}))(1)


def test_points_in_other_byte_orders_share_a_block() -> None:
    bench = Bench(
        ("abcd", {"type": "u32"}),
        ("cdab", {"address": 2, "type": "u32", "word_order": "little"}),
        ("t", {"address": 4, "type": "str[1]", "byte_order": "little"}),
    )
    placed = [Placed(k, k, p, p.table, 1, p.address, p.word_order or "big", 1) for k, p in (
        ("abcd", Point(address=0, type="u32", group="fast")),
        ("cdab", Point(address=2, type="u32", group="fast", word_order="little")),
        ("t", Point(address=4, type="str[1]", group="fast", byte_order="little")),
    )]  # fmt: skip
    points: Values = {}
    Reader(0, 5, placed).decode(to_bytes([1, 2, 2, 1, 0x4241]), points, {}, bench.memory)
    assert points == {"abcd": 65538.0, "cdab": 65538.0, "t": "AB"}


def test_a_reversed_meter_turns_powers_and_swaps_counters() -> None:
    plan = compile_plan(
        load_package("eastron-sdm630"), unit_id=9, instance=1, kind=AssetKind.METER, reversed=True, period_ms=200
    )
    (block,) = plan.fast.blocks
    assert (block.unit, plan.fast.period_ms, plan.fast.stale_after_ms) == (9, 200, 600)
    floats = [0.0] * 40
    floats[0], floats[3], floats[6], floats[12], floats[26], floats[35] = 230.0, 10.0, -2300.0, 100.0, -2300.0, 50.0
    floats[31], floats[36], floats[37] = -0.99, 1.5, 2.5
    points: Values = {}
    quality: Values = {}
    block.decode(struct.pack(">40f", *floats), points, quality, Memory())
    assert (points["power_l1_w"], points["power_w"], points["reactive_power_l1_var"]) == (2300, 2300, -100)
    assert points["power_factor"] == pytest.approx(0.99)
    assert (points["energy_import_wh"], points["energy_export_wh"]) == (2500, 1500)
    assert (points["voltage_l1_v"], points["current_l1_a"]) == (230, 10)
    assert quality == {}


BLOCKS = [*fast(CHARX), *fast(ALFEN), *fast("eastron-sdm630", kind=AssetKind.METER),
          *fast("phoenix-eem-em3xx", kind=AssetKind.METER),
          *compile_plan(sunspec_pv(), unit_id=None, instance=1, kind=AssetKind.PV).fast.blocks]  # fmt: skip


@given(st.sampled_from(BLOCKS), st.data())
def test_whatever_a_device_answers_no_bad_value_looks_good(block: Block, data: Any) -> None:
    """Random and all-ones registers: a good value is a finite number or a text; None in the place of a number is na."""
    raw = data.draw(st.one_of(st.binary(min_size=2 * block.count, max_size=2 * block.count),
                              st.just(b"\xff" * 2 * block.count), st.just(bytes(2 * block.count))))  # fmt: skip
    points: Values = {}
    quality: Values = {}
    block.decode(raw, points, quality, Memory())
    assert set(points) == set(block.names)
    assert set(quality) <= set(points)
    for name, value in points.items():
        if isinstance(value, float):
            assert abs(value) < float("inf")
        assert value is not None or name in quality or name in ("rfid", "vehicle_id", "status_raw")
    assert points.get("status") in (None, *Status)
