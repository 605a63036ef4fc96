"""A site with something changed: `fuse.main=250`, for comparisons before copper is bought.

    fuse.COLLECTOR=A            rated_current_a
    power_va.COLLECTOR=VA       power_limit_va
    power_w.COLLECTOR=W         power_limit_w
    reserve.COLLECTOR=A         fixed_reserve_a
    outlet.CONNECTOR=A          max_current_a
    option.NAME=VALUE           options.NAME

The changed file is checked like any other: what would be refused as a file is refused here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from busbar.config.load import SiteError, check_text
from busbar.config.packages import catalogue
from busbar.config.shape import nearest
from busbar.config.site import Site
from busbar.config.text import read_document

_COLLECTOR_FIELDS: Final = {
    "fuse": "rated_current_a",
    "power_va": "power_limit_va",
    "power_w": "power_limit_w",
    "reserve": "fixed_reserve_a",
}
KINDS: Final = (*_COLLECTOR_FIELDS, "outlet", "option")


class WhatIfError(ValueError):
    """A change that cannot be made; the text names the part, the value and the remedy."""


def changed_site(path: Path, changes: Sequence[str]) -> Site:
    """The site of a file with `changes` made. Raises WhatIfError, or SiteError where the result is no valid site."""
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise SiteError(str(path), tuple(document.problems))
    for change in changes:
        _apply(document.data, change)
    source = f"{path} with {', '.join(changes)}"
    checked = check_text(json.dumps(document.data), source, catalogue(path.parent))
    if checked.site is None:
        raise SiteError(source, checked.problems)
    return checked.site


def _apply(data: dict[str, Any], change: str) -> None:
    place, equals, text = change.partition("=")
    kind, dot, name = place.strip().partition(".")
    if not (equals and dot and name):
        raise WhatIfError(f"{change!r}: write KIND.NAME=VALUE, as fuse.grid=250")
    value = _value(change, text.strip())
    if kind in _COLLECTOR_FIELDS:
        _named(change, name, data.get("collectors") or [])[_COLLECTOR_FIELDS[kind]] = value
    elif kind == "outlet":
        _named(change, name, list(_outlets(data)))["max_current_a"] = value
    elif kind == "option":
        data.setdefault("options", {})[name] = value
    else:
        raise WhatIfError(f"{change!r}: {kind!r} cannot be changed; choose from {', '.join(KINDS)}")


def _outlets(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for asset in data.get("assets") or []:
        if isinstance(asset, dict):
            yield from (c for c in asset.get("connectors") or [] if isinstance(c, dict))


def _named(change: str, name: str, entries: Sequence[Any]) -> dict[str, Any]:
    found = {entry.get("id"): entry for entry in entries if isinstance(entry, dict)}
    if name not in found:
        close = nearest(name, [str(known) for known in found])
        hint = (
            f"did you mean {close!r}?" if close else f"there are {', '.join(str(known) for known in found) or 'none'}"
        )
        raise WhatIfError(f"{change!r}: the site has no {name!r}; {hint}")
    entry: dict[str, Any] = found[name]
    return entry


def _value(change: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise WhatIfError(f"{change!r}: {text!r} is no value; write a number, true or false") from None
