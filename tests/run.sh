#!/bin/sh
# Installs what the tests need and is missing, then runs all of them. Needs git and cargo; the rest comes from the
# distribution (apt-get, as root or through sudo), through cargo, pip and npm. With everything there, it needs no network.
#
# DATAMON_TEST_GIT_LFS_2 names a second git-lfs; without it one is fetched. DATAMON_TEST_RUNNER=cargo does without nextest.
set -eu
cd "$(dirname -- "$0")/.."
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
# git-lfs asks a server for nothing in these tests; git must not ask a person either.
export GIT_TERMINAL_PROMPT=0

step() { printf '\n== %s\n' "$*"; }
loud() { printf '\n!! %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

step "what the tests need"
./tests/needs.sh tests

if [ -z "${DATAMON_TEST_GIT_LFS_2:-}" ]; then
    if second=$(./tests/second-git-lfs.sh); then
        export DATAMON_TEST_GIT_LFS_2="$second"
    else
        loud "NO SECOND git-lfs: tests that want two versions run with $(git lfs version | cut -d' ' -f1) only"
    fi
fi
echo "git-lfs:    $(git lfs version | cut -d' ' -f1)"
[ -z "${DATAMON_TEST_GIT_LFS_2:-}" ] || echo "and another: $("$DATAMON_TEST_GIT_LFS_2" version | cut -d' ' -f1)"

step "servers"
servers=$(./tests/servers.sh start)
eval "$servers"
trap './tests/servers.sh stop' EXIT

runner=${DATAMON_TEST_RUNNER:-nextest}
if [ "$runner" = nextest ] && ! cargo nextest --version >/dev/null 2>&1; then
    step "cargo-nextest, once"
    cargo install cargo-nextest --locked || { loud "no cargo-nextest: using cargo test"; runner=cargo; }
fi

# Part of rustup's default profile; a distribution's cargo may come without.
for component in fmt clippy; do
    cargo $component --version >/dev/null 2>&1 && continue
    name=$component
    [ $component = fmt ] && name=rustfmt
    have rustup && rustup component add "$name" && continue
    loud "NOT CHECKED: there is no cargo $component here"
done

if cargo fmt --version >/dev/null 2>&1; then
    step "format"
    cargo fmt --all --check
fi
if cargo clippy --version >/dev/null 2>&1; then
    step "lints"
    cargo clippy --workspace --all-targets --locked -- -D warnings
fi

step "documentation"
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked

step "examples in the documentation"
cargo test --workspace --doc --locked

# Tests that want names to fold serve such a file system themselves, and pass without a word where they cannot.
folds() {
    [ -z "${DATAMON_TEST_FOLDING:-}" ] || return 0
    [ -e /dev/fuse ] || return 1
    [ "$(id -u)" = 0 ] || { [ -r /dev/fuse ] && [ -w /dev/fuse ] && have fusermount3; }
}
folds || loud "NOT TESTED: no file system here takes \`A\` and \`a\` for one name (as root with /dev/fuse, with fusermount3, or name a" \
    "directory on one: DATAMON_TEST_FOLDING)"

step "tests"
if [ "$runner" = nextest ]; then
    cargo nextest run --workspace --locked --no-fail-fast
else
    cargo test --workspace --lib --bins --tests --locked --no-fail-fast
fi

# A file system with reflinks is made in a file where one can be mounted.
reflinks() {
    [ -n "${DATAMON_TEST_REFLINK:-}" ] && return
    have mkfs.xfs || return
    try=$(mktemp -d)
    truncate -s 512M "$try/image" && mkdir "$try/at" && mkfs.xfs -q -m reflink=1 "$try/image" &&
        mount -o loop "$try/image" "$try/at" 2>/dev/null && umount "$try/at"
    can=$?
    rm -rf "$try"
    return $can
}
step "reflinks"
if ! reflinks; then
    loud "NOT TESTED: no file system with reflinks here (name a directory on one: DATAMON_TEST_REFLINK)"
elif [ "$runner" = nextest ]; then
    cargo nextest run --locked --run-ignored only -E 'test(reflink)'
else
    cargo test --locked --test runner -- --ignored reflink
fi
