"""Experiment 2.1 of acnportal-experiments (energy delivered under a small transformer), Busbar as one more algorithm.

    PYTHONPATH=tests python -m bench.acn.experiment [--kw 20,30,40,50] [--peers]

Runs itself in an environment of its own (`tests/peers/acn.txt`). One line of JSON a result; `bench.py --acn` makes the
table. `--peers` runs acnportal's own algorithms as well, which takes a minute or more each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
import warnings
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
EVENTS = ROOT / "tests" / "data" / "acn_events_caltech_201903.json.gz"
CAPACITIES_KW = (20, 30, 40, 50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kw", default=",".join(map(str, CAPACITIES_KW)), help="capacities of the transformer")
    parser.add_argument("--peers", action="store_true", help="acnportal's EDF and LLF too")
    given = parser.parse_args()
    if os.environ.get("BUSBAR_ACN") != "1":
        raise SystemExit(in_own_environment(sys.argv[1:]))
    warnings.simplefilter("ignore")
    for kw in map(int, given.kw.split(",")):
        for name, make in algorithms(given.peers).items():
            started = time.perf_counter()
            percent = delivered(make(), kw)
            took_s = time.perf_counter() - started
            print(json.dumps({"kw": kw, "algorithm": name, "percent": percent, "took_s": took_s}), flush=True)


def in_own_environment(arguments: list[str], module: str = "bench.acn.experiment") -> int:
    """Run `module` where acnportal is; returns its exit code."""
    from peers.install import python_of  # noqa: PLC0415 - only here is it needed

    path = os.pathsep.join(str(ROOT / folder) for folder in ("libs", "services", "tests"))
    environment = {**os.environ, "BUSBAR_ACN": "1", "PYTHONPATH": path}
    return subprocess.run([python_of("acn"), "-m", module, *arguments], env=environment, check=False).returncode


def algorithms(peers: bool) -> dict[str, Any]:
    from acnportal.algorithms import (  # noqa: PLC0415 - there only in its own environment
        SortedSchedulingAlgo,
        earliest_deadline_first,
        least_laxity_first,
    )

    from bench.acn.adapter import Busbar, Rules  # noqa: PLC0415

    ours: dict[str, Any] = {
        "SPC rules": lambda: Busbar(Rules(spc=True, minimum_a=6.0)),
        "departure key, 6 A": lambda: Busbar(Rules(spc=False, minimum_a=6.0)),
        "departure key, 0 A": lambda: Busbar(Rules(spc=False, minimum_a=0.0)),
    }
    theirs: dict[str, Any] = {
        "EDF": lambda: SortedSchedulingAlgo(earliest_deadline_first),
        "LLF": lambda: SortedSchedulingAlgo(least_laxity_first),
    }
    return ours | theirs if peers else ours


def delivered(algorithm: Any, capacity_kw: int) -> float:
    """Percent of the energy that the drivers asked for in March 2019."""
    import pytz  # noqa: PLC0415
    from acnportal import acnsim  # noqa: PLC0415
    from acnportal.acnsim import analysis  # noqa: PLC0415

    events = acnsim.EventQueue.from_json(json.loads(gzip.decompress(EVENTS.read_bytes())))
    network = acnsim.sites.caltech_acn(basic_evse=True, voltage=208, transformer_cap=capacity_kw)
    start = pytz.timezone("America/Los_Angeles").localize(datetime(2019, 3, 1))  # noqa: DTZ001 - localised here
    simulator = acnsim.Simulator(network, algorithm, deepcopy(events), start, period=5, verbose=False)
    simulator.run()
    return 100.0 * float(analysis.proportion_of_energy_delivered(simulator))


if __name__ == "__main__":
    main()
