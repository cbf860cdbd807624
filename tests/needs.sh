#!/bin/sh
# Installs what is missing from the distribution: `needs.sh build` for a build, `needs.sh demo` for the demo too, `needs.sh
# tests` for the tests too. Calls apt-get only when something is missing, as root or through sudo.
set -eu

fail() { echo "needs.sh: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

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
    demo) want tar have tar ;;
    tests)
        # The independent reader of the format.
        want python3 python3 -c 'import ctypes, hashlib, json'
        want libzstd1 python3 -c '
import ctypes, sys
try: import compression.zstd
except ImportError: ctypes.CDLL("libzstd.so.1")'
        ;;
    *) fail "build, demo or tests?" ;;
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
