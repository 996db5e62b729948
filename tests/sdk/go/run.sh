#!/usr/bin/env bash
# Runs the published Go SDK (go.mod pins it) against a server of this checkout: bash tests/sdk/go/run.sh [go test flags].
# Modules and build results go below the target directory; nothing is installed.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
. "$root/scripts/retry.sh"
. "$here/../server.sh"

if ! command -v go >/dev/null; then
  echo "Go is not on this machine, so the suite of the Go SDK is skipped: install Go 1.21 or newer to run it"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi
find_server

cache="${CARGO_TARGET_DIR:-$root/target}/sdk/go"
mkdir -p "$cache"
cache="$(cd "$cache" && pwd)"
# -modcacherw: the module cache can be removed like any other build result.
export GOMODCACHE="$cache/modules" GOCACHE="$cache/build" GOFLAGS="-mod=readonly -modcacherw" GOTOOLCHAIN=local GOWORK=off

cd "$here"
# Go itself tries once only.
retry go mod download

run="$(mktemp -d)"
trap 'stop_server; rm -rf "$run"' EXIT
trap 'exit 130' INT TERM
start_server "$run"
export EVERDURE_ADDRESS="$SERVER_ADDRESS" EVERDURE_BIN="$SERVER_BIN"
if ! go test -count=1 -timeout 10m -v "$@" ./...; then
  echo "what the server said:" >&2
  tail -n 40 "$run/server.err" >&2
  exit 1
fi
