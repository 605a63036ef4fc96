"""The assembled twin: devices over the physics, repeatable to the byte (testing.md, deterministic simulation)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import date, time
from pathlib import Path

import pytest
import yaml

from busbar.config.model import SiteFile
from busbar.config.site import Site, compile_site
from busbar.sim.faults import Faults
from busbar.sim.switches import SwitchError, Switches, apply_switches, parse_switches
from busbar.sim.twin import Twin

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo.yaml"
DAY = date(2019, 9, 11)


@pytest.fixture(scope="module")
def site() -> Site:
    return compile_site(SiteFile.model_validate(yaml.safe_load(DEMO.read_text("utf-8"))))


def trace(twin: Twin, seconds: int) -> str:
    digest = hashlib.sha256()
    start_s = twin.now_s
    for second in range(seconds):
        twin.advance(start_s + second + 1.0)
        digest.update(twin.trace_line().encode())
    return digest.hexdigest()


_SCRIPT = """
import sys
sys.path[:0] = {paths!r}
from test_sim_physics_twin import DAY, DEMO, Twin, SiteFile, compile_site, time, trace, yaml
site = compile_site(SiteFile.model_validate(yaml.safe_load(DEMO.read_text("utf-8"))))
print(trace(Twin(site, DAY, {seed}, time(13)), 240))
"""


def trace_in_a_process(seed: int, hash_seed: str) -> str:
    script = _SCRIPT.format(paths=[str(ROOT / "libs"), str(Path(__file__).parent)], seed=seed)
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_same_seed_gives_the_same_trace_under_any_hash_seed(site: Site) -> None:
    here = trace(Twin(site, DAY, 7, time(13)), 240)
    assert {trace_in_a_process(7, hash_seed) for hash_seed in ("0", "1", "4242")} == {here}
    assert trace(Twin(site, DAY, 8, time(13)), 240) != here


def test_how_far_it_is_advanced_at_a_time_changes_nothing(site: Site) -> None:
    small, large = Twin(site, DAY, 1, time(13)), Twin(site, DAY, 1, time(13))
    for tenth in range(1, 3001):
        small.advance(tenth * 0.1)
    large.advance(300.0)
    assert small.trace_line() == large.trace_line()
    assert large.now_s == pytest.approx(300.0)


def test_the_truth_is_plain_data_in_each_collector_s_own_frame(site: Site) -> None:
    twin = Twin(site, DAY, 1, time(13))
    twin.advance(60.0)
    truth = twin.truth()
    assert json.loads(json.dumps(truth)) == truth
    assert truth["local_time"] == "2019-09-11T13:01:00+02:00"
    assert set(truth["collectors"]) == {c.id for c in site.collectors}
    row = twin.plant.meters["row-b-meter"]  # sits on row-b without rotation: sees the same order of phases
    assert truth["collectors"]["row-b"]["current_a"] == pytest.approx(row.current_a)
    assert max(row.current_a) > 5.0


def test_a_staged_start_shows_vehicles_in_every_state(site: Site) -> None:
    twin = Twin(site, DAY, 1, time(13))
    twin.advance(30.0)
    connectors = twin.truth()["connectors"]
    charging = {c["vehicle_phases"] for c in connectors.values() if max(c["current_a"]) > 4.0}
    assert charging == {1, 2, 3}
    assert [name for name, c in connectors.items() if not c["plugged"]] == ["b3"]
    full = [c for c in connectors.values() if c["plugged"] and c["left_wh"] <= 0.0]
    waiting = [c for c in connectors.values() if c["plugged"] and c["left_wh"] > 0.0 and not c["wants_current"]]
    assert len(full) == 1
    assert waiting
    assert not Twin(site, DAY, 1).truth()["connectors"]["a1"]["plugged"]  # midnight, empty car park


def test_devices_below_an_open_fuse_are_dead_and_start_up_after_its_reset(site: Site) -> None:
    twin = Twin(site, DAY, 1, time(13))
    twin.advance(30.0)
    twin.open_fuse("row-b")
    twin.advance(60.0)
    assert [name for name, device in twin.devices.items() if not device.up] == ["sdm-row-b", "alfen-1", "alfen-2"]
    assert twin.truth()["collectors"]["row-b"]["current_a"] == [0.0, 0.0, 0.0]
    twin.reset_fuse("row-b")
    twin.advance(62.0)
    assert not twin.devices["alfen-1"].up  # booting
    twin.advance(240.0)
    assert all(device.up for device in twin.devices.values())
    assert max(twin.truth()["collectors"]["row-b"]["current_a"]) > 4.0


def test_a_package_that_nothing_simulates_is_named(site: Site) -> None:
    file = yaml.safe_load(DEMO.read_text("utf-8"))
    file["devices"][0]["package"] = "no-such-meter"
    with pytest.raises(ValueError, match=r"eem-grid.*no-such-meter"):
        Twin(compile_site(SiteFile.model_validate(file)), DAY, 1)


def test_fault_switches_say_everything_that_is_wrong_at_once(site: Site) -> None:
    twin = Twin(site, DAY, 1, time(13))
    text = (
        "{devices: {charx: {silence: true}, foo: {}, alfen-1: {latency_s: long}}, connectors: [zz], open_fuses: [qq]}"
    )
    with pytest.raises(SwitchError) as caught:
        parse_switches(text, twin)
    for word in ("silence", "'foo'", "latency_s", "'zz'", "'qq'"):
        assert word in str(caught.value)
    for broken in ("[1, 2", "devices: 5", "colour: red"):
        with pytest.raises(SwitchError):
            parse_switches(broken, twin)


def test_fault_switches_act_once_and_are_undone_when_they_go(site: Site) -> None:
    twin = Twin(site, DAY, 1, time(13))
    text = "{devices: {charx: {silent: true}}, connectors: [b1], open_fuses: [row-b], restarts: {alfen-2: 1}}"
    on = parse_switches(text, twin)
    assert len(apply_switches(twin, Switches(), on)) == 4
    assert apply_switches(twin, on, on) == []
    assert twin.devices["charx"].faults == Faults(silent=True)
    assert [port.id for port in twin.plant.evses.values() if port.fault] == ["b1"]
    assert not twin.devices["alfen-2"].up
    twin.advance(5.0)
    apply_switches(twin, on, parse_switches("restarts: {alfen-2: 1}", twin))
    assert twin.devices["charx"].faults == Faults()
    assert [port.id for port in twin.plant.evses.values() if port.fault] == []
    assert twin.truth()["collectors"]["row-b"]["fuse_open"] == [False] * 3
