#!/usr/bin/env bash
# Measures the server under the Python SDK: `measure.sh [orchestrations]`. See measure.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/environment.sh"
cd "$here"
export PYTHONPATH="$here/../.."
exec "$python" -B measure.py "$@"
