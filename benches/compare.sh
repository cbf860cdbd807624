#!/bin/sh
# The comparison with peers from nothing: builds ours, installs the peers, makes the data, measures, writes docs/benchmarks.md.
# Arguments, if there are any, go to compare.py in place of `--out docs/benchmarks.md`; `--resume` among them goes on where a run was
# ended. Everything lies below target/compare (or $COMPARE): some 3 GB, and 20 GB while it runs.
#
# Three rounds in all places take some two hours on two cores, building and installing before half an hour. Wants a quiet machine.
#
# SCALE=1 takes the whole datasets (3.9 GB); by default the large files are 248 MB and the small ones 6,000.
set -eu
cd "$(dirname -- "$0")/.."
place=${COMPARE:-target/compare}

cargo build --release --locked --bins --example tree --example passes --example bucket
[ "$place/peers/versions" -nt benches/peers.sh ] || benches/peers.sh "$place/peers"
if [ ! -s "$place/data/datasets.tsv" ]; then
    "$place/peers/venv/bin/python" benches/datasets.py "$place/data" --scale "${SCALE:-0.286}" --scale "images=${SCALE:-0.3}"
fi
[ $# -gt 0 ] || set -- --out docs/benchmarks.md
exec python3 benches/compare.py --bin "$place/peers/bin" --data "$place/data" --work "$place/work" \
    --tsv "$place/results.tsv" "$@"
