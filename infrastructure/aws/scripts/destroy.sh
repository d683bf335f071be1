#!/usr/bin/env bash
# Removes the platform from AWS. Run it again if it was interrupted.
#
#   infrastructure/aws/scripts/destroy.sh --yes NAME --keep-data|--delete-data [--dry-run]
#
# --yes NAME     the deployment's name, as a confirmation
# --keep-data    the lake, the secrets and the images stay; safe-deploy.sh brings the rest back. Dagster's history
#                of runs is removed with the database.
# --delete-data  everything is removed, and cannot be brought back
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
[ -n "$data" ] || die "keep or remove the data? Give --keep-data or --delete-data."
know_variables
[ "$confirmed" = "$name" ] || die "this would destroy $name; if you mean it, give --yes $name."
ops account
initialise

options=("${unattended[@]}" -auto-approve -compact-warnings -var "image_tag=$(tf output -raw image_tag 2>/dev/null || echo none)"
    -var protect_data=false)
kept='^(aws_s3_bucket|aws_secretsmanager_secret|aws_ecr_|module\.(viewer_key|database_password)\.|data\.|module\..*\.data\.)'

# The remaining resources that match $1 (grep's options before it), each with all its instances.
left() {
    tf state list 2>/dev/null | sed -E 's/\[.*//' | sort -u | grep -E "$@" || true
}

targets() { sed 's/^/-target=/'; }

if [ -z "$(left .)" ]; then
    say "Nothing is left in Terraform's state."
else
    change ops stop-tasks
    # Resources that refuse to be destroyed are changed first, without their neighbours, some of which may have been
    # removed already.
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
