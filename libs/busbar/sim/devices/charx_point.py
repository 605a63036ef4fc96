"""One charging point of a Phoenix Contact CHARX SEC controller: registers x100-x123 and x232-x308, and its electronics.

Facts: UM EN CHARX SEC rev 08 as transcribed by aiophoenixcontactcharx 1.0.0, and evcc charger/phoenix-charx.go.
What the sources leave open is decided for the harder case or is a setting of `CharxSettings`:
- A setpoint outside 6..80 A withdraws the release until the next one inside; the release register x300 stays as it is.
- On expiry of the watchdog the fallback takes the setpoint's place (x301 reads it), at once, also where it raises a
  paused point; a later write of something else does not bring the old setpoint back.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final, Literal

from busbar.devices.transport import DeviceRefusedError
from busbar.sim.devices.base import ILLEGAL_ADDRESS, ILLEGAL_VALUE
from busbar.sim.devices.electronics import Delayed, apparent_va, offer, pilot_state, text
from busbar.sim.faults import Faults
from busbar.sim.plant import EvsePort

WATCHDOG_OFF: Final = 65535
RESIDUAL_CURRENT_TRIP: Final = 1 << 30
_LOWEST_A: Final = 6
_HIGHEST_A: Final = 80
_LETTERS: Final = {"A": b"A1", "B1": b"B1", "B2": b"B2", "C1": b"C1", "C2": b"C2", "E": b"E0", "F": b"F0"}

# x232: voltages mV, currents mA, power mW, var, VA, energies, SOC kWh and %, EVCC id, RFID, times, session, errors,
# inputs, setpoint % and A, cable A, status | x300: release, setpoint, outputs, lock, availability, unlock, fallback,
# watchdog, reset RFID
_LIVE: Final = struct.Struct(">3I 3i iiI QqQ IH 20s20s II Q I HHHH 2s 9H")
_CONFIG: Final = struct.Struct(">13H 6s6s HH 3H")


@dataclass(frozen=True, slots=True)
class CharxSettings:
    """What an installer sets in the web management, and what the manual leaves open."""

    firmware: str = "1.9.0"
    reaction_s: float = 1.0
    """From a written setpoint to the pilot."""
    release_mode: int = 5
    """5: Modbus decides; in any other mode x300 is ignored, x301 still works."""
    boot_release: bool = True
    boot_setpoint_a: int = 6
    socket: bool = True
    """False: fixed cable of the port's rating."""
    watchdog_scope: Literal["controller", "point"] = "controller"
    """Whose writes refresh a point's watchdog: any write to the controller, or only those to this point."""


