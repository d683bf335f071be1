#!/usr/bin/env bash
# Sees to it that the tests of the Spark engine have a Java: the machine's own, or Debian's when root.
set -euo pipefail

oldest=17
java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
version=$("$java" -version 2>&1 | sed -nE 's/.*version "(1\.)?([0-9]+).*/\2/p' || true)
if [ "${version:-0}" -ge "$oldest" ]; then
    exit 0
fi
if [ -z "${JAVA_HOME:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # Debian and Ubuntu differ in the versions they have.
    for package in "openjdk-$oldest-jre-headless" default-jre-headless; do
        if apt-cache show "$package" >/dev/null 2>&1; then
            apt-get install -y -qq --no-install-recommends "$package" >/dev/null
            exit 0
        fi
    done
fi
echo "The tests of the Spark engine need Java $oldest or newer${version:+ ($java is version $version)}: install it" \
    "(Debian: apt install openjdk-$oldest-jre-headless), or set JAVA_HOME." >&2
exit 1
