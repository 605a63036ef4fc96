"""Live cycles of the demo site, across a rotation and a kill of the allocator, equal what `busbar allocate` and
`busbar replay` say afterwards (OPS-3, SPC-17).

1000 cycles of the demo site as it is: 18 minutes, under `make soak`. What `make test` runs is test_record_live.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.running import running_site

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not os.environ.get("BUSBAR_SOAK"), reason="18 minutes: `make soak`; a short one is test_record_live"
    ),
]
CYCLES, ROTATION_S = 1000, 900


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Enough cycles, with a rotation behind and ahead of the kill."""
    folder = tmp_path_factory.mktemp("thousand")
    with running_site(folder, 59, "--start", "12:00", "--day", "2019-09-11") as site:
        site.wait_until_controlled()
        out = folder / "live.jsonl.gz"
        length_s = CYCLES + 15.0  # the kill costs some seconds; a quarter of an hour, so one rotation at least
        recorder = subprocess.Popen(
            [
                sys.executable, "-m", "busbar", "record", "--site", str(site.site), "--nats",
                f"nats://127.0.0.1:{site.nats_port}", "--for", f"{length_s:.0f}s", "--out", str(out),
            ],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(length_s / 3)
        site.kill("run", "spc-allocator")
        _, said = recorder.communicate(timeout=length_s + 60)
        assert recorder.returncode == 0, said
        yield out


def test_every_live_cycle_equals_replay_and_allocate(recording: Path) -> None:
    replayed = busbar("replay", str(recording), "--json")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    found = json.loads(replayed.stdout)
    assert (found["differences"], found["skipped"]) == ([], 0)
    assert found["cycles"] >= CYCLES
    lines = [json.loads(line) for line in gzip.decompress(recording.read_bytes()).splitlines()[1:]]
    assert len({line["cycle"]["epoch"] for line in lines}) == 2, "the allocator was not restarted"
    assert len({line["cycle"]["now_ms"] // (1000 * ROTATION_S) for line in lines}) >= 2, "no rotation in it"
    allocated = busbar("allocate", str(recording))
    assert allocated.returncode == 0, allocated.stderr
    decided = [json.loads(line) for line in allocated.stdout.splitlines()]
    assert len(decided) == len(lines)
    for live, by_hand in zip(lines, decided, strict=True):
        told = [(row["connector"], row["current_a"], row["reason"]["code"]) for row in live["cycle"]["setpoints"]]
        assert told == [(row["connector"], row["setpoint_a"], row["code"]) for row in by_hand["connectors"]]


def busbar(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "busbar", *words], capture_output=True, text=True, timeout=300, check=False
    )
