"""AllocatorState: everything the allocator remembers, as one explicit value (algorithms.md, State).

`decide` takes it and returns the next one; it never changes the one it was given. States that follow each other share
the arrays that did not change, so nothing is written into an array in place: a new one takes its place, or `own` makes
one to write into. Arrays are by slot. Times are the allocator's own milliseconds (UTC at start, then monotonic), 0 =
never. The whole of it can be written as JSON and read back, and has a digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import numpy as np
import orjson

from busbar.units import NOMINAL_VOLTAGE_V
from spc_allocator.flexible.state import FlexState
from spc_allocator.kept import Kept
from spc_allocator.rows import Bools, Floats, Ints, Network
from spc_allocator.switchable import PhaseState
from spc_allocator.trials import Trials
from spc_allocator.windows import MaxWindow, number, plain

FORMAT = "busbar-allocator-state/2"
CAP_WINDOW_S = 60
BACKGROUND_WINDOW_S = 15
FEATURES = 18
"""Columns of the background window per collector: limits.py."""


@dataclass(slots=True)
class AllocatorState:
    """By field: what, then when. Everything of a vehicle is forgotten when it leaves."""

    # what the connector was told
    setpoint_a: Floats
    effective_a: Floats
    """Highest setpoint that may still be in force: lowered only when a decrease is confirmed."""
    changed_at_ms: Ints
    lowered_at_ms: Ints
    adopted: Bools
    """False until its limit in force was read back, after a start."""
    # ramp
    flowing: Bools
    anchor_ms: Ints
    """A step up is due one ramp interval after this: flow of current, last raise, or last decrease."""
    # admission
    present: Bools
    """A vehicle was there in the last cycle."""
    on: Bools
    started: Bools
    """Was on in this session."""
    need: Floats
    """Energy x maximum power, as of the last quarter of an hour: the highest is paused first."""
    paused_at_ms: Ints
    fits_since_ms: Ints
    resumed_at_ms: Ints
    starts_ms: Ints
    """starts an hour x n, oldest overwritten."""
    wake_tries: Ints
    """See `waking`."""
    surplus_on: Bools
    """In mode `only`: surplus has covered its minimum for long enough (`surplus`)."""
    surplus_since_ms: Ints
    """Since when it has been otherwise."""
    # learning
    above_ms: Ints
    """3 x n: current has flowed on this conductor for so long."""
    seen: Bools
    unseen_ms: Ints
    """3 x n: charging at 6 A or more without current on this conductor, in total."""
    highest_a: Floats
    unbound_ms: Ints
    """Drew less than its setpoint for so long."""
    maximum_known: Bools
    # measured
    current_a: Floats
    """3 x n: last plausible."""
    implausible: Bools
    sampled_at_ms: Ints
    over_since_ms: Ints
    uncontrollable: Bools
    fallback_a: Floats
    """Last read back; nan: never verified."""
    watchdog_s: Floats
    # collectors
    covered_since_ms: Ints
    """V: since when the 15 s window has no gap."""
    guarded_at_ms: Ints
    guarded_a: Floats
    # windows
    cap_window: MaxWindow
    background_window: MaxWindow
    uneven_window: MaxWindow
    """3 x V, or nothing where no collector limits imbalance: background above that of the least loaded conductor."""
    # all
    sessions: tuple[str | None, ...]
    # no state: see there
    kept: Kept
    flexible: FlexState | None = None
    """Of assets other than connectors; None until there is something to remember."""
    trials: Trials | None = None
    """Power tests; None until one was ordered."""
    phases: PhaseState | None = None
    """Of connectors that can be switched between one and three phases; None: there are none."""
    voltage_v: Floats = field(default_factory=lambda: np.full(3, NOMINAL_VOLTAGE_V))
    voltage_at_ms: int = 0
    now_ms: int = 0
    started_at_ms: int = 0
    quarter: int = -1
    snapshot: int = -1

    @classmethod
    def fresh(cls, net: Network, now_ms: int) -> AllocatorState:
        """Knows nothing: the first decisions adopt what the devices do."""
        n, collectors = net.count, net.collectors
        starts = net.site.options.starts_per_hour
        return cls(
            setpoint_a=np.zeros(n), effective_a=np.zeros(n), changed_at_ms=_ms(n), lowered_at_ms=_ms(n),
            adopted=_no(n), flowing=_no(n), anchor_ms=_ms(n), present=_no(n), on=_no(n), started=_no(n),
            need=np.zeros(n),
            paused_at_ms=_ms(n), fits_since_ms=_ms(n), resumed_at_ms=_ms(n), starts_ms=_ms(starts, n),
            wake_tries=_ms(n), surplus_on=_no(n), surplus_since_ms=_ms(n),
            above_ms=_ms(3, n), seen=_no(3, n), unseen_ms=_ms(3, n), highest_a=np.zeros(n),
            unbound_ms=_ms(n), maximum_known=_no(n), current_a=np.zeros((3, n)), implausible=_no(n),
            sampled_at_ms=_ms(n), over_since_ms=_ms(n), uncontrollable=_no(n), fallback_a=np.full(n, np.nan),
            watchdog_s=np.full(n, np.nan), covered_since_ms=np.full(collectors, now_ms, dtype=np.int64),
            guarded_at_ms=_ms(collectors), guarded_a=np.zeros(collectors), cap_window=MaxWindow(CAP_WINDOW_S, n),
            background_window=MaxWindow(BACKGROUND_WINDOW_S, FEATURES * collectors),
            uneven_window=MaxWindow(BACKGROUND_WINDOW_S, 3 * collectors if net.rows.uneven else 0),
            sessions=(None,) * n,
            kept=Kept(net), now_ms=now_ms, started_at_ms=now_ms,
        )  # fmt: skip

    def copy(self) -> AllocatorState:
        """Shares all arrays with this one."""
        twin = AllocatorState.__new__(AllocatorState)
        for name, value in zip(_ALL, _values(self), strict=True):
            setattr(twin, name, value)
        return twin

    def own(self, name: str) -> Any:
        """This state's own copy of an array, to write into."""
        array = getattr(self, name).copy()
        setattr(self, name, array)
        return array

    def forget_vehicles(self, at: Bools) -> None:
        """These vehicles have left, or others came."""
        for name in _OF_VEHICLE:
            self.own(name)[..., at] = 0
        self.cap_window = self.cap_window.without(at)

    def digest(self) -> str:
        """Short name of the whole value: equal states have equal digests."""
        digest = hashlib.blake2b(digest_size=8)
        for name in _COPIED:
            value = getattr(self, name)
            digest.update(value.bytes() if isinstance(value, MaxWindow) else _plain_bytes(value))
        digest.update(repr([getattr(self, name) for name in _SCALARS]).encode())
        if self.flexible is not None:
            digest.update(self.flexible.bytes())
        if self.trials is not None:
            digest.update(self.trials.bytes())
        if self.phases is not None:
            digest.update(self.phases.bytes())
        return digest.hexdigest()


