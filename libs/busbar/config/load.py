"""Loading a site file (SC-1)."""

from __future__ import annotations

from pathlib import Path

import yaml

from busbar.config.model import SiteFile
from busbar.config.problem import SiteError, error
from busbar.config.site import Site, compile_site

__all__ = ["SiteError", "load_site"]


def load_site(path: Path) -> Site:
    """Read, check and compile a site file. Raises SiteError with everything that is wrong with it."""
    try:
        return compile_site(SiteFile.model_validate(yaml.safe_load(path.read_text("utf-8"))))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise SiteError(path, [error("invalid", "", str(exc), "see the guide on site files")]) from exc