class ChargingPoint:
    """State and registers of one connector; `port` is its copper."""

    def __init__(self, number: int, port: EvsePort, settings: CharxSettings) -> None:
        self.number = number
        self.port = port
        self.faults = Faults()
        self._settings = settings
        self._max_a = int(port.max_current_a)
        self.fallback_a = 0
        self.watchdog_s = WATCHDOG_OFF
        self.outputs = 0
        self.available = True
        self.locked = False
        self._limit = Delayed(0, settings.reaction_s)
        self._reactive_varh = 0.0
        self._apparent_vah = 0.0
        self._rfid = ""
        self._badge_seen = ""
        self._connected_s = 0.0
        self._charging_s = 0.0
        self._plugged = False
        self._refreshed_s = 0.0
        self._rests_until_s = -math.inf
        """Nobody is plugged in and nothing is set: until then a run would change nothing."""
        self.power_up(0.0)
        self.config = self._config_image()

    # -- electronics

    def power_up(self, now_s: float) -> None:
        """Volatile registers at their start values; fallback, watchdog time and meter survive."""
        settings = self._settings
        self.release = settings.boot_release
        self.setpoint_a = settings.boot_setpoint_a
        self._accepted_a = self.setpoint_a
        self._accepted_release = self.release
        self._expired = False
        self._refreshed_s = now_s
        self._limit.force(self._target())
        self.port.available = self.available
        self._rests_until_s = -math.inf

    def forget_settings(self) -> None:
        self.fallback_a = 0
        self.watchdog_s = WATCHDOG_OFF

    def refresh(self, now_s: float) -> None:
        """A write arrived: the watchdog starts anew."""
        self._refreshed_s = now_s
        self._expired = False
        self._limit.set(self._target(), now_s)
        self._rests_until_s = -math.inf

    def run(self, now_s: float, dt_s: float) -> None:
        port = self.port
        if now_s < self._rests_until_s and not port.plugged:
            return
        if not self._expired and self.watchdog_s != WATCHDOG_OFF and now_s - self._refreshed_s >= self.watchdog_s:
            self._expired = True
            self.setpoint_a = self._accepted_a = self.fallback_a
            self._limit.force(self._target())
        self._limit.set(self._target(), now_s)
        self._limit.at(now_s)
        port.available = self.available
        offer(port, float(self.limit_a))
        self._watch_session(dt_s)
        hours = dt_s / 3600.0
        self._reactive_varh += sum(port.reactive_var) * hours
        self._apparent_vah += sum(apparent_va(port.voltage_v, port.current_a)) * hours
        self._rests_until_s = self._rest_s()

    def _rest_s(self) -> float:
        if self.port.plugged or self._limit.pending:
            return -math.inf
        armed = not self._expired and self.watchdog_s != WATCHDOG_OFF
        return self._refreshed_s + self.watchdog_s if armed else math.inf

    @property
    def limit_a(self) -> int:
        """x297: the setpoint in force: after the reaction time, not above the cable and the configured maximum."""
        port = self.port
        limit = min(int(self._limit.value), self._max_a)
        if port.plugged:
            limit = min(limit, int(port.cable_a))
        return limit if limit >= _LOWEST_A else 0

    def _target(self) -> int:
        released = self._accepted_release or self._settings.release_mode != 5
        inside = _LOWEST_A <= self._accepted_a <= _HIGHEST_A
        return self._accepted_a if released and inside else 0

    def _watch_session(self, dt_s: float) -> None:
        port = self.port
        if port.plugged and not self._plugged:
            self._connected_s = self._charging_s = 0.0
            self._badge_seen = ""
        self._plugged = port.plugged
        if port.plugged:
            self._connected_s += dt_s
            if port.wants_current:
                self._charging_s += dt_s
        if port.badge and port.badge != self._badge_seen:
            self._rfid = self._badge_seen = port.badge

    # -- registers

    def write(self, offset: int, value: int) -> None:
        """One checked value into a writable register x300..x308."""
        self._rests_until_s = -math.inf
        obeyed = not self.faults.ignore_writes
        match offset:
            case 300:
                self.release = bool(value)
                if obeyed:
                    self._accepted_release = self.release
            case 301:
                self.setpoint_a = value
                if obeyed:
                    self._accepted_a = value
            case 302:
                self.outputs = value
            case 303:
                self.locked = bool(value)
            case 304:
                self.available = bool(value) if obeyed else self.available
            case 305:
                self.locked = False
            case 306:
                self.fallback_a = value
            case 307:
                self.watchdog_s = value
            case 308:
                self._rfid = "" if value else self._rfid

    @staticmethod
    def check_write(offset: int, value: int) -> None:
        """Refuse what the device would: addresses that are not writable, values outside a switch or timer."""
        if not 300 <= offset <= 308:
            raise DeviceRefusedError(ILLEGAL_ADDRESS)
        if offset in (300, 303, 304) and value > 1:
            raise DeviceRefusedError(ILLEGAL_VALUE)
        if offset == 307 and value == 0:
            raise DeviceRefusedError(ILLEGAL_VALUE)

    @property
    def status(self) -> bytes:
        """x299: two ASCII characters."""
        if self.faults.unknown_status:
            return text(self.faults.unknown_status, 1)
        return _LETTERS[pilot_state(self.port)]

    def live(self) -> bytes:
        """Registers x232..x308."""
        port = self.port
        v1, v2, v3 = port.voltage_v
        a1, a2, a3 = port.current_a
        limit_a = self.limit_a
        cable_a = int(port.cable_a) if port.plugged or not self._settings.socket else 0
        return _LIVE.pack(
            round(v1 * 1000),
            round(v2 * 1000),
            round(v3 * 1000),
            round(a1 * 1000),
            round(a2 * 1000),
            round(a3 * 1000),
            round(sum(port.power_w) * 1000),
            round(sum(port.reactive_var) * 1000),
            round((v1 * a1 + v2 * a2 + v3 * a3) * 1000),
            int(port.energy_wh),
            int(self._reactive_varh),
            int(self._apparent_vah),
            0,  # SOC in kWh and in %: placeholders, 0 in map revision 08
            0,
            b"",  # EVCC id: no ISO 15118 here
            self._rfid.encode("ascii", "replace"),
            int(self._connected_s) if port.plugged else 0,
            int(self._charging_s),
            int(port.session_energy_wh),
            RESIDUAL_CURRENT_TRIP if port.fault else 0,
            0,
            limit_a * 100 // self._max_a,
            limit_a,
            cable_a,
            self.status,
            self.release,
            self.setpoint_a,
            self.outputs,
            self.locked,
            self.available,
            0,
            self.fallback_a,
            self.watchdog_s,
            0,
        )

    def _config_image(self) -> bytes:
        """Registers x100..x123, fixed: interface, currents, temperatures, monitoring, meter, ids, release mode."""
        settings = self._settings
        return _CONFIG.pack(
            0 if settings.socket else 1,
            self._max_a,
            _LOWEST_A,
            1,  # residual current monitor configured
            60,
            80,  # temperature thresholds in degC
            self._max_a,
            _LOWEST_A,  # derating from, to (A)
            0,
            0,  # temperature monitoring inactive, status D refused
            0,
            0,  # proximity and overcurrent monitoring: default
            2,  # EEM-EM357
            text(f"CP{self.number:04d}", 3),
            text("SRV001", 3),
            self.number,
            settings.release_mode,
            0,
            0,
            0,
        )
