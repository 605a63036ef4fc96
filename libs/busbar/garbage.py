"""When Python looks for garbage in a process that lives long."""

from __future__ import annotations

import gc


def collect_seldom() -> None:
    """Call it once everything is imported and built. Events are thousands of tuples without a circle among them: to
    look for circles after each 700 of them, through all that was ever imported, costs a cycle of a large site several
    milliseconds and finds nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
