"""Texts of devices: padding off, badges normalised (devices.md 6). Empty is null."""

from __future__ import annotations

from typing import Final

_SEPARATORS: Final = str.maketrans("", "", " :-._")
_HEX: Final = frozenset("0123456789ABCDEF")
_UID_BYTES: Final = (4, 7, 10)
"""Lengths of an ISO 14443 badge number."""


def clean_text(raw: bytes, encoding: str) -> tuple[str | None, bool]:
    """(text or None where empty, readable). Everything after the first NUL is padding."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return None, False
    text = text.split("\0", 1)[0].strip()
    if not text:
        return None, True
    return (text, True) if text.isprintable() else (None, False)


def clean_hex(raw: bytes) -> str | None:
    """Bytes as upper-case hex; all zero is null."""
    return raw.hex().upper() if any(raw) else None


def badge(text: str | None) -> str | None:
    """Badge number as upper-case hex without separators; a text that is no hex stays a text in upper case.

    Zeros that only pad a fixed field are cut back to the next length that a badge can have, so that a badge number
    ending in 00 keeps it.
    """
    if text is None:
        return None
    plain = text.translate(_SEPARATORS).upper()
    if not plain or not _HEX.issuperset(plain):
        return text.strip().upper() or None
    significant = plain.rstrip("0")
    if not significant:
        return None
    needed = (len(significant) + 1) // 2
    size = next((n for n in _UID_BYTES if n >= needed), 0)
    return plain[: 2 * size] if size and len(plain) > 2 * size else plain
