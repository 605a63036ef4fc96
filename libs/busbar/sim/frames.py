"""Modbus TCP on the server's side, without sockets: bytes in, requests out; the answer to a request as bytes."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from busbar.devices.transport import DeviceRefusedError, Table
from busbar.sim.devices.base import BUSY, ILLEGAL_FUNCTION, ILLEGAL_VALUE, MAX_WRITE, NoAnswerError, SimDevice

_HEADER: Final = struct.Struct(">HHHB")
_TWO: Final = struct.Struct(">HH")
_MULTIPLE: Final = struct.Struct(">HHB")
HEADER_SIZE: Final = 7
MAX_LENGTH: Final = 254
"""Of unit id and PDU together, the header's length field."""
_READS: Final[dict[int, Table]] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_COIL_VALUES: Final = {0xFF00: 1, 0x0000: 0}


class BrokenStreamError(Exception):
    """The bytes are no Modbus TCP; where the next frame begins is unknown, so the connection must end."""


class Request(NamedTuple):
    transaction: int
    unit: int
    pdu: bytes


def split(buffer: bytearray) -> list[Request]:
    """Take every complete request off the front of `buffer` (one TCP segment may hold several).

    Raises BrokenStreamError on another protocol id or an impossible length.
    """
    requests: list[Request] = []
    while len(buffer) >= HEADER_SIZE:
        transaction, protocol, length, unit = _HEADER.unpack_from(buffer)
        if protocol != 0 or not 2 <= length <= MAX_LENGTH:
            raise BrokenStreamError(f"protocol id {protocol}, length {length}")
        if len(buffer) < 6 + length:
            break
        requests.append(Request(transaction, unit, bytes(buffer[HEADER_SIZE : 6 + length])))
        del buffer[: 6 + length]
    return requests


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def busy(request: Request) -> bytes:
    return bytes((request.pdu[0] | 0x80, BUSY))


def answer(device: SimDevice, request: Request) -> bytes | None:
    """The PDU that the device answers with, an exception included; None where nobody lives at the unit id."""
    function = request.pdu[0]
    try:
        return _serve(device, request.unit, function, request.pdu)
    except DeviceRefusedError as refused:
        return bytes((function | 0x80, refused.code))
    except NoAnswerError:
        return None


def _serve(device: SimDevice, unit: int, function: int, pdu: bytes) -> bytes:
    table = _READS.get(function)
    if table is not None:
        address, count = _fields(_TWO, pdu, exact=True)
        data = device.read(table, unit, address, count)
        return bytes((function, len(data))) + data
    if function not in MAX_WRITE:
        raise DeviceRefusedError(ILLEGAL_FUNCTION)
    if function in (5, 6):
        address, value = _fields(_TWO, pdu, exact=True)
        if function == 5:
            value = _coil(value)
        device.write("coil" if function == 5 else "holding", unit, address, [value], function)
        return pdu
    address, values = _several(function, pdu)
    device.write("coil" if function == 15 else "holding", unit, address, values, function)
    return pdu[:5]


def _fields(layout: struct.Struct, pdu: bytes, exact: bool) -> tuple[int, ...]:
    if len(pdu) < 1 + layout.size or (exact and len(pdu) != 1 + layout.size):
        raise DeviceRefusedError(ILLEGAL_VALUE)
    return layout.unpack_from(pdu, 1)


def _coil(value: int) -> int:
    if value not in _COIL_VALUES:
        raise DeviceRefusedError(ILLEGAL_VALUE)
    return _COIL_VALUES[value]


def _several(function: int, pdu: bytes) -> tuple[int, list[int]]:
    """Address and values of FC15 (bits) and FC16 (registers); counts and sizes must agree."""
    address, count, size = _fields(_MULTIPLE, pdu, exact=False)
    data = pdu[6:]
    expected = (count + 7) // 8 if function == 15 else 2 * count
    if not 1 <= count <= MAX_WRITE[function] or size != expected or len(data) != expected:
        raise DeviceRefusedError(ILLEGAL_VALUE)
    if function == 15:
        return address, [data[index // 8] >> (index % 8) & 1 for index in range(count)]
    return address, list(struct.unpack(f">{count}H", data))
