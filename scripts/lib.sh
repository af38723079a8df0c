# What the scripts share: sourced, not run.
# Sets $root, the repository, and $venv, the virtual environment. VENV=… names another one, in which the agent is
# installed already.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${VENV:-$root/.venv}
PATH=$PATH:/usr/sbin:/sbin # where daemons live, and where not everybody's shell looks

say() { printf '==> %s\n' "$*" >&2; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# twice COMMAND…: a network that hiccups gets a second chance.
twice() { "$@" || { say "that failed; once more in 5 seconds" && sleep 5 && "$@"; }; }

# need COMMAND:PACKAGE…: install the packages whose command is not there.
need() {
    local pair missing=()
    for pair; do there "${pair%%:*}" || missing+=("${pair##*:}"); done
    [ ${#missing[@]} = 0 ] && return
    install "${missing[@]}"
    # From Debian 13 on, docker's command line is a package of its own.
    case " ${missing[*]} " in *" docker.io "*) there docker || install docker-cli ;; esac
}

# Busybox becomes an image, in which there is nothing else: only the static one runs there.
there() { command -v "$1" >/dev/null && { [ "$1" != busybox ] || ! grep -q /ld- <(head -c 4096 "$(command -v busybox)"); }; }

# install PACKAGE…: with apt. Services that come with them are not started: nobody asked for those.
install() (
    [ "$(id -u)" = 0 ] || fail "not installed, but needed: $*; as root, apt-get install $*"
    say "installing $*"
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    twice apt-get -qq update >&2
    twice apt-get -qq -y --no-install-recommends install "$@" >/dev/null
)

# environment [dev]: the virtual environment with the agent, and with its developers' tools; anew when that changed.
environment() {
    local kind=${1-use} stamp recipe tools
    stamp=$venv/.installed-to-$kind
    recipe=$root$(sha256sum <"$root/pyproject.toml")
    [ -x "$venv/bin/python" ] || new_environment
    [ "$(cat "$stamp" 2>/dev/null)" != "$recipe" ] || return 0
    if [ -z "${VENV-}" ]; then
        say "installing the agent and what it needs in $venv"
        twice pip --editable "$root[embedded]"
    fi
    if [ "$kind" = dev ]; then
        say "installing its developers' tools"
        mapfile -t tools < <("$venv/bin/python" - "$root/pyproject.toml" <<<"$list_tools")
        twice pip "${tools[@]}"
    fi
    printf %s "$recipe" >"$stamp"
}

# pip has known of dependency groups for itself only since 25.1.
list_tools='import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["dependency-groups"]["dev"], sep="\n")'

new_environment() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
    say "making a virtual environment in $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
}

pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
