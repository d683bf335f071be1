#!/usr/bin/env bash
# Sees to it that the browser tests have a Chromium: $CHROMIUM, the system's, or Debian's when root.
set -euo pipefail

for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
else
    echo "The browser tests need Chromium: install it (Debian: apt install chromium) or set CHROMIUM." >&2
    exit 1
fi
