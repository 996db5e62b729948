#!/usr/bin/env bash
# Runs our programs for the published JavaScript SDK against a real server.
#
#   bash tests/sdk/js/run.sh                                  all of them
#   bash tests/sdk/js/run.sh --test-name-pattern 'c24 '       what shows that line of the protocol's checklist
#   TOPICS="timers events" bash tests/sdk/js/run.sh           some files only
#
# The SDK is installed under ${CARGO_TARGET_DIR:-target}/sdk/js, never into the system. The server is $EVERDURE_BIN, else
# ${CARGO_TARGET_DIR:-target}/release/everdure. What the tests started and could not end is ended here.
set -euo pipefail
cd "$(dirname "$0")/../../.."

here=$PWD/tests/sdk/js
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
export EVERDURE_JS_SDK=$target/sdk/js
. scripts/retry.sh
. scripts/node.sh
. tests/sdk/server.sh
find_server
export EVERDURE_BIN=$SERVER_BIN

fail() {
  printf 'tests/sdk/js: %s\n' "$*" >&2
  exit 1
}

node_is_new || fail "Node.js $OLDEST_NODE or newer with npm is needed: scripts/setup.sh --sdks provides it"

# A copy of the lock is written last: an installation that was cut off is made anew.
install() {
  local lock=$here/package-lock.json
  if cmp -s "$lock" "$EVERDURE_JS_SDK/installed.lock"; then return; fi
  mkdir -p "$EVERDURE_JS_SDK"
  rm -f "$EVERDURE_JS_SDK/installed.lock"
  cp "$here/package.json" "$lock" "$EVERDURE_JS_SDK/"
  # The SDK asks for Node.js 22 and runs on 20 too; no package of it needs to run a script.
  retry npm ci --prefix "$EVERDURE_JS_SDK" --ignore-scripts --no-audit --no-fund --loglevel=error
  cp "$lock" "$EVERDURE_JS_SDK/installed.lock"
}
install

# Each process that the tests start leaves a file with its id here, and takes it away when it has ended the process.
EVERDURE_JS_RUN=$(mktemp -d)
export EVERDURE_JS_RUN
sweep() {
  local file left=()
  for file in "$EVERDURE_JS_RUN"/*.pid; do
    [[ -e $file ]] || continue
    left+=("$(basename "$file" .pid)")
    kill -TERM "$(basename "$file" .pid)" 2>/dev/null || true
  done
  for pid in "${left[@]}"; do
    for _ in {1..100}; do kill -0 "$pid" 2>/dev/null && sleep 0.1 || break; done
  done
  rm -rf "$EVERDURE_JS_RUN"
}
trap sweep EXIT

files=("$here"/*.test.js)
if [[ -n ${TOPICS:-} ]]; then
  files=()
  for topic in $TOPICS; do files+=("$here/$topic.test.js"); done
fi
# Most of a test is waiting for the server, so two files at a time pay even on two busy cores.
node --test --test-reporter=spec --test-concurrency=2 "$@" "${files[@]}"
