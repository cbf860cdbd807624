#!/bin/sh
# Where the processor time of an ingest and a restore goes: `benches/profile.sh DIR` (a directory of data, for instance
# benches/data/large/v1). Needs perf (Debian: linux-perf). Prints Markdown tables for docs/profiles.md.
set -eu
fail() { echo "profile.sh: $*" >&2; exit 1; }
data=${1:-}
[ -d "$data" ] || fail "name a directory of data: benches/profile.sh DIR"
data=$(cd "$data" && pwd)
cd "$(dirname "$0")/.."
command -v perf >/dev/null || fail "there is no perf here: apt-get install linux-perf"
export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=1
cargo build --release --quiet --example tree --target-dir target/profile
tree=$PWD/target/profile/release/examples/tree
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DATAMON_CACHE_DIR="$work/cache" DATAMON_STATE_DIR="$work/state"
mkdir "$work/out"

top() { # a recording: each function's share of all samples, then that of kernel and libraries
    printf '| share | where |\n|---|---|\n'
    perf report -i "$1" --no-children -g none --sort symbol 2>/dev/null | grep '%' | grep -v '^#' |
        sed -E 's/ +- +- *$//; s/^ *([0-9.]+%) +\[([k.])\] (.*[^ ]) *$/| \1 | `\3`, \2 |/; s/, k \|$/ (kernel) |/; s/, \. \|$/ |/' | head -n 14
    perf report -i "$1" --no-children -g none --sort dso 2>/dev/null | grep '%' | grep -v '^#' |
        sed -E 's/^ *([0-9.]+%) +(.*[^ ]) *$/| \1 | all of \2 |/' | head -n 3
}
record() { # a title, then a command
    title=$1
    shift
    perf record -q -F 4000 -o "$work/perf.data" "$@" >"$work/said" 2>/dev/null
    printf '\n### %s\n\n`%s`\n\n' "$title" "$(cat "$work/said")"
    top "$work/perf.data"
}
"$tree" init "$work/store"
record Ingest "$tree" ingest "$work/store" "$work/list" "$data"
record Restore "$tree" restore "$work/store" "$work/list" "$work/out"
