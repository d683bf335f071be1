#!/usr/bin/env bash
# Builds the images for this machine, with docker, or with buildah where docker does not run.
#
#   [IMAGE_TAG=local] infrastructure/docker/build.sh [collector] [dagster]
#
# The images for AWS are built by infrastructure/aws/scripts/deploy.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if docker info >/dev/null 2>&1; then
    build=(docker build)
elif command -v buildah >/dev/null; then
    # The format with health checks.
    build=(buildah build --format docker --layers)
else
    echo "docker is not running, and buildah is not installed: start docker, or install one of them." >&2
    exit 1
fi
[ $# -gt 0 ] || set -- collector dagster
for image; do
    "${build[@]}" --file "infrastructure/docker/$image.Dockerfile" --tag "vieweratlas-$image:${IMAGE_TAG:-local}" .
done
