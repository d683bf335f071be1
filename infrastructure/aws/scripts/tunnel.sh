#!/usr/bin/env bash
# Forwards Dagster's web pages, which are not reachable otherwise, until Ctrl-C. Needs session-manager-plugin.
#
#   infrastructure/aws/scripts/tunnel.sh [--dry-run] [port]
#
# The pages are then at http://127.0.0.1:3000, or at the given port.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
know_variables
change ops open-tunnel --port "${arguments[0]:-3000}"
