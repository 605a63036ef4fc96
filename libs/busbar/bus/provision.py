"""What a broker must have before services use it: its configuration file and its streams. Idempotent.

A memory stream is gone after every restart of nats-server: whoever starts the server provisions again.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from busbar.bus.nats import NatsBus
from busbar.bus.streams import streams
from busbar.clock import SystemClock

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What was done, by stream name."""

    created: tuple[str, ...]
    changed: tuple[str, ...]
    found: tuple[str, ...]


async def provision(url: str, site: str, timeout_s: float = 10.0) -> Provisioned:
    """Create and correct all streams of the site. Raises BusError naming the stream, NotConnectedError."""
    bus = await NatsBus.connect(url, site, "provision", SystemClock(), timeout_s)
    try:
        done: dict[str, list[str]] = {"created": [], "changed": [], "found": []}
        for spec in streams(site):
            done[await bus.ensure_stream(spec)].append(spec.name)
    finally:
        await bus.close()
    return Provisioned(tuple(done["created"]), tuple(done["changed"]), tuple(done["found"]))


def nats_server_path() -> Path | None:
    """The nats-server beside this Python (extra `embedded`), else the one on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server")
    return Path(found) if found else None


def server_config(site: str, port: int, store_dir: Path | None, host: str = LOOPBACK) -> str:
    """The nats-server configuration of an embedded broker (messaging.md, The outbox, nats-py).

    `store_dir` None starts it without JetStream: control goes on where the disk is full (failure.md).
    """
    jetstream = ""
    if store_dir is not None:
        # sync_interval: the default of two minutes loses acknowledged reports in a power cut
        jetstream = (
            "jetstream {\n"
            f"  store_dir: {_quoted(str(store_dir))}\n"
            f"  domain: {_quoted(site)}\n"
            "  sync_interval: always\n"
            "  max_mem: 64MB\n"
            "  max_file: 1GB\n"
            "}\n"
        )
    return (
        f"# written by busbar for site {site}; changes are lost\n"
        f"server_name: {_quoted(site)}\n"
        f"host: {_quoted(host)}\n"
        f"port: {port}\n"
        "write_deadline: 2s\n"
        "max_pending: 8MB\n"
        # nats-py takes the second form of acknowledge subjects for a broken stream and closes the connection
        "feature_flags { js_ack_fc_v2: false }\n"
        f"{jetstream}"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