def _plain_bytes(value: Any) -> bytes:
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()


def _ms(*shape: int) -> Ints:
    return np.zeros(shape, dtype=np.int64)


def _no(*shape: int) -> Bools:
    return np.zeros(shape, dtype=bool)


_SCALARS = ("voltage_at_ms", "now_ms", "started_at_ms", "quarter", "snapshot")
_ALL = tuple(f.name for f in fields(AllocatorState))
_values = attrgetter(*_ALL)
_COPIED = tuple(name for name in _ALL if name not in (*_SCALARS, "kept", "flexible", "trials", "phases"))
_OF_VEHICLE = (
    "flowing", "anchor_ms", "present", "on", "started", "need", "paused_at_ms", "fits_since_ms", "resumed_at_ms",
    "starts_ms", "wake_tries", "surplus_on", "surplus_since_ms",
    "above_ms", "seen", "unseen_ms", "highest_a", "unbound_ms", "maximum_known",
    "over_since_ms",
    "uncontrollable",
)  # fmt: skip
_BY_COLLECTOR = ("covered_since_ms", "guarded_at_ms", "guarded_a")
_WINDOWS = ("cap_window", "background_window", "uneven_window")
_BY_SLOT = tuple(n for n in _COPIED if n not in (*_BY_COLLECTOR, *_WINDOWS, "sessions", "voltage_v"))


