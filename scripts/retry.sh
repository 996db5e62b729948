# Sourced by what installs and downloads: a registry or a mirror that is in trouble for a minute fails nobody.
#
#   retry COMMAND...   runs it up to four times, with longer and longer pauses between

retry() {
  local pause
  for pause in 5 20 60; do
    "$@" && return
    printf 'failed, once more in %s s: %s\n' "$pause" "$*" >&2
    sleep "$pause"
  done
  "$@"
}
