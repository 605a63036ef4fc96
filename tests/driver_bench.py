"""A charger of four registers for the driver's tests, and the small package that describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from busbar.devices.package import DevicePackage
from busbar.devices.plan import DevicePlan, compile_plan
from busbar.domain.kinds import AssetKind
from field_driver_modbus.keeper import WatchdogKeeper
from field_driver_modbus.stages import Stage, Target
from field_driver_modbus.writer import Order, Writer

SETPOINT, LIMIT, FALLBACK, TIMEOUT = 0, 1, 2, 3


def package(mechanism: str = "any_write", **changes: Any) -> DevicePackage:
    """`changes` replace whole sections."""
    group = {"group": "fast", "type": "u16"}
    text: dict[str, Any] = {
        "format": "device-package/1",
        "package": {"id": "box", "version": "1.0.0", "sources": ["this test"], "confidence": 3,
                    "proven_by": [{"kind": "vendor_table", "what": "this test"}]},
        "device": {"class": "ac_charger", "vendor": "Test", "models": ["Box"]},
        "transport": {"kinds": ["tcp"], "word_order": "big"},
        "groups": {"fast": {"period_ms": 1000}, "slow": {"period_ms": 10000},
                   "identity": {"period_ms": 60000, "once": True}},
        "points": {
            "setpoint_current": {**group, "address": SETPOINT, "unit": "A", "access": "rw"},
            "actual_limit_current": {**group, "address": LIMIT, "unit": "A"},
            "fallback_current": {**group, "address": FALLBACK, "unit": "A", "access": "rw"},
            "watchdog_timeout": {**group, "address": TIMEOUT, "unit": "s", "access": "rw"},
        },
        "commands": {"set_current": {
            "unit": "A", "range": [6, 32], "zero": "pauses", "step": 1, "min_interval_ms": 1000, "refresh": True,
            "steps": [{"write": "setpoint_current"}],
            "verify": {"point": "actual_limit_current", "within_ms": 3000, "tolerance": 0.5, "one_sided": True},
        }},
        "watchdog": {"mechanism": mechanism, "timeout_point": "watchdog_timeout", "fallback_point": "fallback_current"},
        **changes,
    }  # fmt: skip
    return DevicePackage.model_validate(text)


def plan_of(described: DevicePackage) -> DevicePlan:
    return compile_plan(described, unit_id=None, instance=1, kind=AssetKind.AC_CONNECTOR)


@dataclass
class Box:
    """What such a charger does with what is written to it."""

    registers: dict[int, int] = field(default_factory=lambda: {SETPOINT: 32, LIMIT: 32, FALLBACK: 0, TIMEOUT: 0})
    cable_a: int = 32
    deaf: bool = False
    """Acknowledges every write and does nothing."""
    refuses: bool = False
    written: list[tuple[int, int]] = field(default_factory=list)

    def write(self, address: int, value: int) -> None:
        self.written.append((address, value))
        if not self.deaf:
            self.registers[address] = value
        self.plug(self.cable_a)

    def plug(self, cable_a: int) -> None:
        """A cable of this rating."""
        self.cable_a = cable_a
        self.registers[LIMIT] = min(self.registers[SETPOINT], cable_a)

    def points(self) -> dict[str, float | str | None]:
        names = {SETPOINT: "setpoint_current_a", LIMIT: "actual_limit_current_a",
                 FALLBACK: "fallback_current_a", TIMEOUT: "watchdog_timeout_s"}  # fmt: skip
        return {names[address]: float(value) for address, value in self.registers.items()}


class Bench:
    """A writer and a box, polled each second in a time of their own."""

    def __init__(self, plan: DevicePlan | None = None, box: Box | None = None, fallback_a: float = 6.0) -> None:
        plan = plan or plan_of(package())
        self.box = box or Box()
        keeper = WatchdogKeeper(plan.watchdog, fallback_a, 30.0) if plan.watchdog else None
        self.writer = Writer(plan.command("set_current"), keeper, max_age_s=3.0)
        self.now_s = 1000.0
        self.target = Target(None, Stage.HOLD, 0, -1)
        self.hidden: set[str] = set()

    def tell(self, current_a: float, stage: Stage = Stage.FRESH, seq: int = 1) -> None:
        self.target = Target(current_a, stage, 1, seq)
        self.act()

    def act(self) -> None:
        """Carry out orders until there is none."""
        for _ in range(10):
            order = self.writer.order(self.target, self.now_s)
            if order is None:
                return
            self.carry_out(order)
        raise AssertionError("the writer does not stop writing")

    def carry_out(self, order: Order) -> None:
        if self.box.refuses:
            self.writer.refused(order, "illegal data value", self.now_s)
            return
        for write in order.writes:
            for offset, word in enumerate(write.words):
                self.box.write(write.address + offset, word)
        self.writer.done(order, self.now_s)

    def poll(self) -> None:
        points = {name: value for name, value in self.box.points().items() if name not in self.hidden}
        self.writer.observe(points, {}, self.now_s, self.now_s)
        self.act()

    def run(self, seconds: float) -> None:
        """Poll each second."""
        for _ in range(int(seconds)):
            self.now_s += 1.0
            self.poll()

    def took(self) -> list[tuple[int, int]]:
        """Writes since the last call."""
        written, self.box.written = self.box.written, []
        return written

    @property
    def outcome(self) -> str:
        return str(self.writer.report(self.target).outcome)
