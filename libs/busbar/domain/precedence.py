"""Whose word counts where several sources speak about the same (SPC-8, SPC-9). Of limits the tightest holds."""

from __future__ import annotations

from typing import Final

_RANK: Final = {"pcu-grid-interface": 0, "pcu": 0, "gateway": 1, "cloud": 1, "schedule": 2, "page": 3, "site-page": 3}
_LAST: Final = 9


def target_rank(source: str) -> tuple[int, str]:
    """Of the source of a target: the grid operator's counts before an optimiser's, that before a person's; the lowest
    wins."""
    return _RANK.get(source, _LAST), source


def newest_given(published_at_ms: int, source: str) -> tuple[int, str]:
    """Of an advice: the newest given wins, the highest."""
    return published_at_ms, source
