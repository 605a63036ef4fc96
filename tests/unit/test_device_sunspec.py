"""SunSpec discovery: the chain is walked, never assumed (FC-5, devices.md 4)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pytest

from busbar.devices.catalog import PackageError, load_package, package_digest
from busbar.devices.codec import Memory
from busbar.devices.package import DevicePackage
from busbar.devices.plan import compile_plan
from busbar.devices.sunspec import ChainError, ModelAt, discover, resolve, walk_image
from busbar.devices.transport import DeviceRefusedError, Table, TransportError
from busbar.domain.kinds import AssetKind
from busbar.events.result import Outcome

SUNS = [0x5375, 0x6E53]
END = [0xFFFF, 0]


def chain(*models: list[int], base: int = 40000) -> dict[int, int]:
    """Registers of a device: marker, models (ID and L are put in front), end marker."""
    words = list(SUNS)
    for number, *body in models:
        words += [number, len(body), *body]
    return dict(enumerate([*words, *END], base))


def inverter(w: int = 9980, sf: int = 0) -> list[int]:
    body = [0xFFFF] * 50
    body[12], body[13] = w & 0xFFFF, sf & 0xFFFF
    return [103, *body]


def controls() -> list[int]:
    body = [0] * 24
    body[3], body[21] = 10000, -2 & 0xFFFF
    return [123, *body]


def nameplate() -> list[int]:
    body = [0xFFFF] * 26
    body[1], body[2] = 2000, 1
    return [120, *body]


def der() -> list[int]:
    body = [0xFFFF] * 153
    body[8], body[114] = 500, 1
    body[17:21] = [0, 0, 1, 0]
    body[118] = 0
    return [701, *body]


COMMON = [1, *[0x4142] * 16, *[0x4344] * 16, *[0] * 34]


class ImageDevice:
    """A device whose registers are an image; a read that leaves it is refused. A true `Transport`."""

    def __init__(self, image: dict[int, int], code: int = 2) -> None:
        self.image, self.code = image, code
        self.reads: list[tuple[int, int, int]] = []

    @property
    def connected(self) -> bool:
        return True

    async def connect(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
        assert table == "holding"
        self.reads.append((unit, address, count))
        if any(a not in self.image for a in range(address, address + count)):
            raise DeviceRefusedError(self.code)
        return struct.pack(f">{count}H", *(self.image[a] for a in range(address, address + count)))

    async def write(self, table: Table, unit: int, address: int, values: Sequence[int], fc: int | None = None) -> None:
        raise AssertionError("discovery never writes")


def package() -> DevicePackage:
    return load_package("sunspec-pv-inverter")


def bases() -> list[int]:
    sunspec = package().sunspec
    assert sunspec is not None
    return sunspec.base


@pytest.mark.parametrize("base", [40000, 50000, 0])
async def test_the_chain_is_found_at_each_base_address(base: int) -> None:
    device = ImageDevice(chain(COMMON, inverter(), base=base))
    found = await discover(device, 126, package())
    assert found.points["power"].address == base + 2 + 68 + 14
    assert {unit for unit, _, _ in device.reads} == {126}


async def test_what_was_discovered_decodes_in_one_fast_read_a_model() -> None:
    image = chain(COMMON, inverter(-1250 & 0xFFFF, 1), nameplate(), controls())
    found = await discover(ImageDevice(image), 1, package())
    plan = compile_plan(found, unit_id=None, instance=1, kind=AssetKind.PV)
    measured, limit = plan.fast.blocks
    points: dict[str, float | str | None] = {}
    memory = Memory()
    for group in plan.groups.values():
        for b in group.blocks:
            data = struct.pack(f">{b.count}H", *(image[a] for a in range(b.address, b.address + b.count)))
            b.decode(data, points, {}, memory)
    assert (points["power_w"], points["rated_power_w"], points["power_limit_percent"]) == (12500, 20000, 100)
    assert (points["manufacturer"], points["voltage_l1_v"], points["energy_export_wh"]) == ("AB" * 16, None, None)
    assert memory.exponents["sf_123_wmaxlimpct_sf"] == -2
    assert points["setpoint_power_w"] == -20_000
    assert (measured.count <= 52, limit.count <= 26) == (True, True)


async def test_a_limit_in_w_is_written_as_the_device_s_share_of_its_rating_then_enabled() -> None:
    found = await discover(ImageDevice(chain(COMMON, inverter(), nameplate(), controls())), 1, package())
    plan = compile_plan(found, unit_id=None, instance=1, kind=AssetKind.PV)
    model = 40000 + 2 + 68 + 52 + 28
    assert plan.command("set_power").whole == "power_max_w"
    prepared = plan.command("set_power").prepare(-12_345.0, exponents={"sf_123_wmaxlimpct_sf": -2}, whole=20_000.0)
    assert [(w.address - model, w.words) for w in prepared.writes] == [(5, (6172,)), (9, (1,))]
    assert prepared.sent == pytest.approx(-12_344.0)
    assert plan.command("set_power").prepare(-9_000.0, whole=20_000.0).outcome_hint is Outcome.REFUSED
    assert plan.watchdog is not None
    setup = plan.watchdog.configure(fallback=0.0, timeout_s=60.0)
    assert [(w.address - model, w.words) for w in setup.writes] == [(7, (60,))]


def der_controls() -> list[int]:
    """704 with scale factors of -2 for both percentages."""
    body = [0] * 65
    body[52], body[56] = -2 & 0xFFFF, -2 & 0xFFFF
    return [704, *body]


@pytest.mark.parametrize(
    ("model", "factor", "writes"),
    [
        (controls, "sf_123_varpct_sf",    [(19, (60,)), (21, (1,)), (15, (0x10000 - 2500,)), (22, (1,))]),
        (der_controls, "sf_704_varsetpct_sf", [(45, (0, 60)), (36, (0,)), (42, (0x10000 - 2500,)), (35, (1,))]),
    ],
    ids=["123", "704"],
)  # fmt: skip
async def test_reactive_power_is_written_as_each_model_numbers_its_modes(
    model: Callable[[], list[int]], factor: str, writes: list[tuple[int, tuple[int, ...]]]
) -> None:
    found = await discover(ImageDevice(chain(COMMON, inverter(), nameplate(), model())), 1, package())
    plan = compile_plan(found, unit_id=None, instance=1, kind=AssetKind.PV)
    start = 40000 + 2 + 68 + 52 + 28
    prepared = plan.command("set_reactive_power").prepare(5_000.0, exponents={factor: -2}, whole=20_000.0)
    assert [(w.address - start, w.words) for w in prepared.writes] == writes
    assert prepared.sent == 5_000.0


async def test_an_inverter_without_controls_cannot_be_limited() -> None:
    found = await discover(ImageDevice(chain(COMMON, inverter())), 1, package())
    assert dict(found.commands) == {}
    assert found.watchdog is None


async def test_the_der_model_is_preferred_and_is_one_read() -> None:
    image = chain(COMMON, inverter(1), der())
    found = await discover(ImageDevice(image), 1, package())
    plan = compile_plan(found, unit_id=None, instance=1, kind=AssetKind.PV)
    points: dict[str, float | str | None] = {}
    for b in plan.fast.blocks:
        data = struct.pack(f">{b.count}H", *(image[a] for a in range(b.address, b.address + b.count)))
        b.decode(data, points, {}, Memory())
    assert (points["power_w"], points["energy_export_wh"]) == (-5000, 65536)


async def test_a_float_inverter_is_understood() -> None:
    floats = [float("nan")] * 24
    floats[10], floats[12] = 4321.5, 5000.0
    body = list(struct.unpack(">48H", struct.pack(">24f", *floats)))
    image = chain(COMMON, [113, *body, *[0] * 12])
    found = await discover(ImageDevice(image), 1, package())
    (block,) = compile_plan(found, unit_id=None, instance=1, kind=AssetKind.PV).fast.blocks
    points: dict[str, float | str | None] = {}
    data = struct.pack(f">{block.count}H", *(image[a] for a in range(block.address, block.address + block.count)))
    block.decode(data, points, {}, Memory())
    assert (points["power_w"], points["apparent_power_va"], points["frequency_hz"]) == (-4321.5, 5000.0, None)


async def test_the_digest_stays_that_of_the_catalogue() -> None:
    found = await discover(ImageDevice(chain(COMMON, inverter())), 1, package())
    assert package_digest(found) == package_digest(package())
    assert not found.needs_discovery


async def test_a_package_without_sunspec_is_not_touched() -> None:
    meter = load_package("eastron-sdm630")
    device = ImageDevice({})
    assert await discover(device, 1, meter) is meter
    assert device.reads == []


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ({}, "no SunSpec marker at 40000, 50000, 0"),
        (dict(enumerate([1, 2, 3, 4], 40000)), "no SunSpec marker"),
        (dict(enumerate([*SUNS, *END], 40000)), "no model behind it"),
        (chain(COMMON), "no power"),
        (chain(COMMON, [103, 1, 2, 3]), "no power"),
        (dict(enumerate([*SUNS, *[7, 0] * 100], 40000)), "does not end"),
    ],
)
async def test_a_device_that_is_no_sunspec_inverter_is_refused_in_words(image: dict[int, int], says: str) -> None:
    with pytest.raises(PackageError, match=says):
        await discover(ImageDevice(image), 1, package())


async def test_a_busy_device_is_not_taken_for_one_without_sunspec() -> None:
    with pytest.raises(DeviceRefusedError):
        await discover(ImageDevice({}, code=6), 1, package())


async def test_a_lost_connection_is_passed_on() -> None:
    class Lost(ImageDevice):
        async def read(self, table: Table, unit: int, address: int, count: int) -> bytes:
            raise TransportError("gone")

    with pytest.raises(TransportError):
        await discover(Lost({}), 1, package())


def test_unknown_models_are_walked_over_and_a_missing_end_ends_the_chain() -> None:
    image = chain(COMMON, [64999, 1, 2, 3], inverter())
    walked = walk_image(image, bases())
    assert [m.id for m in walked] == [1, 64999, 103]
    assert walked[2] == ModelAt(103, 40000 + 2 + 68 + 5, 50)
    del image[max(image)], image[max(image) - 1]
    assert walk_image(image, bases()) == walked


def test_a_common_model_of_65_registers_shifts_what_follows() -> None:
    """SolarEdge: its inverter model stands at 40069."""
    found = resolve(package(), walk_image(chain(COMMON[:-1], inverter()), bases()))
    assert found.points["power"].address == 40069 + 14


def test_the_first_of_two_equal_models_counts() -> None:
    found = resolve(package(), walk_image(chain(COMMON, inverter(1), inverter(2)), bases()))
    assert found.points["power"].address == 40070 + 14


def test_an_image_without_a_chain_is_refused() -> None:
    with pytest.raises(ChainError):
        walk_image({0: 1}, bases())
