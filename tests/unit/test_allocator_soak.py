"""Closed loop with lagging meters and vehicles that overdraw, stop and change phases, one collector at a time cut to
30 % (algorithms.md, What must never be false, 1 to 8), judged by physical currents.

The default is a short time of both example sites; `make soak` runs 24 hours of the full one.
"""

from __future__ import annotations

import os
from datetime import date
from datetime import time as clocktime
from pathlib import Path

import pytest

from busbar.config.load import load_site
from unit.soak_world import Soak

EXAMPLES = Path(__file__).parents[2] / "examples"
DAY = date(2019, 9, 11)
LONG = bool(os.environ.get("BUSBAR_SOAK"))


@pytest.mark.parametrize("seed", range(1, 9 if LONG else 3))
def test_the_demo_site_holds_every_fuse_limit_ramp_and_start_budget(seed: int) -> None:
    soak = Soak(load_site(EXAMPLES / "demo.yaml"), DAY, seed, clocktime(10))
    soak.run(86_400.0 if LONG else 800.0)
    print(f"demo, seed {seed}: {dict(soak.seen)}")
    assert soak.wrong == []
    assert soak.seen["paused"]
    assert soak.seen["cut"]


def test_the_full_site_holds_every_fuse_limit_ramp_and_start_budget() -> None:
    soak = Soak(load_site(EXAMPLES / "full-site.yaml"), DAY, 1, clocktime(8), step_s=5.0)
    soak.run(86_400.0 if LONG else 60.0)
    print(f"full site: {dict(soak.seen)}")
    assert soak.wrong == []
    assert sum(soak.plant.evses[name].energy_wh for name in soak.net.ids) > 0.0
