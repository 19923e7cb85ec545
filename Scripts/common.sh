# Shared by the scripts here; sourced, never run. Sets `root` to the repository's folder and goes there.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

is_installed() { dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# Installs the Debian packages named that are missing. Services that come with them are not started:
# a package's own nginx on port 80 is not ours to run.
need_packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d
    if ! command -v dpkg-query >/dev/null; then
        say "not a Debian system: please make sure that these are installed: $*"
        return 0
    fi
    for package in "$@"; do is_installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        die "needs root or sudo to install: ${missing[*]}"
    fi
    as_root apt-get update -qq >&2 || say "apt-get update failed, trying with the lists at hand"
    local made=no status=0
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy" && made=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${missing[@]}" >&2 || status=$?
    if [ "$made" = yes ]; then as_root rm -f "$policy"; fi
    [ "$status" -eq 0 ] || die "apt-get could not install: ${missing[*]}"
}

need_swift() {
    command -v swift >/dev/null || die "no swift in PATH: install a Swift 6.2 or later toolchain (swift.org/install)"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
    set -- $version
    if [ -n "${2:-}" ] && { [ "$1" -lt 6 ] || { [ "$1" -eq 6 ] && [ "$2" -lt 2 ]; }; }; then
        die "Swift $1.$2 found, 6.2 or later is needed"
    fi
}

# What the Swift code links against.
# With what a Swift toolchain itself needs: a linker, C headers and a few libraries.
build_packages=(binutils ca-certificates g++ git libcurl4 libedit2 libncurses6 libnghttp2-dev libsqlite3-dev libssl-dev
    libxml2-dev pkg-config)

# Builds the release executable and prints its path.
build_release() {
    swift build -c release --static-swift-stdlib --product oncegate >&2 || return 1
    printf '%s/oncegate\n' "$(swift build -c release --static-swift-stdlib --show-bin-path)"
}

# wait_until SECONDS COMMAND...: polls the command until it succeeds; fails at the deadline.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        read -r -t 0.05 <> <(:) || true
    done
}

# A zombie is not running: inside a trap the shell may not have reaped it yet.
is_running() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    case ${stat##*) } in Z* | X*) return 1 ;; esac
}

# Ends a process by its id: politely, then after 30 s by force.
stop_process() {
    local pid=$1
    is_running "$pid" || return 0
    kill -TERM "$pid" 2>/dev/null || true
    wait_until 30 not is_running "$pid" || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

not() { ! "$@"; }
