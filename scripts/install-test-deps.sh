#!/bin/sh
# Installs what the tests need and this machine lacks: servers of Redis, PostgreSQL, MariaDB, Firebird, Prometheus and S3, curl (the examples of
# docs/api.md are run), Chromium (it looks at the dashboard), a C compiler (for the race detector), strace (it makes disks slow), and git, make, Node.js and npm (the example products are built). The tests start private servers of their own; no service has to run.
#
# usage: scripts/install-test-deps.sh          installs what is missing; does nothing when nothing is
#        scripts/install-test-deps.sh --check  only says what is missing; exit 1 if something is
set -eu

# Why nothing is skipped: a promise that is tested only where it happens to be testable is no promise.

have_redis() { command -v redis-server >/dev/null 2>&1 || command -v valkey-server >/dev/null 2>&1; }

have_postgres() {
  command -v initdb >/dev/null 2>&1 && return 0
  for initdb in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$initdb" ] && return 0
  done
  return 1
}

have_mariadb() { command -v mariadb-install-db >/dev/null 2>&1 && { command -v mariadbd >/dev/null 2>&1 || [ -x /usr/sbin/mariadbd ]; }; }

have_firebird() {
  command -v isql-fb >/dev/null 2>&1 && [ -x /usr/sbin/firebird ] && [ -r /usr/share/firebird/3.0/security.sql ] || return 1
  for example in /usr/share/doc/firebird*-examples/examples/employee.sql*; do
    [ -r "$example" ] && return 0
  done
  return 1
}

have_prometheus() { command -v prometheus >/dev/null 2>&1 && command -v promtool >/dev/null 2>&1; }

# have_browser looks where cmd/internal/rig looks.
have_browser() {
  for program in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v $program >/dev/null 2>&1 && return 0
  done
  [ -x "/Applications/Chromium.app/Contents/MacOS/Chromium" ] || [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]
}

have_compiler() { command -v "${CC:-cc}" >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1 || command -v clang >/dev/null 2>&1; }

# The gateway is under the Apache licence, checks signatures, and knows conditional puts. Its version is pinned.
s3_version=v1.8.0
go=${GO:-go}

# have_s3 looks where internal/s3test looks.
have_s3() { command -v versitygw >/dev/null 2>&1 || [ -x "${GOBIN:-$($go env GOPATH)/bin}/versitygw" ]; }

missing() {
  have_redis || echo redis
  have_postgres || echo postgres
  have_mariadb || echo mariadb
  have_firebird || echo firebird
  have_prometheus || echo prometheus
  have_compiler || echo compiler
  have_browser || echo browser
  for program in curl git make node npm; do
    command -v $program >/dev/null 2>&1 || echo $program
  done
  [ "$(uname)" != Linux ] || command -v strace >/dev/null 2>&1 || echo strace
  have_s3 || echo s3
}

# package MANAGER THING: what the thing is called there.
package() {
  case "$1 $2" in
    "apt-get redis") echo redis-server ;;
    "apt-get postgres") echo postgresql ;;
    "apt-get mariadb") echo mariadb-server ;;
    "apt-get firebird") echo firebird3.0-server firebird3.0-utils firebird3.0-examples ;;
    "apt-get prometheus") echo prometheus ;;
    "apt-get browser" | "dnf browser") echo chromium ;;
    "brew browser") echo --cask chromium ;;
    "apt-get compiler") echo gcc libc6-dev ;;
    "apt-get node" | "dnf node") echo nodejs ;;
    "brew node" | "brew npm") echo node ;;
    "apt-get curl" | "apt-get git" | "apt-get make" | "apt-get npm" | "apt-get strace" | "dnf strace" | "dnf curl" | "dnf git" | "dnf make" | "dnf npm" | "brew curl" | "brew git" | "brew make") echo "$2" ;;
    "dnf redis") echo redis ;;
    "dnf postgres") echo postgresql-server ;;
    "dnf mariadb") echo mariadb-server ;;
    "dnf prometheus") echo golang-github-prometheus ;;
    "dnf compiler") echo gcc glibc-devel ;;
    "brew redis") echo redis ;;
    "brew postgres") echo postgresql ;;
    "brew mariadb") echo mariadb ;;
    "brew prometheus") echo prometheus ;;
    "brew compiler") echo llvm ;;
  esac
}

todo=$(missing)
[ -z "$todo" ] && exit 0

todo_line=$(echo "$todo" | tr '\n' ' ')
if [ "${1:-}" = --check ]; then
  echo "missing for the tests: $todo_line" >&2
  exit 1
fi

# install_packages installs by the system's package manager what is missing.
install_packages() {
  manager=
  for m in apt-get dnf brew; do
    if command -v "$m" >/dev/null 2>&1; then
      manager=$m
      break
    fi
  done
  if [ -z "$manager" ]; then
    echo "missing for the tests: $todo_line" >&2
    echo "neither apt-get, dnf nor brew is here; install redis-server (6 or later), a PostgreSQL server, a MariaDB server, Prometheus, Chromium and a C compiler by hand" >&2
    exit 1
  fi

  packages=
  for thing in $todo; do
    packages="$packages $(package "$manager" "$thing")"
  done
  # Firebird 3.0 is packaged for Debian and Ubuntu alone: elsewhere the rest is installed, and the end says what is missing.
  [ -n "$(echo "$packages" | tr -d ' ')" ] || manager=none

  as_root=
  if [ "$manager" != brew ] && [ "$manager" != none ] && [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "missing for the tests: $todo_line" >&2
      echo "installing needs root and there is no sudo; run as root: $manager install$packages" >&2
      exit 1
    fi
    as_root=sudo
  fi

  echo "installing for the tests:$packages" >&2
  case "$manager" in
    apt-get)
      $as_root apt-get update -qq
      # RUNLEVEL=1: installed services are not started; the tests bring their own.
      # shellcheck disable=SC2086 # a list of words
      $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $packages
      ;;
    dnf)
      # shellcheck disable=SC2086 # a list of words
      $as_root dnf install -y -q $packages
      ;;
    brew)
      # shellcheck disable=SC2086 # a list of words
      brew install --quiet $packages
      ;;
  esac
}

[ "$todo" = s3 ] || install_packages
if ! have_s3; then
  echo "building for the tests: versitygw $s3_version; it takes some minutes" >&2
  CGO_ENABLED=0 $go install "github.com/versity/versitygw/cmd/versitygw@$s3_version"
fi

still=$(missing)
if [ -n "$still" ]; then
  echo "still missing for the tests after the installation: $(echo "$still" | tr '\n' ' ')" >&2
  exit 1
fi
