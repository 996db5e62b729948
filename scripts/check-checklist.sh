#!/usr/bin/env bash
# Compares the numbered lines of docs/protocol.md with the tests: each line, 1 to 94, has at least one test that carries its
# number in its name (`c38`), each number in a name has its line, and the column "tested in" names the suites that have
# such a test, and no others.
set -euo pipefail
cd "$(dirname "$0")/.."

page=docs/protocol.md
last=94
wrong=0
say() {
  echo "checklist: $*" >&2
  wrong=1
}

# The suites by the names that the page has for them.
suites=(
  "wire tests/wire"
  "Python tests/sdk/python"
  "JavaScript tests/sdk/js"
  "Java tests/sdk/java"
  "Go tests/sdk/go"
  "core crates"
)

rows=$(sed -nE 's/^\| ([0-9]+) \|.*\| ([^|]*) \|$/\1 \2/p' "$page")
for ((number = 1; number <= last; number++)); do
  [[ $(grep -c "^$number " <<<"$rows") == 1 ]] || say "$page has not one line with the number $number"
done

# What stands before a test's name in each language, then the numbers at its beginning: `c8_c9_...`, `c31_to_c35_...`, "c18 c59 ...".
declaration='(def test_|fn |func Test|void |(test|it)\(["'\''`])'

# The numbers that the tests in a directory carry, one a line.
carried() {
  local name
  grep -rhoE "$declaration[cC][0-9]+([_ ](to_)?[cC][0-9]+)*" "$1" --include='*.py' --include='*.js' --include='*.java' \
    --include='*.go' --include='*.rs' | sed -E "s/^$declaration//" | tr 'C ' 'c_' | sort -u |
    while IFS= read -r name; do
      if [[ $name =~ ^c([0-9]+)_to_c([0-9]+)$ ]]; then
        seq "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
      else
        # Leading zeros are for sorting.
        grep -oE '[0-9]+' <<<"$name" | sed -E 's/^0+//'
      fi
    done | sort -u
}

everywhere=
for suite in "${suites[@]}"; do
  read -r name directory <<<"$suite"
  found=$(carried "$directory")
  [[ -n $found ]] || say "no test in $directory carries a number: is it there?"
  everywhere+=$found$'\n'
  claimed=$(sed -nE "s/^([0-9]+) (.*, )?$name(, .*)?$/\1/p" <<<"$rows" | sort)
  missing=$(comm -23 <(echo "$claimed") <(echo "$found") | sort -n | xargs)
  [[ -z $missing ]] || say "$page says that $name shows these lines, and no test there carries them: $missing"
  unsaid=$(comm -13 <(echo "$claimed") <(echo "$found") | sort -n | xargs)
  [[ -z $unsaid ]] || say "$page does not say that $name shows these lines: $unsaid"
done

untested=$(comm -23 <(seq "$last" | sort) <(sort -u <<<"$everywhere") | sort -n | xargs)
[[ -z $untested ]] || say "no test carries the number of these lines of $page: $untested"
unknown=$(comm -13 <(seq "$last" | sort) <(sort -u <<<"$everywhere" | sed '/^$/d') | sort -n | xargs)
[[ -z $unknown ]] || say "$page has no line for these numbers of tests: $unknown"
exit "$wrong"
