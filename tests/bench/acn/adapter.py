"""Busbar's steps A to C as an algorithm of acnportal; everything else of the experiment stays acnportal's.

The network there is wired in delta, with limits on sums of phasors; our rows are sums with weights of 0 or more. Each
limit becomes one row whose room is the limit times (weighted sum / length of the phasor sum) at the last solution: as
far as currents cancel, a row may carry more than the limit says. Solved again a few times; only what keeps every limit
of theirs is taken. What is left by the approximation is handed out one by one.

Needs acnportal and Busbar's own libraries in one environment: see `experiment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from acnportal.algorithms import BaseAlgorithm

from busbar.config.model import SiteFile
from busbar.config.site import compile_site
from spc_allocator.admission import Admission, Candidates
from spc_allocator.filling import fill
from spc_allocator.ledger import Room
from spc_allocator.rows import Network, Rows
from spc_allocator.state import AllocatorState

PERIOD_MS = 300_000
VOLTAGE_V = 208.0
MOST_A = 32.0
ROUNDS = 6
HALVES = 3.0
"""So many periods more of laxity halve a vehicle's share ..."""
STEEPEST = 1e-6
"""... but it never has less than this part of another's."""


@dataclass(frozen=True)
class Rules:
    """Which of our rules hold in a column of the table."""

    spc: bool
    """Ramp, cap and need as the requirements have them; else what is needed until departure ranks."""
    minimum_a: float
    """6, as IEC 61851 has it; 0 is what acnportal's own algorithms may do on its BASIC outlet."""


