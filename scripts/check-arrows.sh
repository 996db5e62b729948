#!/usr/bin/env bash
# The shape of the code, as ARCHITECTURE.md draws it: fails when a dependency arrow turns, when a file passes 600
# lines, or when `core` can reach an async runtime, SQL, a clock or randomness.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
complain() {
  echo "check-arrows: $1" >&2
  failed=1
}

# crate -> crates of this project that it may name outside its tests
declare -A allowed=(
  [everdure-core]=""
  [everdure-engine]="everdure-core"
  [everdure-postgres]="everdure-core"
  [everdure-proto]="everdure-core"
  [everdure]="everdure-core everdure-engine everdure-postgres everdure-proto"
  [everdure-server]="everdure everdure-core everdure-engine everdure-proto"
  [everdure-embedded]=""
  [everdure-testkit]="everdure-core everdure-engine everdure-embedded"
  [everdure-cli]="everdure everdure-core everdure-engine everdure-postgres everdure-embedded everdure-server"
)

for crate in "${!allowed[@]}"; do
  direct=$(cargo tree --locked --quiet -p "$crate" --edges normal,build --depth 1 --prefix none --all-features |
    awk 'NR > 1 && $1 ~ /^everdure/ {print $1}' | sort -u)
  for dependency in $direct; do
    [[ " ${allowed[$crate]} " == *" $dependency "* ]] ||
      complain "$crate must not depend on $dependency: see the map in ARCHITECTURE.md"
  done
done

for manifest in crates/*/Cargo.toml; do
  crate=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
  [[ -v "allowed[$crate]" ]] || complain "$crate has no row in this script: say what it may depend on"
done

reach=$(cargo tree --locked --quiet -p everdure-core --edges normal --prefix none | awk '{print $1}' | sort -u)
for banned in tokio async-std smol futures postgres tokio-postgres sqlx rand getrandom fastrand; do
  grep -qx "$banned" <<<"$reach" && complain "everdure-core reaches $banned: it must stay pure"
done
clock='SystemTime|Instant::now|Utc::now|Local::now|thread_rng|new_v4|tokio::'
if grep -rnE "$clock" crates/core/src; then
  complain "everdure-core uses a clock, randomness or a runtime: take it as an argument"
fi
if cargo tree --locked --quiet -p everdure-core --edges features --prefix none | grep -qE 'chrono feature "(clock|now)"'; then
  complain "everdure-core switches on the clock of chrono"
fi

while read -r lines file; do
  ((lines <= 600)) || complain "$file has $lines lines, the limit is 600: split it"
done < <(git ls-files -z -- '*.rs' '*.sql' '*.sh' | xargs -0 -r -n 1 wc -l)

exit "$failed"
