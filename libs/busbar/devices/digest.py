"""Name of a package in events: `id@version#hash8`."""

from __future__ import annotations

import hashlib

import orjson

from busbar.devices.package import DevicePackage


def package_digest(package: DevicePackage) -> str:
    """`id@version#hash8`; the hash is of the meaning: comments, key order and defaults left out do not count. A package
    resolved on a device (SunSpec) keeps the digest that it had in the catalogue.
    """
    if package._digest:
        return package._digest
    canonical = orjson.dumps(package.model_dump(mode="json", by_alias=True), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical).hexdigest()[:8]
    return f"{package.package.id}@{package.package.version}#{digest}"
