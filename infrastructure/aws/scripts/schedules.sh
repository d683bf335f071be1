#!/usr/bin/env bash
# Lists, enables or disables schedules on AWS. This outlasts deployments; runs under way continue.
#
#   infrastructure/aws/scripts/schedules.sh list
#   infrastructure/aws/scripts/schedules.sh enable|disable [--dry-run] [name ...]
#
# Without names: vieweratlas_analysis_daily and vieweratlas_vod_6h, which make data. The freshness checks and
# maintenance have schedules of their own (see list).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
set -- "${arguments[@]}"
# shellcheck disable=SC2016 # the task's shell expands it
case ${1:-} in
    list) command='dagster schedule list -w /tmp/workspace.yaml' ;;
    enable) command='for each; do dagster schedule start "$each" -w /tmp/workspace.yaml; done' ;;
    disable) command='for each; do dagster schedule stop "$each" -w /tmp/workspace.yaml; done' ;;
    *) die "list, enable or disable? See --help." ;;
esac
listing=$([ "$1" = list ] && echo true || echo false)
shift
[ $# -gt 0 ] || set -- vieweratlas_analysis_daily vieweratlas_vod_6h
know_variables
if $listing; then
    ops run sh -c "$command"
else
    change ops run sh -ec "$command" sh "$@"
fi
