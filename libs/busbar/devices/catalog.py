"""The catalogue of device packages, and the gate through which any package comes in (FC-5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from busbar.devices.package import DevicePackage


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a package, and what to do about it."""

    file: str
    line: int
    path: str
    value: str
    reason: str
    remedy: str


class PackageError(ValueError):
    """A package was refused; `problems` lists every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(
            "\n".join(f"{p.file}:{p.line}: {p.path}: {p.reason} (is: {p.value}); {p.remedy}" for p in problems)
        )
        self.problems = tuple(problems)


def load_package(id_or_path: str, base: Path | None = None) -> DevicePackage:
    """A package of the catalogue by id, or a file ending in .yaml (relative to `base`). Raises PackageError."""
    raise NotImplementedError


def catalog_ids() -> list[str]:
    """Ids of all packages that come with Busbar, sorted."""
    raise NotImplementedError


def package_digest(package: DevicePackage) -> str:
    """`id@version#hash8`; the hash is of the meaning: comments and key order do not count."""
    raise NotImplementedError
