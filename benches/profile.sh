#!/bin/sh
# Where the processor time of an ingest and a restore goes, in a directory and in a bucket: `benches/profile.sh DIR [GRAPHS]` (a
# directory of data, for instance benches/data/large/v1). Prints Markdown tables for docs/profiles.md, and draws flame graphs into the
# directory GRAPHS. Needs perf (Debian: linux-perf), and inferno for the graphs (`cargo install inferno --locked`).
set -eu
fail() { echo "profile.sh: $*" >&2; exit 1; }
data=${1:-}
graphs=${2:-}
[ -d "$data" ] || fail "name a directory of data: benches/profile.sh DIR [GRAPHS]"
data=$(cd "$data" && pwd)
if [ -n "$graphs" ]; then
    command -v inferno-flamegraph >/dev/null || fail "there is no inferno here: cargo install inferno --locked"
    mkdir -p "$graphs"
    graphs=$(cd "$graphs" && pwd)
fi
cd "$(dirname "$0")/.."
command -v perf >/dev/null || fail "there is no perf here: apt-get install linux-perf"
# Frame pointers tell who called whom; without them a graph is flat.
export CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=1
export RUSTFLAGS="-C force-frame-pointers=yes" CFLAGS="-fno-omit-frame-pointer"
cargo build --release --quiet --example tree --example bucket --target-dir target/profile
programs=$PWD/target/profile/release/examples
work=$(mktemp -d)
trap 'exec 3>&-; rm -rf "$work"' EXIT
export DATAMON_CACHE_DIR="$work/cache" DATAMON_STATE_DIR="$work/state"

top() { # a recording: each function's share of all samples, then that of kernel and libraries
    printf '| share | where |\n|---|---|\n'
    perf report -i "$1" --no-children -g none --sort symbol 2>/dev/null | grep '%' | grep -v '^#' |
        sed -E 's/ +- +- *$//; s/^ *([0-9.]+%) +\[([k.])\] (.*[^ ]) *$/| \1 | `\3`, \2 |/; s/, k \|$/ (kernel) |/; s/, \. \|$/ |/' | head -n 14
    perf report -i "$1" --no-children -g none --sort dso 2>/dev/null | grep '%' | grep -v '^#' |
        sed -E 's/^ *([0-9.]+%) +(.*[^ ]) *$/| \1 | all of \2 |/' | head -n 3
}
draw() { # a recording, and the name of its graph: what is below one percent is left out
    perf script -i "$1" 2>/dev/null | inferno-collapse-perf 2>/dev/null |
        inferno-flamegraph --title "$2" --minwidth 1 --deterministic >"$graphs/$2.svg"
}
record() { # a name, then a command
    name=$1
    shift
    perf record -q -F 4000 -g -o "$work/perf.data" "$@" >"$work/said" 2>/dev/null
    printf '\n### %s\n\n`%s`\n\n' "$name" "$(cat "$work/said")"
    top "$work/perf.data"
    [ -z "$graphs" ] || draw "$work/perf.data" "$name"
}
both() { # a suffix of names, and a store
    rm -rf "$work/out" "$DATAMON_CACHE_DIR" "$DATAMON_STATE_DIR"
    mkdir "$work/out"
    "$programs/tree" init "$2"
    record "ingest$1" "$programs/tree" ingest "$2" "$work/list" "$data"
    record "restore$1" "$programs/tree" restore "$2" "$work/list" "$work/out"
}

both "" "$work/store"
# The bucket and the link to it are a process of their own, which ends with its input.
mkfifo "$work/input"
"$programs/bucket" --delay 20 <"$work/input" >"$work/url" &
exec 3>"$work/input"
while [ ! -s "$work/url" ]; do sleep 0.1; done
AWS_ENDPOINT_URL=$(cat "$work/url")
export AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=thing AWS_EC2_METADATA_DISABLED=true
both -bucket s3://bucket/store
