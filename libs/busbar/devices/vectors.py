"""Golden vectors of a package, and that it can be planned: tried whenever it is loaded (devices.md 15)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from busbar.devices.codec import Memory, Placed, Reader
from busbar.devices.lint import Finding
from busbar.devices.package import DevicePackage, Vector
from busbar.devices.plan import KINDS, compile_plan, place
from busbar.devices.planner import PlanningError
from busbar.devices.sunspec import ChainError, resolve, walk_image
from busbar.devices.values import Points, Qualities, Value
from busbar.devices.wire import to_bytes


def check_vectors(package: DevicePackage) -> Iterator[Finding]:
    """Findings of packages that lint otherwise passes: plans that cannot be made, vectors that decode differently."""
    if not package.needs_discovery:
        yield from _plans(package)
    for i, vector in enumerate(package.vectors):
        try:
            found = decode_vector(package, vector)
        except ValueError as error:
            yield Finding(("vectors", i), str(error), "correct the vector or the map")
            continue
        for name, expected in vector.expect.items():
            if name not in found:
                yield Finding(("vectors", i, "expect", name), "no such point inside the words", "correct the vector")
            elif not _same(found[name], expected):
                reason = f"the words decode to {found[name]!r}"
                yield Finding(("vectors", i, "expect", name), reason, "one of the two is wrong: check the source")


def _plans(package: DevicePackage) -> Iterator[Finding]:
    """A plan for the first and the last instance: what is wrong with ranges and joining shows there."""
    instances = package.device.instances
    kind = KINDS[package.device.kind][0]
    for instance in sorted({instances.min, instances.max} if instances else {1}):
        try:
            compile_plan(package, unit_id=None, instance=instance, kind=kind)
        except PlanningError as error:
            yield Finding(("points", error.key), str(error), "correct the address, or the ranges")
            return
        except ValueError as error:
            yield Finding(("points",), str(error), "correct points, ranges or transport")
            return


def decode_vector(package: DevicePackage, vector: Vector) -> Mapping[str, Value]:
    """Everything that the vector's words hold, by vocabulary name."""
    end = vector.address + len(vector.words)
    if package.sunspec is not None:
        image = dict(enumerate(vector.words, vector.address))
        try:
            package = resolve(package, walk_image(image, package.sunspec.base))
        except ChainError as error:
            raise ValueError(str(error)) from error
    placed = place(package, package.transport.unit_id, vector.instance)
    inside = [p for p in placed.values() if _inside(p, vector, end)]
    points: Points = {}
    quality: Qualities = {}
    memory = Memory()
    keys = {p.key for p in inside}
    for point in inside:
        if point.point.internal:
            continue
        factor = point.point.scale_point
        if factor is not None and factor not in keys:
            continue
        members = [point] if factor is None else [point, placed[factor]]
        start, stop = min(p.address for p in members), max(p.end for p in members)
        words = vector.words[start - vector.address : stop - vector.address]
        data = bytes(words) if point.table in ("coil", "discrete") else to_bytes(words)
        Reader(start, stop - start, members).decode(data, points, quality, memory)
    return points


def _inside(placed: Placed, vector: Vector, end: int) -> bool:
    return placed.table == vector.table and vector.address <= placed.address and placed.end <= end


def _same(found: Value, expected: Value) -> bool:
    if isinstance(found, float | int) and isinstance(expected, float | int):
        return math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-6)
    return found == expected
