#!/bin/sh
# The main job on real files: two versions go up by `git push`, come back by `git clone`, and every byte is compared. Then the
# same with plain git-lfs and its file agent, and both side by side.
#
#   demo/run.sh [path of git-datamon]       DEMO_MB=200 is about how much data each version has
#
# Everything happens in a temporary directory with a home of its own; nothing of yours is read but sources that cargo has
# unpacked and libraries of the Rust toolchain. Exits with 1 if anything differs.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
fail() {
    echo "demo: FAILED: $*" >&2
    echo "demo: everything is kept in $work" >&2
    trap - EXIT
    exit 1
}
step() { printf '\n== %s\n' "$*"; }

binary=${1:-$(command -v git-datamon || true)}
work=$(mktemp -d "${TMPDIR:-/tmp}/datamon-demo.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
[ -x "$binary" ] || fail "no git-datamon: run ./install.sh --demo, or name the program"
cargo_home=${CARGO_HOME:-${HOME:-}/.cargo}
sysroot=$(rustc --print sysroot 2>/dev/null || true)

# A machine of its own: none of your configuration, caches, keys or hooks.
PATH=$(CDPATH='' cd -- "$(dirname -- "$binary")" && pwd):$PATH
export PATH LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_CONFIG_NOSYSTEM=1
unset XDG_CONFIG_HOME XDG_CACHE_HOME XDG_DATA_HOME XDG_STATE_HOME GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_DIR GIT_WORK_TREE \
    GIT_INDEX_FILE DATAMON_CACHE_DIR DATAMON_STATE_DIR DATAMON_RECEIPT MANPATH 2>/dev/null || true
machine() { # a home for one of the two runs
    export HOME="$work/$1/home"
    mkdir -p "$HOME"
    git config --global user.name Demo
    git config --global user.email demo@example.com
    git config --global init.defaultBranch main
    git config --global advice.detachedHead false
}

seconds() { # run something, leave how long it took in $took
    begin=$(date +%s.%N)
    "$@" >"$work/said" 2>&1 || { cat "$work/said" >&2; fail "$*"; }
    took=$(awk "BEGIN { printf \"%.1f\", $(date +%s.%N) - $begin }")
}
bytes_below() { find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
manifest() { (cd "$1" && find data -type f -exec sha256sum {} + | sort -k 2); }
same() { # a directory holds exactly the files of a manifest
    manifest "$1" >"$work/found"
    diff "$2" "$work/found" >"$work/said" || { head "$work/said" >&2; fail "$3 differs"; }
    echo "$3: $(wc -l <"$2") files, every byte the same"
}

# --- real files -------------------------------------------------------------------------------------------------------

step "real files: what cargo unpacked to build this, and the Rust toolchain"
sources=$(find "$cargo_home/registry/src" -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 1)
[ -n "$sources" ] || fail "there is nothing in $cargo_home/registry/src: run \`cargo fetch\` in $here/.. and try again"
budget=$((${DEMO_MB:-200} * 1048576))

# Crates in the order of their names, up to a third of the budget; the tarball and the table made of them are the rest.
mkdir "$work/crates"
used=0
for crate in "$sources"/*/; do
    size=$(bytes_below "$crate")
    [ $((used + size)) -le $((budget / 3)) ] || continue
    used=$((used + size))
    cp -R "$crate" "$work/crates/"
done

version() { # the data directory made of the crates as they are now
    mkdir -p "$1/data/small"
    tar -C "$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$1/data/sources.tar" crates
    # A table: every line of every source with its place, as a data set for a language model might be kept.
    (cd "$work/crates" && find . -name '*.rs' -print0 | sort -z | xargs -0 awk '{ print FILENAME "," FNR "," length($0) "," $0 }') \
        >"$1/data/lines.csv"
    (cd "$work/crates" && find . -name '*.rs' -size -40 -size +0 | sort | head -n 400) | while read -r file; do
        cp "$work/crates/$file" "$1/data/small/$(echo "$file" | sed 's|^\./||; s|/|_|g')"
    done
}
version "$work/v1"
library=$(find "$sysroot/lib" -maxdepth 1 -name 'librustc_driver*.so' -size -600M 2>/dev/null | head -n 1)
[ -z "$library" ] || cp "$library" "$work/v1/data/library.so"

# The second version is made as such things are made: a licence line put at the head of every twentieth source, some crates
# gone, and everything packed again; the library under another name, and the size of the program that was just built.
find "$work/crates" -name '*.rs' | sort | awk 'NR % 20 == 0' | while read -r file; do
    { echo "// Second edition."; cat "$file"; } >"$work/edited" && cat "$work/edited" >"$file"
done
find "$work/crates" -mindepth 1 -maxdepth 1 -type d | sort | awk 'NR % 25 == 0' | while read -r crate; do rm -rf "$crate"; done
version "$work/v2"
[ -z "$library" ] || { mkdir "$work/v2/data/lib" && cp "$library" "$work/v2/data/lib/library.so"; }
cp "$binary" "$work/v2/data/program"
for v in v1 v2; do
    manifest "$work/$v" >"$work/$v.sums"
    eval "logical_$v=$(bytes_below "$work/$v/data")"
    echo "$v: $(wc -l <"$work/$v.sums") files, $(bytes_below "$work/$v/data" | awk '{ printf "%.1f MB", $1 / 1e6 }')"
done

fill() { rm -rf "$1/data" && cp -R "$work/$2/data" "$1/data"; }

# --- git-datamon ------------------------------------------------------------------------------------------------------

step "git-datamon: init, add, commit, push, change, push"
machine datamon
cd "$work/datamon"
git init -q --bare remote.git
git init -q source
git -C source remote add origin "$work/datamon/remote.git"
seconds git datamon install
seconds git -C source datamon init --track 'data/**'
stats() { git -C source datamon stats --json >"$work/stats" || fail "git datamon stats"; }
field() { sed -n "s/^ *\"$1\": *\([0-9][0-9]*\),\{0,1\}\$/\1/p" "$work/stats" | head -n 1; }
for v in v1 v2; do
    fill source $v
    seconds git -C source add .
    eval "datamon_add_$v=$took"
    seconds git -C source commit -q -m "$v"
    git -C source tag "$v"
    seconds git -C source push -q origin main "$v"
    eval "datamon_push_$v=$took"
    stats
    eval "datamon_sent_$v=$(field written) datamon_stored_$v=$(field stored_bytes)"
    eval "datamon_requests_$v=$(($(field get) + $(field head) + $(field put) + $(field list) + $(field delete)))"
    echo "$v is pushed"
done

step "the proof: nothing of it lies in the remote, and the source forgets its copies"
rm -rf source/.git/lfs/objects
held=$(find remote.git -path '*lfs/objects*' -type f | wc -l)
[ "$held" = 0 ] || fail "the remote holds $held LFS objects: the agent did not carry them"
size=$(bytes_below remote.git)
[ "$size" -lt $((logical_v1 / 20)) ] || fail "the remote has $size bytes: it holds data"
echo "the remote holds $size bytes of commits and pointers, and no LFS object; source/.git/lfs/objects is gone"

step "a fresh clone"
seconds git clone -q remote.git clone
datamon_clone=$took
same clone "$work/v2.sums" "version 2"
[ -z "$(git -C clone status --porcelain)" ] || fail "git status of the clone is not clean"
seconds git -C clone checkout -q v1
same clone "$work/v1.sums" "version 1"
git -C clone datamon fsck --data || fail "git datamon fsck --data"

# --- git-lfs alone ----------------------------------------------------------------------------------------------------

step "the same with plain git-lfs and its file agent"
machine lfs
cd "$work/lfs"
git init -q --bare remote.git
git init -q source
git -C source remote add origin "file://$work/lfs/remote.git"
seconds git -C source lfs install
(cd source && git lfs track 'data/**' >/dev/null)
before=0
for v in v1 v2; do
    fill source $v
    seconds git -C source add .
    eval "lfs_add_$v=$took"
    seconds git -C source commit -q -m "$v"
    git -C source tag "$v"
    seconds git -C source push -q origin main "$v"
    eval "lfs_push_$v=$took"
    stored=$(bytes_below remote.git/lfs)
    eval "lfs_stored_$v=$stored lfs_sent_$v=$((stored - before))"
    before=$stored
done
rm -rf source/.git/lfs/objects
seconds git clone -q "file://$work/lfs/remote.git" clone
lfs_clone=$took
same clone "$work/v2.sums" "version 2"

# --- side by side -----------------------------------------------------------------------------------------------------

mb() { awk "BEGIN { printf \"%.1f\", $1 / 1e6 }"; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
row() { printf '%-34s %12s %12s %12s %12s\n' "$@"; }
both=$((logical_v1 + logical_v2))
step "side by side (MB are 10^6 bytes; page cache warm; one run, so seconds are a hint)"
row "" "datamon v1" "v2" "git-lfs v1" "v2"
row "files, logical MB" "$(mb "$logical_v1")" "$(mb "$logical_v2")" "$(mb "$logical_v1")" "$(mb "$logical_v2")"
row "sent to the store, MB" "$(mb "$datamon_sent_v1")" "$(mb "$datamon_sent_v2")" "$(mb "$lfs_sent_v1")" "$(mb "$lfs_sent_v2")"
row "stored after it, MB" "$(mb "$datamon_stored_v1")" "$(mb "$datamon_stored_v2")" "$(mb "$lfs_stored_v1")" "$(mb "$lfs_stored_v2")"
row "logical so far / stored" "$(ratio "$logical_v1" "$datamon_stored_v1")" "$(ratio $both "$datamon_stored_v2")" \
    "$(ratio "$logical_v1" "$lfs_stored_v1")" "$(ratio $both "$lfs_stored_v2")"
row "store requests of the push" "$datamon_requests_v1" "$datamon_requests_v2" "-" "-"
row "git add, seconds" "$datamon_add_v1" "$datamon_add_v2" "$lfs_add_v1" "$lfs_add_v2"
row "git push, seconds" "$datamon_push_v1" "$datamon_push_v2" "$lfs_push_v1" "$lfs_push_v2"
row "git clone, seconds" "-" "$datamon_clone" "-" "$lfs_clone"
echo "git-datamon has everything synced to disk when a push ends; git-lfs's file agent copies or links files and syncs nothing."
printf '\ndemo: ok\n'
