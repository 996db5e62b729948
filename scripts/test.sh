#!/usr/bin/env bash
# All checks and tests, in the order in which they fail fastest. Says what runs; stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  printf '\n== %s\n' "$*"
  "$@"
}

step bash scripts/setup.sh --postgres 18
export CARGO_TERM_COLOR=never
step cargo fmt --all --check
step bash scripts/check-arrows.sh
step bash scripts/check-contract.sh
step cargo clippy --locked --workspace --all-targets -- -D warnings
step env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
step cargo test --locked --workspace --no-fail-fast
for example in crates/sdk/examples/*.rs; do
  step cargo run --locked --quiet -p everdure --example "$(basename "$example" .rs)"
done
# The main job, and one short iteration of each benchmark: whether they run and check their results, not how fast.
step bash scripts/demo.sh
for workload in sequence single fanout one idle floor; do
  step "${CARGO_TARGET_DIR:-target}/release/everdure" bench "$workload" --seconds 1 --warm-up 0.5 --json
done
