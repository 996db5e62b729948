#!/usr/bin/env bash
# Runs the tests of the Python SDK against a real server. Arguments go to pytest: `run.sh -k entities`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/environment.sh"
cd "$here"
exec "$python" -B -m pytest -p no:cacheprovider "$@"
