"""What a meter's terminals see: its collector or load, through the wiring that the site file states (rotations,
reversed current transformers). Energies are sums of phases: what flows in on one phase and out on another counts both
ways, as in the meters that are simulated here.
"""

from __future__ import annotations

import math

from busbar.sim.plant import MeterPort, Triple
from busbar.sim.wires import Wires


class Terminals:
    """Physics' side of a `MeterPort`: of a collector (indexes into the wires) or of a load (its own lists)."""

    __slots__ = ("_at", "_load", "_sign", "port")

    def __init__(
        self, port: MeterPort, at: tuple[int, ...], sign: float, load: tuple[Triple, Triple, Triple] | None
    ) -> None:
        self.port = port
        self._at = at
        self._sign = sign
        self._load = load

    @classmethod
    def of_collector(cls, port: MeterPort, at: tuple[int, ...], sign: float) -> Terminals:
        """`at`: flat index in the wires behind each of the meter's inputs."""
        for k in range(len(at), 3):
            port.voltage_v[k] = 0.0
        return cls(port, at, sign, None)

    @classmethod
    def of_load(cls, port: MeterPort, power_w: Triple, reactive_var: Triple, voltage_v: Triple) -> Terminals:
        return cls(port, (), 1.0, (power_w, reactive_var, voltage_v))

    def see(self, wires: Wires, frequency_hz: float) -> None:
        """Take over the present values."""
        port = self.port
        if self._load is None:
            sign = self._sign
            for k, at in enumerate(self._at):
                port.power_w[k] = sign * wires.power_w[at]
                port.reactive_var[k] = sign * wires.reactive_var[at]
                port.current_a[k] = wires.current_a[at]
                port.voltage_v[k] = wires.voltage_v[at]
        else:
            for k, (power_w, reactive_var, voltage_v) in enumerate(zip(*self._load, strict=True)):
                port.power_w[k] = power_w
                port.reactive_var[k] = reactive_var
                port.current_a[k] = math.hypot(power_w, reactive_var) / voltage_v if voltage_v else 0.0
                port.voltage_v[k] = voltage_v
        port.frequency_hz = frequency_hz

    def supply_changed(self, wires: Wires) -> None:
        """Voltages at once: they decide whether the meter itself lives."""
        if self._load is None:
            for k, at in enumerate(self._at):
                self.port.voltage_v[k] = wires.voltage_v[at]
        else:
            self.port.voltage_v[:] = self._load[2]

    def book(self, hours: float) -> None:
        """The port's powers held for `hours`; call before `see`."""
        port = self.port
        for power_w in port.power_w:
            if power_w > 0.0:
                port.energy_import_wh += power_w * hours
            elif power_w < 0.0:
                port.energy_export_wh -= power_w * hours
