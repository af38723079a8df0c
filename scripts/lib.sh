# shellcheck shell=bash
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

# A script's help is the text at its head, whatever else it is told. It needs nothing.
for argument; do
    case $argument in --help | -h) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" && exit ;; esac
done

# twice COMMAND…: a network that hiccups gets a second chance.
twice() { "$@" || { say "that failed; once more in 5 seconds" && sleep 5 && "$@"; }; }

# shellcheck source=scripts/packages.sh
. "$root/scripts/packages.sh"

# environment [dev]: the virtual environment with the agent and what it needs, and with its developers' tools; again
# whenever the lock has changed.
environment() {
    local kind=${1-use} stamp recipe
    stamp=$venv/.installed-to-$kind
    recipe=$root$(cat "$root"/pyproject.toml "$root"/requirements/*.txt | sha256sum)
    [ -x "$venv/bin/python" ] || new_environment
    [ "$(cat "$stamp" 2>/dev/null)" != "$recipe" ] || return 0
    if [ -n "${VENV-}" ]; then
        [ "$kind" != dev ] || add_tools
    else
        say "installing the agent and what it needs in $venv"
        if [ "$kind" = dev ]; then locked dev; else locked build embedded watch web; fi
        pip --no-deps --no-build-isolation --editable "$root"
    fi
    printf %s "$recipe" >"$stamp"
    [ "$kind" != dev ] || printf %s "$recipe" >"$venv/.installed-to-use" # which is a part of it
}

# locked NAME…: install what these files of the lock name. Each download must have a hash that is written there.
locked() {
    local name files=()
    for name; do files+=(--requirement "$root/requirements/$name.txt"); done
    twice pip --require-hashes "${files[@]}"
}

# With VENV=… the agent and its libraries there are what somebody wants to test: add tools, but change no version.
add_tools() {
    local entries=$venv/.missing-tools.txt
    say "installing the developers' tools in $venv"
    "$venv/bin/python" -c "$list_missing" <"$root/requirements/dev.txt" >"$entries"
    twice pip --no-deps --require-hashes --requirement "$entries"
}

# The entries of the lock whose package is not installed: a line each, and its hashes on indented lines.
list_missing='import re, sys
from importlib.metadata import distributions
installed = {re.sub("[-_.]+", "-", found.name).lower() for found in distributions()}
entries = re.findall(r"^[^\s#].*\n(?:\s.*\n)*", sys.stdin.read(), re.MULTILINE)
print(*(entry for entry in entries if entry.partition("==")[0] not in installed), sep="", end="")'

new_environment() {
    command -v python3 >/dev/null || install python3-venv # which brings python3, too
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed, and this is $(python3 --version): Debian has one from release 12 on"
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
    say "making a virtual environment in $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
}

pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
