"""Reasons, states and ages in words (SPC-17): the bound that made a setpoint, as a sentence a driver understands."""

from __future__ import annotations

from typing import Final

from busbar.config.site import Site
from busbar.domain.charging import Status
from busbar.events import Binding, Reason, ReasonCode
from busbar.events.words import conductors, held_too, together

STATUS: Final = {
    Status.AVAILABLE: "Free",
    Status.PREPARING_TAG: "Badge seen, no vehicle",
    Status.PREPARING_EV: "Plugged in",
    Status.CHARGING: "Charging",
    Status.SUSPENDED_EV: "Vehicle does not draw",
    Status.SUSPENDED_EVSE: "Paused by the site",
    Status.FINISHING: "Finishing",
    Status.RESERVED: "Reserved",
    Status.UNAVAILABLE: "Out of service",
    Status.UNAVAILABLE_FW_UPDATE: "Updating firmware",
    Status.FAULTED: "Fault",
    Status.UNAVAILABLE_CONN_OBJ: "Out of service (blocked)",
}

_PLAIN: Final = {
    ReasonCode.RAMP: "rising by 1 A a minute",
    ReasonCode.CAP: "at most 5 A above what the vehicle draws",
    ReasonCode.DEVICE: "its own maximum",
    ReasonCode.CABLE: "the cable's maximum",
    ReasonCode.VEHICLE: "the vehicle takes no more",
    ReasonCode.MANUAL: "set by hand",
    ReasonCode.ADVICE: "advised power",
    ReasonCode.START_BUDGET: "paused: started often enough this hour",
    ReasonCode.STALE: "a value it depends on is too old to raise anything",
    ReasonCode.UNREACHABLE: "it does not answer",
    ReasonCode.NO_VEHICLE: "standing value for the next vehicle",
    ReasonCode.OUT_OF_SERVICE: "out of service",
    ReasonCode.QUARTER_PEAK: "what is left of this quarter of an hour's peak",
    ReasonCode.IMBALANCE: "the phases would load unevenly",
    ReasonCode.SURPLUS: "only what would be exported",
    ReasonCode.PHASE_SWITCH: "changing between one and three phases",
    ReasonCode.POWER_TEST: "a power test runs",
    ReasonCode.MODE: "its mode asks for no more",
    ReasonCode.SOC: "its state of charge",
    ReasonCode.RELEASE: "a limit has widened or ended: released slowly",
    ReasonCode.MINIMUM_ON: "it must stay on for a while",
    ReasonCode.MINIMUM_OFF: "it must stay off for a while",
    ReasonCode.WAKING: "being woken: the vehicle took no current after a pause",
    ReasonCode.STARTING: "just taken over: keeps what the device does",
}


_DC: Final = {
    ReasonCode.CAP: "5 kW until the vehicle charges, then at most 7 kW above what it draws",
    ReasonCode.RAMP: "waits for a measurement after its last change",
}
"""Where a DC connector has bounds of its own (SPC-11)."""


def reason_words(reason: Reason, site: Site, *, dc: bool = False) -> str:
    """For a person: which bound made this setpoint, and what holds it beside. `dc`: of a DC connector."""
    group, *others = together(reason)
    first = (_DC.get(reason.code) if dc else None) or _first_words(reason, conductors(group), site)
    return first + held_too(others, lambda binding: _collector(binding, site))


def _first_words(reason: Reason, phases: str, site: Site) -> str:
    if reason.code in (ReasonCode.ROW, ReasonCode.POWER_LIMIT):
        return _limit_words(reason, phases, site)
    if reason.code is ReasonCode.PAUSED:
        return _paused_words(reason, site)
    if reason.code in (ReasonCode.EXPORT_LIMIT, ReasonCode.TARGET):
        what = "injection limit" if reason.code is ReasonCode.EXPORT_LIMIT else "target"
        return f"{what} of {_collector(reason, site)}" + (f", set by {reason.source}" if reason.source else "")
    if reason.code is ReasonCode.FALLBACK:
        return f"fallback: {reason.source or 'something it depends on is silent'}"
    if reason.code is ReasonCode.CABLE and reason.value is not None:
        return f"the cable's maximum of {reason.value:g} A"
    return _plain_words(reason)


def _paused_words(reason: Reason, site: Site) -> str:
    where = f" behind {_collector(reason, site)}" if reason.collector else ""
    rank = f" (rank {reason.rank})" if reason.rank else ""
    if reason.source == ReasonCode.IMBALANCE.value:
        return f"paused: the phases{where} would load unevenly{rank}"
    return f"paused: not all vehicles{where} can have their minimum{rank}"


def _plain_words(reason: Reason) -> str:
    if reason.code is ReasonCode.MODE and reason.source:
        return f"its mode: {reason.source.replace('_', ' ')}"
    return _PLAIN.get(reason.code, reason.code.value)


def _limit_words(reason: Reason, phases: str, site: Site) -> str:
    where = _collector(reason, site)
    side = " (feeding back)" if reason.side == "export" else ""
    if reason.code is ReasonCode.ROW:
        return f"fuse {where}{f', {phases}' if phases else ''} is full{side}"
    source = f", set by {reason.source}" if reason.source else ""
    return f"power limit of {where}{source}{side}"


def _collector(reason: Binding, site: Site) -> str:
    if reason.collector and reason.collector in site.tree.index:
        return site.collector(reason.collector).name
    return reason.collector or "the site"


def age_words(age_ms: float) -> str:
    """`3 s`, `4 min`, `2 h`: an age as a person says it."""
    seconds = age_ms / 1000.0
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"
