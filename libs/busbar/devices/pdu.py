"""Modbus requests and replies as bytes: what both sides of the wire agree on. Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from busbar.devices.transport import DeviceRefusedError, Table, TransportError

READ_FUNCTION: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
MAX_READ_REGISTERS: Final = 125
MAX_READ_BITS: Final = 2000
MBAP: Final = struct.Struct(">HHHB")
"""Transaction id, protocol id (0), length of what follows, unit."""
_ON: Final = 0xFF00


def read_request(table: Table, address: int, count: int) -> bytes:
    """Raises ValueError on a count that no device may be asked for."""
    limit = MAX_READ_BITS if table in ("coil", "discrete") else MAX_READ_REGISTERS
    if not 1 <= count <= limit:
        raise ValueError(f"{count} values in one read, 1..{limit} are possible")
    return struct.pack(">BHH", READ_FUNCTION[table], address, count)


def write_request(table: Table, address: int, values: Sequence[int], fc: int | None) -> bytes:
    """FC6 for one register, FC16 for several, FC5 and FC15 for coils, unless `fc` says otherwise."""
    if table not in ("holding", "coil"):
        raise ValueError(f"the table {table} cannot be written")
    several = len(values) > 1
    code = fc or ((15 if several else 5) if table == "coil" else (16 if several else 6))
    if code in (5, 6):
        if several:
            raise ValueError(f"function {code} writes one value, not {len(values)}")
        value = (_ON if values[0] else 0) if code == 5 else values[0]
        return struct.pack(">BHH", code, address, value)
    if code == 16:
        return struct.pack(f">BHHB{len(values)}H", code, address, len(values), 2 * len(values), *values)
    packed = sum(bool(v) << i for i, v in enumerate(values)).to_bytes((len(values) + 7) // 8, "little")
    return struct.pack(">BHHB", code, address, len(values), len(packed)) + packed


def read_reply(request: bytes, reply: bytes) -> bytes:
    """The data of a reply to a read. Raises DeviceRefusedError, TransportError (the reply is not one to this read)."""
    check_function(request, reply)
    code, _, count = struct.unpack(">BHH", request)
    size = (count + 7) // 8 if code in (1, 2) else 2 * count
    if len(reply) != size + 2 or reply[1] != size:
        raise TransportError(f"{len(reply) - 2} data bytes, said {reply[1:2].hex() or 'nothing'}, wanted {size}")
    return reply[2:]


def check_write_reply(request: bytes, reply: bytes) -> None:
    """A write is confirmed by its address and its value or count."""
    check_function(request, reply)
    if reply != request[:5]:
        raise TransportError(f"the device confirms another write: {reply.hex()} to {request.hex()}")


def check_function(request: bytes, reply: bytes) -> None:
    code = request[0]
    if len(reply) == 2 and reply[0] == code | 0x80:
        raise DeviceRefusedError(reply[1])
    if not reply or reply[0] != code:
        raise TransportError(f"a reply to function {reply[0] if reply else 'nothing'}, not {code}")
