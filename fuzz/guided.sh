#!/bin/sh
# Targets under libFuzzer, one after the other: fuzz/guided.sh EXECUTIONS [TARGET…]
#
# Begins from corpus/ (good inputs), reached/ (what coverage found before) and target/found/, where new inputs go; fuzz/keep.sh merges them
# into reached/. Of each target guided.tsv has executions, edges, the slowest input in seconds and the peak of memory in MiB, of all runs so
# far. An input that breaks something is in target/broken/, and the script fails at its end.
set -eu
cd "$(dirname -- "$0")"
executions=${1:?how many executions of each target}
shift
[ $# -gt 0 ] || set -- $(ls corpus)
any=target/x86_64-unknown-linux-gnu/release/any
mkdir -p target/broken
touch guided.tsv

add='
    FILENAME == "guided.tsv" { if ($1 == target) { runs = $2; edges = $3; slow = $4; peak = $5 } else print; next }
    / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:" && $(i + 1) > edges) edges = $(i + 1) }
    /^stat::number_of_executed_units/ { runs += $2 }
    /^stat::slowest_unit_time_sec/ && $2 > slow { slow = $2 }
    /^stat::peak_rss_mb/ && $2 > peak { peak = $2 }
    END { printf "%s\t%d\t%d\t%d\t%d\n", target, runs, edges, slow, peak }'

for target; do
    mkdir -p "target/found/$target" "reached/$target"
    FUZZ_TARGET=$target $any -runs="$executions" -max_len=16384 -timeout=10 -rss_limit_mb=1024 -reload=0 -print_final_stats=1 \
        -artifact_prefix="target/broken/$target-" "target/found/$target" "corpus/$target" "reached/$target" \
        >"target/found/$target.log" 2>&1 || echo "$target: an input broke it, see fuzz/target/found/$target.log"
    # Two of these may run side by side.
    (
        flock 9
        awk -v target="$target" "$add" guided.tsv "target/found/$target.log" | sort >target/guided.tsv
        mv target/guided.tsv guided.tsv
    ) 9>target/lock
done
[ -z "$(ls target/broken)" ]
