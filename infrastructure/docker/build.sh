#!/usr/bin/env bash
# Builds the images for this machine, with docker, or buildah where no docker runs.
#
#   [IMAGE_TAG=local] infrastructure/docker/build.sh [collector] [dagster]
#
# Belongs here: local images. Does not belong here: those that go to AWS (infrastructure/aws/scripts/deploy.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if docker info >/dev/null 2>&1; then
    build=(docker build)
elif command -v buildah >/dev/null; then
    # The format that knows health checks.
    build=(buildah build --format docker --layers)
else
    echo "No docker runs here, and there is no buildah: start docker, or install one of them." >&2
    exit 1
fi
[ $# -gt 0 ] || set -- collector dagster
for image; do
    "${build[@]}" --file "infrastructure/docker/$image.Dockerfile" --tag "vieweratlas-$image:${IMAGE_TAG:-local}" .
done
