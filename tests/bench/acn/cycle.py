"""One call of acnportal's EDF and round robin on N stations behind as many feeders as our sites have: milliseconds.

    PYTHONPATH=tests python -m bench.acn.cycle N

Runs itself in the environment of `tests/peers/acn.txt`.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from datetime import datetime
from typing import Any

from bench.acn.experiment import in_own_environment


def main() -> None:
    if os.environ.get("BUSBAR_ACN") != "1":
        raise SystemExit(in_own_environment(sys.argv[1:], "bench.acn.cycle"))
    warnings.simplefilter("ignore")
    from acnportal import algorithms  # noqa: PLC0415 - there only in its own environment

    count, first = int(sys.argv[1]), algorithms.first_come_first_served
    found = {
        "edf_ms": once_ms(algorithms.SortedSchedulingAlgo(algorithms.earliest_deadline_first), count),
        "round_robin_ms": once_ms(algorithms.RoundRobin(first, continuous_inc=1), count),
    }
    print(json.dumps(found))


def once_ms(algorithm: Any, count: int) -> float:
    """The first decision of a simulator in which all vehicles have come at once."""
    from acnportal.acnsim import EventQueue, PluginEvent, Simulator  # noqa: PLC0415
    from acnportal.acnsim.models import EV, Battery  # noqa: PLC0415

    events = EventQueue()
    for number in range(count):
        battery = Battery(60.0, 0.0, 7.4)
        events.add_event(PluginEvent(0, EV(0, 100 + number % 7, 20.0, f"s{number}", f"v{number}", battery)))
    simulator = Simulator(network(count), algorithm, events, datetime(2019, 3, 1), period=5, verbose=False)  # noqa: DTZ001
    for event in simulator.event_queue.get_current_events(0):
        simulator._process_event(event)
    sessions = simulator._interface.active_sessions() if hasattr(simulator, "_interface") else None
    sessions = sessions or algorithm.interface.active_sessions()
    started = time.perf_counter()
    algorithm.schedule(sessions)
    return (time.perf_counter() - started) * 1000.0


def network(count: int) -> Any:
    """Stations on three phases, a feeder for each five, and one limit a phase for all."""
    from acnportal.acnsim import ChargingNetwork, Current  # noqa: PLC0415
    from acnportal.acnsim.models import EVSE  # noqa: PLC0415

    made = ChargingNetwork()
    names = [f"s{number}" for number in range(count)]
    for number, name in enumerate(names):
        made.register_evse(EVSE(name, max_rate=32), 230, (0, -120, 120)[number % 3])
    for start in range(0, count, 5):
        for phase in range(3):
            mine = [n for n in names[start : start + 5] if int(n[1:]) % 3 == phase]
            if mine:
                made.add_constraint(Current(mine), 32, name=f"feeder {start}/{phase}")
    for phase in range(3):
        made.add_constraint(Current([n for n in names if int(n[1:]) % 3 == phase]), count * 3.0, name=f"grid {phase}")
    return made


if __name__ == "__main__":
    main()
