# Sourced by the suites that run a published SDK against a server of their own (tests/sdk/*/run.sh).
#
#   find_server         sets SERVER_BIN: $EVERDURE_BIN, else the release build of this checkout; ends the script if there is none
#   start_server DIR    starts `everdure dev` on a free port, keeps its output in DIR, sets SERVER_ADDRESS and SERVER_PID
#   stop_server         ends it and waits for it; harmless when there is none
#
# The caller sets a trap that calls stop_server, so that nothing stays behind however the suite ends.

SERVER_PID=

find_server() {
  local root
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
  SERVER_BIN="${EVERDURE_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/everdure}"
  if [[ ! -x "$SERVER_BIN" ]]; then
    echo "there is no server at $SERVER_BIN: build it with \`cargo build --release -p everdure-cli\`, or set EVERDURE_BIN" >&2
    exit 1
  fi
}

start_server() {
  local dir="$1" tries
  # The files are there before the server is, so that looking for its address cannot fail.
  : >"$dir/server.out" >"$dir/server.err"
  "$SERVER_BIN" dev --listen 127.0.0.1:0 >"$dir/server.out" 2>"$dir/server.err" &
  SERVER_PID=$!
  # A first start makes a database, which takes a while on a slow disk.
  for ((tries = 0; tries < 1200; tries++)); do
    SERVER_ADDRESS="$(sed -n 's/^everdure is listening on //p' "$dir/server.out")"
    [[ -n "$SERVER_ADDRESS" ]] && return 0
    kill -0 "$SERVER_PID" 2>/dev/null || break
    sleep 0.1
  done
  echo "the server did not start; it said:" >&2
  cat "$dir/server.out" "$dir/server.err" >&2
  exit 1
}

stop_server() {
  [[ -n "$SERVER_PID" ]] || return 0
  kill -TERM "$SERVER_PID" 2>/dev/null || true
  wait "$SERVER_PID" 2>/dev/null || true
  SERVER_PID=
}
