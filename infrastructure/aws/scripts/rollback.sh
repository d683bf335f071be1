#!/usr/bin/env bash
# Goes back to a version that is in the registry. Nothing is built; services, and the runs that they launch, get the
# old images.
#
#   IMAGE_TAG=known-good infrastructure/aws/scripts/rollback.sh [--dry-run]
#
# Terraform's files and variables are those of this tree: only the images go back.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
take_no_arguments
know_variables
tag=${IMAGE_TAG:-}
initialise
missing=$(ops missing-images "${tag:-latest}")
if [ -z "$tag" ] || [ -n "$missing" ]; then
    say "IMAGE_TAG=$tag: a rollback needs a tag that both repositories have. Such tags, newest first:"
    ops known-tags | head -10 | sed 's/^/  /' >&2
    exit 1
fi
apply "$tag"
wait_until_steady
smoke_test --wait 10
say_deployed
