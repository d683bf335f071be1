#!/usr/bin/env bash
# Sees to it that the tests can build the images without a container engine: buildah, and mmdebstrap for a base image
# where no registry of images can be reached. The machine's own, or Debian's when root.
set -euo pipefail

if command -v buildah >/dev/null && command -v mmdebstrap >/dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends buildah mmdebstrap >/dev/null
else
    echo "The tests of the images need buildah and mmdebstrap: install them (Debian: apt install buildah" \
        "mmdebstrap)." >&2
    exit 1
fi
