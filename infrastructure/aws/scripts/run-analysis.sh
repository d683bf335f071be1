#!/usr/bin/env bash
# Makes a day on AWS by hand: Dagster's daemon starts the run, which waits for its turn and is in the history like a
# scheduled one.
#
#   infrastructure/aws/scripts/run-analysis.sh [--dry-run] [--graph-only] 2026-03-01
#
# --graph-only  from the curated tables (graph_daily): for days whose raw data have expired
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
job=analysis_daily day=
for argument in "${arguments[@]}"; do
    case $argument in
        --graph-only) job=graph_daily ;;
        *) day=$argument ;;
    esac
done
# Python's own check would also take 20260301.
if ! [[ $day =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] ||
    ! "$python" -c "import datetime, sys; datetime.date.fromisoformat(sys.argv[1])" "$day" 2>/dev/null; then
    die "which day, as 2026-03-01?"
fi
know_variables
change ops run dagster job launch -w /tmp/workspace.yaml -j "$job" --tags "{\"dagster/partition\": \"$day\"}"
$dry_run || say "$job for $day is queued; see it under Runs, through tunnel.sh."
