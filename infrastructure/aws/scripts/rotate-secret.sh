#!/usr/bin/env bash
# Stores a secret's new value, and restarts the services that use it. The value comes from standard input or a prompt,
# never from the command line. The first value of a secret is stored the same way.
#
#   infrastructure/aws/scripts/rotate-secret.sh [--dry-run] client_id|client_secret|oauth_token|database_password
#
# database_password is drawn by Terraform: raise database_password_version in terraform.tfvars first. The viewer key
# cannot be changed: no viewer would be recognised again.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
secret=${arguments[0]:-}
[ ${#arguments[@]} -lt 2 ] ||
    die "give one name only. A value given here is now in the shell's history: make a new one at Twitch."
case $secret in
    client_id | client_secret | oauth_token)
        know_variables
        if $dry_run; then
            say "would store $secret and restart the services"
            exit 0
        fi
        ops put-secret "$secret"
        ;;
    database_password)
        know_variables
        initialise
        apply "$(tf output -raw image_tag)"
        ;;
    viewer_key) die "the viewer key cannot be changed: with a different one, no viewer would be recognised again." ;;
    *) die "which secret? See --help." ;;
esac
services=$(ops services)
if [ "$secret" = database_password ]; then
    services=$(grep -x dagster <<<"$services" || true)
fi
if [ -z "$services" ]; then
    say "No service to restart yet."
    exit 0
fi
# shellcheck disable=SC2086 # several words
change ops redeploy $services
wait_until_steady
