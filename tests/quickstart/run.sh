#!/usr/bin/env bash
# Runs the quick starts in docs/ as they are written, each against a server of its own.
#
#   tests/quickstart/run.sh                    all that this machine has the tools for
#   tests/quickstart/run.sh python rust        these
#   tests/quickstart/run.sh server             docs/server.md, compared with a server
#
# The server is $EVERDURE_BIN, or the release build of this checkout. README.md beside this says how a page is written.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../scripts/node.sh"
# A harness that notices nothing would let everything pass.
(cd "$here" && python3 -B -m unittest --quiet test_harness)
exec python3 -B "$here/main.py" "$@"
