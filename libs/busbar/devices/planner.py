"""Which registers are read together (devices.md 2): pure arithmetic on addresses.

Points of one (unit, table) are sorted and joined while they stay inside one declared range, leave a gap of at most
`max_gap` and make at most `limit` registers. A `whole` range is read at once. A point never straddles blocks; a point
and its scale factor are in the same block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from busbar.devices.transport import Table
from busbar.devices.wire import Placed


class PlanningError(ValueError):
    """Points that cannot be read as declared; `key` is the first of them."""

    def __init__(self, points: Sequence[Placed], reason: str) -> None:
        super().__init__(f"{', '.join(p.key for p in points)}: {reason}")
        self.key = points[0].key


@dataclass(frozen=True, slots=True)
class Window:
    """A declared range of one instance; `end` is the first address after it."""

    table: Table
    unit: int
    start: int
    end: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Span:
    """Registers read in one request."""

    table: Table
    unit: int
    start: int
    end: int
    points: tuple[Placed, ...]

    @property
    def count(self) -> int:
        return self.end - self.start


def plan_spans(
    wanted: Sequence[Placed], factors: Mapping[str, Placed], windows: Sequence[Window], max_gap: int, limit: int
) -> tuple[Span, ...]:
    """Requests that read `wanted`; `factors` are the scale factors that they may name. Raises PlanningError."""
    pieces = sorted((_piece(p, factors, windows) for p in wanted), key=_order)
    spans: list[Span] = []
    for (_, _), members in groupby(pieces, key=lambda s: (s.unit, s.table)):
        spans.extend(_joined(_overlaps_merged(members, limit), windows, max_gap, limit))
    return tuple(spans)


def _order(span: Span) -> tuple[int, str, int, int]:
    return span.unit, span.table, span.start, span.end


def _piece(point: Placed, factors: Mapping[str, Placed], windows: Sequence[Window]) -> Span:
    """The registers that must come in one reply for this point: itself, and its scale factor."""
    members = [point]
    name = point.point.scale_point
    if name is not None:
        factor = factors.get(name)
        if factor is None or (factor.unit, factor.table) != (point.unit, point.table):
            raise PlanningError([point], f"its scale factor {name} is not in the same table and unit")
        members.append(factor)
    span = _span(members)
    _window(span, windows)
    return span


def _span(points: Iterable[Placed]) -> Span:
    """The smallest request that holds all of them, each once."""
    by_key = {p.key: p for p in points}
    ordered = sorted(by_key.values(), key=lambda p: (p.address, p.key))
    first = ordered[0]
    return Span(first.table, first.unit, first.address, max(p.end for p in ordered), tuple(ordered))


def _window(span: Span, windows: Sequence[Window]) -> Window | None:
    """The declared range around the span; None where nothing is declared for its table."""
    declared = [w for w in windows if (w.unit, w.table) == (span.unit, span.table)]
    for window in declared:
        if window.start <= span.start and span.end <= window.end:
            return window
    if declared:
        raise PlanningError(span.points, f"{span.table} {span.start}..{span.end - 1} lies in no declared range")
    return None


def _overlaps_merged(pieces: Iterable[Span], limit: int) -> list[Span]:
    """Pieces that share registers become one; each must fit a request."""
    merged: list[Span] = []
    for piece in pieces:
        if merged and piece.start < merged[-1].end:
            merged[-1] = _span((*merged[-1].points, *piece.points))
        else:
            merged.append(piece)
    for piece in merged:
        if piece.count > limit:
            raise PlanningError(piece.points, f"{piece.count} registers belong together, at most {limit} in a request")
    return merged


def _joined(pieces: Sequence[Span], windows: Sequence[Window], max_gap: int, limit: int) -> list[Span]:
    spans: list[Span] = []
    inside: Window | None = None
    for piece in pieces:
        window = _window(piece, windows)
        last = spans[-1] if spans else None
        if last is not None and window is inside and (_whole(window) or _near(last, piece, max_gap, limit)):
            spans[-1] = _span((*last.points, *piece.points))
        else:
            spans.append(piece)
        inside = window
        if window is not None and window.whole:
            spans[-1] = Span(window.table, window.unit, window.start, window.end, spans[-1].points)
            if spans[-1].count > limit:
                raise PlanningError(piece.points, f"the whole range {window.start}..{window.end - 1} is over {limit}")
    return spans


def _whole(window: Window | None) -> bool:
    return window is not None and window.whole


def _near(last: Span, piece: Span, max_gap: int, limit: int) -> bool:
    return piece.start - last.end <= max_gap and piece.end - last.start <= limit


def split_span(span: Span) -> list[Span]:
    """Smaller requests for a device that refused the address: at the holes first, else point by point.

    Points that belong together (a scale factor) stay together. [span] where nothing can be split off.
    """
    factors = {p.key: p for p in span.points}
    wanted = [p for p in span.points if not p.point.internal]
    pieces = _overlaps_merged(sorted((_piece(p, factors, ()) for p in wanted), key=_order), span.count)
    runs: list[Span] = []
    for piece in pieces:
        if runs and piece.start == runs[-1].end:
            runs[-1] = _span((*runs[-1].points, *piece.points))
        else:
            runs.append(piece)
    smaller = runs if len(runs) > 1 else pieces
    return smaller if len(smaller) > 1 or smaller[0].count < span.count else [span]
