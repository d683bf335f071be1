#!/usr/bin/env bash
# Checks that this machine has the programs that the arguments name, all of them before any long work.
#
#   infrastructure/setup/needs.sh python java chromium
#
# Root on Debian or Ubuntu gets the missing ones installed. Every other user gets one list of all that is missing and the
# command that installs it, and the script ends with 1.
set -euo pipefail

# What a need is, how else it can be met, and its packages for apt, dnf and brew.
describe() {
    local chromium=chromium
    # Ubuntu has the browser under its older name.
    ! grep -qs '^ID=ubuntu' /etc/os-release || chromium="chromium-browser"
    case $1 in
        git) echo "git||git|git|git" ;;
        python) echo "Python 3.11 or newer with venv|set PYTHON to its path|python3-venv|python3|python" ;;
        java) echo "Java 17 or newer|set JAVA_HOME to its folder|default-jre-headless|java-headless|temurin" ;;
        # The page's tests are laid out in DejaVu Sans, which is most systems' default.
        chromium) echo "Chromium|set CHROMIUM to its path|$chromium fonts-dejavu-core|chromium|chromium" ;;
        postgres) echo "PostgreSQL's server|put pg_ctl on the PATH|postgresql|postgresql-server|postgresql@17" ;;
        buildah | mmdebstrap) echo "$1||$1|$1|" ;;
        *) echo "needs.sh: unknown need: $1" >&2 && exit 2 ;;
    esac
}

found() {
    local candidates=("$1") candidate version
    case $1 in
        python)
            find_python >/dev/null
            return
            ;;
        java)
            version=$("${JAVA_HOME:+$JAVA_HOME/bin/}java" -version 2>&1 | sed -nE 's/.*version "(1\.)?([0-9]+).*/\2/p' || true)
            [ "${version:-0}" -ge 17 ]
            return
            ;;
        chromium) candidates=("${CHROMIUM:-}" chromium chromium-browser google-chrome) ;;
        # Debian keeps the server's programs off the PATH.
        postgres) candidates=(pg_ctl /usr/lib/postgresql/*/bin/pg_ctl) ;;
    esac
    for candidate in "${candidates[@]}"; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null; then
            return
        fi
    done
    return 1
}

# Prints the path of a Python that can make .venv/. Debian and Ubuntu ship Python without venv.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null \
            && "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# Sets `missing`, `packages` and `manager` (empty where none is known).
look_for() {
    local need label otherwise apt dnf brew
    missing="" packages="" manager=""
    for manager in apt dnf brew ""; do
        command -v "${manager:-true}" >/dev/null && break
    done
    for need; do
        IFS='|' read -r label otherwise apt dnf brew <<<"$(describe "$need")"
        if ! found "$need"; then
            missing+="  $label${otherwise:+ (or $otherwise)}"$'\n'
            case $manager in
                apt) packages+=" $apt" ;;
                dnf) packages+=" $dnf" ;;
                brew) packages+=" $brew" ;;
            esac
        fi
    done
}

install_with_apt() {
    export DEBIAN_FRONTEND=noninteractive
    local install=(apt-get install -y -qq --no-install-recommends)
    echo "Installing$packages ..."
    apt-get update -qq
    if [[ " $packages " == *" postgresql "* ]]; then
        # Debian would start a server of its own; the tests start theirs, on a free port.
        "${install[@]}" postgresql-common >/dev/null
        sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    fi
    # shellcheck disable=SC2086 # A list of words.
    "${install[@]}" $packages >/dev/null
}

need() {
    look_for "$@"
    if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && [ "$manager" = apt ]; then
        # What apt could not install is still missing, and listed.
        install_with_apt || true
        look_for "$@"
    fi
    [ -n "$missing" ] || return 0
    printf 'This machine lacks:\n%s' "$missing" >&2
    case $manager in
        apt | dnf) echo "Install what is missing: sudo $manager install$packages" >&2 ;;
        brew) echo "Install what is missing: brew install$packages" >&2 ;;
    esac
    exit 1
}

# venv.sh takes find_python from here.
[ "${BASH_SOURCE[0]}" != "$0" ] || need "$@"
