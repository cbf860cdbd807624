#!/bin/sh
# What long runs counted, kept in docs/counts so that the next one goes on from there: tests/counts.sh begin | keep
#
# begin  hands what was kept to the runs that go on where one stopped (schedules, seeds), on a machine that has no counts of its own
# keep   takes theirs over, and adds those of runs that begin anew each time (kills, stops, races), each once
set -eu
cd "$(dirname -- "$0")/.."
kept=${DATAMON_COUNTS:-docs/counts}
target=${CARGO_TARGET_DIR:-target}

# The sum of all numbers in a file. A run that did not begin with what was kept has less than that.
sum() {
    tr -cs '0-9' '\n' <"$1" | awk '{ sum += $1 } END { printf "%d\n", sum }'
}

begin() { # kept, own
    if [ -f "$1" ] && [ ! -f "$2" ]; then
        mkdir -p "$(dirname -- "$2")"
        cp "$1" "$2"
    fi
}

take() { # own, kept
    [ -f "$1" ] || return 0
    if [ -f "$2" ] && [ "$(sum "$1")" -lt "$(sum "$2")" ]; then
        echo "$1 has less than $2: it did not go on from there, and is left alone" >&2
        return 0
    fi
    cp "$1" "$2.new"
    mv "$2.new" "$2"
}

add() { # own, kept
    [ -f "$1" ] || return 0
    [ -f "$2" ] || : >"$2"
    awk -F '\t' '{ sum[$1] += $2 } END { for (name in sum) printf "%s\t%d\n", name, sum[name] }' "$1" "$2" |
        LC_ALL=C sort >"$2.new"
    mv "$2.new" "$2"
    # So that it is added once.
    mv "$1" "$1.kept"
}

case "${1:-}" in
begin)
    begin "$kept/schedules.tsv" "$target/tmp/schedules.tsv"
    begin "$kept/selftest.json" "$target/selftest.json"
    ;;
keep)
    mkdir -p "$kept"
    take "$target/tmp/schedules.tsv" "$kept/schedules.tsv"
    take "$target/selftest.json" "$kept/selftest.json"
    for own in "$target"/tmp/kills-*.tsv "$target"/tmp/stops-*.tsv "$target"/tmp/races-*.tsv; do
        add "$own" "$kept/$(basename -- "$own")"
    done
    ;;
*)
    echo "tests/counts.sh begin | keep" >&2
    exit 64
    ;;
esac
