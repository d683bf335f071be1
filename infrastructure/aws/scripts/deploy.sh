#!/usr/bin/env bash
# Brings a version to AWS: builds and pushes missing images, applies Terraform, waits.
#
#   [IMAGE_TAG=tag] infrastructure/aws/scripts/deploy.sh [--dry-run]
#
# IMAGE_TAG is the commit's short hash unless it is given. An existing tag is deployed as it is and never built
# again. latest is refused, and so is a tree with uncommitted changes. PUSH_LATEST may only be false: the
# repositories are immutable. For an empty account, and for all the checks before and after: safe-deploy.sh.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
take_no_arguments
know_tag
know_variables

initialise
missing=$(ops missing-foundations)
[ -z "$missing" ] || die "the account lacks the registry or the secrets: run safe-deploy.sh."
publish_images
apply "$tag"
wait_until_steady
say_deployed
