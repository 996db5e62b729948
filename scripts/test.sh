#!/usr/bin/env bash
# All checks and tests, in the order in which they fail fastest. Says what runs; stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/retry.sh

step() {
  printf '\n== %s\n' "$*"
  "$@"
}

# Tests with real processes and real time run on shared machines, which stand still now and then: what fails is run once
# more, and said so. What fails twice has failed.
again() {
  "$@" && return
  printf '\n== FAILED, once more: %s\n' "$*"
  "$@"
}
export -f again

# Runs command lines side by side, for what mostly waits; shows one after the other what each printed.
together() {
  local line log status=0 number=0 pids=() logs=()
  for line in "$@"; do
    log=$(mktemp)
    bash -c "$line" >"$log" 2>&1 &
    pids+=($!)
    logs+=("$log")
  done
  for line in "$@"; do
    printf '\n== %s\n' "$line"
    wait "${pids[number]}" || status=1
    cat "${logs[number]}"
    rm -f "${logs[number]}"
    number=$((number + 1))
  done
  return "$status"
}

step bash scripts/setup.sh --postgres 18 --sdks
export CARGO_TERM_COLOR=never
step retry cargo fetch --locked
step cargo fmt --all --check
step bash scripts/check-arrows.sh
step bash scripts/check-contract.sh
step bash scripts/check-checklist.sh
step cargo clippy --locked --workspace --all-targets -- -D warnings
step env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
step again cargo test --locked --workspace --no-fail-fast
for example in crates/sdk/examples/*.rs; do
  step cargo run --locked --quiet -p everdure --example "$(basename "$example" .rs)"
done
# The main job, and one short iteration of each benchmark: whether they run and check their results, not how fast.
step bash scripts/demo.sh
# Programs with the published SDKs, and the protocol itself, against the server just built. Nothing is installed outside
# of the target directory; Java and Go are skipped, and counted, where their toolchains are missing.
step again bash tests/wire/run.sh -q
together "again bash tests/sdk/python/run.sh -q" "again bash tests/sdk/js/run.sh"
together "again bash tests/sdk/java/run.sh" "again bash tests/sdk/go/run.sh"
step again bash tests/quickstart/run.sh
for workload in sequence single fanout one idle floor; do
  step "${CARGO_TARGET_DIR:-target}/release/everdure" bench "$workload" --seconds 1 --warm-up 0.5 --json
done
for workload in sequence fanout; do
  step "${CARGO_TARGET_DIR:-target}/release/everdure" bench "$workload" --remote --seconds 1 --warm-up 0.5 --json
done
