"""Environments of the independent clients: `.venv-peers/<name>` in the repository, from `tests/peers/<name>.txt`.

They are test tools only: other pins and licences than the product's, so never in its own environment. Requirements are
locked by hash. What cannot be installed raises `InstallError` with pip's words: a peer test fails loudly, it never
skips. `python tests/peers/install.py` installs all of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1] / ".venv-peers"
NAMES: Final = tuple(sorted(file.stem for file in HERE.glob("*.txt")))


class InstallError(RuntimeError):
    """An environment could not be made."""


def python_of(name: str) -> Path:
    """The interpreter of a client's environment, made first where it is missing or out of date."""
    requirements = HERE / f"{name}.txt"
    home = ROOT / name
    stamp = home / "installed"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    ROOT.mkdir(exist_ok=True)
    with (ROOT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(home, ignore_errors=True)
            venv.create(home, with_pip=True)
            _install(name, home, requirements)
            stamp.write_text(wanted)
    return home / "bin" / "python"


def _install(name: str, home: Path, requirements: Path) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
    done = subprocess.run(
        [home / "bin" / "python", "-m", "pip", "install", *options, "-r", requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(home, ignore_errors=True)
        raise InstallError(f"peer '{name}' ({requirements.name}) could not be installed:\n{done.stderr or done.stdout}")


if __name__ == "__main__":
    for each in NAMES:
        print(each, python_of(each))
