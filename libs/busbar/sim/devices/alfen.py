"""Alfen NG9xx (Eve Single, Eve Double): sockets at units 1 and 2, the station at unit 200, holding registers only.

Facts: vendor's "Modbus Slave TCP/IP ... NG9xx platform" v2.3 (transcription) and alfen-eve-modbus-tcp 0.0.17.
- A setpoint (1210, f32) counts for a validity time set by the installer; each write restarts it. After it, and after a
  reboot, the socket goes to its safe current (1212, read only), also where that is more than was set.
- 1210 must be written as both registers in one FC16; anything else is rejected.
- Reserved and unavailable registers read 0xFFFF. Two clients at most; a connection is closed after 60 s of silence.
- 1215 takes 1 and 3 by FC16, where the installer has allowed it (else exception 3, evcc issues 5581 and 9487); an FC6
  to it is acknowledged and not honoured (migration notes of an integration; evcc writes FC6). What nobody has written
  down is modelled at its worst: the register shows at once what it was told, the contactors move later, only while no
  current flows and with the pilot off, and after a reboot there are three phases again.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from busbar.devices.transport import DeviceRefusedError
from busbar.sim.devices.base import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Segment, SimDevice, constant
from busbar.sim.devices.electronics import (
    Delayed,
    PhaseCounters,
    apparent_va,
    neutral_a,
    offer,
    pilot_state,
    power_factor,
    text,
)
from busbar.sim.faults import Faults
from busbar.sim.plant import EvsePort
from busbar.units import MIN_CURRENT_A

STATION_UNIT: Final = 200
SETPOINT: Final = 1210
PHASES: Final = 1215
ALL_PHASES: Final = 3
NO_CURRENT_A: Final = 0.5
"""Below it is the vehicle's own electronics: contactors may move."""
_FLOAT: Final = struct.Struct(">f")
_WORDS: Final = struct.Struct(">2H")

# 300: state, age ms, type | 306: U L-N, U L-L (unavailable), I N, I L1-3, I sum, PF L1-3, PF, f, P L1-3, P, S L1-3, S,
# Q L1-3, Q | 362: energies as f64: delivered, consumed, apparent, reactive, each L1-3 and sum
_METER: Final = struct.Struct(">HQH 3f 12s 22f 16d")
# 1200: availability, state text, actual limit, seconds left, setpoint, safe current, accounted, phases
_STATUS: Final = struct.Struct(">H 10s fIff HH")
# 100: model, maker, map version, firmware, platform, serial, date and time (unavailable), uptime ms, zone (unavailable)
_PRODUCT: Final = struct.Struct(">34s 10s h 34s 34s 22s 12s Q 2s")
_STATION: Final = struct.Struct(">ff HH")
_UNAVAILABLE: Final = b"\xff"
_NO_NETWORK: Final = bytes(10) + _UNAVAILABLE * 52 + bytes(2)
"""1400: in no smart charging network: no name, no sockets, no currents, not enabled."""
_METER_GOOD: Final = 3
"""Initialised and updated."""


@dataclass(frozen=True, slots=True)
class AlfenSettings:
    """What the installer sets in ACE."""

    validity_s: float = 60.0
    safe_current_a: float = 6.0
    station_max_a: float | None = None
    """None: the sum of its sockets."""
    reaction_s: float = 1.0
    allows_one_phase: bool = True
    """Allow 1- and 3-phased charging."""
    contactor_s: float = 5.0
    """For so long the pilot is off before other contactors close."""
    firmware: str = "6.6.0-4332"


