"""Every event on the bus, one file a noun. Import from here.

Rules (messaging.md, Schema evolution): readers ignore fields they do not know; within v1 fields are only added, never
changed; no event without `measured_at_ms`, or `published_at_ms` and `lifetime_ms`. Times are integer milliseconds of
UTC since 1970. Signs: consumption positive, production negative.
"""

from busbar.events.advice import Advice, AdviceSlot
from busbar.events.alarm import Alarm, Severity
from busbar.events.base import Event, UtcMs
from busbar.events.collector import CollectorState, Sums
from busbar.events.command import Command, CommandReply
from busbar.events.decision import Decision, PausedConnector
from busbar.events.fallback import Fallback
from busbar.events.grid import GridCommand
from busbar.events.heartbeat import Heartbeat, ServiceState
from busbar.events.limit import CollectorLimit, CollectorTarget, PowerSlot
from busbar.events.mode import AssetMode, Mode
from busbar.events.power_test import FoundPower, PowerTest, PowerTestResult, PowerTestState
from busbar.events.report import EnergyReport, Transaction
from busbar.events.result import Outcome, SetpointResult
from busbar.events.session import Session, SessionPhase
from busbar.events.setpoint import Binding, Reason, ReasonCode, Setpoint
from busbar.events.snapshot import AssetSample, CollectorSample, ConnectorSample, SiteSnapshot
from busbar.events.telemetry import Measurement
from busbar.events.trace import CycleTrace, StatePart, TracedPower, TracedSetpoint

__all__ = [
    "Advice", "AdviceSlot", "Alarm", "AssetMode", "AssetSample", "Binding", "CollectorLimit", "CollectorSample",
    "CollectorState", "CollectorTarget", "Command", "CommandReply", "ConnectorSample", "CycleTrace", "Decision",
    "EnergyReport", "Event", "Fallback", "FoundPower", "GridCommand", "Heartbeat", "Measurement", "Mode", "Outcome",
    "PausedConnector", "PowerSlot", "PowerTest", "PowerTestResult", "PowerTestState", "Reason", "ReasonCode",
    "ServiceState", "Session", "SessionPhase", "Setpoint", "SetpointResult", "Severity", "SiteSnapshot", "StatePart",
    "Sums", "TracedPower", "TracedSetpoint", "Transaction", "UtcMs",
]  # fmt: skip
