"""How far power tests are and what they found, told when it changes (SPC-10).

Currents of DC connectors are left out: they are set, and asked, in W.
"""

from __future__ import annotations

from typing import Final

from busbar.bus import Bus, NotConnectedError
from busbar.clock import Clock
from busbar.events import FoundPower, PowerTestResult, PowerTestState
from busbar.subjects import POWER_TEST_RESULT
from busbar.units import NOMINAL_VOLTAGE_V, Phase
from spc_allocator.dc import power_w
from spc_allocator.rows import Network
from spc_allocator.trials import Found, Trial, Trials

LIFETIME_MS: Final = 60_000


class PowerTestReports:
    """What was told last, by slot."""

    def __init__(self, net: Network, bus: Bus, clock: Clock) -> None:
        self._net, self._bus, self._clock = net, bus, clock
        self._told: dict[int, Trial] = {}
        self._last: Trials | None = None

    def forget(self) -> None:
        """Whoever listens may have missed it: tell all of it again."""
        self._told, self._last = {}, None

    async def tell(self, trials: Trials | None) -> bool:
        """Publish what has changed; True where a test has ended: what it found is worth a checkpoint."""
        if trials is None or trials is self._last:
            return False
        ended = False
        try:
            for slot, trial in sorted(trials.of.items()):
                if _shown(trial) == _shown(self._told.get(slot)):
                    continue
                event = result(self._net, trials, slot, self._clock.utc_ms())
                await self._bus.publish(POWER_TEST_RESULT, event, event.connector)
                self._told[slot] = trial
                ended |= not trial.under_way
        except NotConnectedError:
            return ended  # told with the next change, or when the bus is back
        self._last = trials
        return ended


def _shown(trial: Trial | None) -> object:
    """What of it a result says."""
    return trial and (trial.ordered_ms, trial.source, trial.state, trial.session, trial.asked_a, trial.found)


def result(net: Network, trials: Trials, slot: int, published_at_ms: int) -> PowerTestResult:
    """What is known of one connector."""
    trial, entity = trials.of[slot], net.entities[slot]
    asked_a = trial.asked_a if trial.under_way else None
    return PowerTestResult(
        connector=entity.id, source=trial.source, author=trial.author, ordered_at_ms=trial.ordered_ms,
        until_ms=trial.until_ms, state=trial.state, asked_current_a=None if entity.dc else asked_a,
        asked_power_w=power_w(asked_a) if entity.dc and asked_a is not None else None, session_id=trial.session,
        vehicle=_vehicle(net, slot, trial), charge_point=_charge_point(net, trials, slot),
        published_at_ms=published_at_ms, lifetime_ms=LIFETIME_MS,
    )  # fmt: skip


def _vehicle(net: Network, slot: int, trial: Trial) -> FoundPower | None:
    found: Found = trial.found
    if found.flows_from_a is None:
        return None
    ac = not net.entities[slot].dc
    flows_a = float(net.devices.flows_a[slot])
    used = [own.name for own, root in zip(Phase, net.entities[slot].root_phases, strict=False)
            if found.drawn_a[root] > flows_a]  # fmt: skip
    return FoundPower(
        min_current_a=found.flows_from_a if ac else None, max_current_a=round(max(found.drawn_a), 3) if ac else None,
        min_power_w=round(found.flows_from_w, 1), max_power_w=round(found.drawn_w, 1),
        phases=tuple(used) if ac else (),
        at_least=trial.under_way or not (found.confirmed or trial.state is PowerTestState.DONE),
    )  # fmt: skip


def _charge_point(net: Network, trials: Trials, slot: int) -> FoundPower:
    """As measured by the last test that could; else what its package and the site file say."""
    known, entity = trials.charge_points.get(slot), net.entities[slot]
    min_a = float(net.devices.minimum_a[slot]) if known is None else known.min_a
    max_a = float(net.devices.max_a[slot]) if known is None else known.max_a
    volts = NOMINAL_VOLTAGE_V * len(entity.root_phases)
    return FoundPower(
        min_current_a=None if entity.dc else min_a, max_current_a=None if entity.dc else max_a,
        min_power_w=round(volts * min_a, 1), max_power_w=round(volts * max_a, 1),
        phases=() if entity.dc else tuple(own.name for own, _ in zip(Phase, entity.root_phases, strict=False)),
        at_least=known is not None and not known.proven, measured=known is not None,
    )  # fmt: skip
