"""examples/full-site.yaml: made by its script, accepted, and as large as SC-3 allows of what is built."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from busbar.cli.common import load
from busbar.config.site import Site
from busbar.domain.kinds import AssetKind
from busbar.domain.limits import PER_SITE
from busbar.supervisor import Plan

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "full-site.yaml"


@pytest.fixture(scope="module")
def full() -> Site:
    return load(FILE)


def make(*args: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, ROOT / "tools" / "full_site.py", *args]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_file_is_what_its_script_makes() -> None:
    done = make("--check")
    assert done.returncode == 0, done.stderr


def test_a_changed_file_is_told(tmp_path: Path) -> None:
    changed = tmp_path / "site.yaml"
    changed.write_text(FILE.read_text().replace("7200", "7201"))
    done = make("--check", changed)
    assert (done.returncode, "python tools/full_site.py" in done.stderr) == (1, True)


def test_sc_3_its_counts_are_the_limits_of_a_site(full: Site) -> None:
    kinds = Counter(entity.kind for entity in full.entities.values())
    assert kinds[AssetKind.AC_CONNECTOR] == PER_SITE["charge_points"] == 1000
    assert kinds[AssetKind.PV] == PER_SITE["pv_systems"] == 25
    assert kinds[AssetKind.BATTERY] == PER_SITE["batteries"] == 10
    assert len(full.collectors) == PER_SITE["protected_collectors"] == 200
    assert max(collector.level for collector in full.collectors) == 5
    assert len(full.controllers) == 20


def test_every_phase_rotation_occurs_on_every_level(full: Site) -> None:
    turned = {(collector.level, collector.root_phases) for collector in full.collectors}
    assert all(sum(level == own for own, _ in turned) == 3 for level in range(1, 6))


def test_busbar_up_runs_every_shard_on_one_machine(full: Site) -> None:
    specs = Plan(full, FILE, Path("/bin/nats-server"), Path("/data"), 4222, 8080).service_specs({})
    names = [spec.name.split(".")[0] for spec in specs]
    assert names.count("field-driver-modbus") == 20
    assert names.count("spc-allocator") == names.count("collector-aggregator") == 1
    instances = {spec.argv[spec.argv.index("--instance") + 1] for spec in specs}
    assert instances == {"c-z01", *(f"modbus-z{number:02d}" for number in range(1, 21))}
