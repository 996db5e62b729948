# Sourced by the suites that run in Python: makes the virtual environment that they share, and names the server.
# Sets `python`, and exports EVERDURE_BIN: what it was, or the release build of this checkout.
#
# The packages go under the target directory, and are put there anew when requirements.txt changes.
of=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$of/../../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
venv=$target/sdk/python
source "$root/scripts/retry.sh"

export EVERDURE_BIN=${EVERDURE_BIN:-$target/release/everdure}
if [[ ! -x $EVERDURE_BIN ]]; then
  echo "there is no server at $EVERDURE_BIN: build it with \`cargo build --release -p everdure-cli\`," >&2
  echo "or name one in EVERDURE_BIN" >&2
  exit 1
fi

# The mark is written last: an environment that was made half way is made again.
mark=$venv/made-from-requirements.txt
if ! cmp -s "$of/requirements.txt" "$mark"; then
  rm -rf "$venv"
  mkdir -p "$(dirname "$venv")"
  if ! python3 -m venv "$venv"; then
    echo "the tests need Python 3.10 or newer with its venv module: apt-get install python3-venv" >&2
    exit 1
  fi
  retry "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$of/requirements.txt"
  cp "$of/requirements.txt" "$mark"
fi
python=$venv/bin/python
