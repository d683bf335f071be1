#!/usr/bin/env bash
# Lists what each lock file pins, with its hashes, as CycloneDX JSON: a file for each, in build/sbom or the folder given.
#
#   infrastructure/dependencies/sbom.sh [FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=${1:-build/sbom}
mkdir -p "$folder"
# That the project itself has no graph of dependencies is no news: a lock is a list.
export PYTHONWARNINGS=ignore::UserWarning
for lock in infrastructure/dependencies/locks/*.lock; do
    name=$(basename "$lock" .lock)
    .venv/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
        --no-validate --output-file "$folder/$name.cdx.json" "$lock"
done
bash infrastructure/setup/npm.sh sbom --sbom-format cyclonedx --package-lock-only >"$folder/package-lock.cdx.json"
echo "$folder:"
ls "$folder"
