#!/bin/sh
# Rolling deployment of workers that are plain processes on one machine: start the new ones, let the old ones give back what
# they hold, stop the old ones. The jobs never stand still, and nothing takes effect twice.
#
# usage: deploy/rolling.sh [-n COUNT] [-d DIR] [-t TIMEOUT] [-f] STINT [FLAG...]
#
#   STINT       the new binary
#   FLAG...     what its workers are started with, besides the configuration, such as --concurrency 4
#   -n COUNT    how many new workers; default: as many as this script has running of other versions, at least 1
#   -d DIR      where the processes are noted (DIR/*.pid) and what they log; default: run
#   -t TIMEOUT  how long the old ones may take to give back; default: 5m
#   -f          put a fence in front of other versions first, so that an old worker that something starts again comes up
#               parked. It stays: a way back to an older version begins with `stint workers fence --lift`
#
# The configuration is where stint looks for it: stint.yaml in the working folder, or STINT_CONFIG, and STINT_* variables.
# It has to name a Redis. The first run starts the first workers, and the way back is the same with the older binary.
# Run it again after it has failed: it goes on where it stopped.
#
# exit: 0 done; 1 the new workers did not come up: they are stopped, and the old ones run as before; 2 bad usage or
# configuration; 6 time ran out: the old workers are still giving back, and both versions run. Else what stint says.
#
# Old workers that this script has not started are drained like the others, but to stop them is for whoever started them.
set -eu

# Seconds that new workers may take to show up, and that a drained one may take to end. The second is longer than
# worker.drain_timeout (25s) and what comes after it.
start_limit=60
stop_limit=40

say() { echo "rolling: $*" >&2; }

fail() {
  code=$1
  shift
  say "$*"
  exit "$code"
}

usage() {
  sed -n '/^# usage:/,/^# exit:/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2
  exit 2
}

# json NAME: the first value of that name in what comes in.
json() { tr -d '\n' | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

# alive FILE: whether the process that is noted there runs, and is what was started: process ids are used again.
alive() {
  read -r pid binary <"$1" || return 1
  case "$(ps -o args= -p "$pid" 2>/dev/null)" in
    "$binary worker"*) return 0 ;;
    *) return 1 ;;
  esac
}

# mine FILE: whether the process that is noted there is of the new version. Names are VERSION.NUMBER.pid.
mine() {
  name=${1##*/}
  name=${name%.pid}
  [ "${name%.*}" = "$version" ]
}

# running new|old: the notes of our processes that run; those of processes that are gone are thrown away.
running() {
  for note in "$dir"/*.pid; do
    [ -e "$note" ] || continue
    if ! alive "$note"; then
      rm -f "$note"
    elif mine "$note"; then
      [ "$1" = old ] || echo "$note"
    else
      [ "$1" = new ] || echo "$note"
    fi
  done
}

# count: how many lines come in.
count() { grep -c . || true; }

# active: how many workers of the new version claim steps, wherever they run.
active() {
  fleet=$("$stint" workers list --output json) || return $?
  echo "$fleet" | tr -d ' \n' | awk '{ gsub(/\{"id":/, "\n&"); print }' |
    grep -F "\"version\":\"$version\"" | grep -cF '"state":"active"' || true
}

# start FLAG...: one new worker, noted.
start() {
  n=1
  while [ -e "$dir/$version.$n.pid" ]; do n=$((n + 1)); done
  note=$dir/$version.$n.pid
  # The worker outlives the terminal, and Ctrl-C here is not for it. Its log says why when it ends at once.
  $detached nohup "$stint" worker "$@" >>"$dir/$version.$n.log" 2>&1 </dev/null &
  echo "$! $stint" >"$note"
  # Until it is a worker and no copy of this shell any more; looking is slow enough to bound the tries.
  tries=0
  until alive "$note" || [ "$tries" -ge 100 ]; do tries=$((tries + 1)); done
}

# stop FILE: SIGTERM, which drains what is not drained yet, and SIGKILL when it does not end; its steps go to others then.
stop() {
  read -r pid _ <"$1" || return 0
  kill "$pid" 2>/dev/null || true
  waited=0
  while alive "$1"; do
    if [ "$waited" -ge "$stop_limit" ]; then
      say "process $pid does not end; killing it, others run its steps"
      kill -9 "$pid" 2>/dev/null || true
    fi
    sleep 1
    waited=$((waited + 1))
  done
  rm -f "$1"
}

number='' dir=run timeout=5m fence=''
while getopts n:d:t:f option; do
  case $option in
    n) number=$OPTARG ;;
    d) dir=$OPTARG ;;
    t) timeout=$OPTARG ;;
    f) fence=yes ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage
case $number in *[!0-9]* | 0) usage ;; esac

detached=$(command -v setsid) || detached='' # not everywhere
stint=$(command -v "$1") || fail 2 "there is no program $1"
case $stint in
  /*) ;;
  *) stint=$(cd "$(dirname "$stint")" && pwd)/$(basename "$stint") ;;
esac
shift
version=$("$stint" version --output json | json version)
[ -n "$version" ] || fail 2 "$stint does not say its version"
"$stint" config check >/dev/null || exit $?
mkdir -p "$dir"

# 1. New workers beside the old ones. Both read the same queue.
old=$(running old | count)
started=$(running new | count)
[ -n "$number" ] || number=$((old > 1 ? old : 1))
others=$(active) || exit $?
others=$((others > started ? others - started : 0))
say "version $version: $started of $number new workers run, $old old ones"
missing=$((number - started))
while [ "$missing" -gt 0 ]; do
  start "$@"
  missing=$((missing - 1))
done
waited=0
until up=$(active) && [ "$up" -ge $((others + number)) ]; do
  if [ "$(running new | count)" -lt "$number" ] || [ "$waited" -ge "$start_limit" ]; then
    say "the new workers did not come up; what they said last:"
    tail -n 5 "$dir/$version".*.log >&2
    for note in $(running new); do stop "$note"; done
    fail 1 "stopped; nothing else has changed. A fence may keep them back: stint workers fence --lift"
  fi
  sleep 1
  waited=$((waited + 1))
done

# 2. The old ones give back. The fence first: an old worker that comes back in between would not be asked.
[ -z "$fence" ] || "$stint" workers fence --not-version "$version"
"$stint" workers drain --not-version "$version" --wait --timeout "$timeout" || {
  code=$?
  say "not every old worker is safe to stop; both versions run. Run this again, or take it back: stint workers undrain --all"
  exit "$code"
}

# 3. The old ones are idle.
running old | while read -r note; do stop "$note"; done
say "done: $(running new | count) workers of version $version"
