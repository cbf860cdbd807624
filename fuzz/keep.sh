#!/bin/sh
# Of what fuzz/guided.sh found the inputs that reach most, into reached/: fuzz/keep.sh [TARGET…]
#
# All that is found stays in target/found/. Most of it differs only in the field that is refused first, so git keeps those that lead furthest.
set -eu
cd "$(dirname -- "$0")"
[ $# -gt 0 ] || set -- $(ls corpus)
any=$PWD/target/x86_64-unknown-linux-gnu/release/any
# What git keeps of a target: inputs, their bytes, and those of one.
most_bytes=49152
most_inputs=128
longest=2048
for target; do
    kept=target/kept/$target
    rm -rf "$kept" "$kept.found"
    mkdir -p "$kept" "reached/$target" "target/found/$target"
    # A run that goes on may take away what it found shorter.
    cp -r "target/found/$target" "$kept.found" || true
    # What the good inputs reach needs no other.
    cp corpus/"$target"/* "$kept"
    FUZZ_TARGET=$target $any -set_cover_merge=1 -use_counters=0 -max_len=16384 -timeout=10 -rss_limit_mb=1024 \
        "$kept" "reached/$target" "$kept.found" >"$kept.log" 2>&1
    rm -rf "reached/$target"
    mkdir "reached/$target"
    (cd corpus/"$target" && ls) | while read -r good; do rm "$kept/$good"; done
    # They were written in that order: what adds most comes first.
    find "$kept" -type f -printf '%i %s %f\n' | sort -n | awk -v bytes=$most_bytes -v inputs=$most_inputs -v longest=$longest '
        $2 <= longest { all += $2; if (all > bytes || ++kept > inputs) exit; print $3 }' | while read -r name; do
        cp "$kept/$name" "reached/$target/$(printf %.12s "$name")"
    done
    echo "$target: $(ls "reached/$target" | wc -l) of $(ls "$kept" | wc -l) inputs"
done
