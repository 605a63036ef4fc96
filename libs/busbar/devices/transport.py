"""What a driver needs of a Modbus connection: read, write, close. Bytes as on the wire, high byte first.

Implementations: `tcp.py` (plain asyncio, the default), `pymodbus_tcp.py` (a second one, and the oracle in tests), and
the twin's in-memory one (`busbar.sim`), which replaces only the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

Table = Literal["holding", "input", "coil", "discrete"]


class TransportError(Exception):
    """The connection is not usable: refused, closed, timed out, or answered nonsense. Reconnect before the next use."""


class DeviceRefusedError(Exception):
    """The device answered with a Modbus exception; the connection is fine."""

    NAMES: ClassVar = {
        1: "illegal function",
        2: "illegal data address",
        3: "illegal data value",
        4: "device failure",
        6: "device busy",
        10: "gateway path unavailable",
        11: "gateway target failed to respond",
    }

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code} ({self.NAMES.get(code, 'unknown')})")
        self.code = code


class Transport(Protocol):
    """One connection. One request in flight; callers queue."""

    @property
    def connected(self) -> bool: ...

    async def connect(self) -> None:
        """Raises TransportError with host, port and cause."""
        ...

    async def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
        """`count` registers as 2*count bytes (for coil and discrete: `count` bits packed low bit first).
        Raises TransportError or DeviceRefusedError."""
        ...

    async def write(self, table: Table, unit: int, address: int, values: Sequence[int], fc: int | None = None) -> None:
        """Write registers (FC6 for one, FC16 for several unless `fc` says otherwise) or coils (FC5, FC15)."""
        ...

    async def close(self) -> None: ...


class TransportFactory(Protocol):
    def __call__(self, host: str, port: int, timeout_s: float) -> Transport: ...
