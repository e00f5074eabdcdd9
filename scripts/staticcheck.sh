#!/bin/sh
# Runs staticcheck in one exact version: the one that is installed, if it is that version, else built from source, which
# takes some minutes the first time.
#
# usage: scripts/staticcheck.sh VERSION PACKAGE...
set -eu

version=$1
shift
go=${GO:-go}

for candidate in "$(command -v staticcheck || true)" "$($go env GOPATH)/bin/staticcheck"; do
  # It says: staticcheck 2026.2.2 (0.8.2)
  if [ -x "$candidate" ] && "$candidate" -version 2>/dev/null | grep -qF "(${version#v})"; then
    exec "$candidate" "$@"
  fi
done
exec "$go" run "honnef.co/go/tools/cmd/staticcheck@${version}" "$@"
