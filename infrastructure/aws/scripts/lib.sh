# shellcheck shell=bash
# Steps that several of the operators' scripts take: options, Terraform, images. The scripts order them; calls of AWS
# are in the folder ops.
set -euo pipefail

# macOS has 3.2, which lacks mapfile and empty arrays under `set -u`.
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    echo "bash $BASH_VERSION is too old: 4.4 or newer is needed, first on the PATH (macOS: brew install bash)." >&2
    exit 1
fi

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$scripts/../../.." && pwd)
module=$root/infrastructure/aws
python=$root/.venv/bin/python
images=(collector dagster)
dry_run=false
arguments=()
# A different run of these scripts, or one that was cut off, may still be finishing.
unattended=(-input=false -no-color -lock-timeout=10m)
export TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1
# Attestations of docker would count as images, so that ECR would keep fewer versions for rollbacks.
export BUILDX_NO_DEFAULT_ATTESTATIONS=1
cd "$root"

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

# The head comment of the script.
usage() { sed -nE '2,/^[^#]/{s/^# ?//p;}' "$0"; }

# Takes --help and --dry-run out of the arguments; the rest is in ${arguments[@]}.
take_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h)
                usage
                exit 0
                ;;
            --dry-run) dry_run=true ;;
            *) arguments+=("$1") ;;
        esac
        shift
    done
}

take_no_arguments() {
    [ ${#arguments[@]} -eq 0 ] || die "${arguments[0]} is not understood; see --help."
}

# Runs a command that changes something; in a dry run only prints it.
change() {
    if $dry_run; then
        say "would run: $*"
    else
        "$@"
    fi
}

tf() { "${TERRAFORM:-terraform}" -chdir="$module" "$@"; }

ops() {
    PYTHONPATH=$scripts AWS_DEFAULT_REGION=$region "$python" -m ops --name "$name" --region "$region" "$@"
}

need_tools() {
    command -v "${TERRAFORM:-terraform}" >/dev/null || die "terraform is not installed: 1.11 or newer is needed."
    [ -x "$python" ] || die ".venv is missing: run \`make setup\` in $root."
}

# Sets $name, $region and others from Terraform's variables, also before anything is deployed.
know_variables() {
    need_tools
    local values
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # The variables alone: evaluated without a provider or a state.
    cp "$module"/variables.tf "$work"
    for values in "$module"/terraform.tfvars{,.json} "$module"/*.auto.tfvars{,.json}; do
        [ ! -e "$values" ] || cp "$values" "$work"
    done
    values=$("${TERRAFORM:-terraform}" -chdir="$work" console <<<'join("|", [var.name, var.region, join(" ", sort(var.twitch_secrets)), var.alert_email, var.monthly_budget_usd, var.cpu_architecture])') ||
        values=
    IFS='|' read -r name region twitch_secrets alert_email budget architecture <<<"${values//\"/}"
    [ -n "${architecture:-}" ] || die "the variables of Terraform cannot be read: $module/terraform.tfvars."
    export twitch_secrets alert_email budget
}

# Terraform's providers: downloaded once, checked each time.
initialise() { tf init -input=false >/dev/null; }

# Sets $tag: IMAGE_TAG, else the commit's short hash. A dirty tree does not have one.
know_tag() {
    [ "${PUSH_LATEST:-false}" = false ] ||
        die "PUSH_LATEST=$PUSH_LATEST: the repositories are immutable and have no latest. Unset it."
    [ "${IMAGE_TAG:-}" != latest ] || die "IMAGE_TAG=latest is refused: a tag must always name the same image."
    if [ -n "$(git -C "$root" status --porcelain)" ]; then
        die "the tree has uncommitted changes (git status); commit or stash them first."
    fi
    tag=${IMAGE_TAG:-$(git -C "$root" rev-parse --short=12 HEAD)}
}

# Ends if tag $1 names a different commit than the one that is built: the tag would stay wrong forever.
check_name() {
    local head named
    head=$(git -C "$root" rev-parse HEAD)
    named=$(git -C "$root" rev-parse --quiet --verify "$1^{commit}") || named=
    [[ ! $1 =~ ^[0-9a-f]{7,40}$ ]] || named=${named:-$1}
    [ "${named:-$head}" = "$head" ] ||
        die "IMAGE_TAG=$1 names a different commit than this tree's, and has no image yet: git checkout $1 first."
}

# The program that builds and pushes: CONTAINER_TOOL, else docker, else buildah.
know_builder() {
    builder=${CONTAINER_TOOL:-}
    if [ -z "$builder" ]; then
        for builder in docker buildah ""; do
            ! command -v "$builder" >/dev/null || break
        done
    fi
    command -v "${builder:-nothing}" >/dev/null ||
        die "docker or buildah is needed to build the images (or CONTAINER_TOOL)."
}

# Builds and pushes the images without this tag. An existing tag is never built again.
publish_images() {
    local kind missing registry platform=linux/amd64 logged_in=false
    [ "$architecture" = X86_64 ] || platform=linux/arm64
    missing=$(ops missing-images "$tag")
    for kind in "${images[@]}"; do
        if ! grep -qx "$kind" <<<"$missing"; then
            say "$name-$kind:$tag exists and is not built again."
            continue
        fi
        check_name "$tag"
        know_builder
        if $dry_run; then
            say "would build and push $name-$kind:$tag with $builder"
            continue
        fi
        if ! $logged_in; then
            registry=$(ops registry)
            ops registry-password | "$builder" login --username AWS --password-stdin "$registry" >/dev/null
            logged_in=true
        fi
        say "Building $name-$kind:$tag ..."
        "$builder" build --platform "$platform" --file "$root/infrastructure/docker/$kind.Dockerfile" \
            --tag "$registry/$name-$kind:$tag" "$root"
        "$builder" push "$registry/$name-$kind:$tag"
    done
}

# Applies the variables with image tag $1, unless data would be lost; further arguments are options of `terraform
# plan`. Resources of an earlier run that was cut off are adopted.
apply() {
    local address adopted=$module/adopted.tf plan=$work/plan tag=$1
    shift
    rm -f "$adopted"
    for address in $(tf state pull | ops tainted-data); do
        change tf untaint -no-color -lock-timeout=10m "$address" >&2
    done
    plan "$plan" -var "image_tag=$tag" "$@"
    if $dry_run; then
        say "would apply this plan"
        return
    fi
    # An apply stops soon after the first resource that exists already: later ones show in the next apply.
    until tf apply "${unattended[@]}" "$plan" >&2 2>"$plan.errors"; do
        cat "$plan.errors" >&2
        tf show -json "$plan" | ops adoptable "$plan.errors" >"$plan.adopted"
        [ -s "$plan.adopted" ] || die "Terraform did not finish; run this again."
        say "An earlier run was cut off. Its resources are adopted:"
        sed -nE 's/^ +to += +/  /p' "$plan.adopted" >&2
        cat "$plan.adopted" >>"$adopted"
        plan "$plan" -var "image_tag=$tag" "$@"
    done
    rm -f "$adopted"
}

# Writes a plan to file $1, unless it would lose data; further arguments are Terraform's.
plan() {
    local file=$1
    shift
    say "Planning ..."
    # Its output includes the errors.
    { tf plan -json "${unattended[@]}" -out="$file" "$@" || true; } | ops check-plan
}

# Waits until the services run what was applied.
wait_until_steady() {
    $dry_run || {
        say "Waiting for the services ..."
        tf output -json | ops wait
    }
}

smoke_test() {
    $dry_run || ops smoke-test "$@"
}

say_deployed() {
    $dry_run || say "$tag is deployed."
}
