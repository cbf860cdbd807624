#!/bin/sh
# Installs what is missing from the distribution: `needs.sh build` for a build, `needs.sh tests` for the tests too. Calls
# apt-get only when something is missing, as root or through sudo. git and cargo have to be there.
set -eu

fail() { echo "needs.sh: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

have git || fail "there is no git here: apt-get install git"
have cargo || fail "there is no cargo here: see https://rustup.rs"
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname -- "$0")/../Cargo.toml" | head -n 1)
found=$(rustc --version | cut -d' ' -f2)
older=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
[ "$older" = "$wanted" ] || fail "rustc $found is too old, this needs $wanted: rustup update, or see https://rustup.rs"

missing=
want() { # a test, then the package that makes it pass
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

compiles() { # blake3 and zstd are partly C: a compiler and the C library's headers
    folder=$(mktemp -d)
    echo '#include <stdlib.h>
int main(void) { return EXIT_SUCCESS; }' >"$folder/probe.c"
    "${CC:-cc}" -o "$folder/probe" "$folder/probe.c"
    outcome=$?
    rm -rf "$folder"
    return $outcome
}

want build-essential compiles
want git-lfs have git-lfs
case ${1:-build} in
    build) ;;
    tests)
        # Signed commits.
        want openssh-client have ssh-keygen
        # The independent reader of the format.
        want python3 python3 -c 'import ctypes, hashlib, json'
        # A file system that folds names: root mounts it without help.
        [ "$(id -u)" = 0 ] || [ ! -e /dev/fuse ] || want fuse3 have fusermount3
        # S3 and Azure on this machine (tests/servers.sh).
        want python3-venv python3 -c 'import ensurepip, venv'
        want npm have npm
        want openssl have openssl
        want libzstd1 python3 -c '
import ctypes, sys
try: import compression.zstd
except ImportError: ctypes.CDLL("libzstd.so.1")'
        ;;
    *) fail "build or tests?" ;;
esac
[ -n "$missing" ] || exit 0

echo "missing here:$missing"
have apt-get || fail "there is no apt-get: install$missing with the package manager of this system"
if [ "$(id -u)" = 0 ]; then
    root=
elif have sudo; then
    root=sudo
else
    fail "as root, type: apt-get install$missing"
fi
install() {
    # shellcheck disable=SC2086 # words, on purpose
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
# Lists may be missing, as in a fresh container, or old.
install || { $root apt-get update -q && install; } || fail "apt-get could not install$missing; see its words above"
