"""The reason of a setpoint as a sentence for a person."""

from __future__ import annotations

from typing import Final

from busbar.events import Reason, ReasonCode
from busbar.events.words import conductors, held_too, together

_WORDS: Final = {
    ReasonCode.ROW: "the fuse {where} is full",
    ReasonCode.POWER_LIMIT: "the power limit of {where}{by} is reached",
    ReasonCode.RAMP: "it may rise by one step a minute",
    ReasonCode.CAP: "the vehicle takes less: at most a little above what is measured",
    ReasonCode.DEVICE: "its own maximum",
    ReasonCode.CABLE: "the charger itself allows no more",
    ReasonCode.VEHICLE: "the most that this vehicle ever drew",
    ReasonCode.MANUAL: "set by hand{by}",
    ReasonCode.ADVICE: "advice{by}",
    ReasonCode.PAUSED: "paused, for not all minima fit below {where}{by}{rank}",
    ReasonCode.START_BUDGET: "off: it was started as often as it may be in an hour{rank}",
    ReasonCode.FALLBACK: "a fallback holds{by}",
    ReasonCode.STALE: "a value that is needed to raise it is too old",
    ReasonCode.UNREACHABLE: "it does not answer",
    ReasonCode.NO_VEHICLE: "no vehicle: its standing value",
    ReasonCode.OUT_OF_SERVICE: "out of service",
    ReasonCode.EXPORT_LIMIT: "the injection limit of {where}{by} is reached",
    ReasonCode.TARGET: "the target of {where}{by}",
    ReasonCode.QUARTER_PEAK: "what is left of the quarter of an hour at {where}",
    ReasonCode.IMBALANCE: "the difference between the phases of {where} is at its limit",
    ReasonCode.SURPLUS: "surplus mode: no more than what would be exported",
    ReasonCode.PHASE_SWITCH: "it is changing between one and three phases",
    ReasonCode.POWER_TEST: "a power test tries so much{by}",
    ReasonCode.MODE: "its mode asks for no more{by}",
    ReasonCode.SOC: "its state of charge allows no more",
    ReasonCode.RELEASE: "a limit has widened or ended: it is released slowly",
    ReasonCode.MINIMUM_ON: "its minimum time on is not over",
    ReasonCode.MINIMUM_OFF: "its minimum time off is not over",
    ReasonCode.WAKING: "the vehicle is being woken: its release is taken back for a moment",
    ReasonCode.STARTING: "the allocator has just begun and keeps what the device does",
}


def words(reason: Reason) -> str:
    """One line, with the value of the bound where there is one, and what binds beside it."""
    group, *others = together(reason)
    where = " ".join(part for part in (reason.collector, conductors(group), reason.side) if part) or "the site"
    by = f" ({reason.source})" if reason.source else ""
    rank = f" (rank {reason.rank})" if reason.rank is not None else ""
    text = _WORDS[reason.code].format(where=where, by=by, rank=rank)
    value = "" if reason.value is None else f" [{reason.value:g}]"
    return text + value + held_too(others, lambda binding: binding.collector or "the site")
