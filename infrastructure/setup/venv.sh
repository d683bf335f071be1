#!/usr/bin/env bash
# Makes .venv/ with the locked dependencies and this project in it. Safe to repeat.
set -euo pipefail

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null \
            && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$candidate"
            return
        fi
    done
    echo "ViewerAtlas needs Python 3.11 or newer (set PYTHON=/path/to/python3 to name one)." >&2
    exit 1
}

python=$(find_python)
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    if ! "$python" -m venv .venv 2>/dev/null; then
        # Debian and Ubuntu ship Python without venv.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq
            apt-get install -y -qq python3-venv
            "$python" -m venv --clear .venv
        else
            echo "$python cannot make virtual environments; install its venv package" \
                "(Debian, Ubuntu: apt install python3-venv)." >&2
            exit 1
        fi
    fi
fi
echo "Installing the locked dependencies into .venv/ (a minute or two) ..."
locks=infrastructure/dependencies/locks
install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation)
"${install[@]}" --require-hashes -r "$locks/requirements-build.lock"
"${install[@]}" --require-hashes -r "$locks/requirements.lock"
"${install[@]}" --editable .
