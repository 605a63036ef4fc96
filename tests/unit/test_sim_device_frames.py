"""The server's side of Modbus TCP without sockets: exact bytes, and nothing malformed ever comes out."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.devices.transport import DeviceRefusedError, Table
from busbar.sim.devices import AlfenStation, CharxController, Sdm630, SimDevice, SunSpecInverter
from busbar.sim.devices.base import NoAnswerError, Segment
from busbar.sim.faults import Faults
from busbar.sim.frames import BrokenStreamError, Request, answer, frame, split
from busbar.sim.plant import EvsePort, MeterPort, PvPort


class Relay(SimDevice):
    """Ten coils, and the same bits as discrete inputs (no package has one yet; the server must)."""

    function_codes = frozenset({1, 2, 3, 5, 6, 15})

    def __init__(self) -> None:
        super().__init__("relay")
        self.bits = bytearray(10)
        for table in ("coil", "discrete"):
            self.lay_out(table, 1, [Segment(0, 10, lambda: bytes(self.bits))])

    def write_coils(self, unit: int, address: int, values: object) -> None:
        assert isinstance(values, list)
        if address + len(values) > len(self.bits):
            raise DeviceRefusedError(2)
        self.bits[address : address + len(values)] = bytes(values)


def devices() -> list[SimDevice]:
    return [
        CharxController("charx", {1: EvsePort("a", plugged=True), 2: EvsePort("b")}),
        AlfenStation("alfen", {1: EvsePort("a"), 2: EvsePort("b")}),
        Sdm630("sdm", MeterPort("m")),
        SunSpecInverter("pv", PvPort("pv")),
        Relay(),
    ]


def ask(device: SimDevice, hex_bytes: str) -> str | None:
    buffer = bytearray.fromhex(hex_bytes)
    (request,) = split(buffer)
    assert not buffer
    pdu = answer(device, request)
    return None if pdu is None else frame(request.transaction, request.unit, pdu).hex(" ")


def charx() -> CharxController:
    device = CharxController("charx", {1: EvsePort("a", plugged=True, wants_current=True)})
    device.step(0.0)
    return device


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        # x299 status "C2" = 0x4332
        ("0001 0000 0006 01 03 0513 0001",         "00 01 00 00 00 05 01 03 02 43 32"),
        ("0002 0000 0006 01 06 0515 0010",         "00 02 00 00 00 06 01 06 05 15 00 10"),
        ("0003 0000 0009 01 10 0515 0001 02 0010", "00 03 00 00 00 06 01 10 05 15 00 01"),
        ("0004 0000 0006 01 03 0001 0001",         "00 04 00 00 00 03 01 83 02"),
        ("0005 0000 0006 01 03 04D0 007E",         "00 05 00 00 00 03 01 83 03"),
        ("0006 0000 0006 01 04 0513 0001",         "00 06 00 00 00 03 01 84 01"),
        ("0007 0000 0002 01 2B",                   "00 07 00 00 00 03 01 ab 01"),
        ("0008 0000 0003 01 03 05",                "00 08 00 00 00 03 01 83 03"),
        ("0009 0000 0009 01 10 0515 0002 02 0010", "00 09 00 00 00 03 01 90 03"),
        ("000A 0000 0006 02 03 0513 0001",         None),
    ],
)  # fmt: skip
def test_charx_on_the_wire(sent: str, received: str | None) -> None:
    assert ask(charx(), sent) == received


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("0001 0000 0006 01 05 0002 FF00", "00 01 00 00 00 06 01 05 00 02 ff 00"),
        ("0001 0000 0006 01 05 0002 1234", "00 01 00 00 00 03 01 85 03"),
        ("0001 0000 0006 01 05 000A FF00", "00 01 00 00 00 03 01 85 02"),
    ],
)
def test_coils_on_the_wire(sent: str, received: str) -> None:
    assert ask(Relay(), sent) == received


def test_ten_coils_written_at_once_are_read_back_low_bit_first() -> None:
    device = Relay()
    assert ask(device, "0001 0000 0009 01 0F 0000 000A 02 0503") == "00 01 00 00 00 06 01 0f 00 00 00 0a"
    assert list(device.bits) == [1, 0, 1, 0, 0, 0, 0, 0, 1, 1]
    assert ask(device, "0002 0000 0006 01 01 0000 000A") == "00 02 00 00 00 05 01 01 02 05 03"
    assert ask(device, "0003 0000 0006 01 02 0008 0002") == "00 03 00 00 00 04 01 02 01 03"


def test_several_requests_in_one_segment_and_one_request_in_several() -> None:
    request = bytes.fromhex("0001 0000 0006 01 03 0513 0001")
    buffer = bytearray(request * 3 + request[:5])
    assert len(split(buffer)) == 3
    assert buffer == request[:5]
    buffer += request[5:]
    assert split(buffer) == [Request(1, 1, bytes.fromhex("03 0513 0001"))]


@pytest.mark.parametrize(
    "garbage", ["0001 0001 0006 01 03", "0001 0000 0001 01", "0001 0000 00FF 01", "474554202F0A0D0A"]
)
def test_bytes_that_are_no_modbus_end_the_connection(garbage: str) -> None:
    with pytest.raises(BrokenStreamError):
        split(bytearray.fromhex(garbage))


def well_formed(request: Request, pdu: bytes) -> bool:
    function = request.pdu[0]
    if pdu[0] == function | 0x80 and function < 0x80:
        return len(pdu) == 2 and pdu[1] in (1, 2, 3, 4)
    if pdu[0] == function | 0x80:  # a request code above 0x80 can only be refused
        return len(pdu) == 2
    if function in (3, 4):
        return len(pdu) == 2 + pdu[1] and pdu[1] == 2 * struct.unpack(">H", request.pdu[3:5])[0]
    if function in (1, 2):
        return len(pdu) == 2 + pdu[1] and pdu[1] == (struct.unpack(">H", request.pdu[3:5])[0] + 7) // 8
    return function in (5, 6, 15, 16) and pdu == request.pdu[:5]


ADDRESSES = st.one_of(
    st.integers(0, 0xFFFF),
    st.sampled_from([0, 1, 100, 300, 306, 1099, 1100, 1200, 1210, 1215, 1232, 1300, 1308, 2301, 40000, 40070, 40232]),
)
PDUS = st.one_of(
    st.binary(min_size=1, max_size=253),
    st.builds(lambda f, a, c: struct.pack(">BHH", f, a, c), st.integers(1, 6), ADDRESSES, st.integers(0, 200)),
    st.builds(
        lambda f, a, words: struct.pack(f">BHHB{len(words)}H", f, a, len(words), 2 * len(words), *words),
        st.sampled_from([15, 16]),
        ADDRESSES,
        st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=10),
    ),
)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 200, 255]), PDUS), max_size=12), st.booleans())
def test_no_request_makes_a_device_crash_or_answer_malformed(requests: list[tuple[int, bytes]], faulty: bool) -> None:
    for device in devices():
        if faulty:
            device.faults = Faults(garbage_every=2, half_word_every=3, ignore_writes=True)
        for number, (unit, pdu) in enumerate(requests):
            device.step(float(number))
            request = Request(number, unit, pdu)
            reply = answer(device, request)
            assert reply is None or well_formed(request, reply), (device.id, pdu.hex(), reply)


@given(st.binary(max_size=600))
def test_any_bytes_either_split_into_requests_or_break_the_stream(data: bytes) -> None:
    buffer = bytearray(data)
    try:
        requests = split(buffer)
    except BrokenStreamError:
        return
    used = sum(6 + 1 + len(request.pdu) for request in requests)
    assert used + len(buffer) == len(data)
    assert len(buffer) < 260
    assert all(request.pdu for request in requests)


TABLES: list[Table] = ["holding", "input"]
SILENT = -1


def outcome(device: SimDevice, table: Table, unit: int, address: int, count: int) -> tuple[int, int]:
    """(0, bytes read), (exception code, 0) or silence."""
    try:
        return 0, len(device.read(table, unit, address, count))
    except DeviceRefusedError as refused:
        return refused.code, 0
    except NoAnswerError:
        return SILENT, 0


@given(st.sampled_from(TABLES), st.sampled_from([1, 2, 200, 9]), ADDRESSES, st.integers(-1, 140))
def test_a_read_gives_exactly_its_registers_or_the_right_exception(
    table: Table, unit: int, address: int, count: int
) -> None:
    units = {"charx": {1}, "alfen": {1, 2, 200}, "sdm": {1}, "pv": {1}, "relay": {1}}
    input_tables = {"sdm"}
    for device in devices():
        code, size = outcome(device, table, unit, address, count)
        if unit not in units[device.id]:
            assert code == SILENT
        elif table == "input" and device.id not in input_tables:
            assert code == 1
        elif not 1 <= count <= 125:
            assert code == 3
        else:
            assert (code, size) in ((0, 2 * count), (2, 0))


@given(ADDRESSES, st.integers(1, 60))
def test_a_block_reads_the_same_as_its_registers_one_by_one(address: int, count: int) -> None:
    for device in (devices()[0], devices()[3]):
        try:
            block = device.read("holding", 1, address, count)
        except DeviceRefusedError:
            continue
        assert block == b"".join(device.read("holding", 1, address + index, 1) for index in range(count))
