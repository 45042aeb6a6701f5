#!/bin/sh
# Runs every fuzz target for FUZZ_SECONDS (60) each, or the targets named as arguments. Needs a nightly compiler and
# cargo-fuzz (`rustup toolchain install nightly && cargo install cargo-fuzz`). What it finds interesting is kept in
# fuzz/target/grown, what fails in fuzz/artifacts; the seeds in fuzz/corpus stay as they are.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- nginx_entry prefix explain config
for target in "$@"; do
    case $target in
    explain) seeds="fuzz/corpus/nginx_entry tests/fixtures/explain" ;;
    config) seeds="tests/fixtures/config/good tests/fixtures/config/bad" ;;
    *) seeds="fuzz/corpus/$target" ;;
    esac
    mkdir -p "fuzz/target/grown/$target"
    # shellcheck disable=SC2086 # several folders
    cargo +nightly fuzz run "$target" "fuzz/target/grown/$target" $seeds -- \
        -max_total_time="${FUZZ_SECONDS:-60}" -max_len=16384 -timeout=10
done
