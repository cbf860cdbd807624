# `cargo install just --locked`, or `apt-get install just` (Debian 13, Ubuntu 24.04 and later). Nothing here is needed to
# build or to use git-datamon: ./install.sh and ./tests/run.sh do without.

# what there is
default:
    @just --list

# everything continuous integration runs
ci:
    ./.ci/run

# the tests; `just test architecture` only some
test *FILTER:
    cargo nextest run --workspace {{FILTER}}

# format, lints, documentation
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

# format the sources
fmt:
    cargo fmt --all

# the library's documentation, in a browser
doc:
    cargo doc --workspace --no-deps --open

# the golden files of the format anew: only when the format changes, and then look at every byte
golden:
    cargo nextest run --workspace --run-ignored only -E 'test(bless_golden)'
    git status --short fixtures

# docs/setups.md from the table in tests/setups
setups:
    cargo nextest run --run-ignored only -E 'test(bless_setups)'

# all tests with other seeds, and those that take too long for every push
nightly:
    tests/counts.sh begin
    PROPTEST_RNG_SEED=$(date +%s) cargo nextest run --workspace --release --run-ignored all -E 'not test(/bless/) and not test(mutants_by_the_million)'
    just counted
    just selftest 10000
    just counts

# what long runs counted so far, into docs/counts: to be looked at, and committed by hand
counts:
    tests/counts.sh keep
    git status --short docs/counts

# what the last nightly run counted: kills and stops by verb, races, schedules
counted:
    #!/bin/sh
    for file in target/tmp/kills-*.tsv target/tmp/stops-*.tsv target/tmp/races-*.tsv target/tmp/schedules.tsv; do
        [ ! -f "$file" ] || sed "s|^|$(basename "$file" .tsv)\t|" "$file"
    done
    cat target/tmp/kills-*.tsv | awk -F'\t' '{ kills += $2 } END { print kills + 0 " kills in all" }'

# mutants for every decoder, as many as DATAMON_FUZZ_EXECUTIONS says (10^8 of itself, an hour and more); counts in fuzz/executions.tsv
fuzz:
    cargo nextest run --release --run-ignored only -E 'test(mutants_by_the_million)'

# so many executions of every target, or of some, under libFuzzer: counts in fuzz/guided.tsv, the best of what was found in fuzz/reached; a
# nightly compiler, and `cargo install cargo-fuzz --locked`
fuzz-with-coverage EXECUTIONS="1000000" *TARGETS:
    cp Cargo.lock fuzz/Cargo.lock
    RUSTC_WRAPPER="{{justfile_directory()}}/fuzz/rustc.sh" cargo +nightly fuzz build --sanitizer none any
    fuzz/guided.sh {{EXECUTIONS}} {{TARGETS}}
    fuzz/keep.sh {{TARGETS}}

# so many simulations, other ones each time: the counts are in target/selftest.json, until `just counts` keeps them
selftest SEEDS="10000":
    tests/counts.sh begin
    cargo build --release --locked
    target/release/git-datamon selftest --crashes
    target/release/git-datamon selftest --seeds {{SEEDS}} --keep target/selftest.json

# the promised figures into docs/benchmarks.md, many minutes on a quiet machine; `just bench --quick` only tries the bench
bench *ARGS:
    cargo build --release --locked
    cargo build --release --locked -p lfs-agent --example noop_agent
    python3 benches/figures.py --binary target/release/git-datamon {{ if ARGS == "" { "--out docs/benchmarks.md" } else { ARGS } }}

# what a store costs at 10^6, 10^8 and 10^9 chunks and at 10^5 pushes (docs/scale.md): half an hour and 4 GB of memory
scale:
    cargo build --release --locked --example scale
    target/release/examples/scale 100 10000 100 1000
    target/release/examples/scale 1000 100000 1000 10000
    target/release/examples/scale 1000 1000000 5000 50000
    target/release/examples/scale 100000 10 1 1000

# a collection of 10^6 chunks of which a tenth is dead (docs/scale.md)
scale-gc:
    cargo build --release --locked --example scale
    target/release/examples/scale gc 100 10000 100 9000

# ours beside its peers into docs/benchmarks.md, two hours on a quiet machine and 20 GB while it runs; installs the peers
# and makes the data the first time; `just compare --rounds 1 --places s3-20ms --only source` only tries it
compare *ARGS:
    benches/compare.sh {{ARGS}}

# licences, advisories, bans (`cargo install cargo-deny --locked`: minutes, so not in CI)
deny:
    cargo deny check

# two versions of real data, through git and back
demo:
    ./install.sh --demo
