"""The subject registry: template, event, delivery class, who may publish. Streams, permissions and documents derive
from it; nothing else spells a subject (messaging.md, Subjects).

    busbar.v1.{site}.{noun}.{tokens...}
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from busbar.events import (
    Advice,
    Alarm,
    AssetMode,
    CollectorLimit,
    CollectorState,
    CollectorTarget,
    Command,
    CycleTrace,
    Decision,
    EnergyReport,
    Event,
    Fallback,
    GridCommand,
    Heartbeat,
    Measurement,
    PowerTest,
    PowerTestResult,
    Session,
    Setpoint,
    SetpointResult,
    SiteSnapshot,
    StatePart,
    Transaction,
)

ROOT: Final = "busbar.v1"


class Delivery(StrEnum):
    """What carries a subject (messaging.md, What carries what)."""

    CORE = "core"
    """Newest wins, nothing stored."""
    LAST = "last"
    """Core, and the last value per subject in a memory stream for late starters."""
    CONTROL = "control"
    """File stream, last value per subject, no age limit: a limit outlives a restart."""
    OUTBOX = "outbox"
    """File stream of bulk reports."""
    OUTBOX_TX = "outbox_tx"
    """File stream of transactions, one subject each."""
    REQUEST = "request"
    """Request and reply, answered by one of a queue group."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One noun of the bus. `tokens` name what follows the noun, `publishers` the services that may publish it."""

    noun: str
    tokens: tuple[str, ...]
    event: type[Event]
    delivery: Delivery
    publishers: tuple[str, ...]
    about: str

    def name(self, site: str, *tokens: str) -> str:
        """The full subject. Missing trailing tokens become wildcards, `*` one in the middle."""
        return _name(site, self.noun, len(self.tokens), tokens)

    @property
    def template(self) -> str:
        return ".".join([ROOT, "{site}", self.noun, *(f"{{{token}}}" for token in self.tokens)])


@lru_cache(maxsize=65536)
def _name(site: str, noun: str, count: int, tokens: tuple[str, ...]) -> str:
    if len(tokens) > count:
        raise ValueError(f"subject {noun!r} has {count} tokens, got {tokens}")
    return ".".join([ROOT, site, noun, *tokens, *(["*"] * (count - len(tokens)))])


_ALL: Final = ("*",)

TELEMETRY: Final = Subject(
    "telemetry", ("driver", "asset"), Measurement, Delivery.LAST, ("field-driver-modbus",), "all points of one asset"
)
COLLECTOR: Final = Subject(
    "collector", ("collector",), CollectorState, Delivery.LAST, ("collector-aggregator",), "state of one collector"
)
SNAPSHOT: Final = Subject(
    "snapshot", (), SiteSnapshot, Delivery.CORE, ("collector-aggregator",), "the site at one instant, numbered"
)
SETPOINT: Final = Subject(
    "setpoint", ("driver", "asset"), Setpoint, Delivery.CORE, ("spc-allocator",), "what an asset is told, and why"
)
RESULT: Final = Subject(
    "result", ("driver", "asset"), SetpointResult, Delivery.CORE, ("field-driver-modbus",), "what became of a setpoint"
)
DECISION: Final = Subject("decision", ("collector",), Decision, Delivery.CORE, ("spc-allocator",), "why, per collector")
LIMIT: Final = Subject(
    "limit", ("source", "collector"), CollectorLimit, Delivery.CONTROL,
    ("cli", "gateway", "pcu-grid-interface", "site-page"), "power limit of a collector, by source",
)  # fmt: skip
TARGET: Final = Subject(
    "target", ("source", "collector"), CollectorTarget, Delivery.CONTROL,
    ("cli", "gateway", "pcu-grid-interface", "site-page"), "power target of a collector, by source",
)  # fmt: skip
ADVICE: Final = Subject(
    "advice", ("source", "asset"), Advice, Delivery.CONTROL, ("cli", "gateway"), "advice of an optimiser, by source"
)
MODE: Final = Subject(
    "mode", ("asset",), AssetMode, Delivery.CONTROL, ("cli", "gateway", "site-page"), "how an asset is to be run"
)
POWER_TEST: Final = Subject(
    "power_test", ("connector",), PowerTest, Delivery.CONTROL, ("cli", "gateway", "site-page"),
    "that a power test is to run",
)  # fmt: skip
POWER_TEST_RESULT: Final = Subject(
    "power_test_result", ("connector",), PowerTestResult, Delivery.LAST, ("spc-allocator",),
    "how far a power test is, and what it found",
)  # fmt: skip
GRID: Final = Subject(
    "grid", ("rtu",), GridCommand, Delivery.CONTROL, ("pcu-grid-interface",), "grid operator's command, confirmed"
)
FALLBACK: Final = Subject(
    "fallback", ("entity",), Fallback, Delivery.LAST, ("fallback-watchdog",), "upper bound because something is silent"
)
HEARTBEAT: Final = Subject(
    "heartbeat", ("service", "instance"), Heartbeat, Delivery.CORE, _ALL, "sign of life of a service"
)
SESSION: Final = Subject(
    "session", ("driver", "connector"), Session, Delivery.LAST, ("field-driver-modbus",), "one vehicle at one connector"
)
ALARM: Final = Subject("report.alarm", ("entity",), Alarm, Delivery.OUTBOX, _ALL, "something a person should know")
ENERGY: Final = Subject(
    "report.energy", ("entity",), EnergyReport, Delivery.OUTBOX, ("collector-aggregator",), "energy over a period"
)
TRANSACTION: Final = Subject(
    "tx", ("entity", "event_id"), Transaction, Delivery.OUTBOX_TX, ("field-driver-modbus",), "charge transaction step"
)
COMMAND: Final = Subject(
    "command", ("service", "verb"), Command, Delivery.REQUEST, ("cli", "gateway", "site-page"), "request to a service"
)
TRACE: Final = Subject(
    "trace.cycle", (), CycleTrace, Delivery.CORE, ("spc-allocator",), "a decision and its inputs, while one records"
)
TRACE_STATE: Final = Subject(
    "trace.state", (), StatePart, Delivery.CORE, ("spc-allocator",), "the allocator's whole state, while one records"
)

SUBJECTS: Final = (
    TELEMETRY, COLLECTOR, SNAPSHOT, SETPOINT, RESULT, DECISION, LIMIT, TARGET, ADVICE, MODE, POWER_TEST,
    POWER_TEST_RESULT, GRID, FALLBACK, HEARTBEAT, SESSION, ALARM, ENERGY, TRANSACTION, COMMAND, TRACE, TRACE_STATE,
)  # fmt: skip
