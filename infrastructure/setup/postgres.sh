#!/usr/bin/env bash
# Sees to it that the tests have a PostgreSQL to start: the machine's own, or Debian's when root.
set -euo pipefail

# Debian keeps the server's programs off the PATH.
for candidate in pg_ctl /usr/lib/postgresql/*/bin/pg_ctl; do
    if command -v "$candidate" >/dev/null; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # Debian would start a server of its own; the tests start theirs, on a free port.
    apt-get install -y -qq postgresql-common >/dev/null
    sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    apt-get install -y -qq --no-install-recommends postgresql >/dev/null
else
    echo "The tests need PostgreSQL's server: install it (Debian: apt install postgresql), or put pg_ctl" \
        "on the PATH." >&2
    exit 1
fi
