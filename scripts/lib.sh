# shellcheck shell=bash
# What the scripts beside it share. Sourced, never run; starts and stops nothing by itself.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
program=${0##*/}

error() { printf '%s: error: %s\n' "$program" "$*" >&2; }
hint() { printf '%s: hint: %s\n' "$program" "$*" >&2; }
# die STATUS MESSAGE: the exit codes are those of the programs (2 usage, 69 unavailable, 78 config).
die() {
  local status=$1
  shift
  error "$@"
  exit "$status"
}

have() { command -v "$1" >/dev/null 2>&1; }

# When a process was started, in whatever unit the system counts; nothing if it is gone or a zombie.
# Together with the pid it names one process for good: a pid alone is used again.
started_at() {
  local stat
  if [ -d /proc/self ]; then
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # The name stands in brackets and may hold spaces: cut behind the last bracket.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" != Z ] || return 1
    printf '%s\n' "${20}"
  else
    ps -o lstart= -p "$1" 2>/dev/null | grep .
  fi
}

# A pid file has two lines: the pid, and when that process was started.
write_pid() {
  local tmp=$1.$2.tmp
  printf '%s\n%s\n' "$2" "$(started_at "$2")" >"$tmp" && mv -f "$tmp" "$1"
}

# Prints the pid if the very process that the file names still lives.
live_pid() {
  local pid='' at=''
  [ -f "$1" ] || return 1
  { read -r pid && read -r at; } <"$1" || return 1
  [ -n "$pid" ] && [ -n "$at" ] && [ "$(started_at "$pid")" = "$at" ] || return 1
  printf '%s\n' "$pid"
}

# Waits until the process of a pid file is gone: wait_gone FILE SECONDS
wait_gone() {
  local left=$(($2 * 20))
  while live_pid "$1" >/dev/null; do
    [ $((left -= 1)) -gt 0 ] || return 1
    sleep 0.05
  done
}

# Runs a command in a session of its own, so that a closed terminal or a Ctrl-C here spares it.
detached() {
  if have setsid; then setsid "$@" & else (trap '' INT HUP; exec "$@") & fi
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# setting NAME [DEFAULT]: from the environment, else from .env of the checkout (which is read as
# data and never run), else the default.
setting() {
  local value=${!1-}
  if [ -z "$value" ] && [ -f "$root/.env" ]; then
    value=$(sed -n "s/^[[:space:]]*\(export[[:space:]][[:space:]]*\)\{0,1\}$1[[:space:]]*=[[:space:]]*//p" \
      "$root/.env" | tail -n 1 | tr -d '\r' |
      sed -e "s/^\"\([^\"]*\)\".*/\1/;t" -e "s/^'\([^']*\)'.*/\1/;t" \
        -e 's/[[:space:]]#.*//' -e 's/[[:space:]]*$//')
  fi
  printf '%s\n' "${value:-${2-}}"
}

# http_get PORT PATH: status line's code on the first line, then the body; no curl needed.
http_get() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3
    IFS=' ' read -r -t 3 _ code _ <&3 || exit 1
    printf '%s\n' "$code"
    while IFS= read -r -t 3 line <&3 && [ "${line%$'\r'}" != '' ]; do :; done
    while IFS= read -r -t 3 line <&3 || [ -n "${line:-}" ]; do printf '%s\n' "$line"; line=''; done
  ) 2>/dev/null
}

is_ready() { [ "$(http_get "$1" "${2:-/readyz}" | head -n 1)" = 200 ]; }
