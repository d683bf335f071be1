#!/usr/bin/env bash
# Removes the platform from AWS. Run it again if it was interrupted.
#
#   infrastructure/aws/scripts/destroy.sh --yes NAME --keep-data|--delete-data [--dry-run]
#
# --yes NAME     the deployment's name, so that nothing else is meant
# --keep-data    the lake, the secrets and the images stay; safe-deploy.sh brings the rest back. Dagster's history
#                of runs goes with the database.
# --delete-data  everything goes, and cannot be brought back
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
take_options "$@"
confirmed='' data=''
set -- "${arguments[@]}"
while [ $# -gt 0 ]; do
    case $1 in
        --yes)
            confirmed=${2:?--yes needs the name}
            shift
            ;;
        --keep-data | --delete-data) data=${1#--} ;;
        *) die "$1 is not understood; see --help." ;;
    esac
    shift
done
[ -n "$data" ] || die "what becomes of the data? Give --keep-data or --delete-data."
know_variables
[ "$confirmed" = "$name" ] || die "this would destroy $name; if you mean it, give --yes $name."
ops account
initialise

options=("${unattended[@]}" -auto-approve -compact-warnings -var "image_tag=$(tf output -raw image_tag 2>/dev/null || echo none)"
    -var protect_data=false)
kept='^(aws_s3_bucket|aws_secretsmanager_secret|aws_ecr_|module\.(viewer_key|database_password)\.|data\.|module\..*\.data\.)'

# Of each resource with all its instances, what is left and matches $1 (grep's options before it).
left() {
    tf state list 2>/dev/null | sed -E 's/\[.*//' | sort -u | grep -E "$@" || true
}

targets() { sed 's/^/-target=/'; }

if [ -z "$(left .)" ]; then
    say "Terraform knows of nothing that is left."
else
    change ops stop-tasks
    # What refuses to go has to be told first; without its neighbours, of which some may be gone already.
    refusing='^aws_db_instance'
    [ "$data" = keep-data ] || refusing='^(aws_db_instance|aws_s3_bucket\.|aws_ecr_repository|aws_secretsmanager_secret\.|module\.[a-z_]*\.aws_secretsmanager_secret\.)'
    mapfile -t first < <(left "$refusing" | targets)
    [ ${#first[@]} -eq 0 ] || change tf apply "${options[@]}" "${first[@]}" >&2
    if [ "$data" = keep-data ]; then
        mapfile -t rest < <(left -v "$kept" | targets)
        [ ${#rest[@]} -eq 0 ] || change tf destroy "${options[@]}" "${rest[@]}" >&2
    else
        change tf destroy "${options[@]}" >&2
    fi
fi
change ops remove-definitions
say "Done."
