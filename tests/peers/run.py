"""Run one client script in its own environment, against a device served by the test."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from peers.install import HERE, python_of

PATIENCE_S = 60.0


class ClientFailedError(AssertionError):
    """The client ended with an error; its words are the message."""


async def run_client(name: str, host: str, port: int, action: str) -> Any:
    """What `client_<name>.py` printed as JSON for `action`. Without this environment's variables."""
    python = await asyncio.to_thread(python_of, name)
    script: Path = HERE / f"client_{name}.py"
    process = await asyncio.create_subprocess_exec(
        str(python),
        "-I",
        str(script),
        host,
        str(port),
        action,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ClientFailedError(f"{script.name} {action}:\n{err.decode()}")
    return json.loads(out)