class Busbar(BaseAlgorithm):  # type: ignore[misc]
    """Called each period; keeps ramps, pauses and starts in our own AllocatorState."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = rules
        self.max_recompute = 1
        self._state: AllocatorState | None = None

    def schedule(self, active_sessions: list[Any]) -> dict[str, list[float]]:
        """Amperes of each station in this period."""
        if self._state is None:
            self._begin(self.interface.infrastructure_info())
        sessions = {session.station_id: session for session in active_sessions}
        self._follow(sessions)
        need, high, rate = self._demand(sessions)
        current = self._solve(need, high, rate)
        return {name: [float(current[slot])] for slot, name in enumerate(self._net.ids) if name in sessions}

    def _begin(self, infrastructure: Any) -> None:
        names = list(infrastructure.station_ids)
        self._net = net = Network(compile_site(_site(names)))
        order = [names.index(name) for name in net.ids]
        turned = np.exp(1j * np.deg2rad(infrastructure.phases[order]))
        self._phasors = infrastructure.constraint_matrix[:, order] * turned
        self._load = np.abs(self._phasors)
        self._limit = np.asarray(infrastructure.constraint_limits, float)
        net.rows = _rows(self._load)
        self._state = AllocatorState.fresh(net, 1)
        self._session: list[str | None] = [None] * net.count

    def _follow(self, sessions: dict[str, Any]) -> None:
        """Whoever left is forgotten."""
        assert self._state is not None
        for slot, name in enumerate(self._net.ids):
            session = sessions.get(name)
            known = session.session_id if session else None
            if known != self._session[slot]:
                self._session[slot] = known
                self._state.forget_vehicles(np.arange(self._net.count) == slot)
                self._state.own("setpoint_a")[slot] = 0.0

    def _demand(self, sessions: dict[str, Any]) -> tuple[Any, Any, Any]:
        """By slot: key of need (the highest is paused first), upper bound, and amperes per unit of level."""
        assert self._state is not None
        n, last = self._net.count, self._state.setpoint_a
        need, high, rate = np.zeros(n), np.zeros(n), np.ones(n)
        drawn = self.interface.last_actual_charging_rate
        for slot, name in enumerate(self._net.ids):
            session = sessions.get(name)
            if session is None:
                continue
            if self.rules.spc:
                need[slot] = session.energy_delivered * MOST_A
                ramp = last[slot] + 5.0 if last[slot] else 6.0  # 1 A a minute, periods of five minutes
                cap = max(6.0, drawn.get(session.session_id, 0.0) + 5.0)
                high[slot] = min(MOST_A, max(6.0, ramp), cap)
                continue
            periods_left = max(session.departure - session.current_time, 1)
            wanted_a = session.remaining_demand * 1000.0 / VOLTAGE_V * 3_600_000 / PERIOD_MS
            need[slot] = periods_left - wanted_a / MOST_A  # laxity
            high[slot] = max(self.rules.minimum_a, min(MOST_A, np.ceil(wanted_a)))
            if not self.rules.minimum_a:
                rate[slot] = max(2.0 ** (-max(need[slot], -10.0) / HALVES), STEEPEST)
        return need, high, rate

    def _solve(self, need: Any, high: Any, rate: Any) -> Any:
        """The best of a few rounds that keeps every limit; the state goes on from it."""
        assert self._state is not None
        best, best_state = np.zeros(self._net.count), self._state
        guess = high
        for _ in range(ROUNDS):
            state = self._state.copy()
            state.need = need
            if not self.rules.spc:  # who is on is chosen anew in each period
                for name in ("paused_at_ms", "starts_ms", "fits_since_ms"):
                    state.own(name)[...] = 0
            guess = self._share(state, guess, high, rate)
            if self._keeps(guess) and guess.sum() > best.sum() + 1e-9:
                best, best_state = guess, state
        current = self._top_up(best, high, need)
        best_state.setpoint_a = np.floor(current + 1e-6) if self.rules.spc else current
        best_state.started = best_state.started | best_state.on
        self._state = best_state
        return best_state.setpoint_a

    def _share(self, state: AllocatorState, guess: Any, high: Any, rate: Any) -> Any:
        """Steps A and B with the rows as they are at `guess`."""
        n, now_ms = self._net.count, 24 * 3_600_000 + self.interface.current_time * PERIOD_MS
        length = np.abs(self._phasors @ guess)
        turned = np.where(length > 1e-9, self._load @ guess / np.maximum(length, 1e-9), 1.0)
        room_a = self._limit * np.maximum(turned, 1.0) * (1.0 - 1e-9)
        room = Room(self._net, self._load, room_a, room_a, room_a)
        minimum, zero = np.full(n, self.rules.minimum_a), np.zeros(n)
        arrived_ms = np.array([0 if session is None else 1 for session in self._session], dtype=np.int64)
        nobody = np.zeros(n, bool)
        who = Candidates(high > 0.0, ~nobody, minimum, zero, arrived_ms, lost=nobody, by_hand=nobody)
        Admission(room, state, who, now_ms, not self.rules.spc or self.interface.current_time % 3 == 0).run()
        low, most = np.where(state.on, minimum, 0.0), np.where(state.on, high, 0.0)
        filled = fill(self._net.rows, self._load, room_a, rate=rate, low_a=low, high_a=most)
        return np.clip(filled.level * rate, low, most)

    def _keeps(self, current: Any) -> bool:
        return bool((np.abs(self._phasors @ current) <= self._limit + 1e-6).all())

    def _top_up(self, current: Any, high: Any, need: Any) -> Any:
        """In order of need: what each that is on can still take inside every limit."""
        current = current.copy()
        for slot in np.argsort(need, kind="stable"):
            if current[slot] < self.rules.minimum_a - 1e-9 or current[slot] >= high[slot] - 1e-9:
                continue
            low, most = current[slot], high[slot]
            for _ in range(20):
                current[slot] = (low + most) / 2.0
                low, most = (current[slot], most) if self._keeps(current) else (low, current[slot])
            current[slot] = low
        return current


def _rows(load: Any) -> Rows:
    """One row a limit, each over all stations with a channel of its own."""
    count, n = load.shape
    entries = np.argwhere(load > 0.0)
    of_slot: list[list[tuple[int, int]]] = [[] for _ in range(n)]
    for row, slot in entries:
        of_slot[slot].append((int(row), int(row)))
    whole = np.zeros(count, dtype=np.int64)
    return Rows(
        whole, np.arange(count), whole, np.full(count, n), count, tuple(tuple(rows) for rows in of_slot),
        entries[:, 0].copy(), entries[:, 1].copy(), count, count,
    )  # fmt: skip


def _site(names: list[str]) -> SiteFile:
    """As many connectors as stations; their fuses are replaced by the network's limits."""
    return SiteFile.model_validate(
        {
            "format": "busbar-site/1",
            "site": {"id": "acn"},
            "collectors": [{"id": "grid", "rated_current_a": 10_000, "virtual": {"unmetered_load_a": 0}}],
            "devices": [{"id": "d", "package": "none", "host": "127.0.0.1", "simulated": True}],
            "assets": [
                {
                    "kind": "ac_charge_point", "id": f"p-{name}", "device": "d",
                    "connectors": [{"id": name, "collector": "grid", "phases": ["L1"]}],
                }
                for name in names
            ],
        }
    )  # fmt: skip
