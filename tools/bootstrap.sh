#!/bin/sh
# Makes .venv from a bare python3: the one place that knows how a fresh machine is prepared. Called by the Makefile.
#   tools/bootstrap.sh            Python packages (hash-locked) into .venv
#   tools/bootstrap.sh chromium   also Debian's Chromium, for the browser tests
set -eu
cd "$(dirname "$0")/.."

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1; then sudo "$@"; else return 1; fi; }

apt_install() {
    command -v apt-get >/dev/null 2>&1 || { echo "bootstrap: please install: $* (no apt-get here)" >&2; return 1; }
    echo "bootstrap: installing system packages: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

good_python() { "$1" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))' 2>/dev/null; }

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 && good_python "$candidate" && { echo "$candidate"; return; }
    done
    return 1
}

if [ "${1:-}" = chromium ]; then
    command -v chromium >/dev/null 2>&1 || apt_install chromium
    exit 0
fi

python=$(find_python) || {
    apt_install python3 python3-venv python3-pip
    python=$(find_python) || { echo "bootstrap: Busbar needs Python 3.11 to 3.13; found none. Set PYTHON=/path/to/python3" >&2; exit 1; }
}
if [ ! -x .venv/bin/python ] || ! good_python .venv/bin/python; then
    rm -rf .venv
    "$python" -m venv .venv 2>/dev/null || { rm -rf .venv; apt_install python3-venv; "$python" -m venv .venv; }
fi
echo "bootstrap: installing the locked Python packages into .venv (once, about a minute)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
