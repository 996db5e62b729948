#!/usr/bin/env bash
# Runs the published Java SDK (pom.xml pins it) against a server of this checkout: bash tests/sdk/java/run.sh [mvn options].
# What Maven fetches and builds goes below the target directory; nothing is installed.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../../.." && pwd)"
. "$root/scripts/retry.sh"
. "$here/../server.sh"

skip() {
  echo "$1, so the suite of the Java SDK is skipped: install Maven and a JDK of version 17 or newer to run it"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}
command -v mvn >/dev/null || skip "Maven is not on this machine"
compiler="${JAVA_HOME:+$JAVA_HOME/bin/}javac"
command -v "$compiler" >/dev/null || skip "There is no Java compiler on this machine"
# A Java that was told options says so in a line of its own.
version="$("$compiler" -version 2>&1 | grep '^javac ' || true)"
[[ "$version" =~ ^javac\ ([0-9]+) ]] || skip "$compiler does not say its version"
((BASH_REMATCH[1] >= 17)) || skip "'$version' is too old"
find_server

out="${CARGO_TARGET_DIR:-$root/target}/sdk/java"
mkdir -p "$out"
out="$(cd "$out" && pwd)"

maven=(mvn --batch-mode -Dstyle.color=never --no-transfer-progress --file "$here/pom.xml" "-Dmaven.repo.local=$out/repository" "-Dsdk.build=$out/build")
# A copy of the pom is written last: what could not be fetched is fetched anew, also if Maven remembers that it was not
# there. Surefire looks for its parts only when it looks for tests, so it looks for those of a group that is not there.
if ! cmp -s "$here/pom.xml" "$out/fetched.pom"; then
  retry "${maven[@]}" --quiet --update-snapshots -Dgroups=none test
  cp "$here/pom.xml" "$out/fetched.pom"
fi

run="$(mktemp -d)"
trap 'stop_server; rm -rf "$run"' EXIT
trap 'exit 130' INT TERM
start_server "$run"
export EVERDURE_ADDRESS="$SERVER_ADDRESS" EVERDURE_BIN="$SERVER_BIN"
if ! "${maven[@]}" "$@" test; then
  echo "what the server said:" >&2
  tail -n 40 "$run/server.err" >&2
  exit 1
fi
