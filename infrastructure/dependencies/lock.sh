#!/usr/bin/env bash
# Resolves the locked dependencies anew from pyproject.toml: versions for all supported Pythons, and the hashes of every
# file that each version was published as, for all platforms. No address of an index comes into them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

locks=infrastructure/dependencies/locks
compile() {
    .venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet "$@"
}

.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
compile --upgrade --extra dev pyproject.toml --output-file "$locks/requirements.lock"
for image in collector dagster; do
    compile --extra "$image" --constraint "$locks/requirements.lock" pyproject.toml \
        --output-file "$locks/requirements-$image.lock"
done
# What builds this project, and the one library that is published without a wheel.
printf '%s\n' editables 'hatchling>=1.27' setuptools |
    compile --upgrade --constraint "$locks/requirements.lock" - --output-file "$locks/requirements-build.lock"
# No more of Spark than what the others do not bring.
compile --upgrade --extra spark pyproject.toml | awk '/^[a-z]/ { wanted = /^(pyspark|py4j)==/ } wanted' >"$locks/requirements-spark.lock"
# One file of it is measured beside the page, and nothing that it depends on.
echo plotly | compile --upgrade --no-deps - --output-file "$locks/requirements-page-bench.lock"
