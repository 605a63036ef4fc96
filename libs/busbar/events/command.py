"""Request and reply between services and people (messaging.md, Subjects)."""

from __future__ import annotations

from pydantic import Field

from busbar.events.base import Event, UtcMs


class Command(Event):
    verb: str
    args: dict[str, float | str | bool | None] = Field(default_factory=dict)
    author: str = ""
    published_at_ms: UtcMs
    lifetime_ms: int = 2000


class CommandReply(Event):
    ok: bool
    text: str = ""
    """One sentence, with the remedy where `ok` is false."""
    data: dict[str, float | str | bool | None] = Field(default_factory=dict)
    published_at_ms: UtcMs
    lifetime_ms: int = 2000
