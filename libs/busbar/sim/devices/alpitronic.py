"""Alpitronic hypercharger: one Modbus server a station, unit 1, outlets 1 to 4 at 100 to 400.

Facts: evcc charger/alpitronic.go, OpenEMS io.openems.edge.evcs.hypercharger, evcc issues 24812, 26043, 28493.
- The limit of an outlet (holding n00, u32) is in W on its AC side and goes in one FC16; power, energy and voltage that
  it shows are those of its DC side.
- A limit counts for a time that the maker sets (5 s in issue 26043), counted from the last write; reading does not
  prolong it. After it, and after a restart, the outlet goes to a fallback power that no register shows, also where that
  is more than was set.
- 0 W ends the session: the outlet is unavailable until it is given something again; the vehicle must be plugged anew.
- Firmware below 1.7.2 shows no power (n04); this one is newer. It has no reactive power (n14 and n16 are 0, no holding
  n02).
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from busbar.devices.transport import DeviceRefusedError
from busbar.domain.charging import Status
from busbar.sim.devices.base import ILLEGAL_ADDRESS, Segment, SimDevice, constant
from busbar.sim.devices.electronics import Delayed, outlet_status, text
from busbar.sim.faults import Faults
from busbar.sim.plant import DcPort

STRIDE: Final = 100
CODES: Final[Mapping[Status, int]] = {
    Status.AVAILABLE: 0, Status.PREPARING_TAG: 1, Status.PREPARING_EV: 2, Status.CHARGING: 3, Status.SUSPENDED_EV: 4,
    Status.SUSPENDED_EVSE: 5, Status.FINISHING: 6, Status.RESERVED: 7, Status.UNAVAILABLE: 8,
    Status.UNAVAILABLE_FW_UPDATE: 9, Status.FAULTED: 10, Status.UNAVAILABLE_CONN_OBJ: 11,
}  # fmt: skip
_CCS2: Final = 1
# x00: status, V/100, A/100, W, session s, session kWh/100, charge %/100, plug, most W, least W, reactive most (2),
# vehicle id, tag | x32: meter Wh, most W on the AC side
_OUTLET: Final = struct.Struct(">H I H I 3H H 2I 2I 8s 20s q I")
# 0: clock s, outlets, status, W, serial, load management | 30: name, firmware
_STATION: Final = struct.Struct(">I 2H I 24s H")
_NAME: Final = struct.Struct(">32s 3H")
_FIRMWARE: Final = (2, 4, 0)


@dataclass(frozen=True, slots=True)
class AlpitronicSettings:
    """What the maker sets at commissioning."""

    fallback_timeout_s: float = 5.0
    fallback_w: float = 10_000.0
    """Of each outlet."""
    reaction_s: float = 1.0


_FACTORY: Final = AlpitronicSettings(fallback_timeout_s=math.inf, fallback_w=math.inf)
"""Nobody controls it: as much as it can."""


class Outlet:
    """Electronics and registers of one outlet; `port` is its copper."""

    def __init__(self, port: DcPort, settings: AlpitronicSettings) -> None:
        self.port = port
        self.faults = Faults()
        self._limit = Delayed(0.0, settings.reaction_s)
        self.power_up(settings)

    def power_up(self, settings: AlpitronicSettings) -> None:
        """No limit survives; the register shows what the outlet can do."""
        self._settings = settings
        self.setpoint_w = round(self.port.max_power_w)
        self._accepted_w: float | None = None
        self._valid_until_s = -math.inf
        self._aborted = False
        self._limit.force(self._fallback_w)

    @property
    def _fallback_w(self) -> float:
        return min(self._settings.fallback_w, self.port.max_power_w)

    # -- electronics

    def set_power(self, power_w: int, now_s: float) -> None:
        self.setpoint_w = power_w
        self._valid_until_s = now_s + self._settings.fallback_timeout_s
        if not self.faults.ignore_writes:
            self._accepted_w = float(power_w)

    def run(self, now_s: float) -> None:
        port = self.port
        if now_s >= self._valid_until_s:
            self._accepted_w = None
        wanted_w = self._fallback_w if self._accepted_w is None else min(self._accepted_w, port.max_power_w)
        self._limit.set(wanted_w, now_s)
        self._limit.at(now_s)
        self._aborted = port.plugged and (self._aborted or self.limit_w <= 0.0)
        usable = port.plugged and not self._aborted and not port.fault
        port.offered_w = self.limit_w if usable else 0.0

    @property
    def limit_w(self) -> float:
        """In force; no register shows it."""
        return self._limit.value

    # -- registers

    @property
    def state(self) -> int:
        if self.faults.unknown_status:
            return int(self.faults.unknown_status)
        return CODES[outlet_status(self.port, self.limit_w, self._aborted)]

    def setpoint_image(self) -> bytes:
        return struct.pack(">I", self.setpoint_w)

    def image(self, now_s: float) -> bytes:
        port = self.port
        session_s = max(0.0, now_s - port.plugged_since_s) if port.plugged else 0.0
        session_wh = port.session_energy_wh if port.plugged else 0.0
        badge = bytes.fromhex(port.badge)
        return _OUTLET.pack(
            self.state, round(port.dc_voltage_v * 100), round(port.dc_current_a * 100), round(port.dc_power_w),
            int(session_s) % 65_536, int(session_wh / 10) % 65_536, round(port.soc_percent * 100), _CCS2,
            round(min(port.vehicle_max_w, self.limit_w)), 0, 0, 0, _vehicle_id(badge), badge, int(port.energy_wh),
            round(port.max_power_w),
        )  # fmt: skip


class Hypercharger(SimDevice):
    """One station; `outlets` by number."""

    function_codes: ClassVar[frozenset[int]] = frozenset({3, 4, 16})
    boot_s: ClassVar[float] = 60.0

    def __init__(
        self, device_id: str, ports: Mapping[int, DcPort], settings: AlpitronicSettings | None = None, unit: int = 1
    ) -> None:
        super().__init__(device_id)
        self._settings = settings or AlpitronicSettings()
        self.outlets = {number: Outlet(port, self._settings) for number, port in ports.items()}
        shown: list[Segment] = [Segment(0, 19, self._station), Segment(30, 19, constant(self._name()))]
        settable: list[Segment] = []
        for number, outlet in self.outlets.items():
            shown.append(Segment(STRIDE * number, 38, self._shows(outlet)))
            settable.append(Segment(STRIDE * number, 2, outlet.setpoint_image))
        self.lay_out("input", unit, shown)
        self.lay_out("holding", unit, settable)

    def run(self, now_s: float, dt_s: float) -> None:
        for outlet in self.outlets.values():
            outlet.run(now_s)

    def power_off(self) -> None:
        for outlet in self.outlets.values():
            outlet.port.offered_w = 0.0

    def boot(self, keep_settings: bool) -> None:
        for outlet in self.outlets.values():
            outlet.power_up(self._settings if keep_settings else _FACTORY)

    def faults_changed(self) -> None:
        for outlet in self.outlets.values():
            outlet.faults = self.faults

    def write_holding(self, unit: int, address: int, values: Sequence[int], fc: int) -> None:
        """Both words of a limit at once, nothing else."""
        outlet = self.outlets.get(address // STRIDE)
        if outlet is None or address % STRIDE or len(values) != 2:
            raise DeviceRefusedError(ILLEGAL_ADDRESS)
        outlet.set_power(values[0] << 16 | values[1], self.now_s)

    def _shows(self, outlet: Outlet) -> Callable[[], bytes]:
        return lambda: outlet.image(self.now_s)

    def _station(self) -> bytes:
        ports = [outlet.port for outlet in self.outlets.values()]
        state = CODES[Status.FAULTED if all(port.fault for port in ports) else Status.AVAILABLE]
        total_w = round(sum(port.dc_power_w for port in ports))
        return _STATION.pack(int(self.now_s), len(ports), state, total_w, text(self.id, 12), 1)

    def _name(self) -> bytes:
        return _NAME.pack(text(self.id, 16), *_FIRMWARE)


def _vehicle_id(badge: bytes) -> bytes:
    """A made-up MAC address of the vehicle's modem, in the last six bytes; zeros without a vehicle."""
    return bytes(2) + b"\x02" + hashlib.sha256(badge).digest()[:5] if badge else bytes(8)
