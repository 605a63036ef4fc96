"""The battery of the depot through all of Busbar: allocator, driver, frames, registers, physics (SPC-13)."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import pytest
import yaml

from busbar.config.load import load_site
from busbar.config.model import SiteFile
from busbar.config.site import Site, compile_site
from busbar.sim.simulation import Record, Run, simulate

DEPOT = Path(__file__).parents[2] / "examples" / "depot.yaml"


def without_the_fast_charger() -> Site:
    """It alone can take all that the battery can give."""
    data = yaml.safe_load(DEPOT.read_text("utf-8"))
    data["assets"] = [asset for asset in data["assets"] if asset["kind"] != "dc_charge_point"]
    return compile_site(SiteFile.model_validate(data), load_site(DEPOT).packages)


def depot(start: time) -> Record:
    return simulate(Run(without_the_fast_charger(), date(2019, 9, 11), 1, 240.0, start))


@pytest.mark.parametrize("hour", [3, 11])
def test_spc_13_the_battery_keeps_the_grid_connection_near_zero(hour: int) -> None:
    record = depot(time(hour))
    truth = record.twin.truth()
    battery_w = sum(truth["batteries"]["battery"]["power_w"])
    grid_w = sum(truth["collectors"]["grid"]["power_w"])
    assert record.bugs == []
    assert battery_w < -1000.0  # night and morning: more is used than the roof gives
    assert abs(grid_w) < 0.2 * abs(battery_w)
    assert all(finding.ok for finding in record.twin.physics.judge.findings())