def dump(state: AllocatorState, net: Network, windows: bool = True) -> bytes:
    """JSON: by connector and collector id, so that it survives a changed site file. Without windows it is small."""
    body: dict[str, Any] = {name: getattr(state, name) for name in _SCALARS}
    body |= {"format": FORMAT, "fingerprint": net.site.fingerprint, "voltage_v": _json(state.voltage_v)}
    body["connectors"] = {
        name: {key: _json(getattr(state, key)[..., slot]) for key in _BY_SLOT} | {"session": state.sessions[slot]}
        for slot, name in enumerate(net.ids)
    }
    body["collectors"] = {
        c.id: {key: _json(getattr(state, key)[c.index]) for key in _BY_COLLECTOR} for c in net.site.collectors
    }
    if state.flexible is not None:
        body["flexible"] = state.flexible.dump(net, windows)
    if state.trials is not None:
        body["power_tests"] = state.trials.dump(net)
    if state.phases is not None:
        body["phases"] = state.phases.dump(net.ids)
    if windows:
        body["windows"] = {
            "cap": state.cap_window.dump(),
            "background": state.background_window.dump(),
            "uneven": state.uneven_window.dump(),
        }
    return orjson.dumps(body)


def _json(value: Any) -> Any:
    return plain(np.asarray(value).tolist())


class StateError(ValueError):
    """A checkpoint that cannot be used; the text says why."""


def restore(data: bytes, net: Network, now_ms: int) -> AllocatorState:
    """Read what `dump` wrote; connectors it does not know start fresh. Raises StateError.

    Windows are taken over only for the same site file."""
    try:
        body = orjson.loads(data)
        if body["format"] != FORMAT:
            raise StateError(f"format {body['format']!r}, this version reads {FORMAT!r}")
        state = AllocatorState.fresh(net, now_ms)
        for name in _SCALARS:
            setattr(state, name, int(body[name]))
        state.voltage_v[:] = number(body["voltage_v"])
        _restore_rows(state, body, net)
        if "flexible" in body:
            state.flexible = FlexState.fresh(net)
            state.flexible.load(body["flexible"], net, body["fingerprint"] == net.site.fingerprint)
        if "power_tests" in body:
            state.trials = Trials.load(body["power_tests"], net)
        if "phases" in body and net.switchable is not None:
            state.phases = PhaseState.fresh(net.count)
            state.phases.load(body["phases"], net.ids)
        if "windows" in body and body["fingerprint"] == net.site.fingerprint:
            windows = body["windows"]
            state.cap_window = state.cap_window.loaded(**windows["cap"])
            state.background_window = state.background_window.loaded(**windows["background"])
            state.uneven_window = state.uneven_window.loaded(**windows["uneven"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"not a checkpoint of this allocator: {error}") from error
    return state


def _restore_rows(state: AllocatorState, body: dict[str, Any], net: Network) -> None:
    sessions = list(state.sessions)
    for slot, name in enumerate(net.ids):
        known = body["connectors"].get(name)
        if known is None:
            continue
        sessions[slot] = known["session"]
        for key in _BY_SLOT:
            value = known[key]
            into = getattr(state, key)
            if np.shape(value) == into[..., slot].shape:
                into[..., slot] = number(value)
    state.sessions = tuple(sessions)
    for collector in net.site.collectors:
        known = body["collectors"].get(collector.id)
        for key in _BY_COLLECTOR if known else ():
            getattr(state, key)[collector.index] = number(known[key])
