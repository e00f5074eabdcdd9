#!/bin/sh
# A package that unpacks itself: run it with --help. What follows the line "exit 0 # payload" is a tar.gz.
set -eu
package=@PACKAGE@
digest=@DIGEST@
size=@SIZE@
offset=@OFFSET@
has_run=@HAS_RUN@

die() { printf '%s: %s\n' "$package" "$1" >&2; exit "${2:-1}"; }

usage() {
	cat <<'END'
usage: FILE [--target DIR] [--no-run] [--] [ARGUMENTS]
       FILE --list | --check | --help

  --target DIR  unpack into DIR and leave it there
  --no-run      unpack only
  --list        say what is in it
  --check       say whether it is whole
  ARGUMENTS     are for the program that is started when it has unpacked itself

Without --target it unpacks into a temporary folder where it starts a program, and removes that folder
afterwards; else into a folder of its own name.
END
}

case $0 in
-*) self=./$0 ;;
*) self=$0 ;;
esac
target=
action=unpack
while [ $# -gt 0 ]; do
	case $1 in
	--help) usage; exit 0 ;;
	--list) action=list; shift ;;
	--check) action=check; shift ;;
	--no-run) has_run=no; shift ;;
	--target) [ $# -gt 1 ] && [ -n "$2" ] || die 'say where: --target DIR' 2; target=$2; shift 2 ;;
	--target=?*) target=${1#--target=}; shift ;;
	--) shift; break ;;
	-*) usage >&2; die "unknown option $1" 2 ;;
	*) break ;;
	esac
done
if [ "$action" != unpack ] || [ "$has_run" = no ]; then
	[ $# -eq 0 ] || die "$1 is for nobody: no program is started" 2
fi

payload() { tail -c "+$offset" "$self"; }

sum() {
	if command -v sha256sum >/dev/null 2>&1; then sha256sum
	elif command -v shasum >/dev/null 2>&1; then shasum -a 256
	elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r
	elif command -v sha256 >/dev/null 2>&1; then sha256 -q
	else die 'none of sha256sum, shasum, openssl and sha256 is there to check it with'
	fi
}

[ -f "$self" ] && [ -r "$self" ] || die 'run it as a file: it reads itself'
[ "$(payload | wc -c | tr -d ' ')" = "$size" ] || die 'it is not whole: it has another length than it was made with'
found=$(payload | sum) || exit 1
[ "${found%% *}" = "$digest" ] || die 'it is damaged: its SHA-256 is not the one it was made with'

case $action in
check) printf '%s is whole: sha256:%s\n' "$package" "$digest"; exit 0 ;;
list) payload | gzip -dc | tar -tf -; exit 0 ;;
esac

kept=yes
if [ -z "$target" ]; then
	if [ "$has_run" = yes ]; then
		kept=no
		target=$(mktemp -d "${TMPDIR:-/tmp}/$package.XXXXXX") || die 'no temporary folder can be made: name one with --target'
		trap 'rm -rf -- "$target"' EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
		trap 'exit 129' HUP
	else
		target=$package
	fi
fi
case $target in
-*) target=./$target ;;
esac
[ "$kept" = no ] || mkdir -p -- "$target"
payload | gzip -dc | (cd -- "$target" && tar -xof -) || die "it could not be unpacked into $target"
if [ "$has_run" = no ]; then
	printf 'unpacked into %s\n' "$target"
	exit 0
fi
status=0
(cd -- "$target" && exec @RUN@ ${1+"$@"}) || status=$?
exit "$status"
exit 0 # payload
