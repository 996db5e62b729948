#!/usr/bin/env bash
# The main job, end to end: checks and provides what is needed, builds, and runs `everdure demo` with the arguments given.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/setup.sh
cargo build --locked --release --quiet -p everdure-cli
exec "${CARGO_TARGET_DIR:-target}"/release/everdure demo "$@"
