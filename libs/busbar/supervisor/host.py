"""What the machine must give before anything is started: free ports, a data directory of one's own, disk space."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

LOW_DISK_BYTES: Final = 100 * 1024 * 1024
_LISTEN: Final = "0A"


class HostError(Exception):
    """The machine lacks something; the text names the remedy."""


class PortTakenError(HostError):
    """Somebody listens there already."""


class AlreadyRunningError(HostError):
    """Another `busbar up` uses this data directory."""


def check_port(port: int, what: str, option: str, host: str = "127.0.0.1") -> None:
    """Raises PortTakenError naming the holder where it can be seen, and the remedy."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise HostError(f"port {port} for {what} needs root: choose one above 1023 with {option}") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise HostError(f"port {port} for {what} cannot be used: {error.strerror}") from None
            holder = port_holder(port, host)
            by = f" by {holder}" if holder else ""
            raise PortTakenError(
                f"port {port} for {what} is taken{by}: stop that, or choose another with {option}"
            ) from None


def check_addresses(devices: Mapping[str, tuple[str, int]]) -> None:
    """Simulated devices by id: raises PortTakenError where somebody else plays them already, or the drivers would
    command that one's devices. Whatever else may be wrong with an address is for the twin to say."""
    taken, holders = [], set[str]()
    for name, (host, port) in devices.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    taken.append(f"{name} ({host}:{port})")
                    holders.add(port_holder(port, host) or "")
    if taken:
        by = " and ".join(sorted(holders - {""}))
        raise PortTakenError(
            f"the address of simulated device{'s' if len(taken) > 1 else ''} {', '.join(taken)} is taken"
            f"{f' by {by}' if by else ''}: stop that (another `busbar up` or `busbar twin`?), or choose another host "
            "or port in the site file"
        )


def port_holder(port: int, host: str = "127.0.0.1") -> str | None:
    """`name (pid N)` of the process that listens on a TCP port of the host; None where it may not be seen."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port, host)}
    for process in sorted(Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError):
            for entry in (process / "fd").iterdir():
                if str(entry.readlink()) in wanted:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _listening_inodes(port: int, host: str) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                address, _, number = fields[1].rpartition(":")
                if fields[3] == _LISTEN and int(number, 16) == port and _listens_for(address, host):
                    yield fields[9]


def _listens_for(address: str, host: str) -> bool:
    """`address` as /proc has it: hex in the machine's order; longer ones (IPv6) and the wildcard are for everybody."""
    own = host if host[:1].isdigit() else "127.0.0.1"
    return len(address) > 8 or address in ("00000000", f"{int.from_bytes(socket.inet_aton(own), sys.byteorder):08X}")


@contextlib.contextmanager
def lock_data_dir(path: Path) -> Iterator[None]:
    """Hold the data directory for this process, creating it. Raises AlreadyRunningError with the other's pid.

    The lock is on the directory itself: it needs no free disk, and ends with the process, however that ends.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise HostError(f"data directory {path} cannot be used: {error.strerror}; choose one with --data-dir") from None
    note = path / "busbar.pid"
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(
                f"another `busbar up`{_holder(note)} uses {path}: stop it, or choose another --data-dir"
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds without the note
            note.write_text(f"{os.getpid()}\n")
        yield
        with contextlib.suppress(OSError):
            note.unlink()
    finally:
        os.close(descriptor)


def _holder(note: Path) -> str:
    try:
        pid = note.read_text().strip()
    except OSError:
        return ""
    return f" (pid {pid})" if pid else ""


def low_disk(path: Path) -> str | None:
    """A warning with the remedy when the data directory's disk is nearly full, else None."""
    try:
        free = shutil.disk_usage(path).free
    except OSError as error:
        return f"the disk of {path} cannot be read: {error.strerror}"
    if free >= LOW_DISK_BYTES:
        return None
    return (
        f"the disk of {path} is nearly full ({free // 1_000_000} MB free): reports and state may be lost, "
        f"control goes on; make room"
    )
