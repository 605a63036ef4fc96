"""What the site check and the fallback plan learn of a device package (FB-3)."""

from __future__ import annotations

import pytest

from busbar.config.packages import catalogue


@pytest.mark.parametrize(
    ("package", "device_class", "on_silence", "watchdog_range_s"),
    [
        ("sunspec-der-battery", "battery",     "zero",    (5, 3600)),
        ("sunspec-pv-inverter", "pv_inverter", "free",    (0, 65534)),
        ("eastron-sdm630",      "meter",       "unknown", None),
    ],
)  # fmt: skip
def test_fb_3_what_a_device_set_in_w_does_when_it_hears_nothing(
    package: str, device_class: str, on_silence: str, watchdog_range_s: tuple[float, float] | None
) -> None:
    facts = catalogue()(package)
    assert (facts.device_class, facts.on_silence, facts.watchdog_range_s) == (
        device_class, on_silence, watchdog_range_s,
    )  # fmt: skip


def test_a_charger_with_a_readable_fallback_is_set_by_hand() -> None:
    assert catalogue()("alfen-ng9xx").fallback_a == "by_hand"
    assert catalogue()("phoenix-charx-sec3xxx").fallback_a == "settable"
