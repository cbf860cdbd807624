#!/bin/sh
# Obtains a second git-lfs for the tests, newer than the one installed, and prints the path of its executable.
#
# It comes from a newer release of the Debian archive that this machine's apt already uses: apt-get and dpkg-deb
# unpack it under target/, with lists and state of their own, so nothing on the machine changes and no root is needed.
# What is there already is used again; `rm -r target/git-lfs-2` fetches anew.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$here/target}/git-lfs-2
binary=$target/usr/bin/git-lfs

fail() {
    echo "second-git-lfs: $*; set DATAMON_TEST_GIT_LFS_2 to a git-lfs executable instead" >&2
    exit 1
}

version_of() { "$1" version 2>/dev/null | sed -n 's|^git-lfs/\([0-9.]*\).*|\1|p'; }

if [ -n "$(version_of "$binary")" ]; then
    echo "$binary"
    exit 0
fi

for tool in apt-get dpkg-deb dpkg; do
    command -v "$tool" >/dev/null || fail "no $tool here: this way works on Debian only"
done

uri=$(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' | sort -u | head -n 1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -n "$uri" ] || fail "apt here has no Debian archive (or no lists yet: run apt-get update)"
[ -e "$keys" ] || keys= # then apt's own
installed=$(version_of git-lfs)

work=$(mktemp -d "${TMPDIR:-/tmp}/second-git-lfs.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
: >"$work/status"

apt() {
    command=$1
    shift
    apt-get -q "$command" \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
        -o APT::Sandbox::User="$(id -un)" -o APT::Default-Release= -o Acquire::Languages=none \
        "$@" >>"$work/log" 2>&1
}

for release in unstable testing stable; do
    echo "deb ${keys:+[signed-by=$keys] }$uri $release main" >"$work/sources.list"
    apt update || continue
    rm -f "$work"/*.deb
    (cd "$work" && apt download git-lfs) || continue
    rm -rf "$work/unpacked"
    dpkg-deb -x "$work"/git-lfs_*.deb "$work/unpacked" >>"$work/log" 2>&1 || continue
    version=$(version_of "$work/unpacked/usr/bin/git-lfs")
    [ -n "$version" ] || continue
    [ -z "$installed" ] || dpkg --compare-versions "$version" gt "$installed" || continue
    rm -rf "$target"
    mkdir -p "$(dirname -- "$target")"
    mv -T "$work/unpacked" "$target"
    echo "$binary"
    exit 0
done
fail "no release of the Debian archive gave a git-lfs that runs here and is newer than ${installed:-none} ($(
    grep -m 1 '^[EW]:' "$work/log" || echo 'apt-get reported no error'
))"
