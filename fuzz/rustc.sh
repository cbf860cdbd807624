#!/bin/sh
# What `cargo fuzz` calls in place of rustc: only crates that read something are instrumented. The others (requests, TLS, files) would
# double the time of a build, and have their counters looked at after every input.
set -eu
crate=
for word; do
    [ "$crate" != next ] || { crate=$word; break; }
    [ "$word" != --crate-name ] || crate=next
done
case $crate in
datamon* | lfs_agent | any | rmp* | serde* | toml* | winnow | url | idna* | percent_encoding | form_urlencoded | uuid | semver)
    exec "$@"
    ;;
esac
for word; do
    shift
    case $word in
    -Cpasses=sancov* | -Cllvm-args=-sanitizer-coverage* | -Cllvm-args=-simplifycfg*) ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec "$@"
