#!/usr/bin/env bash
# Reports whether the platform works, as far as can be seen from outside, and ends with 0 or 1. It changes nothing.
#
#   infrastructure/aws/scripts/smoke-test.sh [--wait minutes] [--snapshot-age minutes] [--vod | --no-vod]
#
# --wait          minutes to wait until everything works (0)
# --snapshot-age  minutes since the newest live window may have begun (20)
# --vod           whether recordings are read (default: config/config.yaml)
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
know_variables
ops smoke-test "${arguments[@]}"
