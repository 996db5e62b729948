#!/usr/bin/env bash
# Runs the tests of the protocol itself against a real server. Arguments go to pytest: `run.sh -k c38`.
# They share the packages of tests/sdk/python, which has the compiled messages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../sdk/python/environment.sh"
cd "$here"
exec "$python" -B -m pytest -p no:cacheprovider "$@"
