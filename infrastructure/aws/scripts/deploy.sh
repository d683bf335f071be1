#!/usr/bin/env bash
# Brings a version to AWS: builds and pushes what the registry does not have, applies Terraform, waits.
#
#   [IMAGE_TAG=tag] infrastructure/aws/scripts/deploy.sh [--dry-run]
#
# IMAGE_TAG is the commit's short hash unless it is given. An existing tag is deployed as it is and never built
# again. latest is refused, and so is a tree with changes that no commit holds. PUSH_LATEST may be false only: the
# repositories are immutable. For an empty account, and for all the checks before and after: safe-deploy.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
take_no_arguments
know_tag
know_variables

initialise
missing=$(ops missing-foundations)
[ -z "$missing" ] || die "the account has no registry or no secrets yet: run safe-deploy.sh."
publish_images
apply "$tag"
wait_until_steady
say_deployed