class Socket:
    """One outlet: registers of unit 1 or 2, and its electronics; `port` is its copper."""

    def __init__(self, port: EvsePort, settings: AlfenSettings) -> None:
        self.port = port
        self.faults = Faults()
        self.operative = True
        self._settings = settings
        self._energy = PhaseCounters(port.energy_wh)
        self._reactive_varh = [0.0, 0.0, 0.0]
        self._apparent_vah = [0.0, 0.0, 0.0]
        self._limit = Delayed(settings.safe_current_a, settings.reaction_s)
        self._now_s = 0.0
        self._moves_at_s = math.inf
        self._rests_until_s = -math.inf
        """Nobody is plugged in and nothing is set: until then a run would change nothing."""
        self.power_up()

    def power_up(self) -> None:
        """The setpoint does not survive a reboot: 0 in its register, safe current in force."""
        self.setpoint_a = 0.0
        self._accepted_a: float | None = None
        self._valid_until_s = 0.0
        self._limit.force(self._settings.safe_current_a)
        self.phases = self.port.phases = ALL_PHASES
        self._moves_at_s = math.inf
        self._rests_until_s = -math.inf

    # -- electronics

    def set_current(self, current_a: float, now_s: float) -> None:
        self.setpoint_a = current_a
        self._rests_until_s = -math.inf
        self._valid_until_s = now_s + self._settings.validity_s
        if not self.faults.ignore_writes:
            self._accepted_a = current_a
            self._limit.set(current_a, now_s)

    def set_phases(self, phases: int) -> None:
        """The register shows it from now on; the contactors follow."""
        if not self.faults.ignore_writes:
            self.phases = phases
            self._rests_until_s = -math.inf

    def _move_contactors(self, now_s: float) -> None:
        """Never under current: begun when none flows, and from then on the pilot is off until they have moved."""
        if self.phases == self.port.phases:
            self._moves_at_s = math.inf
        elif self._moves_at_s == math.inf:
            if max(self.port.current_a) < NO_CURRENT_A:
                self._moves_at_s = now_s + self._settings.contactor_s
        elif now_s >= self._moves_at_s and max(self.port.current_a) < NO_CURRENT_A:
            self.port.phases, self._moves_at_s = self.phases, math.inf

    def run(self, now_s: float, dt_s: float) -> None:
        port = self.port
        self._now_s = now_s
        if now_s < self._rests_until_s and not port.plugged and port.available is self.operative:
            return
        if self._accepted_a is not None and now_s >= self._valid_until_s:
            self._accepted_a = None
            self._limit.force(self._settings.safe_current_a)
        self._limit.set(self._settings.safe_current_a if self._accepted_a is None else self._accepted_a, now_s)
        self._limit.at(now_s)
        port.available = self.operative
        self._move_contactors(now_s)
        offer(port, self.limit_a if self._moves_at_s == math.inf else 0.0)
        self._energy.add(port.power_w, dt_s)
        hours = dt_s / 3600.0
        for phase, apparent in enumerate(apparent_va(port.voltage_v, port.current_a)):
            self._apparent_vah[phase] += apparent * hours
            self._reactive_varh[phase] += port.reactive_var[phase] * hours
        busy = port.plugged or self._limit.pending or self.phases != port.phases
        self._rests_until_s = -math.inf if busy else math.inf if self._accepted_a is None else self._valid_until_s

    @property
    def limit_a(self) -> float:
        """1206: maximum current in force; below 6 A nothing may flow and it reads 0."""
        port = self.port
        limit = min(self._limit.value, port.max_current_a)
        if port.plugged:
            limit = min(limit, port.cable_a)
        return limit if limit >= MIN_CURRENT_A else 0.0

    # -- registers

    @property
    def state(self) -> str:
        """1201; the vendor calls a fault F, like a socket out of service."""
        return self.faults.unknown_status or pilot_state(self.port).replace("E", "F")

    def status_image(self) -> bytes:
        """Registers 1200..1215."""
        left_s = max(0.0, self._valid_until_s - self._now_s)
        return _STATUS.pack(
            self.port.available,
            self.state.encode("ascii", "replace"),
            self.limit_a,
            math.ceil(left_s),
            self.setpoint_a,
            self._settings.safe_current_a,
            self._accepted_a is not None,
            self.phases,
        )

    def meter_image(self) -> bytes:
        """Registers 300..425."""
        port = self.port
        apparent = apparent_va(port.voltage_v, port.current_a)
        apparent_sum = sum(apparent)
        power, reactive = port.power_w, port.reactive_var
        power_sum = sum(power)
        return _METER.pack(
            _METER_GOOD,
            0,
            0,
            *port.voltage_v,
            _UNAVAILABLE * 12,
            neutral_a(port.current_a),
            *port.current_a,
            sum(port.current_a),
            power_factor(power[0], apparent[0]),
            power_factor(power[1], apparent[1]),
            power_factor(power[2], apparent[2]),
            power_factor(power_sum, apparent_sum),
            50.0,
            *power,
            power_sum,
            *apparent,
            apparent_sum,
            *reactive,
            sum(reactive),
            *self._energy.import_wh,
            port.energy_wh,
            *self._energy.export_wh,
            sum(self._energy.export_wh),
            *self._apparent_vah,
            sum(self._apparent_vah),
            *self._reactive_varh,
            sum(self._reactive_varh),
        )


