#!/usr/bin/env bash
# Stores a secret's new value, and starts what uses it anew. The value comes from standard input or a prompt, never
# from the command line. The first value of a secret is stored the same way.
#
#   infrastructure/aws/scripts/rotate-secret.sh [--dry-run] client_id|client_secret|oauth_token|database_password
#
# database_password is drawn by Terraform: raise database_password_version in terraform.tfvars first. The viewer key
# cannot be changed: no viewer would be recognised any more.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
secret=${arguments[0]:-}
[ ${#arguments[@]} -lt 2 ] ||
    die "one name and no more. A value given here is in the shell's history now: make a new one at Twitch."
case $secret in
    client_id | client_secret | oauth_token)
        know_variables
        if $dry_run; then
            say "would store $secret and start the services anew"
            exit 0
        fi
        ops put-secret "$secret"
        ;;
    database_password)
        know_variables
        initialise
        apply "$(tf output -raw image_tag)"
        ;;
    viewer_key) die "the viewer key stays: with another one, no viewer would be recognised any more." ;;
    *) die "which secret? See --help." ;;
esac
services=$(ops services)
if [ "$secret" = database_password ]; then
    services=$(grep -x dagster <<<"$services" || true)
fi
if [ -z "$services" ]; then
    say "There is no service yet that would have to be started anew."
    exit 0
fi
# shellcheck disable=SC2086 # several words
change ops redeploy $services
wait_until_steady
