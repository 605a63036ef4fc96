"""cos phi (SPC-12): reactive setpoints to the inverters below a collector hold its least power factor.

Of the reactive power that flows there without them as much is taken back as exceeds |P| tan(phi), shared by what each
may be asked for. The lowest collector with a `cos_phi` is served by an inverter. At little load no factor is meant:
|P| counts at least as a tenth of the fuses. A setpoint moves by at most a tenth of its range a cycle: the meter and
the inverter are not read at one instant. Where monitoring is invalid, the inverter silent, or both too old: as it was.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from busbar.config.assets import Pv
from busbar.units import NOMINAL_VOLTAGE_V

if TYPE_CHECKING:
    from spc_allocator.flexible.ground import Ground
    from spc_allocator.inputs import Observed

STEP: Final = 0.1
LITTLE: Final = 0.1


def compensate(ground: Ground, obs: Observed) -> None:
    """Writes `told_var` in the state."""
    served: set[int] = set()
    for collector in reversed(ground.net.site.collectors):
        if collector.file.cos_phi is None:
            continue
        who = {
            at: file.reactive_power_max_var
            for at, file in enumerate(ground.assets.files)
            if isinstance(file, Pv) and file.reactive_power_max_var > 0.0
            and ground.assets.under[at, collector.index] and at not in served
        }  # fmt: skip
        served |= who.keys()
        if who and obs.valid[collector.index]:
            _serve(ground, obs, collector.index, collector.file.cos_phi, who)


def _serve(ground: Ground, obs: Observed, index: int, cos_phi: float, who: dict[int, float]) -> None:
    part = obs.parts[index]
    given_var = 0.0
    for at in who:
        sample = ground.seen.samples[at]
        if sample is not None and ground.seen.fresh[at]:
            given_var += sum(sample.reactive_power_var)
    little_w = LITTLE * NOMINAL_VOLTAGE_V * sum(ground.net.rated_a[:, index].tolist())
    without_var = sum(part.reactive_power_var) - given_var
    allowed_var = max(abs(sum(part.power_w)), little_w) * math.tan(math.acos(cos_phi))
    wanted_var = min(max(without_var, -allowed_var), allowed_var) - without_var
    total = sum(who.values())
    for at, most in who.items():
        if not ground.seen.fresh[at] or ground.old[at]:
            continue
        goal = min(max(wanted_var * most / total, -most), most)
        last = float(ground.state.told_var[at])
        ground.state.told_var[at] = round(last + min(max(goal - last, -STEP * most), STEP * most))


def is_asked(ground: Ground, at: int) -> bool:
    """Whether anybody asks it for reactive power: else that is its own choice."""
    file = ground.assets.files[at]
    if not isinstance(file, Pv) or file.reactive_power_max_var <= 0.0:
        return False
    return any(ground.net.site.collectors[i].file.cos_phi is not None for i in ground.assets.paths[at])
