#!/usr/bin/env bash
# Runs a command of docs/RUNBOOK.md inside the platform, as a task of its own, prints its output and ends with its exit
# code. /tmp/workspace.yaml is a workspace for commands that need one.
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
