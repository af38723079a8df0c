# shellcheck shell=bash
# shellcheck disable=SC2030,SC2031 # what is local to a subshell is meant to be
# Packages, with apt: sourced by lib.sh.
# Nothing but the packages is new afterwards. A service that comes with them is neither started nor enabled, and a file in
# the checkout names the packages, so that they can be removed again.

policy=/usr/sbin/policy-rc.d    # is asked before a package starts a service
installed=${root:?}/.installed-packages

# need COMMAND:PACKAGE…: install the packages whose command is not there.
need() {
    local pair missing=()
    for pair; do there "${pair%%:*}" || missing+=("${pair##*:}"); done
    [ ${#missing[@]} = 0 ] && return
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    install "${missing[@]}"
    # From Debian 13 on, docker's command line is a package of its own.
    case " ${missing[*]} " in *" docker.io "*) there docker || install docker-cli ;; esac
}

# Busybox becomes an image, in which there is nothing else: only the static one runs there.
there() { command -v "$1" >/dev/null && { [ "$1" != busybox ] || ! grep -q /ld- <(head -c 4096 "$(command -v busybox)"); }; }

# install PACKAGE…: say what is new before, and how to remove it after.
install() (
    [ "$(id -u)" = 0 ] || fail "not installed, but needed: $*; as root, apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive
    say "asking apt what $* would bring"
    twice apt-get -qq update >&2
    plan=$(apt-get -qq --simulate --no-install-recommends install "$@") || fail "apt has no way to install $*"
    say "installing$(sed -n 's/^Inst \([^ ]*\) (.*/ \1/p' <<<"$plan" | tr -d '\n')"
    upgrades=$(sed -n 's/^Inst \([^ ]*\) \[.*/ \1/p' <<<"$plan" | tr -d '\n')
    [ -z "$upgrades" ] || say "upgrading for them$upgrades"
    packages=$(packages)
    links=$(start_links)
    trap restore EXIT
    forbid_starts
    twice apt-get -qq -y --no-install-recommends install "$@" >/dev/null
)

# restore: undo all that an installation, complete or not, has changed beside the packages; name these.
restore() {
    local link new
    rm -f $policy
    [ ! -e $policy.before ] || mv $policy.before $policy
    comm -13 <(printf '%s\n' "$links") <(start_links) | while read -r link; do
        case $link in
        /etc/rc*) update-rc.d "${link##*/S??}" disable >&2 || true ;;
        *) rm -f "$link" && rmdir "$(dirname "$link")" 2>/dev/null || true ;; # a directory in use stays
        esac
    done
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
    new=$(comm -13 <(printf '%s\n' "$packages") <(packages))
    [ -n "$new" ] || return 0
    printf '%s\n' "$new" >>"$installed"
    say "new packages: $(wc -l <<<"$new"). None of their services was started or enabled." \
        "To remove all packages that the scripts have installed: xargs --arg-file=$installed apt-get purge"
}

# Let packages be configured, but start and restart nothing: 101 means "not allowed".
forbid_starts() {
    [ ! -e $policy ] || mv $policy $policy.before
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
}

# start_links: what starts something at boot or login, a link a line. The directories rcN.d are for other inits.
start_links() {
    # Not each of these directories is on every machine.
    { find /etc/systemd/system /etc/systemd/user /etc/rc[S2345].d -type l ! -name 'K*' 2>/dev/null || true; } | sort
}

packages() { dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' | sed -n 's/^ii  *//p' | sort; }
