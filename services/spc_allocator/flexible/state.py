"""What is remembered of assets that are set in W and of the collectors above them: a part of AllocatorState.

By asset (A) and by collector (V). Times are the allocator's own milliseconds, 0 = never. A cycle copies it and writes
into the copy. Written as JSON by id, so that it survives a changed site file; it has its part of the digest.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from spc_allocator.windows import MaxWindow, number, plain

if TYPE_CHECKING:
    from spc_allocator.rows import Bools, Floats, Ints, Network

WINDOW_S: Final = 15


@dataclass(slots=True)
class FlexState:
    # by asset
    told_w: Floats
    """Last setpoint, consumption positive."""
    before_w: Floats
    """The one before the last change."""
    changed_ms: Ints
    told_var: Floats
    adopted: Bools
    """Was heard of since the start: what its device had in force is what it was last told."""
    power_w: Floats
    """3 x A: newest sample, on the grid connection's conductors."""
    past_w: Floats
    """3 x A: the sample before."""
    sampled_ms: Ints
    on: Bools
    """Heat and CHP: told to run."""
    switched_ms: Ints
    empty: Bools
    """Reached its lowest state of charge; until it is a little above."""
    low: Bools
    """The same for what is kept for peaks."""
    full: Bools
    stopped: Ints
    """Collector whose limit holds a generator down; -1: none."""
    # by collector
    loads_w: Floats
    """3 x V: background less batteries."""
    rest_w: Floats
    """3 x V: background less batteries and heat."""
    bare_w: Floats
    """3 x V: background less all assets that are set."""
    known: Bools
    """V: these three hold as of the last cycle."""
    used_ws: Floats
    """V: energy imported in this quarter of an hour, in Ws."""
    missed_ms: Ints
    """V: since when the target is not reached."""
    window: MaxWindow
    """`rest_w`, then minus `bare_w`."""
    quarter: int = -1

    @classmethod
    def fresh(cls, net: Network) -> FlexState:
        n, v = net.assets.count, net.collectors
        return cls(
            told_w=net.assets.free_w.copy(), before_w=net.assets.free_w.copy(),
            changed_ms=_ms(n), told_var=np.zeros(n), adopted=_no(n), power_w=np.zeros((3, n)),
            past_w=np.zeros((3, n)), sampled_ms=_ms(n), on=net.assets.free_w != 0.0, switched_ms=_ms(n),
            empty=_no(n), low=_no(n), full=_no(n), stopped=np.full(n, -1, dtype=np.int64),
            loads_w=np.zeros((3, v)), rest_w=np.zeros((3, v)), bare_w=np.zeros((3, v)), known=_no(v),
            used_ws=np.zeros(v), missed_ms=_ms(v), window=MaxWindow(WINDOW_S, 6 * v),
        )  # fmt: skip

    def copy(self) -> FlexState:
        """With arrays of its own."""
        twin = FlexState.__new__(FlexState)
        for name in _ALL:
            value = getattr(self, name)
            setattr(twin, name, value.copy() if isinstance(value, np.ndarray) else value)
        return twin

    def bytes(self) -> bytes:
        """For the digest."""
        arrays = b"".join([getattr(self, name).tobytes() for name in (*_BY_ASSET, *_BY_COLLECTOR)])
        return arrays + self.window.bytes() + str(self.quarter).encode()

    def dump(self, net: Network, windows: bool) -> dict[str, Any]:
        """JSON by id."""
        body: dict[str, Any] = {"quarter": self.quarter}
        body["assets"] = {name: self._column(_BY_ASSET, at) for name, at in net.assets.index.items()}
        body["collectors"] = {c.id: self._column(_BY_COLLECTOR, c.index) for c in net.site.collectors}
        return body | ({"window": self.window.dump()} if windows else {})

    def _column(self, names: tuple[str, ...], at: int) -> dict[str, Any]:
        return {name: plain(np.asarray(getattr(self, name)[..., at]).tolist()) for name in names}

    def load(self, body: dict[str, Any], net: Network, same_site: bool) -> None:
        """Take over what `dump` wrote, into a fresh state. Assets and collectors it does not know stay fresh."""
        self.quarter = int(body["quarter"])
        for at_of, names, known in (
            (net.assets.index, _BY_ASSET, body["assets"]),
            ({c.id: c.index for c in net.site.collectors}, _BY_COLLECTOR, body["collectors"]),
        ):
            for name, at in at_of.items():
                for key in names if name in known else ():
                    getattr(self, key)[..., at] = number(known[name][key])
        if same_site and "window" in body:
            self.window = self.window.loaded(**body["window"])


def _ms(count: int) -> Ints:
    return np.zeros(count, dtype=np.int64)


def _no(count: int) -> Bools:
    return np.zeros(count, dtype=bool)


_ALL: Final = tuple(f.name for f in fields(FlexState))
_BY_COLLECTOR: Final = ("loads_w", "rest_w", "bare_w", "known", "used_ws", "missed_ms")
_BY_ASSET: Final = tuple(name for name in _ALL if name not in (*_BY_COLLECTOR, "window", "quarter"))
