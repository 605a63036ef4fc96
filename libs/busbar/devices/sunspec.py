"""SunSpec: walk the model chain of a device and turn bindings into points with addresses and scale factors."""

from __future__ import annotations

from busbar.devices.package import DevicePackage
from busbar.devices.transport import Transport


async def discover(transport: Transport, unit: int, package: DevicePackage) -> DevicePackage:
    """The package with concrete points for this device; a package without `sunspec` comes back as it is.

    Do it once a connect, before `compile_plan`. Raises TransportError, DeviceRefusedError; PackageError where the
    device has no SunSpec chain or lacks a point that is not optional.
    """
    raise NotImplementedError
