#!/usr/bin/env bash
# Runs a command of docs/RUNBOOK.md inside the platform, as a task of its own, prints what it prints and ends as it
# ends. Commands that need a workspace find one in /tmp/workspace.yaml.
#
#   infrastructure/aws/scripts/run-command.sh [--dry-run] vieweratlas doctor
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# Options after the first word are the command's.
case ${1:-} in
    --help | -h | --dry-run) take_options "$1" && shift ;;
esac
[ $# -gt 0 ] || die "which command? See --help."
know_variables
change ops run "$@"