class AlfenStation(SimDevice):
    """A station with one or two sockets."""

    idle_timeout_s: ClassVar[float | None] = 60.0
    max_clients: ClassVar[int | None] = 2

    def __init__(self, device_id: str, ports: Mapping[int, EvsePort], settings: AlfenSettings | None = None) -> None:
        """`ports` by number of the socket (1, 2), which is also its unit id."""
        super().__init__(device_id)
        if sorted(ports) not in ([1], [1, 2]):
            raise ValueError(f"{device_id}: an Alfen station has socket 1, or 1 and 2, got {sorted(ports)}")
        self._settings = settings or AlfenSettings()
        self.sockets = {number: Socket(ports[number], self._settings) for number in sorted(ports)}
        for number, socket in self.sockets.items():
            self.lay_out(
                "holding", number, [Segment(300, 126, socket.meter_image), Segment(1200, 16, socket.status_image)]
            )
        self.lay_out(
            "holding",
            STATION_UNIT,
            [
                Segment(100, 79, self._product_image),
                Segment(1100, 6, self._station_image),
                Segment(1400, 32, constant(_NO_NETWORK)),
            ],
        )

    # -- electronics

    def run(self, now_s: float, dt_s: float) -> None:
        for socket in self.sockets.values():
            socket.run(now_s, dt_s)

    def power_off(self) -> None:
        for socket in self.sockets.values():
            socket.port.offered_a = 0.0

    def boot(self, keep_settings: bool) -> None:
        """Fallback and validity are the installer's: nothing here can be lost but the setpoint."""
        for socket in self.sockets.values():
            socket.power_up()

    def faults_changed(self) -> None:
        for socket in self.sockets.values():
            socket.faults = self.faults

    # -- registers

    def write_holding(self, unit: int, address: int, values: Sequence[int], fc: int) -> None:
        socket = self.sockets.get(unit)
        if socket is None or not (SETPOINT <= address <= SETPOINT + 1 or address == PHASES):
            raise DeviceRefusedError(ILLEGAL_ADDRESS)
        if address == PHASES:
            self._write_phases(socket, values, fc)
            return
        if address != SETPOINT or len(values) != 2 or fc != 16:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        current_a = _FLOAT.unpack(_WORDS.pack(*values))[0]
        if not math.isfinite(current_a) or current_a < 0.0:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        socket.set_current(current_a, self.now_s)

    def _write_phases(self, socket: Socket, values: Sequence[int], fc: int) -> None:
        taken = (1, ALL_PHASES) if self._settings.allows_one_phase else (ALL_PHASES,)
        if len(values) != 1 or values[0] not in taken:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        if fc == 16:
            socket.set_phases(values[0])

    def _product_image(self) -> bytes:
        return _PRODUCT.pack(
            text("ALF_1000", 17),
            text("Alfen NV", 5),
            1,
            text(self._settings.firmware, 17),
            text("NG920" if len(self.sockets) > 1 else "NG910", 17),
            text(f"ACE{self.id[-8:]}", 11),
            _UNAVAILABLE * 12,
            int((self.now_s - self.booted_s) * 1000),
            _UNAVAILABLE * 2,
        )

    def _station_image(self) -> bytes:
        limit_a = self._settings.station_max_a
        if limit_a is None:
            limit_a = sum(socket.port.max_current_a for socket in self.sockets.values())
        return _STATION.pack(limit_a, 25.0, False, len(self.sockets))
