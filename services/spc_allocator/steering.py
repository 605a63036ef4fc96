"""How connectors are run: by hand, by the rules, or by advice (SPC-9). Upper bounds like all others.

- **advice** (default): once there is advice, what it says is the most: 0 or less pauses; less than the minimum means
  the minimum; else whole amperes, by the measured voltage and the phases in use. Of several sources the newest given
  holds. Before there is advice, and when it ends, the rules alone.
- **rule**: advice is not heard.
- **manual**: at most the setpoint by hand, 0 switches off. Neither ramp nor cap nor what is known of the vehicle holds;
  rows, fallbacks, stale inputs and the device do.

When a mode or an advice ends, the connector goes on by the ramp from where it is. A mode belongs to the connector: it
stays when the vehicle leaves. One that is switched off is not offered the standing 6 A of free connectors either.

A power test is a setpoint by hand that moves (`power_test`); one that was set by hand is its most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from busbar.domain.precedence import newest_given
from busbar.events import AssetMode, Mode
from busbar.units import THREE_PHASE_V
from spc_allocator.inputs import Inputs
from spc_allocator.rows import EPS, Bools, Floats, Network
from spc_allocator.series import power_at
from spc_allocator.trials import Trials


@dataclass(slots=True)
class Steered:
    """What modes and advice make of a cycle, by slot."""

    manual_a: Floats
    """inf: not by hand."""
    advice_a: Floats
    """inf: no advice is heard."""
    by_hand: Bools
    off: Bools
    """Switched off, by hand or by advice."""
    source: dict[int, str]
    """Who said it."""
    tested: frozenset[int]
    """By hand, and it is a power test that says how far."""


def steered(
    net: Network, inputs: Inputs, fair_v: Floats, now_ms: int, trials: Trials | None = None
) -> Steered | None:  # fmt: skip
    """`fair_v`: volts summed over the phases that each vehicle uses. None where nobody says anything."""
    asked = trials.asked() if trials is not None else {}
    if not (inputs.modes or inputs.advice or asked):
        return None
    manual_a, advice_a = np.full(net.count, np.inf), np.full(net.count, np.inf)
    source: dict[int, str] = {}
    deaf = set[int]()
    for mode in inputs.modes:
        slot = net.slot.get(mode.asset)
        if slot is None:
            continue
        if mode.mode is not Mode.ADVICE:
            deaf.add(slot)
        by_hand_a = _by_hand_a(net, slot, mode)
        if mode.mode is Mode.MANUAL and by_hand_a is not None:
            manual_a[slot], source[slot] = _allowed(net, slot, by_hand_a), mode.source
    tested = {slot: said for slot, said in asked.items() if said.step_a <= manual_a[slot] + EPS}
    for slot, said in tested.items():
        manual_a[slot], source[slot] = said.step_a, said.source
    deaf.update(tested)
    utc_ms = now_ms if inputs.utc_ms is None else inputs.utc_ms
    for advice in sorted(inputs.advice, key=lambda advice: newest_given(advice.published_at_ms, advice.source)):
        slot, power_w = net.slot.get(advice.asset), power_at(advice.slots, utc_ms, None)
        if slot is not None and slot not in deaf and power_w is not None:
            advised_a = power_w / float(fair_v[slot])
            advice_a[slot], source[slot] = _allowed(net, slot, advised_a), advice.source
    return Steered(
        manual_a, advice_a, np.isfinite(manual_a), (manual_a == 0.0) | (advice_a == 0.0), source, frozenset(tested)
    )


def _by_hand_a(net: Network, slot: int, mode: AssetMode) -> float | None:
    """None: nothing that this connector can be set to."""
    if not net.entities[slot].dc:
        return mode.current_a
    return None if mode.power_w is None else mode.power_w / THREE_PHASE_V


def _allowed(net: Network, slot: int, current_a: float) -> float:
    """0, or whole steps not below the minimum."""
    if current_a <= 0.0:
        return 0.0
    step_a = float(net.devices.step_a[slot])
    return max(float(np.floor((current_a + EPS) / step_a)) * step_a, float(net.devices.minimum_a[slot]))
