#!/usr/bin/env bash
# Makes .venv/ with the locked dependencies and this project in it. Safe to repeat.
set -euo pipefail
# shellcheck source=needs.sh
source "${BASH_SOURCE[0]%/*}/needs.sh"

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    need python
    rm -rf .venv
    "$(find_python)" -m venv .venv
fi
echo "Installing the locked dependencies into .venv/ (a minute or two) ..."
locks=infrastructure/dependencies/locks
install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation)
"${install[@]}" --require-hashes -r "$locks/requirements-build.lock"
"${install[@]}" --require-hashes -r "$locks/requirements.lock"
"${install[@]}" --editable .
