#!/usr/bin/env bash
# Brings a version to AWS with every check before and after, also to an empty account. It asks nothing, and can be
# run again wherever it stopped.
#
#   [IMAGE_TAG=tag] infrastructure/aws/scripts/safe-deploy.sh [--dry-run] [--no-email] [--smoke-minutes 20]
#
# Before: tools, credentials, a clean tree, a mailbox for alarms and the budget, Twitch's secrets, a plan that loses no
# data. After: the services run this version, and the smoke test passes within --smoke-minutes.
#
# --no-email      deploy although alarms reach no mailbox
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
email_wanted=true smoke_minutes=20
set -- "${arguments[@]}"
while [ $# -gt 0 ]; do
    case $1 in
        --no-email) email_wanted=false ;;
        --smoke-minutes)
            smoke_minutes=${2:?--smoke-minutes needs a number}
            shift
            ;;
        *) die "$1 is not understood; see --help." ;;
    esac
    shift
done
know_tag
know_variables

say "Deploying $name, version $tag"
ops account
know_builder
initialise
if $email_wanted && [ -z "$alert_email" ]; then
    die "alarms would reach no mailbox: set alert_email in $module/terraform.tfvars, or give --no-email."
fi
[ "$budget" != 0 ] || say "Without a budget (monthly_budget_usd = 0), costs raise no alarm."

# Images and secrets must exist before anything can start.
missing=$(ops missing-foundations)
if [ -n "$missing" ]; then
    say "The registry and the secrets come first."
    apply "$tag" -target=aws_ecr_repository.image -target=aws_ecr_lifecycle_policy.image \
        -target=aws_secretsmanager_secret.twitch
fi
# shellcheck disable=SC2086 # several words
missing=$(ops secrets-without-value $twitch_secrets)
if [ -n "$missing" ] && ! $dry_run; then
    say "These secrets have no value yet; store each, and run this again:"
    for secret in $missing; do
        say "  infrastructure/aws/scripts/rotate-secret.sh $secret"
    done
    exit 1
fi

publish_images
apply "$tag"
wait_until_steady
if ! smoke_test --wait "$smoke_minutes"; then
    say "$tag is deployed, but the smoke test fails. See docs/RUNBOOK.md, On AWS."
    for known in $(ops known-tags | grep -vx "$tag" | head -3); do
        say "To go back: IMAGE_TAG=$known infrastructure/aws/scripts/rollback.sh"
    done
    exit 1
fi
say_deployed
